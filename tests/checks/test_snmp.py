"""snmp: a real Net-SNMP agent of the test's own, by every version, and agents that answer nonsense or nothing."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from checks.looking import look, why
from hostile import refused_port
from hostile.sound import snmp_answer as answered
from needs import program
from tocsin.checks import _usm
from tocsin.checks.snmp import Target
from tocsin.core import ber, snmp
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid

NAME, CONTACT = "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.4.0"
CONFIGURATION = """
agentAddress udp:127.0.0.1:{port}
rocommunity public
rocommunity s3cret
sysName switch-1
sysContact Álvaro
createUser watch SHA-256 authpassword AES privpassword
createUser old MD5 authpassword DES privpassword
createUser older SHA authpassword AES privpassword
createUser plain SHA-512 authpassword
createUser nobody
rouser watch priv
rouser old priv
rouser older priv
rouser plain auth
rouser nobody noauth
"""
WATCH = {"version": "3", "user": "watch", "auth_password": "authpassword", "privacy_password": "privpassword"}


async def see(port: int, **more: Any) -> Outcome:
    return await look("snmp", host="127.0.0.1", port=port, **more)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An agent of our own."""
    words = [program("snmpd"), "-f", "-C"]
    folder = tmp_path_factory.mktemp("snmpd")
    free = refused_port()
    (folder / "snmpd.conf").write_text(CONFIGURATION.format(port=free))
    environment = {
        "PATH": os.environ["PATH"],
        "SNMP_PERSISTENT_DIR": str(folder / "state"),
        "MIBS": "",
        "HOME": str(folder),
    }
    agent = subprocess.Popen(
        [*words, "-c", str(folder / "snmpd.conf"), "-Lf", str(folder / "log")], env=environment, stdout=-3, stderr=-3
    )
    try:
        until = time.monotonic() + 20
        while asyncio.run(see(free, timeout_s=0.5)).status != "up":
            assert agent.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "snmpd does not answer"
        yield free
    finally:
        agent.kill()
        agent.wait(20)


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_how_long_it_has_been_up(port: int, version: str):
    outcome = await see(port, version=version)
    assert why(outcome) == ("up", "", None)
    facts = outcome.seen.facts
    assert facts["type"] == "TimeTicks"
    assert facts["seconds"] == facts["value"] / 100
    assert "lost" not in facts
    assert outcome.seen.timing.ttfb is not None


async def test_a_value_and_what_it_must_be(port: int):
    outcome = await see(port, oid=NAME, expect="switch-1", community="s3cret")
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts == {"oid": NAME, "type": "OCTET STRING", "value": "switch-1"}
    assert (await see(port, oid=CONTACT)).seen.facts["value"] == "Álvaro"
    wrong = await see(port, oid="." + NAME, expect="switch-2")
    assert why(wrong)[:2] == ("down", "assertion")
    assert "expected switch-2, found switch-1" in str(wrong.error)
    assert (await see(port, oid=NAME, compare="contains", expect="switch")).status == "up"
    assert (await see(port, compare="gte", expect="0")).status == "up"
    old = await see(port, compare="gt", expect="1e12")
    assert "expected > 1e12, found" in str(old.error)


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_no_such_object(port: int, version: str):
    outcome = await see(port, oid="1.3.6.1.2.1.1.55.0", version=version)
    assert why(outcome)[:2] == ("down", "assertion")
    assert "no value for 1.3.6.1.2.1.1.55.0: no such object" in str(outcome.error)


async def test_a_wrong_community_is_silence(port: int):
    outcome = await see(port, community="hunter2", timeout_s=2)
    assert why(outcome) == ("down", "timeout", "ttfb")
    assert "silent also when the community is wrong" in str(outcome.error)
    assert "hunter2" not in str(outcome)


@pytest.mark.parametrize(
    "target",
    [
        WATCH, WATCH | {"user": "old", "auth": "md5", "privacy": "des"}, WATCH | {"user": "older", "auth": "sha1"},
        {"version": "3", "user": "plain", "auth": "sha512", "auth_password": "authpassword"}, {"version": "3", "user": "nobody"},
    ],
)  # fmt: skip
async def test_version_3(port: int, target: dict[str, Any]):
    outcome = await see(port, oid=NAME, expect="switch-1", **target)
    assert why(outcome) == ("up", "", None), outcome.error


@pytest.mark.parametrize(
    ("target", "type_", "says"),
    [
        ({"auth_password": "wrong password"}, "protocol", "the password, or the way to authenticate, is wrong"),
        ({"auth": "sha1"}, "protocol", "the password, or the way to authenticate, is wrong"),
        ({"user": "carol"}, "protocol", "does not know the user"), ({"privacy_password": "wrong password"}, "timeout", "the password for privacy is wrong"),
        ({"user": "plain", "auth": "sha512"}, "protocol", "at this level of security"), ({"privacy_password": None}, "assertion", "not authorized"),
    ],
)  # fmt: skip
async def test_version_3_turned_away(port: int, target: dict[str, Any], type_: str, says: str):
    outcome = await see(port, **(WATCH | target), timeout_s=2 if type_ == "timeout" else 5)
    assert why(outcome)[:2] == ("down", type_)
    assert says in str(outcome.error)
    assert "password'" not in str(outcome)


