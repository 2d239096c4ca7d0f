"""A monitor's target as the corridor needs it: parsed, shown, the host it contacts, how long it takes to be heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tocsin import checks
from tocsin.core import shape
from tocsin.core.monitor import Monitor
from tocsin.core.rhythm import due_at
from tocsin.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Aim:
    """A monitor's target: parsed, how it is shown, what it contacts and how long it takes to be heard of after a start.
    `problem`: why it cannot be read (`target` is None then); `breaks`: which rules of its type it breaks that are newer
    than it, though it is checked as before."""

    target: Any
    shown: str
    host: str
    settles_s: float
    problem: str | None = None
    breaks: str = ""


def target_of(monitor: Monitor, now: datetime) -> Aim:
    """What its target says. One that cannot be used stops nothing but its own checks."""
    try:
        target, rules = shape.read_stored(checks.kind(monitor.type).target, monitor.target)
        return _aim(monitor, target, now, breaks=str(Invalid(*rules)) if rules else "")
    except (Invalid, NotFound) as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 (what breaks a rule may be what nobody expects who uses it)
        problem = f"it breaks a rule of its type ({type(error).__name__})"
    return _aim(monitor, None, now, problem=problem)


def _aim(monitor: Monitor, target: Any, now: datetime, *, breaks: str = "", problem: str | None = None) -> Aim:
    shown = "" if target is None else checks.show(monitor.type, target)
    return Aim(
        target, shown, host_of(monitor, target), settling_s(monitor, target, now), problem=problem, breaks=breaks
    )


def host_of(monitor: Monitor, target: Any) -> str:
    """What the monitor contacts: host and port as far as they are named; this machine, when it uses something of it."""
    steps = getattr(target, "steps", ())
    url = getattr(target, "url", None) or (getattr(steps[0], "url", None) if steps else None)
    if isinstance(url, str):
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    host = getattr(target, "host", None)
    if isinstance(host, str):
        return f"{host}:{getattr(target, 'port', '')}"
    return "this machine" if target is not None and checks.kind(monitor.type).missing is not None else monitor.id


def settling_s(monitor: Monitor, target: Any, now: datetime) -> float:
    """How long after a start what is stored stands: two slots and an answer;
    for a push monitor a period (or until its schedule wants a call), an hour at most."""
    if monitor.type != "push":
        return monitor.fresh_s()
    rhythm = getattr(target, "rhythm", None)
    if rhythm is None or rhythm.schedule is None:
        return float(min(getattr(target, "period_s", monitor.interval_s), 3600))
    return min((due_at(rhythm, now) - now).total_seconds(), 3600.0)
