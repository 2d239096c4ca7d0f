"""What the kernel says of itself in /proc and /sys, taken apart. Pure: text in, figures out.

What is missing in a text is missing in the figures; nothing here raises for odd text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from msgspec import Struct

SECTOR = 512
"""Bytes of a sector in /proc/diskstats, whatever the disk has."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
_MEMORY = re.compile(
    r"^(MemTotal|MemFree|MemAvailable|Buffers|Cached|SReclaimable|SwapTotal|SwapFree): *(\d{1,18})( kB)?$", re.M
)
_DISK = ("reads", "", "read_sectors", "read_ms", "writes", "", "write_sectors", "write_ms", "", "busy_ms")


class Mount(NamedTuple):
    """One line of mountinfo: where it is, what it is made of, its type, and the options of the mount and of the file
    system."""

    device: str
    where: str
    options: frozenset[str]
    fstype: str
    source: str
    super_options: frozenset[str]


class CpuTimes(Struct, frozen=True):
    """Ticks that all processors together spent in each state, ever. Time of guests is in `user`."""

    user: float = 0
    system: float = 0
    idle: float = 0
    iowait: float = 0
    steal: float = 0

    def percents(self, before: CpuTimes) -> dict[str, float]:
        """The share of each state since then, and `used`: all but idle and waiting. Empty when no time passed."""
        grown = {name: max(0.0, getattr(self, name) - getattr(before, name)) for name in self.__struct_fields__}
        total = sum(grown.values())
        if total <= 0:
            return {}
        shares = {name: 100 * value / total for name, value in grown.items()}
        idle = shares.pop("idle")
        return {"used": max(0.0, 100 - idle - shares["iowait"]), **shares}


def _numbers(words: list[str]) -> list[float]:
    """The whole numbers that a line begins with."""
    found: list[float] = []
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) <= 20):
            break
        found.append(float(word))
    return found


def cpu_times(stat: str) -> CpuTimes | None:
    """The first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal."""
    line = stat.partition("\n")[0].split()
    if not line or line[0] != "cpu" or len(n := _numbers(line[1:])) < 4:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (*n[:8], *[0.0] * (8 - len(n[:8])))
    return CpuTimes(user + nice, system + irq + softirq, idle, iowait, steal)


def words(text: str) -> dict[str, float]:
    """Lines of a name and a number, as in /proc/stat (btime, procs_running)."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        parts = line.split(None, 2)  # the line of interrupts has hundreds of numbers
        if len(parts) == 2 and (n := _numbers(parts[1:])):
            found[parts[0]] = n[0]
    return found


def out_of_memory(vmstat: str) -> float | None:
    """How many processes the kernel ended for want of memory, ever (/proc/vmstat, Linux 4.13 and newer)."""
    m = re.search(r"^oom_kill (\d{1,15})$", vmstat, re.M)
    return float(m[1]) if m else None


def memory(meminfo: str) -> dict[str, float]:
    """Bytes, by the names of /proc/meminfo (MemTotal, MemAvailable …); those that are used here."""
    return {m[1]: float(m[2]) * (1024 if m[3] else 1) for m in _MEMORY.finditer(meminfo)}


def decimals(text: str, most: int = 3) -> list[float]:
    """The numbers that a text begins with: /proc/loadavg, /proc/uptime."""
    found: list[float] = []
    for word in text.split()[:most]:
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", word):
            break
        found.append(float(word))
    return found


def disks(diskstats: str) -> dict[str, dict[str, float]]:
    """Counters of each block device: reads, writes, read_sectors, write_sectors, read_ms, write_ms, busy_ms
    (Documentation/admin-guide/iostats.rst)."""
    found: dict[str, dict[str, float]] = {}
    for line in diskstats.splitlines():
        parts = line.split()
        if len(parts) >= 13 and len(n := _numbers(parts[3:13])) == 10:
            found[parts[2]] = {name: value for name, value in zip(_DISK, n, strict=True) if name}
    return found


def interfaces(dev: str) -> dict[str, dict[str, float]]:
    """Counters of each network interface of /proc/net/dev: received, sent (bytes), errors and drops of both ways."""
    found: dict[str, dict[str, float]] = {}
    for line in dev.splitlines():
        name, colon, rest = line.rpartition(":")
        n = _numbers(rest.split())
        if colon and len(n) >= 12:
            found[name.strip()] = {"received": n[0], "sent": n[8], "errors": n[2] + n[10], "drops": n[3] + n[11]}
    return found


def mounts(mountinfo: str) -> list[Mount]:
    """What is mounted (/proc/PID/mountinfo, proc(5)), in order."""
    found: list[Mount] = []
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        one, other = left.split(" "), right.split(" ")
        if dash and len(one) >= 6 and len(other) >= 2:
            options, supers = frozenset(one[5].split(",")), frozenset(other[2].split(",") if len(other) > 2 else ())
            found.append(Mount(one[2], _plain(one[4]), options, other[0], _plain(other[1]), supers))
    return found


def _plain(text: str) -> str:
    """A path with its octal escapes read."""
    return _ESCAPED.sub(lambda m: chr(int(m[1], 8) & 0xFF), text)


def without_device(filesystems: str) -> frozenset[str]:
    """The types of file systems that lie on no block device (/proc/filesystems)."""
    pairs = (line.split("\t") for line in filesystems.splitlines())
    return frozenset(pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "nodev")


def pressure(text: str) -> float | None:
    """How many percent of the last minute some task waited (/proc/pressure/…), or None."""
    m = re.match(r"some avg10=\S+ avg60=([0-9]{1,3}\.[0-9]{1,4}) ", text)
    return float(m[1]) if m else None


def variables(text: str) -> dict[str, str]:
    """NAME=value lines, as of /etc/os-release; quotes around the value are dropped."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.isidentifier():
            found[name] = value.strip().strip("\"'")
    return found


