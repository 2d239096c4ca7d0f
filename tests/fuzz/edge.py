"""Parsers at the edges: what callers of the API and the pages send, what operators set, what lies in our own files."""

# ruff: noqa: E501, PT017 (what is refused has to be looked at, too)

from __future__ import annotations

import argparse
import io
import json
import struct
import tempfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from builders import a_result
from fuzz.parser import Parser, text
from fuzz.pure import given, problems_hold
from tocsin import checks, notifiers, settings
from tocsin.checks._terms import wrong_pins
from tocsin.cli import sugar
from tocsin.core import limits, shape, template
from tocsin.core.alert import Template
from tocsin.core.assertion_terms import range_of
from tocsin.core.link import Link, read_token, token_of
from tocsin.core.plain import loads
from tocsin.errors import DeliveryFailed, Invalid, NotFound, SettingsError
from tocsin.net.http import HttpReply
from tocsin.notifiers import _post, email
from tocsin.store import cursor, images, parting, sealing, snapshot
from tocsin.store.batch import Batch
from tocsin.store.control import Position
from tocsin.store.keeping import Keepable
from tocsin.store.spool import Spool
from tocsin.store.version import HEAD
from tocsin.web import answer, live, query, routes, site, tokens
from tocsin.web.api import given as asked
from tocsin.web.api import results
from tocsin.web.api.location_data import read_location
from tocsin.web.pages import address, form, on_call
from tocsin.web.problem import Refused, problem_of
from tocsin.web.table import Table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"k" * 32
LINK = Link("ws", "i", 1, "c")
TARGETS: dict[str, dict[str, Any]] = {
    "http": {
        "url": "https://example.org/a?b=c",
        "headers": {"A": "b"},
        "resolve": ["example.org:443:127.0.0.1"],
        "proxy": "http://127.0.0.1:1",
    },
    "tcp": {"host": "example.org", "port": 25, "send": ["EHLO\\r\\n"], "expect": ["^250"]},
    "udp": {"host": "127.0.0.1", "port": 53, "send": "\\x00a", "expect": "a+"},
    "ping": {"host": "::1"},
    "push": {"period_s": 60, "grace_s": 5},
    "tls": {"host": "example.org", "starttls": "smtp"},
    "dns": {"name": "example.org", "server": "[::1]:53", "record_type": "TXT", "expect": ["a"], "expect_mode": "regex"},
    "smtp": {"host": "mail.example.org", "helo": "me", "user": "u", "password": "p"},
    "transaction": {
        "steps": [
            {"url": "https://a.example/{{h}}", "capture": {"a": {"json_path": "$.a"}}},
            {"url": "https://b.example/{{a}}", "assertions": [{"type": "body", "op": "contains", "value": "x"}]},
        ],
        "secrets": {"h": "inner"},
    },
    "browser": {"steps": [{"do": "goto", "url": "https://example.org/"}, {"do": "click", "text": "a"}]},
    "websocket": {"url": "wss://example.org/x", "subprotocol": "a", "expect": "b", "headers": {"A": "b"}},
    "grpc": {"host": "example.org", "port": 443, "metadata": {"a": "b"}, "authority": "a.example"},
    "ssh": {"host": "example.org", "user": "u", "password": "p", "host_key": "SHA256:" + "A" * 43},
    "postgres": {"host": "db", "user": "u", "query": "SELECT 1"},
    "mysql": {"host": "db", "user": "u", "expect": "1"},
    "redis": {"host": "db", "database": 1, "role": "master", "key": "k"},
    "mongodb": {"host": "db", "user": "u", "password": "p", "auth_source": "admin"},
    "mqtt": {"host": "mq", "topic": "a/b", "qos": 0, "mqtt_version": "5"},
    "rabbitmq": {"host": "mq", "queue": "q", "max_messages": 5},
    "kafka_producer": {"host": "mq", "topic": "checks", "mechanism": "PLAIN", "user": "u", "password": "p"},
    "kafka_consumer": {"host": "mq", "topic": "checks", "group": "g", "max_lag": 5},
    "ldap": {"host": "dir", "filter": "(uid=a)", "base": "dc=x", "scope": "one"},
    "snmp": {"host": "sw", "oid": "1.3.6.1", "expect": "5", "compare": "gt"},
    "docker": {"container": "web", "url": "http://engine:2375"},
    "nagios": {"plugin": "check_x", "arguments": ["-H", "a"]},
}
"""A sound target of every check type."""
CONFIGS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://example.org/", "headers": {"A": "b"}, "secret": "s"},
    "email": {
        "to": "a@example.org, b@example.org",
        "smtp_url": "smtp://u:p@mail.example:587?from=a@b.example&tls=required",
    },
    "slack": {"url": "https://hooks.slack.com/services/T/B/x"},
    "discord": {"url": "https://discord.com/api/webhooks/1/x"},
    "telegram": {"token": "1:a", "chat_id": -100123, "base_url": "https://api.example"},
    "teams": {"url": "https://teams.example/workflows/1?sig=x"},
    "pagerduty": {"routing_key": "k", "base_url": "https://events.eu.pagerduty.com"},
    "opsgenie": {"api_key": "k", "region": "eu"},
    "ntfy": {"url": "https://ntfy.sh/topic", "token": "tk_a"},
    "twilio": {"account_sid": "AC1", "auth_token": "t", "from": "+15005550006", "to": "+436641234567"},
    "alertmanager": {"url": "http://am.example:9093", "labels": {"team": "web"}},
    "apprise": {"url": "gotify://host.example/token"},
}


