"""Any Nagios plugin from the folder the operator allows: its exit code is the verdict, its output the reason."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

from tocsin.core.perfdata import PluginOutput, read_output
from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Observation
from tocsin.core.shape import Front, Help, Length, Pattern, Private
from tocsin.errors import CheckFailed, CheckInvalid, Problem
from tocsin.net import Local, Net
from tocsin.net.shortage import shortage

TITLE, SAYS = "Nagios plugin", "a plugin's exit code"

OFFERS = ("body",)

MOST_OUTPUT = 65_536
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
_LAST_WORDS_S = 0.5
_NO_FOLDER = "no folder of plugins is allowed here: the operator names one in TOCSIN_PLUGIN_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A Nagios plugin that should exit with OK."""

    plugin: Annotated[
        str,
        Pattern(r"[^\s/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}", "the name of a file, without a slash"),
        Help("Plugin in the folder TOCSIN_PLUGIN_DIR, such as check_http"),
    ]
    arguments: Annotated[
        tuple[Annotated[str, Length(0, 4096)], ...],
        Private,
        Front,
        Length(0, 100),
        Help("Its arguments, one each, without quotes: there is no shell"),
    ] = ()


def summary(target: Target) -> str:
    """The plugin's name: arguments may hold secrets."""
    return target.plugin


def missing(target: Target, local: Local) -> Problem | None:
    """The folder, when the operator has named none."""
    return Problem("plugin", _NO_FOLDER, clip(target.plugin)) if local.plugin_dir is None else None


async def check(target: Target, net: Net) -> Observation:
    """Run the plugin to its end, and hold it to its exit code."""
    if net.local.plugin_dir is None:
        raise CheckInvalid(_NO_FOLDER)
    code, printed, complaint = await _run(net.local.plugin_dir, target)
    output = read_output(printed.decode("utf-8", "replace"))
    said = clip(output.text or complaint.decode("utf-8", "replace").strip() or "it printed nothing", 200)
    seen = Observation(facts=_facts(code, output), body=printed)
    if code == 2:
        raise CheckFailed("assertion", said, observation=seen)
    if code not in (0, 1):
        raise CheckInvalid(f"{target.plugin} {_meaning(code)}: {said}")
    return Observation(facts=seen.facts, body=printed, degraded=CheckError("assertion", said) if code == 1 else None)


def _meaning(code: int) -> str:
    """What an exit code that is no verdict stands for."""
    if code == 3:
        return "could not judge (UNKNOWN)"
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with {code}, which is no plugin's exit code"


def _facts(code: int, output: PluginOutput) -> dict[str, Any]:
    facts: dict[str, Any] = {"exit_code": code, "output": clip(output.text, 1000)}
    if output.more:
        facts["more"] = [clip(line, 200) for line in output.more.splitlines()[:20]]
    if output.figures:
        facts["perfdata"] = [
            {name: clip(value, 100) if isinstance(value, str) else value for name, value in figure.items()}
            for figure in output.figures
        ]
    return facts


def _find(folder: Path, name: str) -> Path:
    """The plugin's path as it is run (some plugins go by the name they are called by). CheckInvalid unless it is a program
    that lies in the folder itself, and that only the operator can have put there."""
    path = folder / name
    try:
        real_folder = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "a link that leads nowhere"
        raise CheckInvalid(f"the folder of plugins, {folder} (TOCSIN_PLUGIN_DIR), is not there: {why}") from None
    try:
        real = path.resolve(strict=True)
        about, around = real.stat(), real_folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        why = error.strerror if isinstance(error, OSError) else "a link that leads nowhere"
        raise CheckInvalid(f"there is no plugin {name} here: {why}") from None
    if real.parent != real_folder:
        raise CheckInvalid(f"the plugin {name} is a link that leads out of the folder of plugins")
    if not stat.S_ISREG(about.st_mode) or not os.access(real, os.X_OK):
        raise CheckInvalid(f"the plugin {name} is no program that we may run")
    if (about.st_mode | around.st_mode) & stat.S_IWOTH:
        raise CheckInvalid(f"the plugin {name} or its folder may be written by anybody, so it is not run")
    return path


