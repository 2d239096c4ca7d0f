"""`tocsin check`: the whole command as a user runs it, its exit codes, its JSON, and what it must not import."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import hostile
from hostile import Script, Talk, authority, issue, serving
from tocsin import checks
from tocsin.cli import check, sugar
from tocsin.cli.main import run as tocsin

PAGE = json.dumps({"status": "ok", "a": 1, "items": [{"id": 1}, {"id": 2}], "text": "say == hi"}).encode()


@contextmanager
def beside(script: Script, **more: Any) -> Iterator[int]:
    """A hostile server in a thread of its own, since the command brings its own loop; gives the port."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with serving(script, **more) as server:
            ports.append(server.port)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def site(talk: Talk) -> None:
    match talk.path:
        case "/echo":
            await talk.answer(
                "200 OK",
                json.dumps(
                    {"x": talk.header("X-One"), "y": talk.header("X-Two"), "m": talk.head.split()[0].decode()}
                ).encode(),
            )
        case "/gone":
            await talk.answer("404 Not Found", b"gone")
        case "/to":
            await talk.answer("302 Found", b"", "Location: /page")
        case "/in?token=s3cret":
            await talk.answer("302 Found", b"", "Location: /page?key=s3cret")
        case "/slow":
            await talk.hang()
        case _:
            await talk.answer("200 OK", PAGE, "Content-Type: application/json", "X-Version: v7")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = tocsin(["check", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code, out, err = run(capsys, *words, "--json")
    assert err == ""
    assert out.count("\n") == 1
    return code, json.loads(out)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with beside(site) as port:
        yield f"http://127.0.0.1:{port}"


def test_http_up_as_json(url: str, capsys: pytest.CaptureFixture[str]):
    code, made = run_json(capsys, "http", f"{url}/page")
    assert code == 0
    assert (made["type"], made["target"], made["status"], made["status_code"], made["error"]) == (
        "http",
        f"{url}/page",
        "up",
        200,
        None,
    )
    assert {"dns", "connect", "ttfb", "transfer", "total"} <= made["timing_ms"].keys()
    assert made["assertions"] == [{"type": "status_code", "ok": True, "expected": "200-299", "actual": 200}]
    assert made["body_bytes"] == len(PAGE)
    assert made["started_at"].endswith("Z")
    assert made["location"] == "local"


def test_a_readable_block(url: str, capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "http", f"{url}/gone")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == f"○ down  {url}/gone"
    assert lines[1].strip() == "why      status code: expected 200-299, found 404 (assertion)"
    assert any(x.strip().startswith("fails    status code: expected 200-299, found 404") for x in lines)
    assert not any(c in out for c in "!\x1b")


@pytest.mark.parametrize(
    "words",
    [
        ["--expect-status", "404"], ["--expect-status", "200-299,404", "--keyword", "gone"], ["--not-keyword", "error", "--expect-status", "4xx"],
    ],
)  # fmt: skip
def test_another_status_can_be_right(url: str, words: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "http", f"{url}/gone", *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["--keyword", "status"], True), (["--keyword", "nope"], False), (["--not-keyword", "status"], False), (["--regex", r'"a": \d'], True),
        (["--not-regex", r'"a": \d'], False), (["--header-regex", "X-Version: ^v7$"], True), (["--header-regex", "X-Version: ^v8$"], False),
        (["--json-path", "$.a == 1"], True), (["--json-path", "$.a==2"], False), (["--json-path", '$.status == "ok"'], True),
        (["--json-path", "$.status == ok"], True), (["--json-path", "$.status != 'ok'"], False), (["--json-path", "$.items[1].id >= 2"], True),
        (["--json-path", "$.items[?@.id == 2].id == 2"], True), (["--json-path", "$.status =~ ^o"], True), (["--json-path", "$.status =~ /^o/"], True), (["--json-path", "$.status =~ /"], False), (["--json-path", "$.status =~ ^/ok/"], False), (["--json-path", "$.text contains hi"], True),
        (["--json-path", '$.text == "say == hi"'], True), (["--max-response-ms", "60000"], True), (["--max-response-ms", "0"], False),
    ],
)  # fmt: skip
def test_what_must_hold(url: str, words: list[str], holds: bool, capsys: pytest.CaptureFixture[str]):
    code, made = run_json(capsys, "http", f"{url}/page", *words)
    assert (code, made["status"]) == ((0, "up") if holds else (1, "down"))
    assert made["assertions"][-1]["ok"] is holds
    assert holds or made["error"]["type"] == "assertion"