def _one(kind: str, data: Any) -> bytes:
    return json.dumps([kind, data], ensure_ascii=False).encode()


def _named(data: bytes) -> tuple[str, Any]:
    match loads(data):
        case [str(name), plain]:
            return name, plain
        case other:
            raise Invalid() from ValueError(type(other).__name__)


def _target(data: bytes) -> None:
    name, plain = _named(data)
    kind = checks.kind(name)
    target = shape.read(kind.target, plain)
    assert kind.summary(target).encode()
    dumped = shape.dump(target)
    assert shape.read(kind.target, dumped) == target
    assert json.dumps(shape.hide(kind.target, dumped))
    asked.check_kept_secrets(kind.target, dumped, dumped, dumped, "target")
    assert isinstance(address.name_of(name, dumped), str)


def _config(data: bytes) -> None:
    name, plain = _named(data)
    kind = notifiers.kind(name)
    config = shape.read(kind.config, plain)
    assert shape.read(kind.config, shape.dump(config)) == config


def _location(data: bytes) -> None:
    plain = loads(data)
    fields = read_location(asked.as_object(plain), "local")
    assert fields["code"] not in ("", "local")
    assert (fields["mode"] == "pull") == (fields["endpoint_url"] is None)
    assert (fields["latitude"] is None) == (fields["longitude"] is None)


def _template(data: bytes) -> None:
    own = Template(title=text(data)[:1000], text=text(data)[:4000])
    for message in template.samples():
        title, words = template.render(own, message)
        assert "\n" not in title
        assert len(words) <= template.TEXT_MAX


def _form(data: bytes) -> None:
    """A page's form: the check type, then its fields as browsers send them."""
    name, _, fields = data.partition(b"\n")
    typed = dict(query.pairs(fields, most=1000))
    kind = checks.kind(text(name))
    shapes = shape.fields(kind.target)
    plain = form.read_back(shapes, typed, "target.")
    try:
        shape.read(kind.target, plain, where="target")
    except Invalid as wrong:
        problems_hold(list(wrong.problems))
        shown = form.inputs(shapes, plain, "target.", {p.field: p.expected for p in wrong.problems})
        assert len(shown) == len(shapes)
        raise
    assert form.inputs(shapes, plain, "target.", {})


_QUERIES = [route for route in routes.ROUTES if route.query is not None]


def _query(data: bytes) -> None:
    """A query string, for each of our routes that takes one."""
    taken, refused = 0, Invalid()
    for route in _QUERIES:
        try:
            query.read_query(route.query, data, loose=route.loose)
            taken += 1
        except Invalid as wrong:
            problems_hold(list(wrong.problems))
            assert problem_of(wrong) is not None
            refused = wrong
    if not taken:
        raise refused


def _span(data: bytes) -> None:
    wanted = query.read_query(results.Span, data)
    start, end = results.stretch(wanted.window, wanted.from_, wanted.to, NOW)
    assert start < end <= NOW
    assert results.step_for(start, end) >= 60
    results.series_json([], start, end, 86_400)


def _line(data: bytes) -> None:
    """What a page says over the live connection."""
    wanted = shape.read(live.Wanted, loads(data, max_bytes=65_536))
    assert len(wanted.subscribe) <= 1000


_TABLE = Table(routes.ROUTES)


def _place(data: bytes) -> None:
    method, _, path = text(data).partition(" ")
    route, values = _TABLE.find(method, path)
    assert all(values.values())
    assert route.method == ("GET" if method == "HEAD" else method)


def _cookies(data: bytes) -> None:
    found = answer._cookies(data.decode("latin-1"))
    assert all(";" not in name + value for name, value in found.items())


