"""The host itself, from /proc and /sys: processors, memory, disks, network, temperatures, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tocsin.collectors import Facility, _figures, _proc, _space
from tocsin.collectors._about import about
from tocsin.collectors._kernel import Kernel
from tocsin.collectors._patience import Call, Patience
from tocsin.collectors._rates import Rates
from tocsin.collectors._sensors import temperatures
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Length

TITLE, SAYS = "System", "processors, memory, disks, network, temperatures and processes of the host"
EVERY_S = 15
LOCAL_ONLY = ("root",)
FACTS_S = 300.0
ZOMBIES_S = 60.0
FIRST_S = 1.0
"""The first look has nothing to compare with, so it looks twice: rates are there from the beginning."""

Group = Literal["cpu", "load", "ram", "disk", "network", "temperature", "processes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is looked at."""

    metrics: Annotated[
        tuple[Group, ...],
        Length(1, 20),
        Help("What to look at: cpu, load, ram (with swap), disk (space and traffic), network, temperature, processes"),
    ] = ("cpu", "load", "ram", "disk", "network", "temperature", "processes")
    mounts: Annotated[
        tuple[Annotated[str, Length(1, 200)], ...],
        Length(0, 50),
        Help(
            "Only file systems mounted at these places (* fits anything), of any type; none: the root and all on disks"
        ),
    ] = ()
    skip_mounts: Annotated[
        tuple[Annotated[str, Length(1, 200)], ...], Length(0, 50), Help("No file system mounted at these places")
    ] = ()
    skip_interfaces: Annotated[
        tuple[Annotated[str, Length(1, 200)], ...], Length(0, 50), Help("No network interfaces with these names")
    ] = ()
    root: Annotated[
        str, Length(1, 200), Help("Where the host's file system is found, for an agent in a container (/host)")
    ] = "/"


def _limit(name: str, says: str, metric: str, above: float, clear: float, **more: Any) -> HostRule:
    condition = OnSample(metric=metric, above=above, clear=clear)
    return HostRule(id=f"builtin:system.{name}", name=says, condition=condition, **more)


RULES = (
    _limit("disk", "A disk is nearly full", "disk.used_percent", 90, 88, for_s=300),
    _limit("disk_full", "A disk is full", "disk.used_percent", 97, 95, for_s=60, severity="critical"),
    _limit("inodes", "A file system has few inodes left", "disk.inodes_used_percent", 90, 88, for_s=300),
    _limit("memory", "Memory is nearly used up", "memory.used_percent", 95, 90, for_s=300),
    _limit("out_of_memory", "The kernel ended a process for want of memory", "memory.oom_kills", 0, 0, recovery_s=300),
    _limit("swap", "Swap is nearly used up", "swap.used_percent", 90, 80, for_s=900),
    _limit("cpu", "The processors are busy all the time", "cpu.used_percent", 95, 90, for_s=900),
    _limit("temperature", "A sensor is near its critical temperature", "temperature.limit_percent", 97, 92, for_s=60),
    _limit("files", "Nearly no more files can be opened", "files.used_percent", 90, 85, for_s=60),
    _limit("conntrack", "The table of connections is nearly full", "network.conntrack_percent", 90, 85, for_s=60),
    HostRule(
        id="builtin:system.mount", name="A file system is broken", condition=OnService(kind="mount"),
        severity="critical", for_s=30, recovery_s=30,
    ),
)  # fmt: skip


