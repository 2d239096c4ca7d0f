"""libcurl in a thread of its own: many transfers at once over our own epoll loop, results handed back in batches.

Never driven by asyncio (its callbacks would stand in the way of the timings) and never by CurlMulti.select (which
cannot be woken and spins above 1,023 descriptors).

Many orders at once are begun little by little: what has arrived for those under way comes first in every turn, so that
no answer lies unread, and no handshake unanswered, behind hundreds of beginnings. The wait is told apart from the target's
time (`Transfer.begun`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import Any

import pycurl

from tocsin.errors import CheckInvalid
from tocsin.net.shortage import shortage_now
from tocsin.net.transfer import FLOODED, Transfer, TransferPool

_WAKE = b"\1" * 8
_LONGEST_WAIT_S = 60.0
_HAND_OVER_S = 0.01  # results go to the event loop at most so often: to wake it costs as much as a check
_LOOK_S = 0.25  # how often running transfers are looked at for floods
_READY_AT_ONCE = 256  # sockets looked at in one turn,
_SERVE_S = 0.005  # and how long they are served in it
_BEGIN_AT_ONCE = 32  # orders begun in one turn,
_HANDSHAKE = 2  # of which one with TLS counts for so many: it takes the processor ten times as long
_BUSY = 0.7  # the share of its time that the thread may work while there are orders to begin
_AHEAD = 2.0  # what was begun comes back with an answer, and that takes so many times as long as to begin it
_MOST_DEBT_S = 0.1  # a machine that stood still is not to make them wait longer still
_EPOLL_OF = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


def _mask(events: int) -> int:
    """What libcurl calls these epoll events."""
    return (
        (pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0)
        | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
        | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0)
    )


_MASK_OF = {events: _mask(events) for events in range(32)}


class Multi:
    """The thread. `run` is called in the event loop and awaits the end of one transfer."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._wake = -1
        self._woken = False
        self._calling = False
        self._stopping = False
        self._orders: deque[Transfer] = deque()
        self._done: deque[Transfer] = deque()
        self._delivering = False
        self._broken = False

    async def run(self, transfer: Transfer) -> Transfer:
        """Carry out one transfer: its result is in it. When the caller is cancelled, so is the transfer."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._broken:
            loop = asyncio.get_running_loop()
            self._begin(loop)
        transfer.future = loop.create_future()
        self._order(transfer, loop)
        try:
            await transfer.future
        except asyncio.CancelledError:
            transfer.cancelled = True
            self._order(transfer, loop)
            raise
        return transfer

    def _order(self, transfer: Transfer, loop: asyncio.AbstractEventLoop) -> None:
        """Leave it to the thread, which is woken once for all that is ordered in this turn of the loop."""
        self._orders.append(transfer)
        if not self._calling:
            self._calling = True
            loop.call_soon(self._call)

    def _call(self) -> None:
        self._calling = False
        if self._thread is not None:
            self._rouse()

    def close(self) -> None:
        """End the thread and every transfer in it."""
        if self._thread is None:
            return
        self._stopping = True
        self._woken = False
        self._rouse()
        self._thread.join()
        os.close(self._wake)
        self._thread = self._loop = None
        for transfer in self._orders:
            transfer.give_up("the HTTP engine was closed")
        self._done.extend(self._orders)
        self._orders.clear()
        with contextlib.suppress(RuntimeError):  # another, closed loop: nobody waits there any more
            self._deliver()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self.close()
        wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            engine = _Engine(wake)
        except BaseException:  # nothing is left behind, so that the next one begins anew
            os.close(wake)
            raise
        self._loop, self._wake = loop, wake
        self._stopping = self._woken = self._calling = self._delivering = self._broken = False
        self._thread = threading.Thread(target=self._live, args=(loop, engine), name="http", daemon=True)
        self._thread.start()

    def _rouse(self) -> None:
        """Wake the thread, unless it already was and has not looked yet."""
        if not self._woken:
            self._woken = True
            os.eventfd_write(self._wake, 1)

    def _deliver(self) -> None:
        """In the event loop: hand over everything that is done."""
        self._delivering = False
        while self._done:
            transfer = self._done.popleft()
            future = transfer.future
            if future is not None and not future.done():
                future.set_result(None)

    def _live(self, loop: asyncio.AbstractEventLoop, engine: _Engine) -> None:
        try:
            while not self._stopping:
                if engine.wait():
                    os.eventfd_read(self._wake)
                    self._woken = False
                    while self._orders:
                        engine.take(self._orders.popleft())
                engine.turn()
                if done := engine.due():
                    self._done.extend(done)
                    if not self._delivering:
                        self._delivering = True
                        loop.call_soon_threadsafe(self._deliver)
        except Exception:
            if not loop.is_closed():
                from tocsin.telemetry import logger  # the log is heavier than all of this

                log = logger(__name__)
                log.exception("http.engine_broken")
        finally:
            self._broken = not self._stopping
            self._done.extend(engine.end())
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._deliver)


def _new_multi() -> Any:
    """A multi handle. Raises CheckInvalid when this machine is too short of something for it."""
    try:
        return pycurl.CurlMulti()
    except pycurl.error as error:
        raise shortage_now() or CheckInvalid(f"the HTTP engine could not start: {error}") from None


class _Engine:
    """What lives in the thread only: the multi handle, its sockets in epoll, its one timer."""

    def __init__(self, wake: int) -> None:
        self._wake = wake
        self._multi = _new_multi()
        self._epoll = select.epoll()
        self._epoll.register(wake, select.EPOLLIN)
        self._watched: dict[int, int] = {}  # a socket, and how often libcurl was called for it
        self._timer_at: float | None = None
        self._look_at = 0.0
        self._paid_at = time.monotonic()
        self._debt_s = 0.0  # time of work that is not paid for yet with time that went by
        self._waiting: deque[Transfer] = deque()
        self._ready: list[tuple[int, int]] = []
        self._pool = TransferPool()
        self._running: dict[Any, Transfer] = {}
        self._ended: list[Transfer] = []
        self._hand_over_at = 0.0
        self._alive = 0
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)

    def wait(self) -> bool:
        """Sleep until something happens; whether there are new orders."""
        timeout = _LONGEST_WAIT_S if not self._running else _LOOK_S
        if self._waiting:
            timeout = min(timeout, self._debt_s / _BUSY)
        if self._timer_at is not None:
            timeout = min(timeout, max(0.0, self._timer_at - time.monotonic()))
        if self._ended:
            timeout = min(timeout, max(0.0, self._hand_over_at - time.monotonic()))
        self._ready = self._epoll.poll(timeout, _READY_AT_ONCE)
        return any(fd == self._wake for fd, _ in self._ready)

    def take(self, transfer: Transfer) -> None:
        """Put a transfer in the line of those to begin, or stop it when it was cancelled."""
        if not transfer.cancelled:
            self._waiting.append(transfer)
        elif transfer.handle in self._running:
            self._multi.remove_handle(transfer.handle)
            self._forget(transfer)

    def _begin(self) -> None:
        """Begin as many of the waiting transfers as one turn may."""
        budget = _BEGIN_AT_ONCE
        while self._waiting and budget > 0:
            transfer = self._waiting.popleft()
            if transfer.cancelled:
                continue
            transfer.begun = time.monotonic()
            try:
                handle = transfer.handle = self._pool.get(transfer)
            except Exception as error:  # noqa: BLE001 - an option libcurl refuses is this transfer's trouble alone
                transfer.give_up(f"{type(error).__name__}: {error}")
                self._ended.append(transfer)
                continue
            self._running[handle] = transfer
            self._multi.add_handle(handle)
            self._alive += 1
            budget -= _HANDSHAKE if transfer.url.scheme == "https" else 1

    def due(self) -> list[Transfer]:
        """The transfers that ended, when it is time to hand them over: at once after a while without any."""
        now = time.monotonic()
        if not self._ended or now < self._hand_over_at:
            return []
        ended, self._ended = self._ended, []
        self._hand_over_at = now + _HAND_OVER_S
        return ended

    def turn(self) -> None:
        """Let libcurl work on what is ready, and begin some of what waits."""
        act = self._multi.socket_action
        began = time.monotonic()
        self._debt_s = max(0.0, self._debt_s - (began - self._paid_at) * _BUSY)
        self._paid_at = began
        alive = self._alive
        watched = self._watched
        if (
            len(self._ready) > 1
        ):  # those furthest on come first: answers before handshakes, handshakes before connections
            self._ready.sort(key=lambda ready: -watched.get(ready[0], 0))
        for fd, events in self._ready:
            if fd in watched:
                mask = _MASK_OF.get(events)
                watched[fd] += 1
                alive = act(fd, _mask(events) if mask is None else mask)[1]
                if time.monotonic() - began > _SERVE_S:
                    break  # what is left is still ready next time, behind answers that came meanwhile
            elif fd != self._wake:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(fd)
        now = time.monotonic()
        if self._waiting and not self._debt_s:
            self._begin()
            alive = act(pycurl.SOCKET_TIMEOUT, 0)[1]
            self._debt_s += (time.monotonic() - now) * _AHEAD
        elif self._timer_at is not None and self._timer_at <= now:
            alive = act(pycurl.SOCKET_TIMEOUT, 0)[1]
        if alive != self._alive:
            self._collect()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._end_floods()
        left_ms = self._multi.timeout()
        now = time.monotonic()
        self._timer_at = None if left_ms < 0 else now + left_ms / 1000
        self._debt_s = min(_MOST_DEBT_S, self._debt_s + now - began)

    def _collect(self) -> None:
        more = 1
        while more:
            more, fine, failed = self._multi.info_read()
            for handle, code, text in [(h, 0, "") for h in fine] + list(failed):
                self._end(self._running[handle], code, text)

    def _end_floods(self) -> None:
        """End the transfers for which far more came than they may be long."""
        for transfer in [t for t in self._running.values() if t.is_flooded()]:
            self._end(transfer, pycurl.E_BAD_CONTENT_ENCODING, FLOODED)

    def _end(self, transfer: Transfer, code: int, text: str) -> None:
        transfer.finish(code, text)
        self._multi.remove_handle(transfer.handle)
        self._forget(transfer)
        self._ended.append(transfer)

    def _forget(self, transfer: Transfer) -> None:
        self._alive -= 1
        del self._running[transfer.handle]
        self._pool.put(transfer)

    def _on_socket(self, what: int, fd: int, *_: object) -> None:
        """libcurl wants to know of this socket. One it no longer wants, it mostly closes; epoll forgets that by itself;
        should it still speak, `turn` drops it. That saves two system calls a transfer."""
        if what == pycurl.POLL_REMOVE:
            self._watched.pop(fd, None)
            return
        events = _EPOLL_OF.get(what, 0)
        try:
            if fd in self._watched:
                self._epoll.modify(fd, events)
            else:
                self._watched[fd] = 0
                self._epoll.register(fd, events)
        except FileNotFoundError:  # closed, and the number given out again
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def end(self) -> list[Transfer]:
        """Let go of everything; the transfers that did not come to their end."""
        left = [*self._running.values(), *self._waiting]
        for transfer in left:
            if transfer.handle is not None:
                self._multi.remove_handle(transfer.handle)
                transfer.handle.close()
            transfer.give_up("the HTTP engine was closed")
        self._pool.close()
        self._multi.close()
        self._epoll.close()
        return self._ended + left
