"""Echo requests over one shared socket a family: raw, else datagram, else the `ping` program. It says which it was."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import shutil
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tocsin.errors import CheckInvalid
from tocsin.net.connect import from_os_error
from tocsin.net.egress import Egress
from tocsin.net.resolve import Address
from tocsin.net.shortage import exhausted, shortage

Way = Literal["raw", "dgram", "ping"]
_REQUEST: dict[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY: dict[int, int] = {socket.AF_INET: 0, socket.AF_INET6: 129}
_UNREACHABLE: dict[int, int] = {socket.AF_INET: 3, socket.AF_INET6: 1}
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TOKEN = 8
_HEAD, _STAMP = struct.Struct("!BBHHH"), struct.Struct("@qq")


@dataclass(slots=True)
class Echoes:
    """What came back: round trips in ms (None for a packet without reply), by which way, and what a router said."""

    way: Way
    round_trips: list[float | None] = field(default_factory=list[float | None])
    unreachable: bool = False


@dataclass(slots=True)
class _Run:
    """The requests of one check: `left` are without an answer; `done` when none is, or the wait is over."""

    left: int
    done: asyncio.Future[None]

    def answered(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.end()

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class _Waiting:
    """One request on its way; `took_ms` of a reply, `refused` by a router; `open` until either."""

    token: bytes
    ip: str
    sent_at: float
    sent_ns: int
    run: _Run
    took_ms: float | None = None
    refused: bool = False

    @property
    def open(self) -> bool:
        return self.took_ms is None and not self.refused


class _Socket:
    """One shared socket, open while somebody waits on it."""

    def __init__(self, family: int, way: Way) -> None:
        kind = socket.SOCK_RAW if way == "raw" else socket.SOCK_DGRAM
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        self.sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        self.family = family
        self.way: Way = way
        self.users = 0
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.identity = secrets.randbits(16)
        self._sequence = secrets.randbits(16)
        self.waiting: dict[int, _Waiting] = {}
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.sock, self._receive)

    def close(self) -> None:
        self.loop.remove_reader(self.sock)
        self.sock.close()

    def send(self, ip: str, size: int, run: _Run) -> tuple[int, _Waiting]:
        """Send one echo request. Raises OSError, or CheckInvalid when 65,536 are in flight already."""
        for _ in range(65_536):
            self._sequence = (self._sequence + 1) & 0xFFFF
            if self._sequence not in self.waiting:
                break
        else:
            raise CheckInvalid("too many echo requests are in flight")
        token = secrets.token_bytes(_TOKEN)
        head = _HEAD.pack(_REQUEST[self.family], 0, 0, self.identity, self._sequence)
        if self.family == socket.AF_INET:
            head = _HEAD.pack(8, 0, _checksum(head + token), self.identity, self._sequence)
        waiting = _Waiting(token, ip, time.perf_counter(), time.time_ns(), run)
        self.waiting[self._sequence] = waiting
        try:
            self.sock.sendto(head + token + bytes(max(0, size - _TOKEN)), (ip, 0))
        except OSError:
            del self.waiting[self._sequence]
            raise
        return self._sequence, waiting

    def _receive(self) -> None:
        for _ in range(256):
            try:
                data, extra, _flags, sender = self.sock.recvmsg(2048, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # an error report for an earlier packet: that one simply gets no reply
            self._take(data, extra, str(sender[0]).partition("%")[0])

    def _take(self, data: bytes, extra: Sequence[tuple[int, int, bytes]], sender: str) -> None:
        if self.way == "raw" and self.family == socket.AF_INET:
            data = data[(data[0] & 0x0F) * 4 :] if data else b""
        if len(data) < 8:
            return
        kind, _, _, identity, sequence = _HEAD.unpack_from(data)
        if kind == _UNREACHABLE[self.family]:
            self._refuse(data[8:])
            return
        waiting = self.waiting.get(sequence)
        if kind != _REPLY[self.family] or waiting is None or not waiting.open:
            return
        mine = self.way == "dgram" or identity == self.identity
        if mine and data[8 : 8 + _TOKEN] == waiting.token and sender == waiting.ip:
            waiting.took_ms = _elapsed_ms(waiting, extra)
            waiting.run.answered()

    def _refuse(self, original: bytes) -> None:
        """A router or the host says that one of our requests did not arrive; its head comes along."""
        skip = (original[0] & 0x0F) * 4 if self.family == socket.AF_INET and original else 40
        if len(original) < skip + 8:
            return
        kind, _, _, identity, sequence = _HEAD.unpack_from(original, skip)
        waiting = self.waiting.get(sequence)
        if kind == _REQUEST[self.family] and identity == self.identity and waiting and waiting.open:
            waiting.refused = True
            waiting.run.answered()


def _elapsed_ms(waiting: _Waiting, extra: Sequence[tuple[int, int, bytes]]) -> float:
    """From sending to the kernel's receive stamp; by our own clock when there is no stamp or the wall clock jumped."""
    ours = (time.perf_counter() - waiting.sent_at) * 1000
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanos = _STAMP.unpack_from(data)
            kernel = (seconds * 1_000_000_000 + nanos - waiting.sent_ns) / 1e6
            if 0 < kernel <= ours:
                return kernel
    return ours


