"""RESP, what Redis and Valkey speak: commands, and replies of version 2 and 3, bounded in size, number and depth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed
from tocsin.net.connect import Connection

_LINE = 65_536
_MOST_BYTES = 1 << 20
_MOST_VALUES = 10_000
_MOST_DEPTH = 8
_MOST_PUSHES = 100
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Refused:
    """An error that the server gave as its reply."""

    text: str


async def command(connection: Connection, *words: str) -> Any:
    """Send one command and give its reply as plain data: text, numbers, lists, dicts, None, or Refused.

    CheckFailed (protocol) when what comes is no reply."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word.encode()
        parts += [f"${len(raw)}\r\n".encode(), raw, b"\r\n"]
    await connection.write(b"".join(parts))
    reading = _Reading(connection)  # one budget, whatever is pushed before the reply
    for _ in range(_MOST_PUSHES):
        reading.pushed = False
        value = await reading.value(0)
        if not reading.pushed:
            return value
    raise CheckFailed(
        "protocol", f"expected a reply, found {_MOST_PUSHES} messages that nobody asked for", phase="ttfb"
    )


class _Reading:
    """One reply on its way in, and what it may still take."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bytes, self._values = _MOST_BYTES, _MOST_VALUES
        self.pushed = False

    async def value(self, depth: int) -> Any:
        """The next value, with all that is in it."""
        self._values -= 1
        if depth > _MOST_DEPTH or self._values < 0:
            raise _wrong("a reply of usual size", "one that is nested too deep or has too many parts")
        line = (await self._connection.read_until(b"\r\n", _LINE))[:-2]
        self._spend(len(line))
        kind, text = line[:1], line[1:].decode("utf-8", "replace")
        match kind:
            case b"+" | b"(" | b",":
                return text
            case b"-":
                return Refused(text)
            case b":":
                return _whole(text, line)
            case b"_":
                return None
            case b"#":
                return text == "t"
            case b"$" | b"!" | b"=":
                return await self._text(kind, line)
            case b"*" | b"~" | b">" | b"%" | b"|":
                return await self._several(kind, line, depth)
            case _:
                raise _wrong("a reply of Redis", repr(clip(line.decode("latin-1"), 100)))

    async def _text(self, kind: bytes, line: bytes) -> Any:
        size = _whole(line[1:].decode("latin-1"), line)
        if size == -1:
            return None
        if size < 0:
            raise _wrong("a length", str(size))
        self._spend(size)
        raw = await self._connection.read(size + 2)
        if raw[-2:] != b"\r\n":
            raise _wrong("the end of a text", repr(clip(raw[-2:].decode("latin-1"))))
        text = raw[:-2].decode("utf-8", "replace")
        if kind == b"!":
            return Refused(text)
        return text[4:] if kind == b"=" else text  # a verbatim text begins with its kind: txt: or mkd:

    async def _several(self, kind: bytes, line: bytes, depth: int) -> Any:
        count = _whole(line[1:].decode("latin-1"), line)
        if count == -1:
            return None
        if not 0 <= count <= _MOST_VALUES:
            raise _wrong(f"at most {_MOST_VALUES} parts", str(count))
        if kind in (b"%", b"|"):
            pairs = [(await self.value(depth + 1), await self.value(depth + 1)) for _ in range(count)]
            # Attributes stand before the value they tell about.
            return {str(k): v for k, v in pairs} if kind == b"%" else await self.value(depth + 1)
        if kind == b">" and depth == 0:
            self.pushed = True
        return [await self.value(depth + 1) for _ in range(count)]

    def _spend(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise _wrong(f"a reply of at most {_MOST_BYTES} bytes", "a longer one")


def _whole(text: str, line: bytes) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise _wrong("a whole number in a reply of Redis", repr(clip(line.decode("latin-1"), 100)))
    return int(text)


def _wrong(expected: str, found: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {found}", phase="ttfb")