def test_a_schema_from_a_file(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "schema.json"
    file.write_text('{"type":"object","required":["status"]}')
    assert run(capsys, "http", f"{url}/page", "--json-schema", str(file))[0] == 0
    file.write_text('{"required":["other"]}')
    assert run(capsys, "http", f"{url}/page", "--json-schema", str(file))[0] == 1
    for text in (
        '{"type":"object","type":"object"}',
        '{"$ref":"http://127.0.0.1:1/x"}',
        '{"type":"nonsense"}',
        "no json",
    ):
        file.write_text(text)
        code, out, err = run(capsys, "http", f"{url}/page", "--json-schema", str(file))
        assert (code, out) == (2, "")
        assert "expected" in err


def test_headers_methods_and_redirects(url: str, capsys: pytest.CaptureFixture[str]):
    code, _ = run_json(
        capsys,
        "http",
        f"{url}/echo",
        "--header",
        "X-One: 1",
        "--header",
        "X-Two:two",
        "--method",
        "PUT",
        "--json-path",
        '$.x == "1"',
        "--json-path",
        "$.y == two",
        "--json-path",
        "$.m == PUT",
    )
    assert code == 0
    assert run_json(capsys, "http", f"{url}/to")[1]["redirects"] == 1
    code, made = run_json(capsys, "http", f"{url}/to", "--no-follow", "--expect-status", "302")
    assert (code, made["status_code"]) == (0, 302)
    pinned = url.replace("127.0.0.1", "pinned.test")
    host, port = pinned.removeprefix("http://").split(":")
    assert run(capsys, "http", f"{pinned}/page", "--resolve", f"{host}:{port}:127.0.0.1")[0] == 0


def test_where_a_redirect_led_is_told_without_the_values_of_its_query(url: str, capsys: pytest.CaptureFixture[str]):
    words = ["http", f"{url}/in?token=s3cret"]
    assert f"1, to {url}/page?key=…" in run(capsys, *words)[1]
    assert run_json(capsys, *words)[1]["final_url"] == f"{url}/page?key=…"
    assert "s3cret" not in run(capsys, *words)[1] + run(capsys, *words, "--json")[1]


def test_timeouts_and_refusals_are_down(url: str, capsys: pytest.CaptureFixture[str]):
    code, made = run_json(capsys, "http", f"{url}/slow", "--timeout", "0.4")
    assert (code, made["error"]["type"], made["error"]["phase"]) == (1, "timeout", "ttfb")
    code, made = run_json(capsys, "tcp", f"127.0.0.1:{hostile.refused_port()}")
    assert (code, made["error"]["type"]) == (1, "connection_refused")
    code, made = run_json(capsys, "http", "http://169.254.169.254/")
    assert (code, made["status"], made["error"]["type"]) == (3, "invalid", "network")


def test_whom_it_may_contact_is_what_the_settings_say(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TOCSIN_EGRESS", "public")
    code, said = run_json(capsys, "http", url)
    assert (code, said["status"]) == (3, "invalid")
    assert "is a loopback address" in said["error"]["message"]
    monkeypatch.setenv("TOCSIN_EGRESS", "nobody")
    monkeypatch.setenv("TOCSIN_PORT", "many")
    code, _, complaint = run(capsys, "http", url)
    assert (code, complaint.count("tocsin check: TOCSIN_")) == (2, 2)


def test_tcp_steps_keep_their_order(capsys: pytest.CaptureFixture[str]):
    async def redis(talk: Talk) -> None:
        await talk.send(b"ready\r\n")
        assert await talk.reader.readline() == b"PING\r\n"
        await talk.send(b"+PONG\r\n")
        await talk.reader.read()

    with beside(redis, read=False) as port:
        code, made = run_json(
            capsys, "tcp", f"127.0.0.1:{port}", "--expect", "^ready", "--send", r"PING\r\n", "--expect", "PONG"
        )
        assert code == 0, made
        code, made = run_json(
            capsys, "tcp", f"127.0.0.1:{port}", "--send", r"PING\r\n", "--expect=PANG", "--timeout", "0.5"
        )
        assert code == 1
        assert "expected PANG" in made["error"]["message"]


def test_tls_and_a_certificate_that_ends_soon(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    async def quiet(talk: Talk) -> None:
        await talk.hang()

    trust = tmp_path / "ca.pem"
    trust.write_text(authority().pem)
    with beside(quiet, read=False, tls=issue("127.0.0.1", by=authority(), days=9).context()) as port:
        code, made = run_json(capsys, "tls", f"127.0.0.1:{port}", "--ca-file", str(trust), "--cert-warn-days", "14")
        assert (code, made["status"], made["error"]["type"]) == (0, "degraded", "assertion")
        assert made["tls"]["days_left"] == pytest.approx(9, abs=0.1)
        assert made["tls"]["verified"] is True
        code, made = run_json(capsys, "tls", f"127.0.0.1:{port}")
        assert (code, made["error"]["type"], made["tls"]["sans"]) == (1, "tls", ["127.0.0.1"])
        code, out, _ = run(capsys, "tls", f"127.0.0.1:{port}", "--no-verify")
        assert code == 0
        assert "certificate not verified" in out
        assert "valid until" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["carrier-pigeon", "x"], "expected a check type (http, tcp"), (["push", "x"], "expected a check type"), (["http"], "URL"), (["http", "ftp://x"], "URL: expected an http or https URL"),
        (["tcp", "localhost"], "expected HOST:PORT"), (["tcp", "h:99999"], "HOST:PORT: expected a whole number from 1 to 65535, found 99999"),
        (["tcp", "h:1", "--nope"], "unrecognized arguments: --nope"), (["http", "http://a", "--timeout", "soon"], "expected seconds"),
        (["http", "http://a", "--ip-version", "5"], "expected 4 or 6, found '5'"), (["http", "http://a", "--header", "nocolon"], "expected 'Name: value'"),
        (["http", "http://a", "--regex", "("], "regular expression"), (["http", "http://a", "--json-path", "$.a"], "expected a comparison"),
        (["http", "http://a", "--json-path", "a == 1"], "JSONPath"), (["http", "http://a", "--expect-status", "two"], "status codes"),
        (["http", "http://a", "--ca-file", "/no/such/file"], "expected a readable file"), (["http", "http://a", "--max-redirects", "99"], "--max-redirects: expected a whole number from 0 to 20"),
        (["ping", "h", "--count", "1.5"], "--count: expected a whole number"), (["dns", "a..b"], "NAME: expected a domain name"), (["dns", "a", "--type", "ANY"], "expected A or AAAA"),
        (["smtp", "h:25", "--user", "u"], "--password"), (["ping", "127.0.0.1:80"], "HOST: expected a host name or an address"), (["dns", "a b"], "NAME: expected a domain name"),
        (["dns", "a", "--server", "x..y"], "--server: expected ADDRESS"), (["http", "http://a", "--username", "u"], "--username: expected nothing, as auth is none"),
        (["http", "http://a", "--http-version", "3"], "--http-version: expected 1.1 or 2"), (["http", "http://a", "--resolve", "x"], "--resolve: expected HOST:PORT:ADDRESS"), (["ping", "h", "--keyword", "x"], "unrecognized"),
    ],
)  # fmt: skip
def test_wrong_usage_is_2_with_a_clear_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, *words, "--json")
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith(("tocsin check: ", "usage: "))
    assert "Traceback" not in err


