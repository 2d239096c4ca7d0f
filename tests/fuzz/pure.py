"""Parsers that read what they are given and ask nobody: those of core/, and those of net/ and checks/ without a wire."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from fuzz.parser import Parser, text
from hostile import authority, issue
from tocsin.checks import nagios
from tocsin.core import ber, json_query, kafka, ldap_filter, pattern, perfdata, redaction, rhythm, snmp
from tocsin.core import scram as scrams
from tocsin.core.assertion import judge
from tocsin.core.assertion_terms import check_assertions
from tocsin.core.ber import BrokenBer
from tocsin.core.capture import Capture, take
from tocsin.core.plain import check_plain, escaped, loads, quiet_url, sound
from tocsin.core.result import AssertionResult, Observation
from tocsin.core.variables import Veil, fill, named
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import cookies, journey, oauth, relay, resolve, tls, url
from tocsin.net import kafka as brokers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_OID = "1.3.6.1.2.1.1.3.0"


def given(*texts: str | bytes) -> Callable[[], tuple[bytes, ...]]:
    """Examples that are known at once."""
    made = tuple(t.encode() if isinstance(t, str) else t for t in texts)
    return lambda: made


def problems_hold(problems: list[Problem]) -> None:
    """Problems that can be shown."""
    for problem in problems:
        str(problem).encode()
        assert len(str(problem)) < 2000


# --- bytes ---


def _ber(data: bytes) -> list[object]:
    found: list[object] = []
    for element in ber.read_all(data):
        for look in (element.number, element.oid, element.parts):
            try:
                found.append(look())
            except BrokenBer:
                continue
    return found


def _snmp(data: bytes) -> object:
    value = snmp.value_of(snmp.read_message(data, "2c"))
    assert isinstance(value.value, int | str | None)
    if isinstance(value.value, str):
        assert value.value == "" or value.value.encode()
    for op in ("eq", "ne", "lt", "lte", "gt", "gte", "contains"):
        assert isinstance(snmp.holds(value.value, op, "7"), bool)
    return value


def _snmp_examples() -> tuple[bytes, ...]:
    values = (
        ber.integer(7), ber.octets("up"), ber.octets(b"\0\x1b"), ber.oid(_OID), ber.integer(5, 0x43), ber.octets(b"\x7f\0\0\1", 0x40),
        ber.encode(0x80), ber.octets(b"\x9f\x78\4", 0x44), ber.integer((1 << 64) - 1, 0x46),
    )  # fmt: skip
    return tuple(_snmp_answer(value) for value in values)


def _snmp_answer(value: bytes) -> bytes:
    pair = ber.encode(ber.SEQUENCE, ber.oid(_OID), value)
    number = ber.integer(7)
    pdu = ber.encode(snmp.RESPONSE, number, ber.integer(0), ber.integer(0), ber.encode(ber.SEQUENCE, pair))
    return snmp.message("2c", "public", pdu)


def _kafka_batch(data: bytes) -> object:
    found = kafka.find_record(data, 0)
    assert found is None or found.value is None or len(found.value) <= len(data) + 65_536
    return found


def _kafka_list(data: bytes) -> object:
    reader = kafka.Reader(data)
    found = reader.array(lambda: (reader.text(), reader.blob(), reader.varint(), reader.array(reader.int16)))
    assert len(found) <= len(data)
    return found


def _kafka_topic(data: bytes) -> object:
    return brokers._topic(kafka.Reader(data))


def _certificate(data: bytes) -> None:
    facts = tls.facts_from_der([data, data[:-1]], now=NOW)
    assert msgspec.json.encode(facts)
    assert len(facts.chain) == 2
    assert tls.why_refused(facts, "example.org", 20, "no", NOW).isprintable()
    assert all(name.isprintable() for name in (*facts.sans, facts.subject or "", facts.issuer or ""))


def _certificates() -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    made = (authority(), issue("example.org", by=authority(), names=("a.example.org", "127.0.0.1")), issue("self"))
    return tuple(identity.cert.public_bytes(Encoding.DER) for identity in made)


# --- text ---


def _oid(data: bytes) -> None:
    words = text(data)
    assert ber.oid(ber.read(ber.oid(words))[0].oid()) == ber.oid(words)


def _filter(data: bytes) -> None:
    element, end = ber.read(wire := ldap_filter.encode(text(data)))
    assert end == len(wire)
    assert element.tag & 0x80


def _plugin(data: bytes) -> None:
    output = perfdata.read_output(text(data))
    assert len(output.figures) <= 50
    facts = nagios._facts(0, output)
    _plain(facts)
    for figure in output.figures:
        assert figure["value"] is None or isinstance(figure["value"], float)


def _plain(facts: object) -> None:
    """What is told can be kept and sent."""
    wrong: list[Problem] = []
    check_plain(json.loads(msgspec.json.encode(facts)), "", wrong)
    assert wrong == []


def _scram(data: bytes) -> None:
    words = text(data)
    if any(part.startswith("i=") and len(part) > 7 for part in words.split(",")):
        return  # so many rounds are what they are: seconds of work
    for algorithm in ("sha256", "sha1"):
        proof = scrams.prove("user", "pencil", "abc", words, algorithm)  # pyright: ignore[reportArgumentType]
        assert proof.message.startswith("c=biws,r=abc")


def _scram_end(data: bytes) -> None:
    scrams.confirm(scrams.Proof("", b"x" * 32), text(data))


def _pattern(data: bytes) -> list[Problem]:
    words = text(data)
    problems = pattern.check_pattern(words, "pattern")
    if not problems:
        seen = pattern.search(words, data)
        assert seen.looked_at <= len(data)
        group = pattern.first_group(words, data)
        assert group is None or len(group) <= len(data)
        assert seen.hit or group is None
    return problems


def _path(data: bytes) -> list[Problem]:
    words = text(data)
    problems = json_query.check_path(words, "path")
    if not problems:
        for body in (_BODY, json.loads(_BODY)["a"], [1, [2, {"b": None}]], "text", None, 10**400, -0.5):
            value = json_query.read_body(body)[0] if isinstance(body, bytes) else body
            assert isinstance(json_query.values_at(words, value), list)
    return problems


_BODY = b'{"a": [1, 2.5, "x", true, null, {"b": "value", "c": [[]]}], "b": {"a": "1"}, "": -1, "\\u00e9": 1e300}'


def _body(data: bytes) -> None:
    value, depth = json_query.read_body(data)
    assert 0 <= depth <= json_query.MAX_DEPTH
    for path in ("$", "$..a", "$.a[?@.b == 'value']", "$[0]", "$..*"):
        assert isinstance(json_query.values_at(path, value), list)


def _schema(data: bytes) -> list[Problem]:
    schema = loads(data)
    problems = json_query.check_schema(schema, "schema")
    if not problems:
        wrong = json_query.Schema(schema).wrong(*json_query.read_body(_BODY))
        assert wrong is None or wrong.encode()
    return problems


def _json(data: bytes) -> object:
    value = loads(data)
    problems: list[Problem] = []
    check_plain(value, "", problems)
    assert problems == []
    assert loads(json.dumps(value)) == value
    return value


def _assertions(data: bytes) -> None:
    given_ = check_assertions(loads(data))
    for result in judge(given_, _observation(_BODY, "application/json"), NOW):
        _shown(result)


def _shown(result: AssertionResult) -> None:
    assert isinstance(result.ok, bool)
    assert msgspec.json.encode(result)


def _observation(body: bytes, kind: str) -> Observation:
    return Observation(status_code=200, headers=(("content-type", kind), ("x-a", "1")), body=body, body_bytes=len(body))


_JUDGED = check_assertions([
    {"type": "body", "op": "matches", "value": "a+b"}, {"type": "json_path", "op": "gt", "path": "$.a", "value": 1},
    {"type": "json_path", "op": "contains", "path": "$..b", "value": "x"}, {"type": "header", "name": "X-A", "op": "eq", "value": "1"},
    {"type": "json_path", "op": "matches", "path": "$.*", "value": "^1"},
    {"type": "json_schema", "op": "valid", "value": {"type": "object", "properties": {"a": {"type": "array"}}}},
    {"type": "dns_answer", "op": "eq", "value": ["a"]}, {"type": "body_bytes", "op": "lt", "value": 5},
])  # fmt: skip


def _judged(data: bytes) -> None:
    """A target's answer: its first line is the content type, the rest is the body."""
    kind, _, body = data.partition(b"\n")
    seen = _observation(body, kind.decode("latin-1"))
    for result in judge(_JUDGED, seen, NOW):
        _shown(result)
    captures = {"a": Capture(json_path="$.a"), "b": Capture(regex="a(.)"), "c": Capture(header="X-A", regex="(1)")}
    taken, _ = take(captures, seen)
    assert all(sound(value) or value for value in taken.values())


