"""tcp: connecting, TLS, steps; and ports that refuse, hang, reset, or say something else."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from tocsin.checks.tcp import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net


async def redis(talk: Talk) -> None:
    await talk.send(b"ready\r\n")
    while line := await talk.reader.readline():
        await talk.send(b"+PONG\r\n" if line == b"PING\r\n" else b"-ERR \xff\x1b[31m\r\n")


async def nothing(talk: Talk) -> None:
    await talk.hang()


async def test_a_port_that_accepts_is_up():
    async with serving(nothing, read=False) as server:
        outcome = await look("tcp", host="127.0.0.1", port=server.port)
    assert why(outcome) == ("up", "", None)
    assert outcome.target == f"127.0.0.1:{server.port}"
    assert outcome.seen.ip == "127.0.0.1"
    assert outcome.seen.timing.connect is not None


async def test_steps_are_said_and_heard_in_order():
    async with serving(redis, read=False) as server:
        outcome = await look(
            "tcp", host="127.0.0.1", port=server.port, send=["", r"PING\r\n"], expect=["^ready", r"\+PONG"],
            rules=[{"type": "body", "op": "contains", "value": "PONG"}],
        )  # fmt: skip
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["received"] == r"ready\r\n+PONG\r\n"
    assert outcome.assertions[0].ok


async def test_another_answer_is_told_with_what_came():
    async with serving(redis, read=False) as server:
        outcome = await look(
            "tcp", host="127.0.0.1", port=server.port, send=[r"what\n"], expect=["PONG"], timeout_s=0.6
        )
    assert why(outcome)[:2] == ("down", "assertion")
    assert outcome.error is not None
    assert outcome.error.message.startswith(r"step 1: expected PONG, found ready\r\n-ERR")
    assert "\x1b" not in outcome.error.message


async def test_a_server_that_hangs_up_before_the_answer():
    async def bye(talk: Talk) -> None:
        await talk.send(b"bye")

    async with serving(bye, read=False) as server:
        outcome = await look("tcp", host="127.0.0.1", port=server.port, expect=["hello"])
    assert why(outcome)[:2] == ("down", "assertion")
    assert "found bye (then the connection was closed)" in str(outcome.error)


async def test_silence_is_a_timeout():
    async with serving(nothing, read=False) as server:
        outcome = await look("tcp", host="127.0.0.1", port=server.port, expect=["hello"], timeout_s=0.4)
    assert why(outcome) == ("down", "timeout", "ttfb")
    assert outcome.error is not None
    assert outcome.error.message == "step 1: expected hello, found nothing within 0.4 s"


async def test_a_flood_without_the_answer_is_cut():
    async def flood(talk: Talk) -> None:
        while True:
            await talk.send(b"x" * 65536)

    async with serving(flood, read=False) as server:
        outcome = await look("tcp", host="127.0.0.1", port=server.port, expect=["hello"])
    assert why(outcome)[:2] == ("down", "assertion")
    assert "65536 bytes" in str(outcome.error)


async def test_a_reset_is_named():
    async def reset(talk: Talk) -> None:
        talk.reset()

    async with serving(reset, read=False) as server:
        outcome = await look("tcp", host="127.0.0.1", port=server.port, send=["", "x"], expect=["a"])
    assert why(outcome)[:2] == ("down", "connection_reset")


async def test_nobody_listening_and_a_full_queue():
    outcome = await look("tcp", host="127.0.0.1", port=hostile.refused_port())
    assert why(outcome) == ("down", "connection_refused", "connect")
    with hostile.silent_port() as port:
        outcome = await look("tcp", host="127.0.0.1", port=port, timeout_s=0.3)
    assert why(outcome) == ("down", "timeout", "connect")


async def test_an_unknown_name_and_a_refused_address():
    assert why(await look("tcp", host="no-such-host.invalid", port=1))[:2] == ("down", "dns")
    assert why(await look("tcp", host="169.254.169.254", port=80))[:2] == ("invalid", "network")
    async with Net(egress=Egress("public")) as net:
        assert why(await look("tcp", net=net, host="127.0.0.1", port=80))[:2] == ("invalid", "network")


async def test_over_tls():
    async with serving(redis, read=False, tls=issue("127.0.0.1", by=authority()).context()) as server:
        good: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "tls": True, "ca_file": authority().pem}
        outcome = await look("tcp", **good, send=["", r"PING\r\n"], expect=["ready", "PONG"])
        assert why(outcome) == ("up", "", None)
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        unknown = await look("tcp", host="127.0.0.1", port=server.port, tls=True)
        assert why(unknown) == ("down", "tls", "tls")
        assert unknown.seen.tls is not None
        assert unknown.seen.tls.sans == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"host": "a", "port": 0}, "port"), ({"host": "a", "port": "80"}, "port"), ({"host": "", "port": 1}, "host"), ({"host": "a"}, "port"),
        ({"host": "a", "port": 1, "send": [r"\q"]}, "send[0]"), ({"host": "a", "port": 1, "send": ["x\\"]}, "send[0]"),
        ({"host": "a", "port": 1, "expect": ["", "("]}, "expect[1]"), ({"host": "a", "port": 1, "ca_file": "/etc/passwd"}, "ca_file"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, data)
    assert [p.field for p in caught.value.problems] == [field]
