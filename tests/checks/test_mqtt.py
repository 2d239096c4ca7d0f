"""mqtt: a real broker (mosquitto), plain, with passwords and with TLS, and ones that refuse or speak nonsense."""

# ruff: noqa: E501

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hostile
from checks.looking import look, why
from daemon import daemon, free_port
from hostile import Talk, authority, issue, serving
from needs import program
from tocsin.checks.mqtt import Target
from tocsin.core.shape import fields, read
from tocsin.errors import Invalid

VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """open lets anybody in, locked knows alice (all of shop/) and bob (who may only read there), tls has a certificate and
    mutual wants one."""
    mosquitto, passwd = program("mosquitto"), program("mosquitto_passwd")
    folder = tmp_path_factory.mktemp("mosquitto")
    ports = {name: free_port() for name in ("open", "locked", "tls", "mutual")}
    for i, (user, password) in enumerate((("alice", "s3cret"), ("bob", "builder"))):
        subprocess.run([passwd, *(["-c"] if not i else []), "-b", folder / "users", user, password], check=True)
    (folder / "acl").write_text("user alice\ntopic readwrite shop/#\nuser bob\ntopic read shop/#\n")
    own = issue("127.0.0.1", by=authority(), names=("127.0.0.1", "broker.test"))
    for name, text in (("ca", authority().pem), ("cert", own.pem), ("key", own.key_pem)):
        (folder / name).write_text(text)
    tls = ["allow_anonymous true", f"cafile {folder}/ca", f"certfile {folder}/cert", f"keyfile {folder}/key"]
    lines = ["per_listener_settings true", "user root", "persistence false", "log_dest stderr"]
    for name, more in {
        "open": ["allow_anonymous true"],
        "locked": ["allow_anonymous false", f"password_file {folder}/users", f"acl_file {folder}/acl"],
        "tls": tls,
        "mutual": [*tls, "require_certificate true"],
    }.items():
        lines += [f"listener {ports[name]} 127.0.0.1", *more]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    with daemon([mosquitto, "-c", folder / "conf"], list(ports.values()), Path(folder / "log")):
        yield ports


@VERSIONS
async def test_a_ping_without_a_topic(broker: dict[str, int], version: str):
    outcome = await look("mqtt", host="127.0.0.1", port=broker["open"], mqtt_version=version)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["session_present"] is False
    assert outcome.seen.facts["round_trip_ms"] > 0
    assert outcome.seen.timing.ttfb is not None


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_message_there_and_back(broker: dict[str, int], version: str, qos: int):
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": broker["locked"],
        "user": "alice",
        "password": "s3cret",
        "mqtt_version": version,
    }
    outcome = await look("mqtt", **given, topic="shop/tocsin", qos=qos, client_id="watcher")
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["round_trip_ms"] > 0


@VERSIONS
async def test_who_is_not_let_in(broker: dict[str, int], version: str):
    given: dict[str, Any] = {"host": "127.0.0.1", "port": broker["locked"], "mqtt_version": version}
    for more in ({"user": "alice", "password": "hunter2"}, {"user": "alice"}, {}):
        outcome = await look("mqtt", **given, **more)
        assert why(outcome) == ("down", "protocol", "ttfb")
        assert "the broker did not let us in: not authorized" in str(outcome.error)
        assert "hunter2" not in str(outcome)


