"""Things for tests, everything filled in: `a_monitor(interval_s=60)`; and a clock that tests move themselves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tocsin.core.alert import Channel, Message, OutboxRow
from tocsin.core.consensus import LocationState, Verdict, VerdictValue
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.host import Host
from tocsin.core.incident import Incident
from tocsin.core.maintenance import Window
from tocsin.core.monitor import Monitor
from tocsin.core.on_call import OnCallSchedule, Rotation
from tocsin.core.probe import Probe
from tocsin.core.result import CheckError, CheckResult, Observation, Outcome, Status, Timing
from tocsin.core.rule import AlertRule, OnFailures
from tocsin.core.scope import Scope
from tocsin.store.probes import Pass

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""When the tests' world begins."""

ALICE, BOB, CHARLIE = "alice@example.org", "bob@example.org", "charlie@example.org"
"""Owner and teammate of workspace `ws`; charlie is a stranger with a workspace of his own, `elsewhere`."""

_numbers = itertools.count(1)


def at(seconds: float = 0.0) -> datetime:
    """The moment that many seconds after START."""
    return START + timedelta(seconds=seconds)


def a_monitor(**more: Any) -> Monitor:
    """A local HTTP monitor of workspace `ws`, every 60 s; any field can be named."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"m{number}",
        "workspace_id": "ws",
        "name": f"Monitor {number}",
        "type": "http",
        "target": {"url": "http://127.0.0.1:9/"},
        "created_at": START,
        "updated_at": START,
    }
    return Monitor(**(fields | more))


def an_outcome(
    status: Status = "up",
    *,
    at: datetime = START,
    location: str = "local",
    error: CheckError | None = None,
    **seen: Any,
) -> Outcome:
    """One finished HTTP check; what is not up has an error. `seen` are fields of Observation."""
    if error is None and status in ("down", "degraded"):
        error = CheckError("connection_refused", "connection refused", "connect")
    if error is None and status == "invalid":
        error = CheckError("unknown", "could not be judged fairly")
    fields: dict[str, Any] = {"status_code": 200 if status == "up" else None, "timing": Timing(connect=1.0, total=5.0)}
    return Outcome(
        type="http", target="http://127.0.0.1:9/", status=status, error=error, started_at=at, location=location,
        seen=Observation(**(fields | seen)),
    )  # fmt: skip


def a_result(
    status: Status = "up",
    *,
    monitor: Monitor | None = None,
    at: datetime = START,
    attempt: int = 0,
    location: str = "local",
    error: CheckError | None = None,
    **seen: Any,
) -> CheckResult:
    """The record of one check of `monitor` (or of monitor `m` in workspace `ws`) in the slot `at`."""
    workspace_id, monitor_id = (monitor.workspace_id, monitor.id) if monitor else ("ws", "m")
    return CheckResult(
        workspace_id=workspace_id, monitor_id=monitor_id, location=location, scheduled_at=at, attempt=attempt,
        outcome=an_outcome(status, at=at, location=location, error=error, **seen),
    )  # fmt: skip


def a_state(vote: Any = "up", *, at: datetime = START, location: str = "local", **more: Any) -> LocationState:
    """What one location says; `vote` may be None."""
    fields: dict[str, Any] = {"status": vote, "since": at if vote else None}
    return LocationState(location=location, vote=vote, at=at, **(fields | more))


def a_verdict(value: VerdictValue = "up", *, at: datetime = START, **more: Any) -> Verdict:
    """A verdict of one location without votes."""
    fields: dict[str, Any] = {
        "since": at, "n": 1, "k": 1, "f": 1, "d": int(value == "down"), "u": int(value != "down"), "min_fresh": 1,
        "quorum": "majority", "fresh_s": 130.0, "votes": (), "reason": f"it is {value}",
    }  # fmt: skip
    return Verdict(value=value, at=at, **(fields | more))


def an_incident(monitor: Monitor | None = None, **more: Any) -> Incident:
    """An open incident of `monitor` (or of monitor `m`)."""
    monitor_id = monitor.id if monitor else "m"
    fields: dict[str, Any] = {
        "id": f"i{next(_numbers)}",
        "workspace_id": monitor.workspace_id if monitor else "ws",
        "subject": f"monitor:{monitor_id}",
        "monitor_id": monitor_id,
        "opened_at": START,
        "reason": "connection refused",
    }
    return Incident(**(fields | more))


def a_channel(**more: Any) -> Channel:
    """An enabled default webhook channel of workspace `ws`."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"c{number}",
        "workspace_id": "ws",
        "name": f"Channel {number}",
        "type": "webhook",
        "config": {"url": "http://127.0.0.1:9/hook"},
        "default": True,
        "created_at": START,
        "updated_at": START,
    }
    return Channel(**(fields | more))


