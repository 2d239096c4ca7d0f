"""Any Nagios plugin from the folder the operator allows: its exit code is the verdict, its output the reason."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tocsin.core.perfdata import PluginOutput, read_output
from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Observation
from tocsin.core.shape import Help, Length, Pattern, Private
from tocsin.errors import CheckFailed, CheckInvalid, Problem
from tocsin.net import Local, Net
from tocsin.net.shortage import shortage

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
        tuple[Annotated[str, Length(0, 4096)], ...], Private, Length(0, 100), Help("Its arguments, one each; no shell")
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
    file = await asyncio.to_thread(_find, net.local.plugin_dir, target.plugin)
    code, printed, complaint = await _run(file, target.arguments)
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


class _Output:
    """One stream of the plugin, read up to a limit through a pipe of ours: closed when we say so, also when a child that
    got away still holds the other end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._mine, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._mine, False)
        self.data = bytearray()
        self.over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._mine, self._read)

    @property
    def flooded(self) -> bool:
        return len(self.data) > MOST_OUTPUT

    def _read(self) -> None:
        try:
            data = os.read(self._mine, MOST_OUTPUT)
        except BlockingIOError:
            return
        self.data += data
        if not data or self.flooded:
            self._loop.remove_reader(self._mine)
            if not self.over.done():
                self.over.set_result(None)

    def started(self) -> None:
        """The plugin has its end now; ours of it goes, so that its last word is the end."""
        os.close(self.theirs)
        self.theirs = -1

    def close(self) -> None:
        """Let go of both ends."""
        self._loop.remove_reader(self._mine)
        self.over.cancel()
        os.close(self._mine)
        if self.theirs >= 0:
            os.close(self.theirs)


async def _run(file: Path, arguments: tuple[str, ...]) -> tuple[int, bytes, bytes]:
    """Exit code (negative: the signal that ended it), what it printed, and what it complained. Nothing of its process
    group is left when this returns or is cancelled."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as closing:
        closing.callback((out := _Output(loop)).close)
        closing.callback((err := _Output(loop)).close)
        process = await _start(file, arguments, out, err)
        ended = asyncio.ensure_future(process.wait())
        try:
            out.started()
            err.started()
            await _first(out, err, ended)
        finally:
            await _end_group(process, ended)
        if out.flooded or err.flooded:
            raise CheckInvalid(f"{file.name} printed more than {MOST_OUTPUT} bytes, so it was ended")
        await asyncio.wait([out.over, err.over], timeout=_LAST_WORDS_S)
        assert process.returncode is not None
        return process.returncode, bytes(out.data), bytes(err.data)


async def _start(file: Path, arguments: tuple[str, ...], out: _Output, err: _Output) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            str(file), *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=out.theirs, stderr=err.theirs,
            cwd=str(file.parent), env=_ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise shortage(error) or CheckInvalid(f"{file.name} cannot be run: {error.strerror}") from None


async def _first(out: _Output, err: _Output, ended: asyncio.Future[int]) -> None:
    """Return when the plugin has ended, or printed too much."""
    waiting: set[asyncio.Future[Any]] = {out.over, err.over, ended}
    while not (ended.done() or out.flooded or err.flooded):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


async def _end_group(process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
    """Kill whatever of the plugin still runs: itself, and children it has left (their group keeps its number as long as
    one lives). A process that the kernel does not let go of within a second is left to the loop."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.wait([ended], timeout=1)