async def test_who_may_not_publish(broker: dict[str, int]):
    """Version 3.1.1 cannot say so: the broker acknowledges the message and drops it."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": broker["locked"],
        "user": "bob",
        "password": "builder",
        "topic": "shop/x",
    }
    told = await look("mqtt", **given, mqtt_version="5")
    assert why(told) == ("down", "protocol", "transfer")
    assert "the broker does not take our message: not authorized (0x87)" in str(told.error)
    silent = await look("mqtt", **given, timeout_s=1)
    assert why(silent) == ("down", "timeout", "transfer")
    assert "published to shop/x, but it did not come back (perhaps we may not publish or read there)" in str(
        silent.error
    )


async def test_tls_and_its_certificates(broker: dict[str, int]):
    given: dict[str, Any] = {"host": "127.0.0.1", "port": broker["tls"], "tls": True, "topic": "a"}
    days = [{"type": "certificate_days", "op": "gte", "value": 5}]
    outcome = await look("mqtt", **given, ca_file=authority().pem, rules=days)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.tls is not None
    assert why(await look("mqtt", **given)) == ("down", "tls", "tls")
    assert why(await look("mqtt", **given, ca_file=authority().pem, server_name="other.test")) == ("down", "tls", "tls")
    mine = issue("me", by=authority())
    given |= {"port": broker["mutual"], "ca_file": authority().pem}
    assert why(await look("mqtt", **given, client_cert=mine.pem, client_key=mine.key_pem)) == ("up", "", None)
    assert (await look("mqtt", **given)).status == "down"
    assert (await look("mqtt", host="127.0.0.1", port=broker["tls"], timeout_s=1)).status == "down"


LET_IN = b"\x20\x02\0\0"


def saying(*parts: bytes) -> Callable[[Talk], Any]:
    """A broker that hears one packet before each of these parts, and then says no more."""

    async def script(talk: Talk) -> None:
        for part in parts:
            await hear(talk)
            await talk.send(part)
        await talk.hang()

    return script


async def hear(talk: Talk) -> bytes:
    head = await talk.reader.readexactly(2)
    return await talk.reader.readexactly(head[1])


@pytest.mark.parametrize(
    ("answer", "version", "says"),
    [
        (b"\x20\2\0\1", "3.1.1", "it does not speak this version of MQTT (1)"), (b"\x20\2\0\2", "3.1.1", "client identifier not allowed (2)"), (b"\x20\2\0\3", "3.1.1", "server unavailable (3)"),
        (b"\x20\2\0\4", "3.1.1", "bad user name or password (4)"), (b"\x20\2\0\5", "3.1.1", "not authorized (5)"), (b"\x20\2\0\x63", "3.1.1", "unknown reason (0x63)"),
        (b"\x20\3\0\x84\0", "5", "it does not speak this version of MQTT (0x84)"), (b"\x20\3\0\x86\0", "5", "bad user name or password (0x86)"), (b"\x20\3\0\x89\0", "5", "server busy (0x89)"),
        (b"\x20\3\0\x8a\0", "5", "banned (0x8a)"), (b"\x20\3\0\x9f\0", "5", "connection rate exceeded (0x9f)"), (b"\x20\1\0", "3.1.1", "found one of 1 bytes"), (b"\x30\0", "3.1.1", "expected CONNACK, found PUBLISH"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "3.1.1", "expected CONNACK, found PUBACK (0x48)"), (b"\x20\xff\xff\xff\xff\xff", "3.1.1", "a length without end"), (b"\x20\xff\xff\xff\x7f", "5", "CONNACK of 268435455 bytes, more than"),
    ],
)  # fmt: skip
async def test_what_connack_says(answer: bytes, version: str, says: str):
    async with serving(saying(answer), read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port, mqtt_version=version)
    assert why(outcome)[:2] == ("down", "protocol"), outcome.error
    assert says in str(outcome.error)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([LET_IN, b"\x90\3\0\2\0"], "found another one"), ([LET_IN, b"\xd0\0"], "expected SUBACK, found PINGRESP"), ([LET_IN, b"\x90\3\0\1\0", b"\xe0\0"], "expected PUBACK, found DISCONNECT"),
        ([LET_IN, b"\x90\3\0\1\0", b"\x32\x02\0\x09"], "cut short"), ([LET_IN, b"\x90\3\0\1\0", b"\x30\xff\xff\xff\x7f"], "PUBLISH of 268435455 bytes"),
        ([LET_IN, b"\x90\3\0\1\0", (b"\x30\x80\x80\x04" + b"\0\1a" + b"x" * 65_533) * 20], "and not what was waited for"),
    ],
)  # fmt: skip
async def test_brokers_that_go_wrong(parts: list[bytes], says: str):
    async with serving(saying(*parts), read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port, topic="a")
    assert why(outcome) == ("down", "protocol", "transfer"), outcome.error
    assert says in str(outcome.error)


@pytest.mark.parametrize(
    ("version", "answers", "says"),
    [("3.1.1", [LET_IN, b"\x90\3\0\1\x80"], "failure (0x80)"), ("5", [b"\x20\3\0\0\0", b"\x90\4\0\1\0\x87"], "not authorized (0x87)")],
)  # fmt: skip
async def test_who_may_not_subscribe(version: str, answers: list[bytes], says: str):
    async with serving(saying(*answers), read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port, topic="other", mqtt_version=version)
    assert why(outcome) == ("down", "protocol", "transfer")
    assert f"does not let us subscribe to other: {says}" in str(outcome.error)


async def test_a_broker_of_version_5_says_why_it_hangs_up():
    for body, says in ((b"\xe0\1\x8b", "server shutting down (0x8b)"), (b"\xe0\0", "no reason given")):
        async with serving(saying(b"\x20\3\0\0\0", body), read=False) as server:
            outcome = await look("mqtt", host="127.0.0.1", port=server.port, mqtt_version="5")
        assert why(outcome) == ("down", "protocol", "transfer")
        assert f"the broker hung up: {says}" in str(outcome.error)


async def test_a_flood_ends_with_the_time():
    async def script(talk: Talk) -> None:
        await hear(talk)
        await talk.send(LET_IN)
        while not talk.over.is_set():
            await talk.send(b"\x30\3\0\1a" * 1000)

    async with serving(script, read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port, timeout_s=0.5)
    assert why(outcome)[:2] == ("down", "timeout")


async def test_other_messages_are_passed_over_and_acknowledged():
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        await hear(talk)
        await talk.send(LET_IN)
        await hear(talk)
        await talk.send(b"\x32\x06\0\1a\x12\x34x" + b"\x90\3\0\1\1")
        heard.append(await hear(talk))  # the acknowledgement of 0x1234, before the SUBACK is read
        sent = await hear(talk)
        await talk.send(b"\x40\2\0\2" + b"\x30\x04\0\1az" + b"\x32" + bytes([len(sent)]) + sent)
        heard.append(await hear(talk))

    async with serving(script, read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port, topic="a")
    assert why(outcome) == ("up", "", None), outcome.error
    assert heard == [b"\x12\x34", b"\0\2"]


async def test_nobody_and_silence():
    assert why(await look("mqtt", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"
    async with serving(saying(), read=False) as server:
        assert why(await look("mqtt", host="127.0.0.1", port=server.port, timeout_s=0.3)) == ("down", "timeout", "ttfb")

    async def leaves(talk: Talk) -> None:
        await hear(talk)

    async with serving(leaves, read=False) as server:
        outcome = await look("mqtt", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", "protocol")


@pytest.mark.parametrize(
    ("data", "field"),
    [({"topic": "a/#"}, "topic"), ({"topic": "a/+/b"}, "topic"), ({"topic": ""}, "topic"), ({"qos": 2}, "qos"), ({"password": "x"}, "user"), ({"client_key": "-----BEGIN X"}, "client_cert"), ({"mqtt_version": "4"}, "mqtt_version")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]


def test_what_is_hidden():
    assert {f.name for f in fields(Target) if f.marks.hidden} == {"password", "client_key"}
