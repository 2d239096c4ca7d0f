"""A Kafka broker that answers as told: one prepared answer for each kind of request."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any

from checks.looking import look
from hostile import Talk, serving

Answers = dict[int, bytes]
ALL = [(0, 0, 11), (1, 0, 12), (2, 0, 9), (3, 0, 12), (9, 0, 8), (10, 0, 4), (17, 0, 1), (18, 0, 4), (36, 0, 2)]


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def versions(known: Any = ALL, code: int = 0) -> bytes:
    return struct.pack(">hi", code, len(known)) + b"".join(struct.pack(">hhh", *row) for row in known)


def metadata(host: str, port: int, *, leader: int = 1, code: int = 0, topic: str = "checks") -> bytes:
    brokers = struct.pack(">i", 1) + struct.pack(">i", 1) + text(host) + struct.pack(">i", port) + struct.pack(">h", -1)
    partition = struct.pack(">hiiiiii", 0, 0, leader, 1, 1, 1, 1)
    topics = struct.pack(">ih", 1, code) + text(topic) + b"\0" + struct.pack(">i", 1) + partition
    return struct.pack(">i", 0) + brokers + struct.pack(">hi", -1, 1) + topics


def produced(offset: int = 5, code: int = 0) -> bytes:
    row = struct.pack(">i", 1) + text("checks") + struct.pack(">iihqq", 1, 0, code, offset, -1)
    return row + struct.pack(">i", 0)


def fetched(records: bytes, code: int = 0) -> bytes:
    row = struct.pack(">ihqqi", 0, code, 9, 9, 0) + struct.pack(">i", len(records)) + records
    return struct.pack(">ii", 0, 1) + text("checks") + struct.pack(">i", 1) + row


async def requests(talk: Talk, answers: Callable[[int, bytes], bytes | None]) -> None:
    """Answer each request; None hangs up."""
    while True:
        size = struct.unpack(">i", await talk.reader.readexactly(4))[0]
        request = await talk.reader.readexactly(size)
        api, _, number = struct.unpack(">hhi", request[:8])
        answer = answers(api, request)
        if answer is None:
            return
        await talk.send(struct.pack(">ii", len(answer) + 4, number) + answer)


def scripted(make: Callable[[int], Answers]) -> tuple[Callable[[Talk], Awaitable[None]], list[int]]:
    """A broker's script (its answers by request, made when it knows its own port) and the requests it was asked."""
    asked: list[int] = []

    async def script(talk: Talk) -> None:
        port = talk.writer.get_extra_info("sockname")[1]
        known = {18: versions()} | make(port)

        def answer(api: int, _: bytes) -> bytes | None:
            asked.append(api)
            return known.get(api)

        await requests(talk, answer)

    return script, asked


async def against(make: Callable[[int], Answers], type_: str = "kafka_producer", **more: Any) -> Any:
    script, _ = scripted(make)
    async with serving(script, read=False) as server:
        return await look(type_, host="127.0.0.1", port=server.port, **({"topic": "checks"} | more))
