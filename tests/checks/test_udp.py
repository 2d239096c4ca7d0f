"""udp: a real datagram server; answers that are wrong, late, lost or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import hostile
from checks.looking import look, why
from tocsin.checks.udp import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid

Answer = Callable[[bytes, int], bytes | None]


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """A datagram server: what it says to the n-th datagram, or nothing; its port."""

    class Udp(asyncio.DatagramProtocol):
        count = 0

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            Udp.count += 1
            said = answer(data, Udp.count)
            if said is not None:
                self.transport.sendto(said, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Udp, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)


async def test_an_answer_is_up_and_shown() -> None:
    async with answering(lambda data, _: b"you said " + data) as port:
        outcome = await look("udp", host="127.0.0.1", port=port, send=r"hi\x21", expect="^you said hi!$")
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts == {"received": "you said hi!"}
    assert outcome.seen.timing.ttfb is not None
    assert outcome.seen.ip == "127.0.0.1"


async def test_an_empty_datagram_and_any_answer_will_do() -> None:
    async with answering(lambda data, _: b"!" if data == b"" else None) as port:
        assert why(await look("udp", host="127.0.0.1", port=port)) == ("up", "", None)


async def test_a_lost_datagram_is_sent_again() -> None:
    async with answering(lambda _, count: b"yes" if count == 3 else None) as port:
        outcome = await look("udp", host="127.0.0.1", port=port, send="x", timeout_s=1.5)
        assert why(outcome) == ("up", "", None)
        assert outcome.seen.facts["tries"] == 3


async def test_another_answer_is_down() -> None:
    async with answering(lambda *_: b"\xff\x00no") as port:
        outcome = await look("udp", host="127.0.0.1", port=port, send="x", expect="yes")
        assert why(outcome) == ("down", "assertion", "ttfb")
        assert "expected yes, found" in str(outcome.error)
        rule = {"type": "body", "op": "contains", "value": "maybe"}
        assert why(await look("udp", host="127.0.0.1", port=port, send="x", rules=[rule]))[1] == "assertion"


async def test_silence_is_a_timeout_and_a_closed_port_is_refused() -> None:
    async with answering(lambda *_: None) as port:
        silent = await look("udp", host="127.0.0.1", port=port, send="x", timeout_s=0.4)
    assert why(silent) == ("down", "timeout", "ttfb")
    closed = await look("udp", host="127.0.0.1", port=hostile.refused_port(), send="x", timeout_s=2)
    assert why(closed)[:2] == ("down", "connection_refused")


async def test_a_flood_is_cut() -> None:
    async with answering(lambda *_: b"a" * 60_000) as port:
        outcome = await look("udp", host="127.0.0.1", port=port, send="x")
    assert (outcome.status, outcome.seen.body_bytes) == ("up", 60_000)
    assert len(outcome.seen.facts["received"]) <= 200


@pytest.mark.parametrize(
    ("data", "field"), [({"send": r"\q"}, "send"), ({"expect": "("}, "expect"), ({"tries": 0}, "tries")]
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", "port": 1, **data})
    assert [p.field for p in caught.value.problems] == [field]
