"""Processes by their command line, their user or a pid file: how many run, and what they use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

from tocsin.collectors import Facility, _proc
from tocsin.collectors._kernel import Kernel
from tocsin.collectors._patience import Patience
from tocsin.collectors._rates import Rates
from tocsin.core.host_rule import HostRule, OnService
from tocsin.core.pattern import check_pattern, search
from tocsin.core.sample import Reading, Service, series
from tocsin.core.shape import Help, Holds, Length, Pattern, Range
from tocsin.errors import CheckFailed, Invalid, Problem

TITLE, SAYS = "Processes", "programs that should run: how many there are and what they use"
EVERY_S = 15
LOCAL_ONLY = ("pidfiles",)
MOST_FIGURED = 200
"""Of so many processes of one entry the use is summed; all are counted."""
WAIT_S, MOST_HUNG = 2.0, 3
"""So long a look through all processes may take; so many that hang are found out in one look."""


def _nameable(name: str) -> bool:
    """Whether series can carry it."""
    try:
        return 1 <= len(name) <= 100 and name.isprintable() and bool(series("process.open_files", process=name))
    except ValueError:
        return False


_NAME = "a name of 1 to 100 printable characters, few of them { } , = or %"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Processes that should run."""

    name: Annotated[str, Holds(_nameable, _NAME), Help("What they are called here")]
    command: Annotated[str | None, Help("A regular expression (RE2) that occurs in the command line")] = None
    user: Annotated[str | None, Length(1, 100), Help("Only those of this user (a name, or a number)")] = None
    min: Annotated[int, Range(0, 100_000), Help("So many there should be at least")] = 1
    max: Annotated[int | None, Range(0, 100_000), Help("So many at most")] = None

    def __post_init__(self) -> None:
        problems = [] if self.command is None else check_pattern(self.command, "command")
        if self.command is None and self.user is None:
            problems.append(Problem("command", "a command or a user", "neither"))
        if self.max is not None and self.max < self.min:
            problems.append(Problem("max", f"at least the {self.min} of min", str(self.max)))
        if problems:
            raise Invalid(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which processes are looked at."""

    processes: Annotated[tuple[Wanted, ...], Length(0, 100), Help("Processes by their command line or their user")] = ()
    pidfiles: Annotated[
        dict[str, Annotated[str, Length(1, 300), Pattern(r"/[^\x00\n]*", "an absolute path")]],
        Length(0, 100),
        Help("Processes by the file that holds their id, each with the name it is called here"),
    ] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        names = [wanted.name for wanted in self.processes] + list(self.pidfiles)
        if not names:
            raise Invalid(Problem("processes", "at least one, or a pid file", "none"))
        if wrong := [name for name in self.pidfiles if not _nameable(name)]:
            raise Invalid(Problem("pidfiles", _NAME, repr(wrong[0])))
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Invalid(Problem("processes", "names of their own", f"{twice[0]} twice"))


RULES = (
    HostRule(
        id="builtin:process.running", name="A process does not run as it should", condition=OnService(kind="process"),
        severity="critical", for_s=10,
    ),
)  # fmt: skip


class Source:
    """The processes of this host. Keeps what each had used at the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._clock = options, facility.clock
        self._kernel, self._rates = Kernel(), Rates()
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._first: dict[str, tuple[int, float]] = {}
        self._restarts: dict[str, int] = {}
        self._patience, self._scans = Patience(WAIT_S), 0
        self._hung: set[str] = set()
        self._known: dict[int, tuple[bytes, str]] = {}

    async def collect(self) -> Reading:
        """Look through all processes once."""
        found = await self._by_entry()
        values: dict[str, float] = {}
        services: list[Service] = []
        used: dict[str, float] = {}
        for name, pids in found.items():
            seen = {pid: stat for pid in pids if (stat := _proc.process(self._kernel.maybe(f"proc/{pid}/stat")))}
            if isinstance(pids, _Unknown):
                seen = {}
            services.append(self._standing(name, seen, pids))
            values |= self._figures(name, seen)
            used |= {f"{name}\0{pid}/{s.started:.0f}": s.cpu_ticks for pid, s in list(seen.items())[:MOST_FIGURED]}
        rates = self._rates.per_s(used, self._clock.monotonic())
        shares = dict.fromkeys((key.partition("\0")[0] for key in used), 0.0)
        for key, rate in rates.items():
            shares[key.partition("\0")[0]] += 100 * rate / self._ticks
        values |= {series("process.cpu_percent", process=name): share for name, share in shares.items()}
        return Reading(values=values, services=tuple(services))

    async def close(self) -> None:
        """Nothing is held but numbers."""

    async def _by_entry(self) -> dict[str, list[int]]:
        """The ids of the processes of each entry. What hangs (the command line of a process that waits for its disk) is
        passed over until it answers; such a process is what it was before. Raises CheckFailed when too much hangs."""
        for _ in range(MOST_HUNG):
            scan = _Scan(self._options, self._kernel, self._hung, self._known)
            self._scans += 1
            answers = await self._patience.ask([(f"look {self._scans}", scan.run)])
            for answer in answers.values():
                if isinstance(answer, Exception):
                    raise answer
                self._known = scan.known
                return answer
            scan.left = True
            if not scan.at:
                break
            self._hung.add(scan.at)
        raise CheckFailed("timeout", f"{len(self._hung)} processes do not say what they are")

    def _standing(self, name: str, seen: Mapping[int, _proc.Process], pids: list[int]) -> Service:
        low, high = next(((w.min, w.max) for w in self._options.processes if w.name == name), (1, None))
        alive = {pid: stat for pid, stat in seen.items() if stat.state not in "ZX"}
        count = len(alive)
        ok = low <= count and (high is None or count <= high)
        wish = f"{low} or more" if high is None else f"{low}" if low == high else f"{low} to {high}"
        detail = "" if ok else f"{count} found, {wish} expected"
        if isinstance(pids, _Unknown):
            ok, detail = False, "there is no such user"
        since = self._since(min((s.started for s in alive.values()), default=None))
        state = f"{count} running" if count > 1 else "running" if count else "not running"
        facts: dict[str, str | float | int | bool | None] = {"count": count, "restarts": self._restarts.get(name, 0)}
        if alive:
            facts["pid"] = min(alive, key=lambda pid: (alive[pid].started, pid))
        return Service(kind="process", name=name, state=state, ok=ok, since=since, detail=detail, facts=facts)

    def _figures(self, name: str, seen: Mapping[int, _proc.Process]) -> dict[str, float]:
        alive = {pid: stat for pid, stat in seen.items() if stat.state not in "ZX"}
        made = {
            "process.count": float(len(alive)),
            "process.memory_bytes": sum(s.resident_pages for s in alive.values()) * float(os.sysconf("SC_PAGE_SIZE")),
            "process.threads": sum(s.threads for s in alive.values()),
        }
        if alive:
            first = min((stat.started, pid) for pid, stat in alive.items())
            self._count_restart(name, (first[1], first[0]))
            uptime = _proc.decimals(self._kernel.maybe("proc/uptime"), 1)
            if uptime:
                made["process.uptime_s"] = max(0.0, uptime[0] - first[0] / self._ticks)
        made["process.restarts"] = float(self._restarts.get(name, 0))
        files = [self._kernel.open_files(pid) for pid in list(alive)[:MOST_FIGURED]]
        known = [n for n in files if n is not None]
        if known or not alive:
            made["process.open_files"] = float(sum(known))
        return {series(metric, process=name): value for metric, value in made.items()}

    def _count_restart(self, name: str, first: tuple[int, float]) -> None:
        """The oldest process of an entry is another one than at the look before: that was a restart."""
        before = self._first.get(name)
        if before is not None and before != first:
            self._restarts[name] = self._restarts.get(name, 0) + 1
        self._first[name] = first

    def _since(self, started: float | None) -> datetime | None:
        booted = _proc.words(self._kernel.maybe("proc/stat")).get("btime")
        if started is None or booted is None:
            return None
        return datetime.fromtimestamp(booted, UTC) + timedelta(seconds=started / self._ticks)


class _Scan:
    """One look through all processes, in a thread. `at`: what is being read, which may hang; `hung`: what hung before.
    `left`: nobody waits any more."""

    def __init__(
        self, options: Options, kernel: Kernel, hung: set[str], known: Mapping[int, tuple[bytes, str]]
    ) -> None:  # fmt: skip
        self._options, self._kernel, self._hung, self._before = options, kernel, hung, known
        self.known: dict[int, tuple[bytes, str]] = {}
        self.at, self.left = "", False

    def run(self) -> dict[str, list[int]]:
        """The ids of the processes of each entry."""
        wanted = self._options.processes
        found: dict[str, list[int]] = {w.name: [] for w in wanted}
        users = _proc.users(self._kernel.maybe("etc/passwd")) if any(w.user for w in wanted) else {}
        uids = {w.name: w.user if w.user.isdigit() else users.get(w.user, "") for w in wanted if w.user}
        for name, uid in uids.items():
            if not uid:
                found[name] = _Unknown()
        for pid in self._kernel.processes() if wanted else ():
            command, uid = self._process(pid, bool(uids))
            if not command:  # a thread of the kernel, or it is gone
                continue
            self.known[pid] = command, uid
            for w in wanted:
                if w.name in uids and uids[w.name] != uid:
                    continue
                if w.command is None or search(w.command, command).hit:
                    found[w.name].append(pid)
        for name, path in self._options.pidfiles.items():
            text = (self._read(path.lstrip("/")) or "").strip()
            found[name] = [int(text)] if text.isascii() and text.isdigit() and len(text) < 10 else []
        return found

    def _process(self, pid: int, with_owner: bool) -> tuple[bytes, str]:
        """Command line and user of a process."""
        text = self._read(f"proc/{pid}/cmdline")
        if text is None:
            return self._before.get(pid, (b"", ""))
        command = text.rstrip("\0").replace("\0", " ").encode("utf-8", "replace")
        return command, _proc.owner(self._kernel.maybe(f"proc/{pid}/status")) if command and with_owner else ""

    def _read(self, name: str) -> str | None:
        """A file, None for one that hangs."""
        if name in self._hung:
            return None
        self.at = name
        text = self._kernel.maybe(name)
        if self.left:  # it hung, and does not any more
            self._hung.discard(name)
            raise OSError("too late")
        return text


class _Unknown(list[int]):
    """No processes, as the user they should belong to is not there."""
