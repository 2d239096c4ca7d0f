"""A browser for one check: Chromium in processes of its own, behind our relay, within bounds, and gone afterwards.

The processes are a Python (tocsin.net.page, which speaks with Playwright), Playwright's driver and Chromium, all in one
session of their own that ends when the check does. The server itself takes in no more of them than one bounded answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, CheckInvalid
from tocsin.net.egress import Egress
from tocsin.net.local import Local
from tocsin.net.relay import Relay
from tocsin.net.resolve import Resolver

AT_ONCE = 2
MEMORY_MB = 1024
ANSWER = 2 << 20
_LOOK_S = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OFF = (
    "no browser is set up here: the operator names a Chromium in TOCSIN_BROWSER and installs tocsin[browser] beside it"
)


class Browser:
    """Opens browsers, two at once at most."""

    def __init__(self, resolver: Resolver, egress: Egress, local: Local) -> None:
        self._resolver, self._egress, self._local = resolver, egress, local
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self, order: dict[str, Any], within_s: float) -> tuple[dict[str, Any], Relay]:
        """What tocsin.net.page answers to an order (see there), and the relay that knows where the browser went.

        Raises CheckInvalid when there is no browser, it does not start or all places are taken, CheckFailed when the page
        takes more than it may."""
        if self._local.browser is None:
            raise CheckInvalid(_OFF)
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        try:
            async with asyncio.timeout(within_s / 2):
                await self._places.acquire()
        except TimeoutError:
            raise CheckInvalid(f"{AT_ONCE} browser checks were running all the time: there was no place") from None
        try:
            async with Relay(self._resolver, self._egress) as relay:
                order = order | {
                    "browser": str(self._local.browser),
                    "sandbox": self._local.browser_sandbox,
                    "proxy": relay.url,
                    "end": time.monotonic() + (end - loop.time()),
                    "within_s": within_s,
                }
                return await self._ask(order, end - loop.time()), relay
        finally:
            self._places.release()

    async def _ask(self, order: dict[str, Any], left_s: float) -> dict[str, Any]:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="tocsin-browser-")
        process: asyncio.subprocess.Process | None = None
        try:
            process = await _start(folder)
            watch = asyncio.create_task(_watch(process))
            try:
                async with asyncio.timeout(left_s + 0.5):
                    answer = await _exchange(process, json.dumps(order).encode())
            except TimeoutError:
                raise CheckInvalid(
                    "the browser did not come to its end in time: this machine may be too busy"
                ) from None
            finally:
                watch.cancel()
                told = await asyncio.gather(watch, return_exceptions=True)
            if told[0] is True:
                raise CheckFailed("protocol", f"the page needed more than {MEMORY_MB} MB of memory")
            return _read(answer)
        finally:
            if process is not None:
                await _end(process)
            await asyncio.to_thread(shutil.rmtree, folder, True)


async def _start(folder: str) -> asyncio.subprocess.Process:
    """The program that drives the browser. It sees nothing of our environment."""
    environment = {
        "PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "XDG_CONFIG_HOME": folder,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }  # fmt: skip
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "tocsin.net.page",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment, cwd=folder, start_new_session=True, limit=ANSWER,
        )  # fmt: skip
    except OSError as error:
        raise CheckInvalid(f"the browser could not be started: {error.strerror}") from None


async def _exchange(process: asyncio.subprocess.Process, order: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it ended before it read: its answer, or none, says why
        process.stdin.write(order + b"\n")
        await process.stdin.drain()
    try:
        return await process.stdout.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        raise CheckFailed("protocol", "the page made too much of itself to be told") from None


def _read(answer: bytes) -> dict[str, Any]:
    try:
        data: Any = json.loads(answer)
    except ValueError:
        raise CheckInvalid("the browser ended without an answer") from None
    if not isinstance(data, dict) or "fault" in data:
        given = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        raise CheckInvalid(clip(str(given.get("fault", "the browser gave no answer")), 300))
    return cast("dict[str, Any]", data)


async def _watch(process: asyncio.subprocess.Process) -> bool:
    """True once the browser needed too much memory and was ended for it."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if await asyncio.to_thread(_megabytes, process.pid) > MEMORY_MB:
            _kill(process.pid)
            return True


def _family(pid: int) -> list[int]:
    """The process and all that come from it."""
    found, ahead = list[int](), [pid]
    while ahead and len(found) < 1000:
        here = ahead.pop()
        found.append(here)
        for children in Path(f"/proc/{here}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                ahead += map(int, children.read_text().split())
    return found


def _megabytes(pid: int) -> int:
    pages = 0
    for member in _family(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _, resident, shared, *_ = map(int, Path(f"/proc/{member}/statm").read_text().split())
            pages += resident - shared
    return pages * _PAGE >> 20


def _kill(pid: int) -> None:
    for member in _family(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing of it is left running."""
    await asyncio.to_thread(_kill, process.pid)
    await process.wait()
