"""Threads for libraries that connect by themselves: every connection they make is asked for before it is made.

The interpreter tells of what its own code is about to do by audit events (PEP 578), and what a hook raises stops it. So in
these threads, and in no others, each address is judged by the guard just before a socket goes there; and files other than
the libraries' own, programs, other threads and the system's log are out of reach. What a library does in C by itself
(not through Python's sockets) is not seen: kinds that would are refused by name where they are used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tocsin.errors import EgressRefused
from tocsin.net.egress import Egress

T = TypeVar("T")

_ROOMS = 4
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate", "shutil.", "sqlite3.",
    "tempfile.", "syslog.", "webbrowser.", "_thread.start_new_thread", "socket.sethostname",
)  # fmt: skip


class _Watch:
    """What one thread may do, and the first thing that it was not let do."""

    def __init__(self, egress: Egress) -> None:
        self.egress, self.refused, self.looking = egress, "", False


_watched: dict[int, _Watch] = {}
"""The threads that are watched, by their number. Every event of the process looks here, so the look is a cheap one."""


class Guarded:
    """Runs work of such libraries in threads, few at a time. A thread cannot be ended from outside: one that outlasts its
    deadline is left behind, and keeps its room until it ends."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._rooms = asyncio.Semaphore(_ROOMS)
        self._hooked = False

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns. Raises EgressRefused when it tried what it may not, whatever it made of that; else what
        it raises."""
        await self._rooms.acquire()
        if not self._hooked:
            self._hooked = True
            _install()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()
        watch = _Watch(self._egress)

        def settle(result: T | None, error: BaseException | None) -> None:
            self._rooms.release()
            if ended.cancelled():
                return
            if watch.refused:
                ended.set_exception(EgressRefused(watch.refused))
            elif error is not None:
                ended.set_exception(error)
            else:
                ended.set_result(cast("T", result))

        def thread() -> None:
            number = threading.get_ident()
            _watched[number] = watch
            result: T | None = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as trouble:  # noqa: BLE001 (it is raised in the loop, where somebody waits for it)
                error = trouble
            del _watched[number]
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=thread, name="guarded", daemon=True).start()
        return await ended


_installed = threading.Event()


def _install() -> None:
    """Listen to the interpreter's events, once in a process: a hook cannot be taken away again."""
    if not _installed.is_set():
        _installed.set()
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    watch = _watched.get(threading.get_ident())
    if watch is None or watch.looking:
        return
    watch.looking = True  # what the guard itself does is no business of the guard's
    try:
        why = _why_not(event, args, watch.egress)
    finally:
        watch.looking = False
    if why:
        watch.refused = watch.refused or why
        raise PermissionError(why)


def _why_not(event: str, args: tuple[Any, ...], egress: Egress) -> str:
    """Why this may not be done here, or nothing."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return _no_way(args[1], egress)
    if event == "socket.getaddrinfo":
        return _no_name(args[0], egress)
    if event == "socket.bind":
        listens = isinstance(args[1], tuple) and cast("tuple[Any, ...]", args[1])[1:2] != (0,)
        return "it would listen at a port, which a channel may not" if listens else ""
    if event == "open":
        return _no_file(*args[:3])
    return f"it would do {event}, which a channel may not" if event.startswith(_FORBIDDEN) else ""


def _no_way(address: Any, egress: Egress) -> str:
    if address is None:  # a socket that is connected already
        return ""
    if not isinstance(address, tuple):
        return "it would talk to a program of this machine, which a channel may not"
    host, port = (str(part) for part in cast("tuple[Any, ...]", address)[:2])
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"it would contact {host[:80]!r} without looking up its address first, so nobody could judge it"
    try:
        egress.check(host, int(port))
    except EgressRefused as refused:
        return str(refused)
    return ""


def _no_name(host: Any, egress: Egress) -> str:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    try:
        egress.check_name(name)
    except EgressRefused as refused:
        return str(refused)
    return ""


def _no_file(path: Any, mode: Any, flags: Any) -> str:
    if isinstance(path, int):
        return ""
    writes = (
        any(c in mode for c in "wax+") if isinstance(mode, str) else isinstance(flags, int) and bool(flags & _WRITES)
    )
    real = os.path.realpath(os.fsdecode(path))
    if real.startswith(_readable()) and (not writes or f"{os.sep}__pycache__{os.sep}" in real):
        return ""
    return "it would open a file of this machine, which a channel may not"


def _readable() -> tuple[str, ...]:
    """Where the libraries themselves lie, and what they ask of the system."""
    paths = sysconfig.get_paths()
    own = {os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    system = ("/etc/mime.types", "/etc/ssl/", "/etc/pki/", "/usr/share/ca-certificates/", "/usr/share/zoneinfo/")
    return (*own, *system, "/etc/resolv.conf", "/etc/hosts", "/etc/localtime", "/dev/urandom", "/dev/null")