def _access_token(data: bytes) -> None:
    claims = tokens.read_access_token(KEY, data.decode("latin-1"), NOW)
    assert claims is None or claims.user_id == "u"


def _form_time(data: bytes) -> None:
    taken = on_call.moment(text(data), "Europe/Berlin")
    on_call.wall(taken, "Asia/Kolkata")


def _link(data: bytes) -> None:
    found = read_token(KEY, text(data))
    assert found is None or found == LINK


def _access_tokens() -> tuple[bytes, ...]:
    said = tokens.Claims(user_id="u", workspace_id="w", session_id="s", token_version=1, expires_at=tokens.expiry(NOW))
    return (
        tokens.access_token(KEY, said, NOW).encode(),
        b"eyJhbGciOiJub25lIn0.e30.",
        b"eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.e30.AA",
    )


def _refresh_token(data: bytes) -> None:
    pair = tokens.split_refresh_token(KEY, text(data))
    assert pair is None or tokens.refresh_token(KEY, *pair) == text(data)


def _caller(data: bytes) -> None:
    client = limits.client_address("127.0.0.1", {"x-forwarded-for": data.decode("latin-1")}, 1)
    assert limits.address_name(client)
    there = site._split(f"http://{data.decode('latin-1')}")
    assert there is None or isinstance(there.hostname, str | None)


def _cursor(data: bytes) -> None:
    place = cursor.read_cursor(data.decode("latin-1"), int, str)
    assert cursor.read_cursor(cursor.write_cursor(*place), int, str) == place


def _address(data: bytes) -> None:
    type_, target, name = address.guess(text(data))
    assert name
    try:
        shape.read(checks.kind(type_).target, target)
    except Invalid as wrong:
        problems_hold(list(wrong.problems))


# --- the command line and the settings ---


def _sugar(data: bytes) -> None:
    words = text(data)
    made: list[dict[str, Any]] = []
    for convert in (sugar._json_path, sugar._header, sugar._status, sugar._days):
        try:
            made.append(convert(words))
        except argparse.ArgumentTypeError as wrong:
            assert str(wrong)
    range_of(words)
    wrong_pins([words])
    for one in made:
        try:
            checks.check_assertions([one], None)
        except Invalid as wrong:
            problems_hold(list(wrong.problems))


def _settings(data: bytes) -> None:
    """Variables, one a line."""
    lines = [line.partition("=") for line in text(data).split("\n")]
    read = settings.read({name: value for name, _, value in lines if name != "TOCSIN_CONFIG"})
    assert read.base_url
    assert read.database_url
    assert read.data_dir.is_absolute()


