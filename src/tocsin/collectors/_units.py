"""Units of systemd, judged. Pure: what systemd says of a unit goes in, how it should be seen comes out."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from tocsin.core.sample import Service

SETTLE_S = 90.0
"""So long a unit may be on its way up or down before that is trouble."""
LOOP_RESTARTS, LOOP_S = 5, 600.0
"""So many restarts in so many seconds are a loop."""
_WAYS = frozenset(("activating", "deactivating", "reloading", "refreshing", "maintenance"))
_RESULTS = {
    "exit-code": "it ended with exit code {status}", "signal": "it was ended by signal {status}",
    "core-dump": "it was ended by signal {status} and dumped core", "oom-kill": "the kernel ended it for want of memory",
    "timeout": "it took too long to start or to stop", "watchdog": "it did not feed its watchdog",
    "start-limit-hit": "it was started too often", "resources": "there was something missing to start it",
    "protocol": "it did not do what its type asks for", "exec-condition": "its condition to run did not hold",
}  # fmt: skip


class Unit(Struct, frozen=True, kw_only=True):
    """What systemd says of a unit. Times in seconds since 1970, None where there is none. `named`: the file asks for exactly
    this one, so it should be there. `triggered`: a timer, socket or path starts it when it is needed."""

    name: str
    load: str
    active: str
    sub: str
    description: str = ""
    named: bool = True
    since: float | None = None
    type: str = ""
    result: str = "success"
    status: int | None = None
    restarts: int | None = None
    triggered: bool = False
    memory: float | None = None
    cpu_ns: float | None = None


class Restarts:
    """How often each unit was restarted of late."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._times: dict[str, deque[float]] = {}

    def lately(self, name: str, count: int | None, now: float) -> int:
        """How many restarts of this unit were seen in the last ten minutes; `count` is systemd's own, ever."""
        times = self._times.setdefault(name, deque(maxlen=100))
        before = self._counts.get(name)
        if count is not None:
            if before is not None and count > before:
                times.extend([now] * min(100, count - before))
            self._counts[name] = count
        while times and now - times[0] > LOOP_S:
            times.popleft()
        return len(times)

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        for name in self._times.keys() - names:
            self._times.pop(name)
            self._counts.pop(name, None)


def seen(unit: Unit, restarts: int, now: float) -> Service:
    """The unit as a service. `restarts`: how many there were of late; `now`: seconds since 1970."""
    state, ok, detail = _judged(unit, restarts, now)
    facts: dict[str, str | float | int | bool | None] = {
        "sub": unit.sub, "description": unit.description[:200], "type": unit.type, "restarts": unit.restarts,
        "memory_bytes": unit.memory,
    }  # fmt: skip
    return Service(
        kind="unit", name=unit.name[:200], state=state, ok=ok, since=_moment(unit.since), detail=detail[:400],
        facts={name: value for name, value in facts.items() if value not in (None, "")},
    )  # fmt: skip


def _judged(unit: Unit, restarts: int, now: float) -> tuple[str, bool | None, str]:
    """State, whether it is as it should be, and why."""
    if unit.load in ("not-found", "error", "bad-setting"):
        return unit.load, False if unit.named else None, "there is no such unit, or it cannot be read"
    if unit.active == "failed":
        return "failed", False, _why(unit)
    if restarts >= LOOP_RESTARTS:
        return unit.active, False, f"restarted {restarts} times within {LOOP_S / 60:g} minutes: {_why(unit)}"
    if unit.active in _WAYS:
        stuck = unit.sub != "auto-restart" and unit.since is not None and now - unit.since > SETTLE_S
        if unit.type == "oneshot" and unit.active == "activating":  # that is a oneshot at work
            return "working", None, ""
        return unit.active, False if stuck else None, f"{unit.sub}, for more than {SETTLE_S:g} s" if stuck else unit.sub
    if unit.active == "inactive":
        return _inactive(unit)
    return unit.active, True, ""


def _inactive(unit: Unit) -> tuple[str, bool | None, str]:
    if unit.result == "success" and (unit.type == "oneshot" or unit.triggered):
        return "inactive", True, "it ended well" if unit.type == "oneshot" else "it is started when it is needed"
    if unit.load == "masked":
        return "masked", False if unit.named else None, "it is masked, so it cannot be started"
    return "inactive", False if unit.named else None, "it is not running" if unit.named else ""


def _why(unit: Unit) -> str:
    words = _RESULTS.get(unit.result)
    if words is None:
        return "" if unit.result == "success" else unit.result
    return words.format(status="unknown" if unit.status is None else unit.status)


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if not seconds else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def whole(value: Any) -> int | None:
    """A number of systemd's, None where it says that it has none (all bits set)."""
    return value if type(value) is int and 0 <= value < (1 << 64) - 1 else None


def full_name(text: str) -> str:
    """`nginx` is `nginx.service`."""
    known = (
        ".service",
        ".socket",
        ".timer",
        ".mount",
        ".target",
        ".path",
        ".scope",
        ".slice",
        ".swap",
        ".device",
        ".automount",
    )
    return text if text.endswith(known) else f"{text}.service"