# In a process of its own, for its limit: once as it should be, so that everything is imported; then with no descriptor
# left but the three that an event loop is made of.
SHORT = """
import os, resource, sys
from tocsin.cli.main import run

words = ["check", "tcp", sys.argv[1]]
first = run(words)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for _ in range(3):
    os.close(held.pop())
sys.exit(10 * first + run(words))
"""


FAULTY = '''
from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A check type with a mistake of ours in it."""
    host: str

async def check(target, net):
    raise RuntimeError("a mistake of ours")
'''


def test_what_could_not_be_judged_is_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a_faulty_check_type.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(checks.REGISTRY, "faulty", "a_faulty_check_type")
    code, out, _ = run(capsys, "faulty", "127.0.0.1")
    assert code == 3
    assert out.startswith("? invalid  127.0.0.1")


def test_a_password_comes_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tocsin.checks.smtp import Target
    from tocsin.core.shape import fields

    file = tmp_path / "password"
    file.write_text("s3cret\n")
    parser = check._parser("smtp", fields(Target))
    assert parser.parse_args(["h:25", "--user", "u", "--password-file", str(file)]).field_password == "s3cret"
    monkeypatch.setattr(sys, "stdin", io.StringIO("other\n"))
    assert parser.parse_args(["h:25", "--password-file", "-"]).field_password == "other"
    with pytest.raises(SystemExit):
        parser.parse_args(["h:25", "--password", "s3cret"])


