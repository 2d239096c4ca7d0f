"""From names to addresses: IDNA, odd numeric forms, the system's resolver in threads, a short cache, the guard."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused
from tocsin.net.egress import Egress
from tocsin.net.progress import progress
from tocsin.net.shortage import shortage, shortage_now

TTL_S = 30.0
NEGATIVE_TTL_S = 3.0
_MEMORY = 10_000  # names kept; forgotten all at once when full
_THREADS = 16


_Answer = list[tuple[str, int]] | CheckFailed | CheckInvalid


class Address(Struct, frozen=True):
    """Where to connect: an IP address that passed the guard, a port, and the socket family."""

    ip: str
    port: int
    family: int


def _dns(message: str) -> CheckFailed:
    return CheckFailed("dns", message, phase="dns")


@functools.lru_cache(4096)
def ascii_host(host: str) -> str:
    """The host as it goes on the wire: lower case, IDNA-encoded, IPv6 without brackets, odd IPv4 forms made plain.

    Raises CheckFailed (dns) for what cannot be a host name."""
    name = host.strip().removeprefix("[").removesuffix("]")
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError as error:
            raise _dns(f"{host[:100]!r} is not a host name: {error}") from None
    name = name.lower()
    if ":" in name:
        try:
            return str(ipaddress.IPv6Address(name))
        except ValueError:
            raise _dns(f"{host[:100]!r} is not a host name") from None
    labels = name.removesuffix(".").split(".")
    fine = all(0 < len(label) <= 63 and all(c.isalnum() or c in "-_" for c in label) for label in labels)
    if not fine or len(name) > 253:
        raise _dns(f"{host[:100]!r} is not a host name")
    if labels[-1][0].isdigit():  # no name ends so: 127.1, 0x7f.1, 2130706433, 017700000001
        try:
            return socket.inet_ntoa(socket.inet_aton(name.removesuffix(".")))
        except OSError:
            return name
    return name


def is_host(text: str) -> bool:
    """Whether it can be a host name or an address at all."""
    try:
        ascii_host(text)
    except CheckFailed:
        return False
    return True


@functools.lru_cache(4096)
def family_of(host: str) -> int | None:
    """The socket family of an IP literal, None for a name."""
    try:
        return socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    except ValueError:
        return None


@functools.lru_cache(4096)
def _literal(host: str, port: int) -> Address | None:
    """Where a host that is an address as it stands is; None for any other."""
    family = family_of(host)
    return None if family is None or ascii_host(host) != host else Address(host, port, family)


class _Lookup:
    """One name being asked for; everybody who wants it awaits the same future."""

    __slots__ = ("answer", "name", "started")

    def __init__(self, name: str, answer: asyncio.Future[_Answer]) -> None:
        self.name = name
        self.answer = answer
        self.started = False


class Resolver:
    """The system's resolver, asked in a few daemon threads, with a cache of at most 30 s in front of it."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._cache: dict[str, tuple[float, _Answer]] = {}
        self._running: dict[str, _Lookup] = {}
        self._queue: queue.SimpleQueue[tuple[_Lookup, asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0

    async def resolve(
        self, host: str, port: int, *, ip_version: int | None = None, pins: Sequence[str] = ()
    ) -> list[Address]:
        """The addresses of `host`, in the order to try them, every one allowed by the guard.

        Addresses that the guard refuses refuse the whole name: which one we would get must not be left to luck.
        Raises CheckFailed (dns), EgressRefused, or CheckInvalid when this machine is too short of something to ask."""
        plain = _literal(host, port) if not pins else None
        if plain is not None and ip_version is None:
            self._egress.check(plain.ip, port)
            return [plain]
        name = ascii_host(host)
        self._egress.check_name(name)
        found = _pinned(pins, name, port)
        if found is None:
            family = family_of(name)
            found = [(name, family)] if family is not None else await self._ask(name)
        if ip_version is not None:
            wanted = socket.AF_INET if ip_version == 4 else socket.AF_INET6
            found = [pair for pair in found if pair[1] == wanted]
            if not found:
                raise _dns(f"{name} has no IPv{ip_version} address")
        for ip, _ in found:
            try:
                self._egress.check(ip, port)
            except EgressRefused as refused:
                raise EgressRefused(f"{refused}" if ip == name else f"{name} is at {refused}") from None
        return [Address(ip, port, family) for ip, family in found]

    async def _ask(self, name: str) -> list[tuple[str, int]]:
        kept = self._cache.get(name)
        if kept is not None and kept[0] > time.monotonic():
            answer = kept[1]
        else:
            lookup = self._running.get(name) or self._start(name)
            here = progress()
            here.lookup = lookup
            answer = await asyncio.shield(lookup.answer)
            here.lookup = None
        if isinstance(answer, CheckFailed):
            raise CheckFailed(answer.type, answer.message, phase=answer.phase)
        if isinstance(answer, CheckInvalid):
            raise CheckInvalid(str(answer))
        return answer

    def _start(self, name: str) -> _Lookup:
        loop = asyncio.get_running_loop()
        lookup = self._running[name] = _Lookup(name, loop.create_future())
        self._queue.put((lookup, loop))
        if len(self._running) > self._threads and self._threads < _THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name=f"resolver-{self._threads}", daemon=True).start()
        return lookup

    def _work(self) -> None:
        """A thread's life: one name after the other until told to stop."""
        while (task := self._queue.get()) is not None:
            lookup, loop = task
            lookup.started = True
            answer = _system_lookup(lookup.name)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._answered, lookup, answer)

    def _answered(self, lookup: _Lookup, answer: _Answer) -> None:
        ttl = NEGATIVE_TTL_S if isinstance(answer, CheckFailed) else TTL_S
        if len(self._cache) >= _MEMORY:
            self._cache.clear()
        if not isinstance(answer, CheckInvalid):  # a shortage may be over the next moment
            self._cache[lookup.name] = (time.monotonic() + ttl, answer)
        self._running.pop(lookup.name, None)
        if not lookup.answer.done():
            lookup.answer.set_result(answer)

    def close(self) -> None:
        """Let the threads end once they have finished what they are at."""
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = 0