def _checksum(data: bytes) -> int:
    """Of a request's head and token: what follows are zeros, which add nothing."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Icmp:
    """Pings for everybody, through sockets that all pings of one family share. `ways` are tried in their order."""

    def __init__(self, egress: Egress, ways: Sequence[Way] = ("raw", "dgram", "ping")) -> None:
        self._egress, self._ways = egress, tuple(ways)
        self._sockets: dict[int, _Socket] = {}

    async def ping(self, address: Address, *, count: int, spacing_s: float, wait_s: float, size: int) -> Echoes:
        """Send `count` requests `spacing_s` apart and wait at most `wait_s` after the last. Raises EgressRefused,
        CheckFailed (network) when no packet can be sent, CheckInvalid when this machine has no way to ping."""
        self._egress.check(address.ip, 0)
        shared = self._open(address.family)
        if shared is None:
            if "ping" in self._ways and (program := shutil.which("ping")):
                return await _by_program(program, address, count, spacing_s, wait_s, size)
            raise CheckInvalid("this machine lets us open no ICMP socket and has no ping program")
        shared.users += 1
        sent: dict[int, _Waiting] = {}
        run, timer = _Run(count, shared.loop.create_future()), None
        try:
            for i in range(count):
                if i:
                    await asyncio.sleep(spacing_s)
                sequence, waiting = shared.send(address.ip, size, run)
                sent[sequence] = waiting
            timer = shared.loop.call_later(wait_s, run.end)
            await run.done
            return Echoes(
                shared.way, [w.took_ms for w in sent.values()], unreachable=any(w.refused for w in sent.values())
            )
        except OSError as error:
            raise from_os_error(error, "send", address.ip) from None
        finally:
            if timer is not None:
                timer.cancel()
            for sequence in sent:
                shared.waiting.pop(sequence, None)
            shared.users -= 1
            if shared.users == 0:
                self._sockets.pop(address.family, None)
                shared.close()

    def _open(self, family: int) -> _Socket | None:
        known = self._sockets.get(family)
        if known is not None:
            return known
        for way in self._ways:
            if way != "ping":
                try:
                    made = self._sockets[family] = _Socket(family, way)
                except OSError as error:
                    if exhausted(error) and (ours := shortage(error)) is not None:
                        raise ours from None
                    continue
                return made
        return None


async def _by_program(program: str, address: Address, count: int, spacing_s: float, wait_s: float, size: int) -> Echoes:
    """The same by the system's `ping` (iputils or busybox), whose output has one "time=… ms" a reply."""
    words = [program, "-n", "-c", str(count), "-i", f"{max(0.2, spacing_s):g}", "-W", str(max(1, math.ceil(wait_s)))]
    words += ["-s", str(size), "-4" if address.family == socket.AF_INET else "-6", address.ip]
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, problem = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    times = times_in(out, count)
    if process.returncode not in (0, 1):
        raise CheckInvalid(f"ping could not run: {problem.decode('utf-8', 'replace').strip()[:200]}")
    lost: list[float | None] = [None] * (count - len(times))
    return Echoes("ping", [*times, *lost], unreachable=not times and b"nreachable" in out)


def times_in(printed: bytes, count: int) -> list[float]:
    """The round trips in ms, `count` at most, that a ping program has printed."""
    return [float(t) for t in re.findall(rb"time[=<]([0-9]{1,9}(?:\.[0-9]{1,9})?) ?ms", printed)[:count]]