def test_every_type_has_a_help_page(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "--help")[0] == 0
    for name in checks.names():
        if name != "push":
            code, out, _ = run(capsys, name, "--help")
            assert code == 0
            assert "--timeout" in out
            assert "--json" in out


def test_several_expected_answers_are_one_condition():
    import argparse

    parser = argparse.ArgumentParser()
    sugar.add_options(parser, "dns")
    args = parser.parse_args(["--expect", "192.0.2.1", "--max-response-ms", "5", "--expect", "192.0.2.2"])
    assert sugar.assertions(args) == [
        {"type": "response_time_ms", "op": "lte", "value": 5},
        {"type": "dns_answer", "op": "eq", "value": ["192.0.2.1", "192.0.2.2"]},
    ]


NEVER = (
    "litestar", "sqlalchemy", "jinja2", "alembic", "uvicorn", "structlog", "prometheus_client", "cryptography", "re2",
    "jsonschema_rs", "jsonpath", "dns", "idna", "difflib", "secrets", "tempfile", "logging.handlers",
    "tocsin.telemetry", "tocsin.net.icmp",
)  # fmt: skip
NOT_FOR_TCP = (
    "hmac",
    "hashlib",
    "pycurl",
    "tocsin.core.assertion",
    "tocsin.core.json_query",
    "tocsin.net.tls",
    "tocsin.net.http",
)


def imported(words: list[str]) -> tuple[dict[str, Any], set[str]]:
    """What one check prints, and the modules that the process had at its end."""
    program = (
        "import sys\n"
        "from tocsin.cli import main\n"
        f"code = main({['check', *words, '--json']!r})\n"
        "print(code, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    outcome, seen = done.stdout.splitlines()
    return json.loads(outcome), set(seen.split()[1:])


@pytest.mark.untraced
def test_it_starts_light():
    outcome, modules = imported(["tcp", f"127.0.0.1:{hostile.refused_port()}"])
    assert outcome["error"]["type"] == "connection_refused"
    assert sorted(modules & {*NEVER, *NOT_FOR_TCP}) == []


@pytest.mark.untraced
def test_our_own_start_is_no_part_of_a_handshake(tmp_path: Path):
    """What TLS takes is imported before the clock runs."""
    program = (
        "import asyncio, sys, tocsin.net.connect as connect\n"
        "from tocsin.cli import main\n"
        "first = connect.Connecting.__aenter__\n"
        "async def enter(self):\n"
        "    print('cryptography.x509' in sys.modules, 'tocsin.net.tls' in sys.modules)\n"
        "    return await first(self)\n"
        "connect.Connecting.__aenter__ = enter\n"
        "sys.exit(main({words!r}))"
    )
    for words in (["tls", "127.0.0.1:1"], ["tcp", "127.0.0.1:1", "--tls"]):
        text = program.format(words=["check", *words])
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (1, "True True\n")  # standard output is for the answer alone


@pytest.mark.untraced
def test_a_plain_http_check_starts_without_the_log_and_the_metrics(url: str):
    outcome, modules = imported(["http", f"{url}/page"])
    assert outcome["status"] == "up"
    assert sorted(modules & set(NEVER)) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--expect-status", "999"), "assertion 1, value: expected status codes from 100 to 599"),
        (("--keyword", "ok", "--max-response-ms", "-1"), "assertion 2, value: expected a number, at least 0, found -1"),
        (("--cert-warn-days", "-3"), "assertion 1, value: expected a number, at least 0"),
    ],
)
def test_limits_that_nothing_could_meet_are_wrong_usage(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
):
    assert tocsin(["check", "http", "http://127.0.0.1:9/", *words]) == 2
    assert said in capsys.readouterr().err