def local_addresses(fib_trie: str, if_inet6: str) -> list[str]:
    """This host's addresses, IPv4 first, without those of loopback and those valid on one link only."""
    found: dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        word = line.strip()
        if word.startswith(("|--", "+--")):
            last = word[4:].split("/")[0].strip()
        elif word == "/32 host LOCAL" and re.fullmatch(r"[0-9.]{7,15}", last) and not last.startswith("127."):
            found[last] = None
    for line in if_inet6.splitlines():
        parts = line.split()
        if len(parts) == 6 and parts[3] == "00" and re.fullmatch(r"[0-9a-f]{32}", parts[0]):
            found[_ipv6(parts[0])] = None
    return list(found)


def _ipv6(digits: str) -> str:
    from ipaddress import IPv6Address

    return str(IPv6Address(int(digits, 16)))


def logged_in(utmp: bytes) -> int:
    """How many people are logged in: records of the type USER_PROCESS (utmp(5), 384 bytes each)."""
    return sum(1 for at in range(0, len(utmp) - 383, 384) if utmp[at : at + 2] == b"\x07\0")


class Process(Struct, frozen=True):
    """What /proc/PID/stat says: the state's letter, ticks of processor time, threads, when it began in ticks after the
    boot, and pages of memory."""

    state: str
    cpu_ticks: float
    threads: float
    started: float
    resident_pages: float


def process(stat: str) -> Process | None:
    """A process, or None when there is none (any more). Its name may hold blanks and parentheses."""
    fields = stat[stat.rfind(")") + 2 :].split()
    if len(fields) < 22 or len(fields[0]) != 1:
        return None
    wanted = _numbers([fields[n] for n in (11, 12, 17, 19, 21)])
    if len(wanted) < 5:
        return None
    return Process(fields[0], wanted[0] + wanted[1], wanted[2], wanted[3], wanted[4])


def owner(status: str) -> str:
    """The number of the user that a process runs as (/proc/PID/status), or nothing."""
    m = re.search(r"^Uid:\t\d{1,10}\t(\d{1,10})\t", status, re.M)
    return m[1] if m else ""


def users(passwd: str) -> dict[str, str]:
    """The numbers of users by name (passwd(5))."""
    parts = (line.split(":") for line in passwd.splitlines())
    return {p[0]: p[2] for p in parts if len(p) >= 4 and p[2].isascii() and p[2].isdigit()}