def test_keys_by_the_examples_of_the_rfc():
    """RFC 3414, A.3."""
    engine = bytes.fromhex("000000000000000000000002")
    assert _usm._key("md5", "maplesyrup", engine).hex() == "526f5eed9fcce26f8964c2930787d82b"
    assert _usm._key("sha1", "maplesyrup", engine).hex() == "6695febc9288e36282235fc7151f128497b38f3f"


Reply = Callable[[bytes], "bytes | None"]


@contextlib.asynccontextmanager
async def agent(reply: Reply) -> AsyncIterator[int]:
    """An agent that answers as the function says."""

    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if (answer := reply(data)) is not None:
                self.transport.sendto(answer, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Udp, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda _: b"0", "ends where a value should begin"), (lambda _: b"HTTP/1.1 400", "ends in the middle"), (lambda asked: asked, "a response expected, tag 0xa0"),
        (lambda asked: answered(asked, more=1), "an answer to another request"), (lambda asked: answered(asked, version="1"), "version 2c expected"),
        (lambda asked: answered(asked, tag=0xA8), "an answer to another request"), (lambda asked: answered(asked)[:-1], "ends in the middle"),
        (lambda asked: answered(asked, ber.octets("x", 0x50)), "a type that SNMP does not have"), (lambda asked: answered(asked, ber.encode(2, b"\1" * 40)), "a number of 40 bytes"),
        (lambda _: b"\x30\x84\x7f\xff\xff\xff" + b"x" * 60_000, "ends in the middle"),
    ],
)  # fmt: skip
async def test_agents_that_go_wrong(reply: Reply, says: str):
    async with agent(reply) as port:
        outcome = await see(port)
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)


def engine_report(
    asked: bytes,
    *,
    number: int = 0,
    engine: bytes = b"e" * 12,
    boots: int = 1,
    flags: int = 0,
    digest: bytes = b"",
    tag: int = snmp.REPORT,
    oid: str = "1.3.6.1.6.3.15.1.1.4.0",
) -> bytes:
    """What an agent says to who does not know its engine, or must not know more."""
    head = ber.read(asked)[0].parts()[1].parts()
    objects = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, ber.oid(oid), ber.integer(1, 0x41)))
    pdu = ber.encode(tag, ber.integer(0), ber.integer(0), ber.integer(0), objects)
    scoped = ber.encode(ber.SEQUENCE, ber.octets(engine), ber.octets(""), pdu)
    parameters = ber.encode(ber.SEQUENCE, ber.octets(engine), ber.integer(boots), ber.integer(5), ber.octets(""), ber.octets(digest), ber.octets(""))  # fmt: skip
    top = ber.encode(
        ber.SEQUENCE,
        ber.integer(head[0].number() + number),
        ber.integer(65507),
        ber.octets(bytes((flags,))),
        ber.integer(3),
    )
    return ber.encode(ber.SEQUENCE, ber.integer(3), top, ber.octets(parameters), scoped)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (lambda asked: engine_report(asked, number=1), "an answer to another message"), (lambda asked: engine_report(asked, engine=b""), "name of the agent's engine"),
        (lambda asked: engine_report(asked, tag=snmp.RESPONSE), "not authentic"), (lambda asked: engine_report(asked, flags=1, digest=b"x" * 24), "not authentic"),
        (lambda asked: engine_report(asked, boots=-1), "clock is not of this world"), (lambda asked: engine_report(asked, flags=2), "encrypted data expected"),
        (lambda asked: engine_report(asked, oid="1.3.6.1.6.3.15.1.1.2.0"), "clock and ours for it do not agree"), (lambda asked: engine_report(asked, oid="1.3.9"), "the agent reports 1.3.9"),
        (lambda asked: snmp.message("2c", "public", snmp.get(1, "1.3")), "parts expected"), (lambda asked: engine_report(asked)[:-2], "ends in the middle"),
    ],
)  # fmt: skip
async def test_engines_that_go_wrong(reply: Reply, says: str):
    async with agent(reply) as port:
        outcome = await see(port, **WATCH)
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)


async def test_a_lost_datagram_is_sent_again():
    asked: list[bytes] = []

    def reply(data: bytes) -> bytes | None:
        asked.append(data)
        return answered(data) if len(asked) > 1 else None

    async with agent(reply) as port:
        outcome = await see(port, timeout_s=1)
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["lost"] == 1
    assert asked[0] == asked[1]


async def test_a_huge_counter_can_be_kept():
    async with agent(lambda asked: answered(asked, ber.integer((1 << 64) - 1, 0x46))) as port:
        outcome = await see(port, compare="gt", expect="1000")
    assert outcome.status == "up"
    assert outcome.seen.facts["value"] == str((1 << 64) - 1)


async def test_nobody():
    assert why(await see(refused_port())) == ("down", "connection_refused", "ttfb")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"oid": "sysUpTime.0"}, "oid"), ({"version": "3"}, "user"), ({"version": "3", "user": "a", "community": "b"}, "community"), ({"user": "a"}, "version"),
        ({"version": "3", "user": "a", "privacy_password": "12345678"}, "auth_password"), ({"compare": "lt"}, "expect"), ({"compare": "gt", "expect": "x"}, "expect"),
        ({"version": "3", "user": "a", "auth_password": "short"}, "auth_password"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]
