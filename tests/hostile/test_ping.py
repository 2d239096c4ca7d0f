"""What a host may do wrong to a ping: a network of our own, whose kernel keeps silent while a program of ours answers."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable

import pytest

from checks.looking import look, why
from namespace import alone, setting
from tocsin.core.result import Outcome
from tocsin.net.icmp import _checksum

Answer = Callable[[bytes], list[bytes]]
"""What is said to an echo request (without its IP head)."""


def reply(request: bytes, *, kind: int = 0, identity: int = 0, sequence: int = 0, token: bytes = b"") -> bytes:
    """The right reply, but for what is added to its numbers, or put in the place of its first bytes."""
    _, _, _, own_id, own_sequence = struct.unpack_from("!BBHHH", request)
    body = token + request[8 + len(token) :]
    numbers = (own_id + identity & 0xFFFF, own_sequence + sequence & 0xFFFF)
    bare = struct.pack("!BBHHH", kind, 0, 0, *numbers) + body
    return struct.pack("!BBHHH", kind, 0, _checksum(bare), *numbers) + body


def answered(answer: Answer, source: str = "127.0.0.1") -> tuple[Outcome, float]:
    """What a ping of 127.0.0.1 says when it is answered so, and how long it took."""

    async def work() -> tuple[Outcome, float]:
        setting("net.ipv4.icmp_echo_ignore_all", "1")
        with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP) as raw:
            raw.bind((source, 0))

            def heard() -> None:
                packet = raw.recv(65_536)
                if packet[20] == 8:
                    for said in answer(packet[20:]):
                        raw.sendto(said, ("127.0.0.1", 0))

            asyncio.get_running_loop().add_reader(raw, heard)
            began = time.monotonic()
            outcome = await look("ping", host="127.0.0.1", count=2, spacing_ms=50, wait_ms=500, timeout_s=1)
            took_s = time.monotonic() - began
            asyncio.get_running_loop().remove_reader(raw)
            return outcome, took_s

    return alone(work)


def test_the_right_answer_is_up() -> None:
    outcome, _ = answered(lambda request: [reply(request)])
    assert why(outcome) == ("up", "", None), outcome.error


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda request: [], id="none"),
        pytest.param(lambda request: [reply(request, token=b"nonsense")], id="to another request"),
        pytest.param(lambda request: [reply(request, identity=1)], id="to another program"),
        pytest.param(lambda request: [reply(request, sequence=100)], id="of another number"),
        pytest.param(lambda request: [reply(request, kind=13)], id="of another kind"),
        pytest.param(lambda request: [reply(request)[:8]], id="with nothing in it"),
        pytest.param(lambda request: [reply(request)[:3]], id="that is cut"),
        pytest.param(lambda request: [b"\xff" * 1400] * 2000, id="of nonsense, without end"),
        pytest.param(lambda request: [b"\x03\x01\0\0\0\0\0\0" + b"\xff" * 8], id="of a router, about nothing"),
    ],
)
def test_an_answer_that_is_none(answer: Answer) -> None:
    outcome, took_s = answered(answer)
    assert why(outcome) == ("down", "timeout", "ttfb"), outcome.error
    assert took_s < 1.5


def test_an_answer_from_elsewhere_is_none() -> None:
    outcome, _ = answered(lambda request: [reply(request)], source="127.0.0.2")
    assert why(outcome) == ("down", "timeout", "ttfb"), outcome.error