def _variables(data: bytes) -> None:
    words = text(data)
    filled = fill(words, {"a": "1", "name": "{{a}}"})
    assert len(filled) <= 2 * len(words) + 5
    assert set(named(words)) >= set(named(filled)) - {"a"}
    veil = Veil([words[:100], words[3:40], "secret value"])
    assert veil.over("the secret value").count("secret value") == 0
    assert isinstance(veil.over(words), str)


def _redacted(data: bytes) -> None:
    words = text(data)
    secrets = redaction.credentials(
        {"headers": {"a": words[:200]}, "url": "https://h/?" + words[:200], "password": words}
    )
    assert all(len(secret) >= 4 for secret in secrets)
    clean = redaction.without(words, secrets)
    assert not any(secret in clean for secret in secrets if "*" not in secret) or "***" in clean
    assert quiet_url(words).count("#") == 0


def _cron(data: bytes) -> None:
    words = text(data)
    if rhythm.wrong_with(words) is None:
        assert rhythm.explained(words)
        dates = [NOW]
        for _ in range(3):
            dates.append(rhythm.following_at(words, "Europe/Berlin", dates[-1]))
        assert all(a < b for a, b in pairwise(dates))


def _zone(data: bytes) -> None:
    if rhythm.is_zone(words := text(data)):
        assert rhythm.following_at("0 0 * * *", words, NOW) > NOW


