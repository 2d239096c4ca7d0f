"""Series of the host, from what the kernel counts. Pure, but for what names a device."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from tocsin.collectors import _proc
from tocsin.collectors._kernel import Kernel
from tocsin.collectors._labelled import labelled

MOST_DEVICES = 64
_NO_DISK = re.compile(r"(loop|ram|zram|sr|fd|nbd)\d+")
_OF_CONTAINERS = re.compile(r"(veth|cali|lxc|vnet|tap|nsm|cilium|vmtap|fwln|fwpr).*")
"""One end of a pair whose other end is in a container or a machine: they come and go, so they are summed."""
_SECTORS = {"read_sectors": "disk_io.read_bytes_per_s", "write_sectors": "disk_io.write_bytes_per_s"}
_COUNTS = {"reads": "disk_io.reads_per_s", "writes": "disk_io.writes_per_s"}


class Cpu:
    """The share of each state of the processors, since the look before."""

    def __init__(self) -> None:
        self._before: _proc.CpuTimes | None = None
        self._shares: dict[str, float] = {}

    def percents(self, now: _proc.CpuTimes | None) -> dict[str, float]:
        """As series; those of the look before when no time has passed."""
        if now is not None and self._before is not None and (shares := now.percents(self._before)):
            self._shares = {f"cpu.{name}_percent": share for name, share in shares.items()}
        self._before = now or self._before
        return self._shares


class Grown:
    """How much a counter grew since the look before: 0 at first, and when it begins anew."""

    def __init__(self) -> None:
        self._before: float | None = None

    def of(self, name: str, value: float | None) -> dict[str, float]:
        """As a series; nothing where there is no such counter."""
        if value is None:
            return {}
        grown = 0.0 if self._before is None else max(0.0, value - self._before)
        self._before = value
        return {name: grown}


def load(averages: Sequence[float], cores: int) -> dict[str, float]:
    """Load averages, and the middle one for each core."""
    if len(averages) < 3:
        return {}
    one, five, fifteen = averages[:3]
    return {"load.1m": one, "load.5m": five, "load.15m": fifteen, "load.5m_per_core": five / cores}


def pressures(texts: Mapping[str, str]) -> dict[str, float]:
    """How many percent of the last minute something waited for it, where the kernel says so."""
    found = {name: _proc.pressure(text) for name, text in texts.items()}
    return {f"pressure.{name}_percent": value for name, value in found.items() if value is not None}


def memory(found: Mapping[str, float]) -> dict[str, float]:
    """Memory and swap. Used is what is not available: what the kernel would give back at once is not used."""
    made: dict[str, float] = {}
    total, swap = found.get("MemTotal", 0), found.get("SwapTotal", 0)
    if total > 0:
        spare = found.get("MemFree", 0) + found.get("Buffers", 0) + found.get("Cached", 0)  # before Linux 3.14
        left = min(total, found.get("MemAvailable", spare))
        made["memory.total_bytes"], made["memory.available_bytes"], made["memory.used_bytes"] = (
            total,
            left,
            total - left,
        )
        made["memory.used_percent"], made["memory.available_percent"] = 100 * (total - left) / total, 100 * left / total
        made["memory.cached_bytes"] = found.get("Cached", 0) + found.get("Buffers", 0) + found.get("SReclaimable", 0)
    made["swap.total_bytes"] = swap
    if swap > 0:
        used = max(0.0, swap - found.get("SwapFree", 0))
        made["swap.used_bytes"], made["swap.used_percent"] = used, 100 * used / swap
    return made


def disk_counters(found: Mapping[str, Mapping[str, float]], kernel: Kernel) -> dict[str, float]:
    """Counters of whole disks that ever did something, as `disk/NAME/COUNTER`."""
    used = [
        name
        for name, counters in found.items()
        if not _NO_DISK.fullmatch(name) and counters["reads"] + counters["writes"] > 0 and kernel.is_device(name)
    ]
    return {
        f"disk/{name.replace('/', '!')}/{what}": value
        for name in used[:MOST_DEVICES]
        for what, value in found[name].items()
    }


def disk_series(rates: Mapping[str, float]) -> dict[str, float]:
    """Bytes, operations, time for one of them, and how busy each disk was."""
    made: dict[str, float] = {}
    for name in {key.split("/")[1]: None for key in rates if key.startswith("disk/")}:
        grown = {
            what: rates.get(f"disk/{name}/{what}") for what in (*_SECTORS, *_COUNTS, "read_ms", "write_ms", "busy_ms")
        }
        rate = {what: value for what, value in grown.items() if value is not None}
        for what, metric in _SECTORS.items():
            if what in rate:
                made[labelled(metric, "device", name)] = rate[what] * _proc.SECTOR
        for what, metric in _COUNTS.items():
            if what in rate:
                made[labelled(metric, "device", name)] = rate[what]
        if "busy_ms" in rate:
            made[labelled("disk_io.busy_percent", "device", name)] = min(100.0, rate["busy_ms"] / 10)
        if len(rate) == len(grown):
            count, took = rate["reads"] + rate["writes"], rate["read_ms"] + rate["write_ms"]
            made[labelled("disk_io.wait_ms", "device", name)] = took / count if count > 0 else 0.0
    return made


def network_counters(found: Mapping[str, Mapping[str, float]], kernel: Kernel, skip: Sequence[str]) -> dict[str, float]:
    """Counters of interfaces that ever carried something, as `net/NAME/NUMBER/COUNTER`: the number tells an interface from
    an earlier one of its name."""
    made: dict[str, float] = {}
    names = [
        name
        for name, counters in found.items()
        if name != "lo" and any(counters.values()) and not any(fnmatchcase(name, pattern) for pattern in skip)
    ]
    for name in names:
        number = kernel.maybe(f"sys/class/net/{name}/ifindex").strip()
        made |= {f"net/{name}/{number}/{what}": value for what, value in found[name].items()}
    return made


def network_series(rates: Mapping[str, float]) -> dict[str, float]:
    """Bytes, errors and dropped packets of each interface; those of containers together, as `containers`."""
    metrics = {
        "received": "network.received_bytes_per_s", "sent": "network.sent_bytes_per_s",
        "errors": "network.errors_per_s", "drops": "network.drops_per_s",
    }  # fmt: skip
    made: dict[str, float] = {}
    shown: set[str] = set()
    for key, rate in rates.items():
        kind, _, rest = key.partition("/")
        if kind != "net":
            continue
        name, _, what = rest.split("/")
        name = "containers" if _OF_CONTAINERS.fullmatch(name) else name
        shown.add(name)
        if len(shown) <= MOST_DEVICES:
            named = labelled(metrics[what], "interface", name)
            made[named] = made.get(named, 0.0) + rate
    return made


def tables(kernel: Kernel) -> dict[str, float]:
    """How full the kernel's tables are: open files, tracked connections; and TCP connections in use."""
    made: dict[str, float] = {}
    files = _proc.decimals(kernel.maybe("proc/sys/fs/file-nr"))
    if len(files) == 3:
        made["files.open"] = files[0]
        if files[2] > 0:
            made["files.used_percent"] = 100 * files[0] / files[2]
    tracked = _proc.decimals(kernel.maybe("proc/sys/net/netfilter/nf_conntrack_count"))
    most = _proc.decimals(kernel.maybe("proc/sys/net/netfilter/nf_conntrack_max"))
    if tracked and most and most[0] > 0:
        made["network.conntrack_percent"] = 100 * tracked[0] / most[0]
    used = re.search(r"^TCP: inuse (\d{1,12}) ", kernel.maybe(f"{kernel.net}/sockstat"), re.M)
    if used:
        made["network.tcp_connections"] = float(used[1])
    return made


def processes(kernel: Kernel) -> dict[str, float]:
    """How many there are, how many run or wait for a disk, and how many people are logged in."""
    stat = _proc.words(kernel.maybe("proc/stat"))
    made = {"processes.count": float(len(kernel.processes()))}
    for name, metric in (("procs_running", "processes.running"), ("procs_blocked", "processes.blocked")):
        if name in stat:
            made[metric] = stat[name]
    made["users.logged_in"] = float(_users(kernel))
    return made


def _users(kernel: Kernel) -> int:
    """Sessions that logind knows, or where it does not run, what utmp says."""
    sessions = [name for name in kernel.names("run/systemd/sessions") if not name.endswith(".ref")]
    if sessions:
        texts = (_proc.variables(kernel.maybe(f"run/systemd/sessions/{name}")) for name in sessions)
        return sum(1 for found in texts if found.get("CLASS") == "user" and found.get("STATE") != "closing")
    try:
        return _proc.logged_in(kernel.raw("run/utmp"))
    except OSError:
        return 0
