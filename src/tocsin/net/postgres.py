"""PostgreSQL's protocol, version 3, as far as a look at a server takes it: sign-in, one statement at a time, goodbye.

https://www.postgresql.org/docs/current/protocol.html"""

from __future__ import annotations

import hashlib
import time
from typing import Any

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed
from tocsin.net import clear, scram
from tocsin.net.connect import Connection
from tocsin.net.sql import LARGEST, MOST_BYTES, MOST_MESSAGES, MOST_ROWS, Rows

_VERSION_3 = 196_608
_KINDS = b"123ACDEGHIKNRSTVWZcdnstv"  # what a server may send
_AT_ANY_TIME = b"NA"  # notices and notifications
_SCRAM = "SCRAM-SHA-256"


class Refused(CheckFailed):
    """The server's own error; its text is short and fit to be shown. `fatal`: the session ends with it."""

    def __init__(self, severity: str, code: str, message: str) -> None:
        super().__init__("protocol", clip(f"{severity} {code}: {message}", 200), phase="ttfb")
        self.code, self.fatal = code, severity in ("FATAL", "PANIC")


class Session:
    """A conversation with a server; `parameters` are what it told about itself, `ttfb_ms` how soon it first spoke."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bytes = self._messages = 0
        self._began = time.perf_counter()
        self.parameters: dict[str, str] = {}
        self.ttfb_ms: float | None = None

    async def sign_in(self, user: str, database: str | None, password: str | None) -> None:
        """Start the session. CheckFailed (protocol) when the server does not let the user in."""
        wanted = {"user": user, "database": database or user, "application_name": "tocsin", "client_encoding": "UTF8"}
        body = b"".join(_text(name) + _text(value) for name, value in wanted.items()) + b"\0"
        await self._send(b"", _VERSION_3.to_bytes(4, "big") + body)
        try:
            await self._prove(user, password)
            while (await self._message())[0] != b"Z":
                pass
        except Refused as error:
            why = "did not let the user in" if error.code.startswith("28") else "refused the session"
            raise CheckFailed("protocol", f"the server {why}: {error}", phase="ttfb") from None

    async def _prove(self, user: str, password: str | None) -> None:
        """Go through the way to sign in that the server asks for, up to its AuthenticationOk."""
        code, rest = await self._asked()
        if code == 0:
            return
        if code not in (3, 5, 10):
            raise _wrong(
                "a password to be asked for (clear, MD5 or SCRAM)", f"a way to sign in that is not spoken: {code}"
            )
        if password is None:
            raise CheckFailed("protocol", "the server asks for a password, and none is given", phase="ttfb")
        if code == 3:
            clear.guard(self._connection)
            await self._send(b"p", _text(password))
        elif code == 5:
            inner = _md5(password.encode() + user.encode()).encode()
            await self._send(b"p", _text("md5" + _md5(inner + rest[:4])))
        else:
            await self._scram(password, rest)
        if (await self._asked())[0] != 0:
            raise _wrong("the end of the sign-in", "another question")

    async def _scram(self, password: str, offered: bytes) -> None:
        if _SCRAM.encode() not in offered.split(b"\0"):
            raise _wrong(f"{_SCRAM} to be offered", repr(clip(offered.decode("latin-1"), 100)))
        expected = 11

        async def say(message: str) -> str:
            nonlocal expected
            raw = message.encode()
            first = _text(_SCRAM) + len(raw).to_bytes(4, "big") if expected == 11 else b""
            await self._send(b"p", first + raw)
            code, rest = await self._asked()
            if code != expected:
                raise _wrong("a message of SCRAM", f"one of kind {code}")
            expected += 1
            return rest.decode("utf-8", "replace")

        await scram.converse(say, "", password)  # the name stands in the start-up message

    async def _asked(self) -> tuple[int, bytes]:
        """The next authentication message: its code and what comes with it."""
        kind, body = await self._message()
        while kind == b"v":  # a minor version was asked for that the server does not know
            kind, body = await self._message()
        if kind != b"R" or len(body) < 4:
            raise _wrong("an authentication message", repr(clip(kind.decode("latin-1"))))
        return int.from_bytes(body[:4], "big"), body[4:]

    async def run(self, script: str) -> None:
        """Statements of ours that give no rows. Raises Refused."""
        self._bytes = self._messages = 0
        await self._send(b"Q", _text(script))
        await self._until_ready()

    async def query(self, statement: str) -> Rows:
        """One statement: the server takes no second one in it, and stops after MOST_ROWS rows. Raises Refused."""
        self._bytes = self._messages = 0
        parse = _framed(b"P", b"\0" + _text(statement) + b"\0\0")
        bind = _framed(b"B", b"\0\0" + bytes(6))
        execute = _framed(b"E", b"\0" + MOST_ROWS.to_bytes(4, "big"))
        await self._connection.write(parse + bind + execute + _framed(b"S", b""))
        return await self._until_ready()

    async def _until_ready(self) -> Rows:
        count, first, refused = 0, None, None
        while True:
            try:
                kind, body = await self._message()
            except Refused as error:
                if error.fatal:
                    raise
                refused = refused or error
                continue
            if kind in b"GHW":
                raise _wrong("rows", "COPY, which is not spoken")
            if kind == b"D":
                first = _first_column(body) if count == 0 else first
                count += 1
                if count > MOST_ROWS:
                    raise _wrong(f"at most {MOST_ROWS} rows", "more than were asked for")
            elif kind == b"Z":
                if refused is not None:
                    raise refused
                return Rows(count, first)

    async def leave(self) -> None:
        """Say goodbye; nothing is answered to it."""
        await self._send(b"X", b"")

    async def _message(self) -> tuple[bytes, bytes]:
        """The next message that is not for any time; raises Refused for an error."""
        while True:
            head = await self._connection.read(5)
            if self.ttfb_ms is None:
                self.ttfb_ms = (time.perf_counter() - self._began) * 1000
            kind, size = head[:1], int.from_bytes(head[1:], "big") - 4
            self._bytes, self._messages = self._bytes + size, self._messages + 1
            if kind not in _KINDS or not 0 <= size <= LARGEST:
                raise _wrong("a message of PostgreSQL", repr(clip(head.decode("latin-1"))))
            if self._bytes > MOST_BYTES or self._messages > MOST_MESSAGES:
                raise _wrong("an answer of usual size", "an endless one")
            body = await self._connection.read(size)
            if kind == b"S":
                name, _, value = body.decode("utf-8", "replace").partition("\0")
                if len(self.parameters) < 100:
                    self.parameters[name] = value.rstrip("\0")
            elif kind == b"E":
                raise _refused(body)
            elif kind not in _AT_ANY_TIME:
                return kind, body

    async def _send(self, kind: bytes, body: bytes) -> None:
        await self._connection.write(_framed(kind, body))


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _first_column(body: bytes) -> str | None:
    columns, size = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:6], "big", signed=True)
    if columns == 0 or size == -1:
        return None
    if len(body) < 6 or not 0 <= size <= len(body) - 6:
        raise _wrong("a row", "one that is cut short")
    return body[6 : 6 + size].decode("utf-8", "replace")


def _refused(body: bytes) -> Refused:
    fields: dict[str, Any] = {p[:1]: p[1:] for p in body.decode("utf-8", "replace").split("\0")[:30]}
    severity = fields.get("V") or fields.get("S") or "ERROR"  # V is S in English, from version 9.6 on
    return Refused(severity, fields.get("C", ""), fields.get("M", "an error without words"))


def _wrong(expected: str, found: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {found}", phase="ttfb")
