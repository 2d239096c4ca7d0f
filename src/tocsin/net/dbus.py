"""A D-Bus of this machine: questions to who is on it, and what it tells by itself. dbus-fast, imported when first used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed

if TYPE_CHECKING:
    from dbus_fast import Message

SYSTEM_BUS = "/run/dbus/system_bus_socket"
CONNECT_S = 5.0
ANSWER_S = 10.0
_BUS = "org.freedesktop.DBus"
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
        self._bus: Any = None
        self._ending: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def open(self) -> bool:
        """Whether it can be asked."""
        return self._bus is not None and self._bus.connected

    async def connect(self) -> None:
        """Come to the bus. Raises CheckFailed when there is none that takes us."""
        from dbus_fast import AuthError, InvalidAddressError
        from dbus_fast.aio import MessageBus

        quoted = "".join(c if c.isalnum() or c in "-_/." else f"%{ord(c):02x}" for c in self._path)
        try:
            async with asyncio.timeout(CONNECT_S):
                bus = MessageBus(bus_address=f"unix:path={quoted}")
                self._bus = await bus.connect()
        except TimeoutError:
            raise CheckFailed("timeout", f"no D-Bus answers at {self._path} within {CONNECT_S:g} s") from None
        except (OSError, EOFError, AuthError, InvalidAddressError) as error:
            why = clip(getattr(error, "strerror", None) or str(error) or "it hung up", 200)
            raise CheckFailed("connection_refused", f"the D-Bus at {self._path} cannot be used: {why}") from None
        self._bus.add_message_handler(self._signal)
        self._ending = asyncio.create_task(self._wait(), name="dbus")

    async def listen(self, rule: str) -> None:
        """Ask for the signals that fit a match rule."""
        await self.call(_BUS, "/org/freedesktop/DBus", f"{_BUS}.AddMatch", "s", rule)

    async def call(self, who: str, path: str, method: str, signature: str = "", *body: Any) -> list[Any]:
        """What a method gives, variants opened. `method` is interface and member: a.b.C.Do. Raises NoAnswer, CheckFailed."""
        from dbus_fast import Message, MessageType
        from dbus_fast.unpack import unpack_variants

        if self._bus is None:
            raise CheckFailed("network", "the D-Bus is not connected")
        interface, _, member = method.rpartition(".")
        question = Message(
            destination=who, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                reply: Message | None = await self._bus.call(question)
        except TimeoutError:
            raise CheckFailed("timeout", f"{who} does not answer {member} within {ANSWER_S:g} s") from None
        except (OSError, EOFError) as error:
            raise CheckFailed("connection_reset", f"the D-Bus hung up: {clip(str(error), 100)}") from None
        if reply is None:
            raise CheckFailed("connection_reset", "the D-Bus hung up")
        if reply.message_type is MessageType.ERROR:
            says = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise NoAnswer(reply.error_name or "", clip(f"{member}: {says or reply.error_name}", 200))
        answer: list[Any] = unpack_variants(reply.body)
        return answer

    async def close(self) -> None:
        """Hang up."""
        self._leaving = True
        if self._bus is not None:
            self._bus.disconnect()
        if self._ending is not None:
            await asyncio.wait({self._ending}, timeout=1.0)
            self._ending.cancel()
        self._bus = self._ending = None

    async def _wait(self) -> None:
        with suppress(OSError, EOFError):
            await self._bus.wait_for_disconnect()
        if not self._leaving:
            self._lost()

    def _signal(self, message: Message) -> None:
        from dbus_fast import MessageType
        from dbus_fast.unpack import unpack_variants

        if message.message_type is MessageType.SIGNAL:
            self._heard(message.path or "", message.member or "", unpack_variants(message.body))
