"""A monitor's target as the corridor needs it: parsed, shown, the host it contacts, how long it takes to be heard of."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tocsin import checks
from tocsin.core import shape
from tocsin.core.monitor import Monitor
from tocsin.core.rhythm import due_at
from tocsin.errors import Invalid, NotFound


def target_of(monitor: Monitor) -> tuple[Any, str, str | None]:
    """The parsed target, how it is shown, and what is wrong with it."""
    try:
        target = shape.read(checks.kind(monitor.type).target, monitor.target)
    except (Invalid, NotFound) as error:
        return None, "", str(error)
    return target, checks.show(monitor.type, target), None


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