def _system_lookup(name: str) -> _Answer:
    """Ask the system; a failure is an answer too, unless this machine was too short of something to ask: then the system
    says "no such name" of any name. Runs in a thread."""
    answer = _looked_up(name)
    return (shortage_now() or answer) if isinstance(answer, CheckFailed) else answer


def _looked_up(name: str) -> _Answer:
    try:
        rows: list[Any] = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)):
            return _dns(f"{name}: no such name")
        if error.errno == socket.EAI_AGAIN:
            return _dns(f"{name}: the name server did not answer")
        if error.errno == socket.EAI_MEMORY:
            return shortage(errno.ENOMEM) or _dns(f"{name}: {error.strerror}")
        return _dns(f"{name}: {error.strerror}")
    except (OSError, UnicodeError) as error:
        ours = shortage(error) if isinstance(error, OSError) else None
        return ours or _dns(f"{name}: {error}")
    found = dict.fromkeys(
        (row[4][0].partition("%")[0], int(row[0])) for row in rows if row[0] in (socket.AF_INET, socket.AF_INET6)
    )
    return list(found) or _dns(f"{name}: no address")


def split_pin(pin: str) -> tuple[str, int, list[str]]:
    """The parts of `HOST:PORT:ADDRESS[,ADDRESS]` (IPv6 with or without brackets). Raises ValueError."""
    host, port, rest = pin.split(":", 2)
    addresses = [str(ipaddress.ip_address(a.strip().removeprefix("[").removesuffix("]"))) for a in rest.split(",")]
    if not host or not 0 < int(port) < 65536:
        raise ValueError(pin)
    return host.lower(), int(port), addresses


def _pinned(pins: Sequence[str], name: str, port: int) -> list[tuple[str, int]] | None:
    for pin in pins:
        try:
            host, at, addresses = split_pin(pin)
        except ValueError:
            raise _dns(f"{pin[:100]!r} is not HOST:PORT:ADDRESS") from None
        if at == port and host in (name, "*"):
            return [(ip, socket.AF_INET6 if ":" in ip else socket.AF_INET) for ip in addresses]
    return None