def _escapes(data: bytes) -> None:
    made = escaped(text(data))
    assert made is None or len(made) <= len(text(data).encode())


# --- net/ without a wire ---


def _url(data: bytes) -> None:
    parsed = url.parse(text(data))
    assert url.parse(parsed.text) == parsed
    assert 0 < parsed.port < 65_536
    assert parsed.host.isascii()
    assert parsed.text.isascii()
    assert not set(parsed.text) & set("\r\n\t \\")


def _redirect(data: bytes) -> None:
    target = url.join(url.parse("https://example.org:8443/a/b?c=d"), data.decode("latin-1"))
    assert url.parse(target.text) == target


def _host(data: bytes) -> None:
    name = resolve.ascii_host(text(data))
    assert name.isascii()
    assert resolve.ascii_host(name) == name


def _pin(data: bytes) -> None:
    host, port, addresses = resolve.split_pin(text(data))
    assert host
    assert 0 < port < 65_536
    assert all(resolve.family_of(a) is not None for a in addresses)


def _cookie(data: bytes) -> None:
    """An answer's Set-Cookie (first line) and Date (second)."""
    first, _, second = data.decode("latin-1").partition("\n")
    jar, place = cookies.CookieJar(), url.parse("https://shop.example.org/a/b")
    for _ in range(2):
        jar.keep(place, (("date", second), ("set-cookie", first), ("set-cookie", "sid=1; Path=/")))
    sent = jar.header(place)
    assert "sid=1" in sent or first.startswith("sid=")
    assert len(sent) <= len(first) + 10


def _head(data: bytes) -> None:
    lines = data.split(b"\n")
    headers, status, _ = journey._headers([line + b"\n" for line in lines])
    assert len(headers) <= 200
    assert all(name == name.lower().strip() for name, _ in headers)
    assert status == "" or status.startswith("HTTP/")


def _token(data: bytes) -> None:
    token, lasts_s = oauth._read(Observation(status_code=200, body=data))
    assert token.isprintable()
    assert lasts_s >= 0


def _order(data: bytes) -> None:
    order = relay._read_order(data + b"\r\n\r\n")
    if order is not None:
        assert 0 < order.port < 65_536
        assert order.host == resolve.ascii_host(order.host)
        assert order.first is None or order.first.endswith(b"\r\n\r\n")
        assert order.body is None or order.body >= 0