def a_probe(**more: Any) -> Probe:
    """An enabled push location `us-east` of workspace `ws`."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"p{number}", "workspace_id": "ws", "code": "us-east", "name": "US East", "mode": "push",
        "endpoint_url": "https://127.0.0.1:9", "keys": ("a key of a probe",), "created_at": START, "updated_at": START,
    }  # fmt: skip
    return Probe(**(fields | more))


def a_pass(probe_id: str, **more: Any) -> Pass:
    """A key of a probe of workspace `ws`."""
    fields: dict[str, Any] = {"workspace_id": "ws", "probe_id": probe_id, "kind": "key", "hash": "a" * 64}
    return Pass(**(fields | {"created_at": START} | more))


def a_message(**more: Any) -> Message:
    """An opening, as a notifier gets it."""
    fields: dict[str, Any] = {
        "event": "incident.opened",
        "key": f"{next(_numbers):032x}",
        "severity": "critical",
        "title": "Shop is down",
        "text": "Shop is down: connection refused",
        "monitor": {"id": "m", "name": "Shop", "type": "http", "target": "http://127.0.0.1:9/"},
        "incident": {
            "id": "i", "severity": "critical", "verdict": "down", "opened_at": "2026-03-01T12:00:00.000Z",
            "acknowledged_at": None, "resolved_at": None, "duration_s": None,
        },
        "verdict": "down",
        "reason": "connection refused",
        "at": START,
    }  # fmt: skip
    return Message(**(fields | more))


def an_outbox_row(**more: Any) -> OutboxRow:
    """A pending message for channel `c` about monitor `m`."""
    message = more.pop("message", None) or a_message(**({"key": more["key"]} if "key" in more else {}))
    fields: dict[str, Any] = {
        "key": message.key,
        "workspace_id": "ws",
        "channel_id": "c",
        "incident_id": "i",
        "monitor_id": "m",
        "subject": "monitor:m",
        "order": 1,
        "created_at": START,
        "next_at": START,
    }
    return OutboxRow(message=message, **(fields | more))


class FakeClock:
    """A clock that stands still until the test moves it: `await clock.advance(60)` wakes every sleeper in order."""

    def __init__(self, start: datetime = START) -> None:
        self._now, self._mono = start, 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._mono

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono + max(0.0, seconds), next(self._count), future))
        await future

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as a wrong NTP server does."""
        self._now += timedelta(seconds=seconds)

    async def advance(self, seconds: float, step: float = 0.05) -> None:
        """Let that much time pass, in steps, each woken sleeper running before the next step."""
        end = self._mono + seconds
        while self._mono < end - 1e-9:
            ahead = min(step, end - self._mono)
            if self._sleepers and self._sleepers[0][0] > self._mono + ahead:
                ahead = min(self._sleepers[0][0], end) - self._mono
            self._move(ahead)
            await self._wake()

    def _move(self, seconds: float) -> None:
        self._mono += seconds
        self._now += timedelta(seconds=seconds)

    async def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._mono + 1e-9:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)


async def until(condition: Callable[[], Any], *, within_s: float = 20.0, clock: FakeClock | None = None) -> Any:
    """The first true value of `condition()`, asked again as the loop turns; fails after `within_s` real seconds.

    A given `clock` is moved 50 ms each time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not (value := condition()):
        assert loop.time() < end, f"not within {within_s} s: {condition}"
        if clock is not None:
            await clock.advance(0.05)
        await asyncio.sleep(0.002)
    return value


def records() -> dict[str, Any]:
    """One of each thing that users write down whole (store.records), by its noun."""
    known: dict[str, Any] = {"id": "r", "workspace_id": "ws", "name": "First", "created_at": START, "updated_at": START}
    scope = Scope(tags=("t",))
    step = EscalationStep(delay_s=300, channels=("c",))
    return {
        "alert_rules": AlertRule(**known, scope=scope, condition=OnFailures(count=3)),
        "maintenance_windows": Window(**known, scope=scope, starts_at=START, duration_s=3600),
        "escalation_policies": EscalationPolicy(**known, steps=(step,)),
        "hosts": Host(**known, tags=("t",)),
        "on_call_schedules": OnCallSchedule(**known, rotations=(Rotation(people=("alice",), starts_at=START),)),
    }