class Source:
    """The host. Keeps the counters of the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._clock = options, facility.clock
        self._kernel = Kernel(options.root)
        self._patience = Patience()
        self._rates, self._cpu = Rates(), _figures.Cpu()
        self._oom = _figures.Grown()
        self._facts: dict[str, str] = {}
        self._facts_at = self._zombies_at = float("-inf")
        self._zombies: dict[str, float] = {}
        self._looked = False
        self._written: set[str] = set()
        self._mounted: tuple[str, list[_proc.Mount]] = ("", [])

    async def collect(self) -> Reading:
        """Look once; the first time twice, a second apart. OSError when /proc cannot be read."""
        if not self._looked:
            self._counted(self._clock.monotonic())
            await self._clock.sleep(FIRST_S)
            self._looked = True
        now = self._clock.monotonic()
        values = self._counted(now) | self._plain(now)
        slow, services, trouble = await self._slow()
        if now - self._facts_at >= FACTS_S:
            self._facts, self._facts_at = about(self._kernel), now
        return Reading(values=values | slow, services=tuple(services), facts=self._facts, trouble=trouble)

    async def close(self) -> None:
        """Nothing is held but numbers."""

    def _has(self, *groups: Group) -> bool:
        return any(group in self._options.metrics for group in groups)

    def _counted(self, now: float) -> dict[str, float]:
        """What comes of counters, by what they grew."""
        kernel, counters, values = self._kernel, dict[str, float](), dict[str, float]()
        if self._has("cpu"):
            values |= self._cpu.percents(_proc.cpu_times(kernel.read("proc/stat")))
        if self._has("ram"):
            values |= self._oom.of("memory.oom_kills", _proc.out_of_memory(kernel.maybe("proc/vmstat")))
        if self._has("disk"):
            counters |= _figures.disk_counters(_proc.disks(kernel.maybe("proc/diskstats")), kernel)
        if self._has("network"):
            interfaces = _proc.interfaces(kernel.maybe(f"{kernel.net}/dev"))
            counters |= _figures.network_counters(interfaces, kernel, self._options.skip_interfaces)
        rates = self._rates.per_s(counters, now)
        return values | _figures.disk_series(rates) | _figures.network_series(rates)

    def _plain(self, now: float) -> dict[str, float]:
        """What is as it is at this moment."""
        kernel, made = self._kernel, dict[str, float]()
        if uptime := _proc.decimals(kernel.maybe("proc/uptime")):
            made["system.uptime_s"] = uptime[0]
        if self._has("load"):
            made |= _figures.load(_proc.decimals(kernel.maybe("proc/loadavg")), kernel.cores())
            made |= _figures.pressures({n: kernel.maybe(f"proc/pressure/{n}") for n in ("cpu", "memory", "io")})
        if self._has("ram"):
            made |= _figures.memory(_proc.memory(kernel.read("proc/meminfo")))
        if self._has("network"):
            made |= _figures.tables(kernel)
        if self._has("processes"):
            if now - self._zombies_at >= ZOMBIES_S:
                self._zombies, self._zombies_at = {"processes.zombies": float(kernel.zombies())}, now
            made |= _figures.processes(kernel) | self._zombies
        return made

    def _mounts(self) -> list[_proc.Mount]:
        """The file systems to look at, chosen anew when something was mounted."""
        text = self._kernel.mountinfo()
        if text != self._mounted[0]:
            nodev = _proc.without_device(self._kernel.maybe("proc/filesystems"))
            found = _space.chosen(_proc.mounts(text), nodev, self._options.mounts, self._options.skip_mounts)
            self._mounted = text, found
        return self._mounted[1]

    async def _slow(self) -> tuple[dict[str, float], list[Service], str]:
        """What may hang, asked in a thread: sizes of file systems and sensors. With what hangs, in words."""
        calls: list[Call] = []
        mounts: list[_proc.Mount] = []
        if self._has("disk"):
            mounts = self._mounts()
            calls += [(m.where, _look(self._options.root, m.where)) for m in mounts]
        if self._has("temperature"):
            calls.append(("sensors", lambda: temperatures(self._kernel.root)))
        answers = await self._patience.ask(calls)
        warm: Any = answers.get("sensors")
        values, services = _space.all_values(mounts, answers, self._written)
        values |= warm if isinstance(warm, dict) else {}
        hang = [name for name, _ in calls if name not in answers]
        return values, services, f"asking hangs: {', '.join(hang)[:200]}" if hang else ""


def _look(root: str, where: str) -> Callable[[], Any]:
    return lambda: _space.look(root, where)