async def _run(folder: Path, target: Target) -> tuple[int, bytes, bytes]:
    """Exit code (negative: the signal that ended it), what it printed, and what it complained. Nothing of its process
    group is left when this returns or is cancelled."""
    running = await _start(folder, target)
    try:
        try:
            await running.ends_or_floods()
        finally:
            await running.end_group()
        if running.flooded:
            raise CheckInvalid(f"{target.plugin} printed more than {MOST_OUTPUT} bytes, so it was ended")
        code = running.process.returncode
        if code is None:
            raise CheckInvalid(f"{target.plugin} does not let itself be ended")
        await asyncio.wait([running.out.over, running.err.over], timeout=_LAST_WORDS_S)
        return code, bytes(running.out.data), bytes(running.err.data)
    finally:
        running.close()


async def _start(folder: Path, target: Target) -> _Running:
    """The plugin, started. In a thread: starting a program takes a while, in which no other check could be timed."""
    starting = asyncio.ensure_future(asyncio.to_thread(_popen, folder, target))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_end_late)
        raise
    try:
        return _Running(process)
    except OSError as error:
        _bury(process)
        raise shortage(error) or CheckInvalid(f"{target.plugin} cannot be watched: {error.strerror}") from None


def _popen(folder: Path, target: Target) -> subprocess.Popen[bytes]:
    file = _find(folder, target.plugin)
    try:
        return subprocess.Popen(  # noqa: S603 - a program that the operator allows, its arguments in a list
            [str(file), *target.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0, cwd=file.parent, env=_ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise shortage(error) or CheckInvalid(f"{target.plugin} cannot be run: {error.strerror}") from None


def _end_late(starting: asyncio.Future[subprocess.Popen[bytes]]) -> None:
    """It has come up when nobody waited for it any more."""
    if not starting.cancelled() and starting.exception() is None:
        _bury(starting.result())


def _bury(process: subprocess.Popen[bytes]) -> None:
    """End a plugin that has only just begun, at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with process:  # waits for its end and closes its pipes
        return


class _Stream:
    """One stream of the plugin, read as it comes, up to a limit."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: IO[bytes]) -> None:
        self._loop, self._file = loop, file
        os.set_blocking(file.fileno(), False)
        self.data = bytearray()
        self.over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(file.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file.fileno(), MOST_OUTPUT)
        except BlockingIOError:
            return
        self.data += data
        if not data or len(self.data) > MOST_OUTPUT:
            self._loop.remove_reader(self._file.fileno())
            if not self.over.done():
                self.over.set_result(None)

    def close(self) -> None:
        """Let go of it, also when a child that got away still holds the other end."""
        self._loop.remove_reader(self._file.fileno())
        self.over.cancel()
        self._file.close()


class _Running:
    """A plugin that runs: its streams, and its end, which the kernel tells by a descriptor (pidfd)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self.process = process
        self._fd = os.pidfd_open(process.pid)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._fd, self._has_ended)
        assert process.stdout is not None
        assert process.stderr is not None
        self.out, self.err = _Stream(self._loop, process.stdout), _Stream(self._loop, process.stderr)

    @property
    def flooded(self) -> bool:
        return max(len(self.out.data), len(self.err.data)) > MOST_OUTPUT

    def _has_ended(self) -> None:
        self._loop.remove_reader(self._fd)
        if not self._ended.done():
            self._ended.set_result(None)

    async def ends_or_floods(self) -> None:
        """Return when it has ended, or printed too much."""
        waiting: set[asyncio.Future[None]] = {self.out.over, self.err.over, self._ended}
        while not (self._ended.done() or self.flooded):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def end_group(self) -> None:
        """Kill whatever of it still runs: itself, and children it has left. It is asked for its exit code only afterwards:
        until then its number, which is the group's too, cannot become another process's. What the kernel does not let go
        of within a second is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await asyncio.wait([self._ended], timeout=1)
        self.process.poll()

    def close(self) -> None:
        """Let go of its descriptors."""
        self._loop.remove_reader(self._fd)
        self._ended.cancel()
        os.close(self._fd)
        self.out.close()
        self.err.close()