BER = given(
    ber.encode(ber.SEQUENCE, ber.integer(-1), ber.octets("text"), ber.oid(_OID), ber.encode(ber.NULL)), ber.integer(1 << 63),
    ber.encode(ber.SET, ber.octets(b"x" * 300)),
)  # fmt: skip
SCHEMAS = given(
    '{"type": "object", "properties": {"a": {"type": "array", "items": {"type": ["number", "string"]}}}, "required": ["b"]}',
    '{"$defs": {"x": {"pattern": "^a+$"}}, "additionalProperties": {"$ref": "#/$defs/x"}}', '{"anyOf": [{"$ref": "#"}, true]}',
    '{"properties": {"a": {"minItems": 1, "uniqueItems": true, "contains": {"const": 1}}}, "not": {"enum": [null, 1]}}',
)  # fmt: skip
PATHS = given(
    "$.a[0]", "$..b", "$['a'][1:3]", "$.a[?@.b == 'value' && length(@.c) > 0].c", "$[?match(@.a, '1.*')]", "$.a[?search(@, 'x')]",
    "$[?count(@.*) > 1]", "$.*", "$[-1]", "$[?@ == 1 || !@.b]", "$.a[::2]", "$[\"\\u00e9\"]", "$[?value(@..b) == 'x']",
)  # fmt: skip
ASSERTIONS = given(
    '[{"type": "status_code", "op": "in", "value": ["200-299", 301, "4xx"]}, {"type": "body_bytes", "op": "lt", "value": 3}]',
    '[{"type": "json_path", "op": "eq", "path": "$.a", "value": [1]}, {"type": "json_path", "op": "matches", "path": "$..b", "value": "a"}]',
    '[{"type": "header", "name": "X-A", "op": "matches", "value": "^1$"}, {"type": "dns_answer", "op": "eq", "value": ["a"]}]',
    '[{"type": "json_schema", "op": "valid", "value": {"type": "object"}}, {"type": "certificate_days", "op": "gte", "value": 2.5}]',
)  # fmt: skip
ANSWERS = given(
    b'application/json\n{"a": 2, "b": "xab", "c": [1, 11]}', b"text/html; charset=iso-8859-1\n<b>a\xe4ab</b>", b"text/plain; charset=utf-16\n\xff\xfea\0b\0",
    b"text/plain; charset=punycode\nabc-def", b"a; charset=unicode_escape\n\\u0041\\x4", b"a; charset=utf-7\n+AGE-", b"a; charset=idna\nxn--a.b",
)  # fmt: skip

