"""The machine this instance runs on, for the registry and for its reports."""

from __future__ import annotations

import os
import platform
from typing import Any


def system_info() -> dict[str, Any]:
    """The machine, for the registry."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "platform": platform.system().lower(), "arch": platform.machine(),
        "nodeVersion": f"Python {platform.python_version()}", "memory": memory, "cpu": os.cpu_count() or 1,
    }  # fmt: skip


def usage() -> dict[str, float]:
    """Percent of processor, memory and disk in use."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1) * 100
    total, available = 1, 0
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        pass
    return {"cpuUsage": round(min(load, 100.0), 1), "memoryUsage": round((1 - available / total) * 100, 1)}