def _toml(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tocsin.toml"
        file.write_bytes(data)
        assert settings.read({}, file).base_url


# --- channels ---


def _reply(data: bytes) -> None:
    """An answer to a webhook: Retry-After, Date, then the body."""
    parts = (data + b"\n\n").split(b"\n", 2)
    headers = {"retry-after": parts[0].decode("latin-1"), "date": parts[1].decode("latin-1")}
    reply = HttpReply(status=429, headers=headers, body=parts[2].rstrip(b"\n"))
    try:
        _post.judge(reply)
    except DeliveryFailed as failed:
        assert failed.retry_after_s is None or 0 <= failed.retry_after_s <= 3600
        assert str(failed).isprintable()


def _mail_server(data: bytes) -> None:
    server = email.read_url(text(data))
    assert server.host
    assert 0 < server.port < 65_536
    assert server.tls in ("auto", "required", "off")


# --- our own files ---


def _spool(data: bytes) -> None:
    """A segment on disk, whatever a power cut has made of it: its sound records come out in their order, the rest goes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "00000001.spool").write_bytes(data)
        spool = Spool(place)
        taken: list[bytes] = []
        while (payload := spool.first()) is not None:
            taken.append(payload)
            spool.done()
        assert taken == _records(data)
        spool.append(b"new")
        assert spool.first() == b"new"
        spool.close()


def _records(data: bytes) -> list[bytes]:
    """The records of a segment as the format has them, read in another way."""
    found: list[bytes] = []
    while len(data) >= 8:
        size, check = struct.unpack("<II", data[:8])
        payload = data[8 : 8 + size]
        if len(payload) < size or zlib.crc32(payload, 1) != check:
            break
        found.append(payload)
        data = data[8 + size :]
    return found


def _segments() -> tuple[bytes, ...]:
    def record(payload: bytes) -> bytes:
        return struct.pack("<II", len(payload), zlib.crc32(payload, 1)) + payload

    return record(b"one") + record(b"") + record(b"three" * 40), b"".join(record(p) for p in _payloads())


def _payloads() -> tuple[bytes, ...]:
    return tuple(
        msgspec.msgpack.encode(Keepable(batch=Batch(id="b", results=(a_result(), a_result("down"))))) for _ in range(2)
    )


def _payload(data: bytes) -> None:
    record = msgspec.msgpack.decode(data, type=Keepable)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Keepable) == record


_CHANNEL = images.Images(
    "channels",
    ("workspace_id", "id", "name", "type", "config", "data"),
    (("ws", "c", "n", "email", b"x", "{}"),),
    (("ws", "d"),),
)


def _entry(data: bytes) -> None:
    for some in images.decode(data).tables:
        assert all(len(row) == len(some.columns) for row in some.rows)


_LOAD = parting.Load(adoption="attempt", number=1, tables=(_CHANNEL,), cursor=(3, "c"))


def _snapshot(data: bytes) -> snapshot.Head:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        path.write_bytes(data)
        return snapshot.check(path)


def _snapshots() -> tuple[bytes, ...]:
    head = snapshot.Head(head=HEAD, position=Position(1, 2), membership=b"m", counters={"monitors": 3})
    made = io.BytesIO()
    with snapshot.writing(made, head) as put:
        put(msgspec.structs.replace(_CHANNEL, gone=()))
    return (made.getvalue(),)


_CLOSED = sealing.Seal(KEY).close({"a": 1}, "channels c1")


def _sealed(data: bytes) -> None:
    assert sealing.Seal(KEY).open(data, "channels c1") == {"a": 1}
    assert data == _CLOSED


PARSERS = (
    Parser(
        name="targets", files=("core/shape.py", "core/form.py", "core/marks.py", "checks/_steps.py", "checks/_terms.py", "web/api/given.py"),
        read=_target, allowed=(Invalid, NotFound), examples=given(*(_one(k, t) for k, t in TARGETS.items())),
    ),
    Parser(
        name="channels", read=_config,
        files=(
            "notifiers/webhook.py", "notifiers/discord.py", "notifiers/slack.py", "notifiers/telegram.py", "notifiers/ntfy.py",
            "notifiers/twilio.py", "notifiers/apprise.py",
        ),
        allowed=(Invalid, NotFound), examples=given(*(_one(k, c) for k, c in CONFIGS.items())),
    ),
    Parser(
        name="locations", files=("web/api/location_data.py",), read=_location, allowed=(Invalid,),
        examples=given(
            '{"code": "europe", "endpoint_url": "https://a.example:3000/x", "pin": "AA:BB", "cost": 0.5}', '{"code": "us-east", "mode": "pull"}',
            '{"code": "x", "endpoint_url": "https://[::1", "latitude": 1e400, "longitude": -181}',
        ),
    ),
    Parser(
        name="templates", files=("core/template.py",), read=_template, allowed=(Invalid,),
        examples=given(
            "{{ monitor.name }}: {{ reason|upper }}", "{% for i in items %}- {{ i.title }}\n{% endfor %}",
            '{% if event == "incident.resolved" %}{{ lasted }}{% else %}{{ text }}{% endif %}',
        ),
    ),
    Parser(
        name="forms", files=("web/pages/form.py",), read=_form, allowed=(Invalid, NotFound),
        examples=given(
            "http\ntarget.url=https%3A%2F%2Fa.example%2F&target.headers=A%3A+b%0D%0AC%3Ad&target.verify_tls=1&target.max_redirects=5",
            "dns\ntarget.name=a.example&target.record_type=A&target.expect=1.2.3.4%0A5.6.7.8&target.min_serial=1,5",
            'transaction\ntarget.steps=[{"url":"https://a.example/"}]', "tcp\ntarget.host=a&target.port=25",
        ),
    ),
    Parser(
        name="query strings", files=("web/query.py", "web/call.py"), read=_query, allowed=(Invalid,),
        examples=given("limit=5&cursor=abc&status=down", "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00+01:00&step=60", "rid=a&msg=b%20c&ping=1.5", "q=%C3%A4"),
    ),
    Parser(
        name="spans", files=("web/api/results.py",), read=_span, allowed=(Invalid,),
        examples=given("window=90d", "from=2025-01-01T00:00:00Z&to=2025-01-02T00:00:00%2B01:00", "to=0001-01-01T00:00:00Z", "from=9999-12-31T23:59:59Z"),
    ),
    Parser(name="live messages", files=("web/live.py",), read=_line, allowed=(Invalid,), examples=given('{"subscribe": ["workspace", "monitor:m1"]}')),
    Parser(
        name="paths", files=("web/table.py",), read=_place, allowed=(Refused,),
        examples=given("GET /api/v1/monitors/m1/results", "POST /ping/abc/start", "HEAD /health/", "GET //static/x.css"),
    ),
    Parser(name="cookies", files=("web/answer.py",), read=_cookies, examples=given('a=b; c="d"; a=e', "tocsin_session=x.y.z")),
    Parser(name="access tokens", files=("web/tokens.py",), read=_access_token, examples=_access_tokens),
    Parser(name="refresh tokens", files=("web/tokens.py",), read=_refresh_token, examples=given(tokens.refresh_token(KEY, "s1", "secret"), "a.b.c")),
    Parser(name="acknowledge links", files=("core/link.py",), read=_link, examples=given(token_of(KEY, LINK), "YWJj")),
    Parser(name="times of forms", files=("web/pages/on_call.py",), read=_form_time, examples=given("2026-03-29T02:30", "2026-10-25T02:30:00+01:00", "0001-01-01T00:00")),
    Parser(name="callers", files=("core/limits.py", "web/site.py"), read=_caller, examples=given("10.0.0.1, [::1]", "1.2.3.4", "fe80::1%eth0", "example.org:80")),
    Parser(
        name="cursors", files=("store/cursor.py",), read=_cursor, allowed=(Invalid,),
        examples=given(cursor.write_cursor(5, "a"), cursor.write_cursor(-1, ""), "W" * 40_000),
    ),
    Parser(
        name="addresses", files=("web/pages/address.py",), read=_address, allowed=(Invalid,),
        examples=given("https://a.example/x", "a.example:25", "tls://a.example", "dns://a.example", "127.0.0.1", "ws://a", "ping://a", "[::1]:80"),
    ),
    Parser(
        name="command line", files=("cli/sugar.py",), read=_sugar,
        examples=given("$.a[?@.b == 1] >= 2.5", "Content-Type: ^text/", "200-299,301,4xx", "14", "$.a contains 'x y'", "$['=='] =~ /a/", "a:80:127.0.0.1"),
    ),
    Parser(
        name="settings", files=("settings.py",), read=_settings, allowed=(SettingsError,),
        examples=given(
            "TOCSIN_PORT=0\nTOCSIN_HOST=::\nTOCSIN_BASE_URL=https://a.example/x", "TOCSIN_DATABASE_URL=sqlite:////tmp/a%20b.db\nTOCSIN_DATA_DIR=~/x",
            "TOCSIN_SMTP_URL=smtp://u:p@a.example:587\nTOCSIN_ALLOWED_HOSTS=a, b", "TOCSIN_DATA_DIR=~nobody-of-that-name/x", *(f"{s.variable}=1" for s in settings.SETTINGS),
        ),
    ),
    Parser(name="settings file", files=("settings.py",), read=_toml, allowed=(SettingsError,), examples=given('[tocsin]\nport = 0\nlocation = "here"\n')),
    Parser(
        name="answers to webhooks", files=("notifiers/_post.py",), read=_reply,
        examples=given('5\n\n{"retry_after": 1.5}', "Thu, 01 Jan 2026 00:00:30 GMT\nThu, 01 Jan 2026 00:00:00 GMT\n", '\n\n{"retry_after": 1' + "0" * 400 + "}"),
    ),
    Parser(
        name="mail servers", files=("notifiers/email.py",), read=_mail_server, allowed=(ValueError,),
        examples=given("smtp://u%40x:p%3A@mail.example:587?from=a@b.example&tls=off&verify=no", "smtps://[::1]"),
    ),
    Parser(name="spool", files=("store/spool.py",), read=_spool, examples=_segments, slow=True),
    Parser(name="spooled batches", files=("store/store.py",), read=_payload, allowed=(msgspec.DecodeError, UnicodeDecodeError), examples=_payloads),
    Parser(
        name="entries of the control log", files=("store/images.py",), read=_entry, allowed=(Invalid, SettingsError),
        examples=lambda: (images.encode([_CHANNEL]), images.encode([]), images.encode([_CHANNEL] * 9)),
    ),
    Parser(
        name="loads of a server that joins", files=("store/parting.py",), read=parting.decode, allowed=(Invalid, SettingsError),
        examples=lambda: (parting.encode(_LOAD), parting.encode(msgspec.structs.replace(_LOAD, tables=(_CHANNEL,) * 9, last=True))),
    ),
    Parser(name="snapshots", files=("store/snapshot.py",), read=_snapshot, allowed=(Invalid, SettingsError), examples=_snapshots, slow=True),
    Parser(name="sealed secrets", files=("store/sealing.py",), read=_sealed, allowed=(SettingsError,), examples=given(_CLOSED, sealing.Seal(KEY).close({}, "channels c2"))),
)  # fmt: skip
