"""What a server may do wrong: from the beginning (a script), or in the middle of all that it says (`cut`)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from hostile import Script, Server, Talk, serving

Then = Callable[[Talk, bytes], Awaitable[None]]
"""What becomes of the connection, and of the bytes that were to be sent next."""

NOISE = random.Random(7).randbytes(65_536).replace(b"\n", b"\r")


# --- in the middle ---


async def falls_silent(talk: Talk, rest: bytes) -> None:
    await talk.hang()


async def closes(talk: Talk, rest: bytes) -> None:
    """Hang up in good order: with words in flight it would be a reset, which is another row."""
    talk.writer.write_eof()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(talk.reader.read(), 0.2)


async def half_closes(talk: Talk, rest: bytes) -> None:
    """Say that no more will come, and go on listening."""
    talk.writer.write_eof()
    await talk.hang()


async def resets(talk: Talk, rest: bytes) -> None:
    await asyncio.sleep(0.02)  # what was sent has to arrive before it
    talk.reset()


async def dribbles(talk: Talk, rest: bytes) -> None:
    """One byte a second of what is right."""
    for byte in rest:
        await talk.send(bytes([byte]))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(talk.over.wait(), 1)
        if talk.over.is_set():
            return


async def talks_nonsense(talk: Talk, rest: bytes) -> None:
    await talk.send(NOISE[:4096])
    await talk.hang()


async def floods(talk: Talk, rest: bytes) -> None:
    """Nonsense without end, as fast as it is taken."""
    await flood(talk, NOISE)


async def flood(talk: Talk, data: bytes) -> None:
    """The same bytes again and again, as fast as they are taken."""
    data *= max(1, 65_536 // len(data))
    while not talk.over.is_set():
        await talk.send(data)
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Cut:
    """Where a server that began well goes wrong: before its turn (or in the middle of it), and what it does then. A turn
    is all that it says between two things that the client says."""

    turn: int
    within: bool
    then: Then


@contextlib.asynccontextmanager
async def cut(upstream: Callable[[int], contextlib.AbstractAsyncContextManager[int]], at: Cut) -> AsyncIterator[Server]:
    """A server that passes on what a sound one says, up to there."""
    sound = 0

    async def script(talk: Talk) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sound)
        spoken = asyncio.Event()
        spoken.set()

        async def outward() -> None:
            while data := await talk.reader.read(65_536):
                spoken.set()
                writer.write(data)
            writer.write_eof()

        passing = asyncio.ensure_future(outward())
        turn = 0
        try:
            while data := await reader.read(1 << 20):
                if spoken.is_set():
                    spoken.clear()
                    turn += 1
                if turn == at.turn:
                    half = len(data) // 2 if at.within else 0
                    await talk.send(data[:half])
                    passing.cancel()
                    await asyncio.gather(passing, return_exceptions=True)
                    await at.then(talk, data[half:])
                    return
                await talk.send(data)
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            writer.transport.abort()

    async with serving(script, read=False) as front:
        async with upstream(front.port) as sound:
            yield front


# --- from the beginning ---


def saying(data: bytes) -> Script:
    """Listen to the first words, say this, and then nothing more."""

    async def script(talk: Talk) -> None:
        await talk.send(data)
        await talk.hang()

    return script


def endless(data: bytes, head: bytes = b"") -> Script:
    """Say this again and again, as fast as it is taken."""

    async def script(talk: Talk) -> None:
        await talk.send(head)
        await flood(talk, data)

    return script


def at_once(then: Then) -> Script:
    async def script(talk: Talk) -> None:
        await then(talk, NOISE)

    return script


# --- datagrams ---

Say = Callable[[bytes], object]
Reply = Callable[[bytes, Say], None]
"""What is done with a datagram that came, and a way to answer it."""


@contextlib.asynccontextmanager
async def replying(reply: Reply, port: int = 0, other: bool = False) -> AsyncIterator[Server]:
    """A server of datagrams; with `other` its answers come from another port than the one that was asked."""
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_INET, kind) as sock, socket.socket(socket.AF_INET, kind) as elsewhere:
        sock.bind(("127.0.0.1", port))
        mouth = elsewhere if other else sock

        def heard() -> None:
            data, addr = sock.recvfrom(65_536)
            with contextlib.suppress(BlockingIOError):  # what does not fit in is lost, as datagrams are
                reply(data, lambda said: mouth.sendto(said, addr))

        loop.add_reader(sock, heard)
        try:
            yield Server(sock.getsockname()[1])
        finally:
            loop.remove_reader(sock)
