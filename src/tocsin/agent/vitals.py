"""How the agent itself is: what its heartbeat says, and its local page shows."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tocsin import __version__
from tocsin.agent.buffer import Buffer
from tocsin.agent.disk import Disk
from tocsin.agent.wire import Heartbeat
from tocsin.clock import Clock
from tocsin.core.plain import clip

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Vitals:
    """Gathered from the parts when somebody asks. `troubles_of`: each says what its part cannot do now, by name;
    `over_by_then`: which of that is over when a server hears of it; `late_s`: for how long samples wait that should be
    handed over by now."""

    def __init__(self, clock: Clock, disk: Disk, buffer: Buffer) -> None:
        self._clock, self._disk, self._buffer = clock, disk, buffer
        self.started_at: datetime = clock.now()
        self.config_version = 0
        self.every_s = 60.0
        self.config_error = ""
        self.facts: dict[str, dict[str, str]] = {}
        self.troubles_of: list[Callable[[], dict[str, str]]] = []
        self.over_by_then: Callable[[], set[str]] = set
        self.late_s: Callable[[], float] = lambda: 0.0
        self._cpu = (clock.monotonic(), _cpu_s())
        self.cpu_percent = 0.0

    def all_facts(self) -> dict[str, str]:
        """What is shown of the host itself, by all collectors."""
        return {name: value for facts in self.facts.values() for name, value in facts.items()}

    def troubles(self) -> dict[str, str]:
        """What does not work now, in words, by part."""
        found: dict[str, str] = {}
        for ask in self.troubles_of:
            found |= {part: clip(says, 300) for part, says in ask().items() if says}
        if self._buffer.trouble:
            found["buffer"] = clip(self._buffer.trouble, 300)
        if self._disk.trouble:
            found["data folder"] = clip(self._disk.trouble, 300)
        if self._disk.set_aside:
            found["file"] = clip(self._disk.set_aside, 300)
        return found

    def heartbeat(self, server_uuid: str) -> Heartbeat:
        """What is said now."""
        self._measure()
        return Heartbeat(
            server_uuid=server_uuid,
            timestamp=self._clock.now(),
            agent_version=__version__,
            incarnation=self._disk.incarnation,
            life=self._disk.life,
            started_at=self.started_at,
            every_s=self.every_s,
            config_version=self.config_version,
            config_error=clip(self.config_error, 500),
            buffered=self._buffer.count,
            late_s=round(self.late_s(), 1),
            dropped=self._buffer.dropped,
            cpu_percent=round(self.cpu_percent, 3),
            rss_bytes=rss_bytes(),
            facts=self.all_facts(),
            troubles={name: says for name, says in self.troubles().items() if name not in self.over_by_then()},
        )

    def _measure(self) -> None:
        now, used = self._clock.monotonic(), _cpu_s()
        before, was = self._cpu
        if now - before >= 1:
            self.cpu_percent = 100 * (used - was) / (now - before)
            self._cpu = now, used


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_bytes() -> int:
    """How much memory of the machine this process holds."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine_mark() -> str:
    """What tells this machine from others, as far as anybody may know it; empty where there is no such thing."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text(encoding="ascii").strip()[:64]
        except (OSError, ValueError):
            continue
    return ""