PARSERS = (
    Parser(name="ber", files=("core/ber.py",), read=_ber, allowed=(BrokenBer,), examples=BER),
    Parser(name="oid", files=("core/ber.py",), read=_oid, allowed=(BrokenBer,), examples=given(_OID, ".1.3", "2.999.3", "0.39")),
    Parser(name="snmp", files=("core/snmp.py",), read=_snmp, allowed=(BrokenBer, snmp.NoValue), examples=_snmp_examples),
    Parser(
        name="kafka batch", files=("core/kafka.py",), read=_kafka_batch, allowed=(CheckFailed,),
        examples=given(kafka.record_batch(b"key", b"value", 5), kafka.record_batch(b"", b"v" * 300, 5) * 2),
    ),
    Parser(
        name="kafka list", files=("core/kafka.py",), read=_kafka_list, allowed=(CheckFailed,),
        examples=given(kafka.array([kafka.text("a") + kafka.blob(b"b") + b"\7" + kafka.array([b"\0\1", b"\0\2"])] * 3)),
    ),
    Parser(
        name="kafka topic", files=("net/kafka.py",), read=_kafka_topic, allowed=(CheckFailed,),
        examples=given(b"\0\0" + kafka.text("checks") + b"\0" + kafka.array([bytes(10) + kafka.array([bytes(4)]) * 2])),
    ),
    Parser(name="certificate", files=("net/tls.py",), read=_certificate, examples=_certificates),
    Parser(
        name="LDAP filter", files=("core/ldap_filter.py",), read=_filter, allowed=(ValueError,),
        examples=given("(&(uid=a*b*c)(!(x>=5))(|(a~=b)(c=*)))", r"(cn:dn:2.5.13.5:=\2a\28)", "(cn=Babs Jensen)", "(:1.2.3:=x)"),
    ),
    Parser(
        name="performance data", files=("core/perfdata.py", "checks/nagios.py"), read=_plugin,
        examples=given("OK - fine | 'a b'=1.5s;2;3;0;9 c=U d=-.5e3KB;@1:2\nmore\nand | x=1%", "WARN|a=1 b=2", "'it''s'=3;;;"),
    ),
    Parser(
        name="SCRAM challenge", files=("core/scram.py",), read=_scram, allowed=(CheckFailed,),
        examples=given("r=abcdef,s=QSXCR+Q6sek8bf92,i=4096", "r=abc%,s=,i=1,x=y"),
    ),
    Parser(
        name="SCRAM end", files=("core/scram.py",), read=_scram_end, allowed=(CheckFailed,),
        examples=given("v=" + base64.b64encode(b"x" * 32).decode(), "e=other-error", "v=,x=y"),
    ),
    Parser(
        name="pattern", files=("core/pattern.py",), read=_pattern, holds=problems_hold,
        examples=given("^a(b|c)*$", r"(?i)\bx{1,50}\s+[^a-z]", "(?P<n>.)", r"\pL+", "(a*)*b", r"\x{10FFFF}", "(?s).*"),
    ),
    Parser(name="JSON path", files=("core/json_query.py",), read=_path, allowed=(json_query.TooCostly,), holds=problems_hold, examples=PATHS),
    Parser(
        name="JSON body", files=("core/json_query.py",), read=_body, allowed=(json_query.NotJson, json_query.TooCostly),
        examples=given(_BODY, b"[[[[]]]]", b'"text"', b"12345678901234567890123", b"\xef\xbb\xbf{}"),
    ),
    Parser(
        name="JSON schema", files=("core/json_query.py",), read=_schema, allowed=(Invalid, json_query.TooCostly),
        holds=problems_hold, examples=SCHEMAS,
    ),
    Parser(name="JSON", files=("core/plain.py",), read=_json, allowed=(Invalid,), examples=given(_BODY, b"[1, -0.0, 1e5]", b'"\\ud83d\\ude00"')),
    Parser(name="assertions", files=("core/assertion_terms.py",), read=_assertions, allowed=(Invalid,), examples=ASSERTIONS),
    Parser(name="answer judged", files=("core/assertion.py", "core/capture.py"), read=_judged, examples=ANSWERS),
    Parser(
        name="variables", files=("core/variables.py",), read=_variables,
        examples=given("https://{{host}}/{{ a }}?x={{name}}", "{{a}}{{{{a}}}}", "secret va… and the secret value"),
    ),
    Parser(
        name="redaction", files=("core/redaction.py",), read=_redacted,
        examples=given("Bearer abcdefgh", "token=abc%20def&x=12345678901234", "https://h/?key=1234#x", "abcd…"),
    ),
    Parser(
        name="cron", files=("core/rhythm.py",), read=_cron, examples=given("30 2 * * 1-5", "*/5 0-6,22 1 JAN sun", "0 0 29 2 *", "@daily", "0 0 L * *", "0 0 * * 5#2")
    ),
    Parser(name="time zone", files=("core/rhythm.py",), read=_zone, examples=given("Europe/Berlin", "UTC", "Etc/GMT+5", "posixrules")),
    Parser(name="escapes", files=("core/plain.py",), read=_escapes, examples=given(r"EHLO x\r\n\x00\\\t", r"\0")),
    Parser(
        name="URL", files=("net/url.py",), read=_url, allowed=(ValueError,),
        examples=given("https://example.org:8443/a%20b?c=d#e", "http://[::1]:80/", "http://0x7f.1/", "https://bücher.example/ä?ö", "http://a.b./x;y"),
    ),
    Parser(
        name="redirect", files=("net/url.py",), read=_redirect, allowed=(ValueError,),
        examples=given("/x?y", "//other.example/", "../../z", "?q=1", "https://b.example:444/", "http:/x", "#frag"),
    ),
    Parser(
        name="host name", files=("net/resolve.py",), read=_host, allowed=(CheckFailed,),
        examples=given("example.org", "127.1", "[::1]", "bücher.example", "xn--bcher-kva.example", "a_b.c.", "fe80::1%eth0", "ﬃ.example"),
    ),
    Parser(
        name="pin", files=("net/resolve.py",), read=_pin, allowed=(ValueError,),
        examples=given("example.org:443:127.0.0.1,[::1]", "*:80:10.0.0.1"),
    ),
    Parser(
        name="cookie", files=("net/cookies.py",), read=_cookie,
        examples=given(
            "a=b; Domain=.example.org; Path=/a; Secure; HttpOnly; Max-Age=5\nThu, 01 Jan 2026 00:00:00 GMT",
            "sid=; Expires=Thu, 01-Jan-1970 00:00:00 GMT\nThu, 01 Jan 2026 00:00:00 +0100", "a=b; expires=1 Jan 99 1:2:3 EST\n",
        ),
    ),
    Parser(
        name="head of an answer", files=("net/journey.py",), read=_head,
        examples=given("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nC:d\r\n\r\n", "HTTP/2 204\r\nx: y: z\r\n"),
    ),
    Parser(
        name="OAuth token", files=("net/oauth.py",), read=_token, allowed=(CheckFailed,),
        examples=given('{"access_token": "abc", "expires_in": 3600}', '{"error": "invalid_client"}', '{"access_token": "x", "expires_in": -1}'),
    ),
    Parser(
        name="order to the relay", files=("net/relay.py",), read=_order,
        examples=given(
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org", "GET http://a.example:81/x?y HTTP/1.1\r\nContent-Length: 5\r\nProxy-Connection: close",
            "CONNECT [::1]:8443 HTTP/1.1", "POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked",
        ),
    ),
)  # fmt: skip
