"""What a host is: the facts that its page shows."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from tocsin.collectors import _proc
from tocsin.collectors._kernel import Kernel

MOST_ADDRESSES = 16


def about(kernel: Kernel) -> dict[str, str]:
    """Operating system, kernel, processors, memory, addresses and the time of the last boot; what is not known is left
    out."""
    release = _proc.variables(kernel.maybe("etc/os-release") or kernel.maybe("usr/lib/os-release"))
    stat = _proc.words(kernel.maybe("proc/stat"))
    memory = _proc.memory(kernel.maybe("proc/meminfo")).get("MemTotal", 0)
    addresses = _proc.local_addresses(kernel.maybe(f"{kernel.net}/fib_trie"), kernel.maybe(f"{kernel.net}/if_inet6"))
    found = {
        "os": release.get("PRETTY_NAME", ""),
        "kernel": kernel.maybe("proc/sys/kernel/osrelease").strip(),
        "architecture": os.uname().machine,
        "hostname": kernel.maybe("proc/sys/kernel/hostname").strip(),
        "cpu": _model(kernel.maybe("proc/cpuinfo")),
        "cores": str(kernel.cores()),
        "memory_bytes": f"{memory:.0f}" if memory else "",
        "addresses": ", ".join(addresses[:MOST_ADDRESSES]),
        "booted_at": _moment(stat.get("btime")),
    }
    return {name: _clean(value) for name, value in found.items() if value}


def _model(cpuinfo: str) -> str:
    """The model, under the name that this architecture has for it."""
    for wanted in ("model name", "Model", "cpu model", "cpu", "uarch"):
        for line in cpuinfo.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == wanted and value.strip():
                return value.strip()
    return ""


def _moment(seconds: float | None) -> str:
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _clean(value: str) -> str:
    return "".join(c if c.isprintable() else " " for c in value)[:400]
