"""A D-Bus of this machine: questions to who is on it, and what it tells by itself. jeepney, imported when first used,
reads and writes the messages; the connection is ours."""

# jeepney has no types of its own
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed

if TYPE_CHECKING:
    from jeepney import Message

SYSTEM_BUS = "/run/dbus/system_bus_socket"
CONNECT_S = 5.0
ANSWER_S = 10.0
_BUS, _BUS_AT = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_READ_BYTES = 65_536
Heard = Callable[[str, str, list[Any]], None]


class NoAnswer(CheckFailed):
    """It answered with an error; `name` is D-Bus's name for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__("protocol", message)
        self.name = name


class Bus:
    """One connection to a bus, over its Unix socket. `heard` gets every signal that was asked for: path, member, body.
    `lost` is called once when the bus hangs up."""

    def __init__(self, path: str, heard: Heard, lost: Callable[[], None]) -> None:
        self._path, self._heard, self._lost = path, heard, lost
        self._serials = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def open(self) -> bool:
        """Whether it can be asked."""
        return self._reading is not None and not self._reading.done()

    async def connect(self) -> None:
        """Come to the bus. Raises CheckFailed when there is none that takes us."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                await _sign_in(reader, self._writer)
        except TimeoutError:
            await self.close()
            raise CheckFailed("timeout", f"no D-Bus answers at {self._path} within {CONNECT_S:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            await self.close()
            why = clip(getattr(error, "strerror", None) or str(error) or "it hung up", 200)
            raise CheckFailed("connection_refused", f"the D-Bus at {self._path} cannot be used: {why}") from None
        except BaseException:
            await self.close()
            raise
        self._reading = asyncio.create_task(self._read(reader), name="dbus")
        await self.call(_BUS, _BUS_AT, f"{_BUS}.Hello")

    async def listen(self, rule: str) -> None:
        """Ask for the signals that fit a match rule."""
        await self.call(_BUS, _BUS_AT, f"{_BUS}.AddMatch", "s", rule)

    async def call(self, who: str, path: str, method: str, signature: str = "", *body: Any) -> list[Any]:
        """What a method gives, variants opened. `method` is interface and member: a.b.C.Do. Raises NoAnswer, CheckFailed."""
        from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call

        if self._writer is None or not self.open:
            raise CheckFailed("network", "the D-Bus is not connected")
        interface, _, member = method.rpartition(".")
        question = new_method_call(DBusAddress(path, who, interface), member, signature or None, body)
        serial = next(self._serials)
        waiting = self._asked[serial] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(question.serialise(serial))
            async with asyncio.timeout(ANSWER_S):
                await self._writer.drain()
                reply = await waiting
        except TimeoutError:
            raise CheckFailed("timeout", f"{who} does not answer {member} within {ANSWER_S:g} s") from None
        except OSError as error:
            raise CheckFailed("connection_reset", f"the D-Bus hung up: {clip(str(error), 100)}") from None
        finally:
            self._asked.pop(serial, None)
        if reply.header.message_type is MessageType.error:
            name = reply.header.fields.get(HeaderFields.error_name) or ""
            says = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise NoAnswer(name, clip(f"{member}: {says or name}", 200))
        return _body(reply)

    async def close(self) -> None:
        """Hang up."""
        self._leaving = True
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        self._writer = self._reading = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand on what comes, until the bus hangs up or says what is no D-Bus."""
        from jeepney import Parser

        parser, why = Parser(), "it hung up"
        try:
            while data := await reader.read(_READ_BYTES):
                for message in parser.feed(data):
                    self._take(message)
        except (OSError, ValueError, TypeError, LookupError, struct.error) as error:
            why = str(error) or type(error).__name__
        finally:
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError(why))
        if not self._leaving:
            self._lost()

    def _take(self, message: Message) -> None:
        from jeepney import HeaderFields, MessageType

        fields, kind = message.header.fields, message.header.message_type
        if kind is MessageType.signal:
            self._heard(fields.get(HeaderFields.path, ""), fields.get(HeaderFields.member, ""), _body(message))
        elif kind in (MessageType.method_return, MessageType.error):
            waiting = self._asked.get(fields.get(HeaderFields.reply_serial, 0))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)


async def _sign_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say who we are, as the kernel vouches for. Raises OSError, EOFError, ValueError."""
    from jeepney.auth import BEGIN, Authenticator

    talk = Authenticator()
    for line in talk:
        writer.write(line)
        await writer.drain()
        said = await reader.read(1024)
        if not said:
            raise EOFError("it hung up")
        talk.feed(said)
    writer.write(BEGIN)
    await writer.drain()


def _body(message: Message) -> list[Any]:
    """What a message carries, variants opened: structures as tuples."""
    from jeepney import HeaderFields
    from jeepney.low_level import parse_signature

    signature = message.header.fields.get(HeaderFields.signature, "")
    return list(_opened(parse_signature(list(f"({signature})")), message.body)) if signature else []


def _opened(kind: Any, value: Any) -> Any:
    from jeepney.low_level import Array, Struct, Variant, parse_signature

    if isinstance(kind, Variant):
        signature, inner = value
        return _opened(parse_signature(list(signature)), inner)
    if isinstance(kind, Struct):
        return tuple(_opened(field, part) for field, part in zip(kind.fields, value, strict=True))
    if isinstance(kind, Array) and isinstance(value, dict):
        return {key: _opened(kind.elt_type.fields[1], part) for key, part in value.items()}
    if isinstance(kind, Array) and isinstance(value, list):
        return [_opened(kind.elt_type, part) for part in value]
    return value