def test_options_that_switch_off_and_those_for_words_with_a_dash_say_how(capsys: pytest.CaptureFixture[str]):
    assert tocsin(["check", "kafka-consumer", "--help"]) == 0
    assert "not: " not in (said := capsys.readouterr().out)
    assert "write no record" in " ".join(said.split())
    assert tocsin(["check", "nagios", "--help"]) == 0
    assert "--arguments=V for a V that begins with -" in " ".join(capsys.readouterr().out.split())
    assert tocsin(["check", "nagios", "check_http", "--arguments", "-w"]) == 2
    assert "write --arguments=VALUE for a value that begins with -" in capsys.readouterr().err


def test_the_help_says_what_an_option_does_in_plain_words(capsys: pytest.CaptureFixture[str]):
    assert tocsin(["check", "http", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--no-verify accept any certificate" in shown
    assert "--no-follow do not follow redirects" in shown
    assert " not: " not in shown


def test_a_ping_is_shown_with_its_units(capsys: pytest.CaptureFixture[str]):
    code = tocsin(["check", "ping", "127.0.0.1", "--count", "1"])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "loss      0 %" in shown
    assert all(line.endswith(" ms") for line in shown.splitlines() if line.split()[0] in ("fastest", "average"))


def test_steps_and_secrets_come_from_files(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    steps = [
        {"name": "page", "url": f"{url}/page", "capture": {"id": {"json_path": "$.items[1].id"}}},
        {
            "url": f"{url}/echo",
            "headers": {"X-One": "{{pin}}", "X-Two": "{{id}}"},
            "assertions": [
                {"type": "json_path", "path": "$.x", "op": "eq", "value": "s3cret"},
                {"type": "json_path", "path": "$.y", "op": "eq", "value": "2"},
            ],
        },
        {"url": f"{url}/gone", "always": True},
    ]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    (tmp_path / "secrets.json").write_text('{"pin": "s3cret"}')
    words = [
        "transaction",
        "--steps-file",
        str(tmp_path / "steps.json"),
        "--secrets-file",
        str(tmp_path / "secrets.json"),
    ]
    code, made = run_json(capsys, *words)
    assert (code, made["status"], made["target"]) == (0, "degraded", f"{url}/page and 2 more steps")
    assert [s["status_code"] for s in made["facts"]["steps"]] == [200, 200, 404]
    code, out, _ = run(capsys, *words)
    assert out.splitlines()[0] == f"◐ degraded  {url}/page and 2 more steps"
    assert "  step 1   page, status code 200, " in out
    assert "  step 3   step 3, status code 404, " in out
    assert "s3cret" not in out


def test_wrong_steps_are_named_by_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "steps.json"
    file.write_text('[{"url": "https://a.example/"}, {"url": "ftp://b"}]')
    code, _, err = run(capsys, "transaction", "--steps-file", str(file))
    assert code == 2
    assert "--steps-file, steps[1].url: expected an http or https URL, found one that does not start with" in err
    file.write_text('[{"url": }]')
    code, _, err = run(capsys, "transaction", "--steps-file", str(file))
    assert (code, "expected one JSON value, found an error at line 1 column 10" in err) == (2, True)
    assert "--steps-file" in run(capsys, "transaction")[2]


def test_a_browser_check_without_a_browser_cannot_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("TOCSIN_BROWSER", raising=False)
    file = tmp_path / "steps.json"
    file.write_text('[{"do": "goto", "url": "http://127.0.0.1:9/"}]')
    code, out, _ = run(capsys, "browser", "--steps-file", str(file))
    assert (code, "no browser is set up here" in out) == (3, True)
    monkeypatch.setenv("TOCSIN_BROWSER", str(tmp_path / "none"))
    monkeypatch.setenv("TOCSIN_BROWSER_SANDBOX", "false")
    code, out, _ = run(capsys, "browser", "--steps-file", str(file))
    assert (code, "Chromium could not be used" in out) == (3, True)


def test_help_says_the_usual_port_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    for name, says in (
        ("redis", "port 6379 where none is said"),
        ("tls", "HOST[:PORT]"),
        ("browser", "(45)"),
        ("tcp", "(10)"),
    ):
        assert tocsin(["check", name, "--help"]) == 0
        assert says in " ".join(capsys.readouterr().out.split())


def test_a_push_monitor_is_nothing_to_check_from_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert tocsin(["check", "push"]) == 2
    assert "waits for calls" in capsys.readouterr().err
