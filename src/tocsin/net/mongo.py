"""MongoDB's protocol as far as a look at a server takes it: commands in OP_MSG, and sign-in by SCRAM.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/, and the OP_MSG and authentication pages of
https://github.com/mongodb/specifications. The documents in the messages are read by the `bson` of pymongo."""

from __future__ import annotations

import hashlib
import itertools
import struct
from typing import Any, cast

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, CheckInvalid
from tocsin.net import scram
from tocsin.net.connect import Connection

_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
_LARGEST = 256 * 1024
_CHECKSUM, _REQUIRED_BITS = 1, 0xFFFF
_NO_SUCH_COMMAND = 59


class Refused(CheckFailed):
    """The server's own error; its text is short and fit to be shown."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.code, name, words = (answer.get(n) for n in ("code", "codeName", "errmsg"))
        words = words if isinstance(words, str) else "an error without words"
        shown = f"{name}: {words}" if isinstance(name, str) else words
        super().__init__("protocol", clip(shown, 200), phase="ttfb")


class Session:
    """A conversation with a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._bson = _bson()

    async def hello(self, user: str | None, source: str) -> dict[str, Any]:
        """What the server tells about itself, and how `user` may sign in. Raises Refused."""
        about: dict[str, Any] = {"client": {"driver": {"name": "tocsin", "version": "1"}, "os": {"type": "Linux"}}}
        if user is not None:
            about["saslSupportedMechs"] = f"{source}.{user}"
        try:
            return await self.command("admin", {"hello": 1} | about)
        except Refused as error:
            if error.code != _NO_SUCH_COMMAND:
                raise
            return await self.command("admin", {"isMaster": 1} | about)  # its name before 4.4.2

    async def sign_in(self, user: str, password: str, source: str, ways: Any) -> None:
        """Prove the password by the best of the user's ways. CheckFailed (protocol) when the server does not let the
        user in. A server that names no ways is asked for the older one, as drivers do."""
        if isinstance(ways, list) and "SCRAM-SHA-256" in ways:
            way, algorithm, secret = "SCRAM-SHA-256", "sha256", password
        else:
            digest = hashlib.md5(f"{user}:mongo:{password}".encode(), usedforsecurity=False)
            way, algorithm, secret = "SCRAM-SHA-1", "sha1", digest.hexdigest()
        answer: dict[str, Any] = {}

        async def say(message: str) -> str:
            nonlocal answer
            answer = await self._told(source, way, answer, message.encode())
            return _payload(answer).decode("utf-8", "replace")

        try:
            await scram.converse(say, user, secret, algorithm)
            if answer.get("done") is not True:
                answer = await self._told(source, way, answer, b"")
        except Refused as error:
            raise CheckFailed("protocol", f"the server did not let the user in: {error}", phase="ttfb") from None
        if answer.get("done") is not True:
            raise _wrong("the end of the sign-in", "another question")

    async def _told(self, source: str, way: str, before: dict[str, Any], payload: bytes) -> dict[str, Any]:
        if not before:
            options = {"skipEmptyExchange": True}
            return await self.command(
                source, {"saslStart": 1, "mechanism": way, "payload": payload, "options": options}
            )
        number = before.get("conversationId")
        if not isinstance(number, int):
            raise _wrong("the number of a conversation", type(number).__name__)
        return await self.command(source, {"saslContinue": 1, "conversationId": number, "payload": payload})

    async def command(self, database: str, words: dict[str, Any]) -> dict[str, Any]:
        """The server's answer to a command. Raises Refused when it is not `ok`."""
        number = next(self._numbers)
        body = bytes(5) + self._bson.encode(words | {"$db": database})
        await self._connection.write(_HEADER.pack(_HEADER.size + len(body), number, 0, _OP_MSG) + body)
        answer = self._document(await self._message(number))
        if answer.get("ok") != 1:
            raise Refused(answer)
        return answer

    async def _message(self, number: int) -> bytes:
        """The document in the answer to the message of that number."""
        head = await self._connection.read(_HEADER.size)
        size, _, answers, code = _HEADER.unpack(head)
        if code != _OP_MSG or not _HEADER.size + 10 <= size <= _LARGEST:
            raise _wrong("a message of MongoDB", repr(clip(head.decode("latin-1"))))
        body = await self._connection.read(size - _HEADER.size)
        if answers != number:
            raise _wrong("the answer to our command", "one to another")
        flags = int.from_bytes(body[:4], "little")
        if flags & _REQUIRED_BITS & ~_CHECKSUM or body[4] != 0:
            raise _wrong("a message with one document", repr(clip(body[:5].hex())))
        return body[5:-4] if flags & _CHECKSUM else body[5:]

    def _document(self, raw: bytes) -> dict[str, Any]:
        from bson.codec_options import CodecOptions, DatetimeConversion

        options = cast("Any", CodecOptions)(
            datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
        )
        try:
            return self._bson.decode(raw, options)
        except self._bson.errors.BSONError as error:
            raise _wrong("a BSON document", f"something else: {clip(str(error), 100)}") from None


def _payload(answer: dict[str, Any]) -> bytes:
    payload = answer.get("payload")
    if not isinstance(payload, bytes):
        raise _wrong("bytes of SCRAM", type(payload).__name__)
    return payload


def _bson() -> Any:
    try:
        import bson
    except ImportError:
        raise CheckInvalid("checks of MongoDB need pymongo: pip install 'tocsin[mongodb]'") from None
    return bson


def _wrong(expected: str, found: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {found}", phase="ttfb")
