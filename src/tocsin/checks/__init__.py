"""Check types: the registry, and `run`, which owns timing, timeout, assertions and errors."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.clock import Clock
from tocsin.core import shape
from tocsin.core.monitor import Assertion
from tocsin.core.result import ERROR_TYPES, AssertionResult, CheckError, Observation, Outcome, Status
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, NotFound, Problem
from tocsin.net import Local, Net
from tocsin.net.progress import PROGRESS, TOO_BUSY, Progress, timeout_message
from tocsin.net.shortage import shortage

# One line a kind: its name and the module that is imported when it is first used.
REGISTRY: dict[str, str] = {
    "http": "tocsin.checks.http",
    "tcp": "tocsin.checks.tcp",
    "ping": "tocsin.checks.ping",
    "push": "tocsin.checks.push",
    "udp": "tocsin.checks.udp",
    "tls": "tocsin.checks.tls",
    "dns": "tocsin.checks.dns",
    "smtp": "tocsin.checks.smtp",
    "transaction": "tocsin.checks.transaction",
    "browser": "tocsin.checks.browser",
    "websocket": "tocsin.checks.websocket",
    "grpc": "tocsin.checks.grpc",
    "ssh": "tocsin.checks.ssh",
    "postgres": "tocsin.checks.postgres",
    "mysql": "tocsin.checks.mysql",
    "redis": "tocsin.checks.redis",
    "mongodb": "tocsin.checks.mongodb",
    "mqtt": "tocsin.checks.mqtt",
    "rabbitmq": "tocsin.checks.rabbitmq",
    "kafka_producer": "tocsin.checks.kafka_producer",
    "kafka_consumer": "tocsin.checks.kafka_consumer",
    "ldap": "tocsin.checks.ldap",
    "snmp": "tocsin.checks.snmp",
    "docker": "tocsin.checks.docker",
    "nagios": "tocsin.checks.nagios",
}


class Kind(Struct, frozen=True):
    """A check type: its Target dataclass, its `check` coroutine, and what it is for in one line.

    A kind's module may also have `TITLE` and `SAYS` (its name and what it does in a few words, for people who choose one),
    `summary(target) -> str` (the target in one line, no secrets), `OFFERS`, the types of
    assertions it can meet beside the response time, `DEFAULTS`, the assertions that hold when a monitor has none of their
    type, `START`: numbers that the form of a new monitor begins with, where the usual ones would not do,
    `GRACE_S`: the check ends by itself in time, so that `run` need only stand behind it, that much later, and
    `missing(target, local) -> Problem | None`: what of this machine it needs and the operator has not allowed."""

    name: str
    target: type[Any]
    check: Callable[[Any, Net], Awaitable[Observation]]
    label: str
    summary: Callable[[Any], str]
    title: str
    says: str = ""
    offers: tuple[str, ...] = ("response_time_ms",)
    defaults: tuple[Assertion, ...] = ()
    start: Mapping[str, float] = {}
    grace_s: float = 0.0
    missing: Callable[[Any, Local], Problem | None] | None = None


def names() -> list[str]:
    """The names of all check types."""
    return list(REGISTRY)


@functools.cache
def kind(name: str) -> Kind:
    """The check type of that name. Raises NotFound."""
    if name not in REGISTRY:
        raise NotFound(f"there is no check type {name!r}; there are {', '.join(REGISTRY)}")
    module = importlib.import_module(REGISTRY[name])
    label = (module.Target.__doc__ or name).strip().splitlines()[0].rstrip(".")
    summary = getattr(module, "summary", _summary)
    defaults: tuple[Assertion, ...] = tuple(getattr(module, "DEFAULTS", ()))
    offers = (*getattr(module, "OFFERS", ()), "response_time_ms")
    grace_s, missing = getattr(module, "GRACE_S", 0.0), getattr(module, "missing", None)
    title, says = getattr(module, "TITLE", name.replace("_", " ").capitalize()), getattr(module, "SAYS", "")
    start: Mapping[str, float] = getattr(module, "START", {})
    return Kind(
        name, module.Target, module.check, label, summary, title, says, offers, defaults, start, grace_s, missing
    )  # fmt: skip


def check_assertions(data: object, name: str | None, where: str = "assertions") -> tuple[Assertion, ...]:
    """Assertions from plain data, fit to be judged by a check of that type (None: by whatever type can). Raises Invalid
    with one Problem for each thing wrong."""
    from tocsin.core import assertion_terms

    if name is None:
        return assertion_terms.check_assertions(data, where=where)
    return assertion_terms.check_assertions(data, offered=kind(name).offers, check_type=name, where=where)


def missing(name: str, data: Mapping[str, Any], local: Local) -> Problem | None:
    """What a check of this type with this target, as plain data that was read before, needs of this machine and may not
    use; None when there is nothing of the kind."""
    chosen = kind(name)
    return None if chosen.missing is None else chosen.missing(shape.read(chosen.target, data), local)


def show(type: str, target: Any) -> str:
    """The target in one line for people, without secrets."""
    return kind(type).summary(target)


def _summary(target: Any) -> str:
    for name in ("url", "host", "name"):
        if (value := getattr(target, name, None)) is not None:
            port = getattr(target, "port", None)
            shown = f"[{value}]" if port is not None and ":" in value else str(value)
            return shown if port is None else f"{shown}:{port}"
    return ""


class Order(Struct, frozen=True):
    """One check to run. `target` is an instance of the kind's Target. The last three say which check of which monitor it
    is: so much a result that comes too late must bring along. Empty where nothing is stored."""

    type: str
    target: Any
    timeout_s: float = 10.0
    assertions: tuple[Assertion, ...] = ()
    location: str = "local"
    monitor_id: str = ""
    scheduled_at: datetime | None = None
    attempt: int = 0


async def run(order: Order, net: Net, clock: Clock) -> Outcome:
    """One finished check: it never raises (cancellation apart).

    CheckFailed → down with its reason; no answer in time → down, timeout, with its phase; an address that the guard
    refuses → invalid, network; this machine is short of something → invalid; any other exception is a fault of ours →
    invalid, with its traceback in the log."""
    chosen = kind(order.type)
    if _speaks_tls(order.target):
        _ready_for_tls()
    started_at = clock.now()
    began = time.perf_counter()
    here = Progress()
    token = PROGRESS.set(here)
    try:
        status, error, seen = await _look(order, chosen, net, here)
    finally:
        here.end()
        PROGRESS.reset(token)
    seen = _complete(seen, here, (time.perf_counter() - began) * 1000)
    results: tuple[AssertionResult, ...] = ()
    if status == "up":
        try:
            status, error, results = _judged(order.assertions, chosen.defaults, seen, started_at)
        except Exception as bug:  # noqa: BLE001 - judging is ours
            status, error = _our_fault(order.type, bug)
    return Outcome(
        type=order.type,
        target=chosen.summary(order.target),
        status=status,
        error=error,
        started_at=started_at,
        location=order.location,
        seen=seen,
        assertions=results,
    )


def _speaks_tls(target: Any) -> bool:
    """Whether a check of this target will, or may, do a handshake of our own."""
    if not hasattr(target, "verify_tls"):
        return False
    if hasattr(target, "url"):
        return str(target.url).lower().startswith(("https:", "wss:"))
    chosen = [value for name in ("tls", "starttls") if (value := getattr(target, name, None)) is not None]
    return any(chosen) if chosen else getattr(target, "protocol", "tls") == "tls"


@functools.cache
def _ready_for_tls() -> None:
    """Import what TLS takes, some 200 ms the first time, before a clock runs: the target has no part in it."""
    with contextlib.suppress(OSError):  # out of descriptors: the check itself finds out, and says so
        importlib.import_module("tocsin.net.tls")
        importlib.import_module("cryptography.x509")


async def _look(
    order: Order, chosen: Kind, net: Net, here: Progress
) -> tuple[Status, CheckError | None, Observation | None]:
    """Status, error and what was seen, before anything is judged."""
    try:
        here.begin(order.timeout_s, chosen.grace_s)
        return "up", None, await chosen.check(order.target, net)
    except CheckFailed as failure:
        return "down", _failure(failure, here), failure.observation
    except EgressRefused as refused:
        return "invalid", CheckError("network", f"refused: {refused}", here.phase), None
    except CheckInvalid as fault:
        return "invalid", CheckError("unknown", str(fault), here.phase), None
    except asyncio.CancelledError:
        if not here.end():
            raise
        return *_timed_out(order, here), None
    except Exception as bug:  # noqa: BLE001 - whatever a check type raises by mistake is ours, never the target's
        return *_our_fault(order.type, bug), None


def _failure(failure: CheckFailed, here: Progress) -> CheckError:
    type_: Any = failure.type if failure.type in ERROR_TYPES else "unknown"
    return CheckError(type_, failure.message, failure.phase)


def _timed_out(order: Order, here: Progress) -> tuple[Status, CheckError]:
    if here.in_line():
        return "invalid", CheckError("unknown", TOO_BUSY)
    if here.phase == "dns" and here.lookup is not None and not here.lookup.started:
        return "invalid", CheckError("unknown", "our own resolver was too busy to ask for the name", "dns")
    return "down", CheckError("timeout", timeout_message(order.timeout_s, here.phase), here.phase)


def _our_fault(type_: str, bug: Exception) -> tuple[Status, CheckError]:
    """Invalid: this machine is short of something (no need to look into that twice), or there is a bug (in the log)."""
    ours = shortage(bug) if isinstance(bug, OSError) else None
    if ours is not None:
        return "invalid", CheckError("unknown", str(ours))
    from tocsin.telemetry import logger  # the log is the heaviest import of a check that needs none

    logger(__name__).error("checks.fault", type=type_, exc_info=bug)
    return "invalid", CheckError("unknown", "the check itself failed (a fault of ours; it is in the log)")


def _complete(seen: Observation | None, here: Progress, wall_ms: float) -> Observation:
    """The observation with what was seen on the way, and its total."""
    if seen is None:
        seen = Observation(timing=here.timing(), ip=here.ip, tls=here.tls)
    if seen.timing.total is None:
        seen = replace(seen, timing=replace(seen.timing, total=wall_ms))
    return seen


def _judged(
    given: Sequence[Assertion], defaults: Sequence[Assertion], seen: Observation, now: datetime
) -> tuple[Status, CheckError | None, tuple[AssertionResult, ...]]:
    """Judge the assertions, with the kind's own for the types that none is given of."""
    if given and defaults:
        defaults = [d for d in defaults if all(a.type != d.type for a in given)]
    results: tuple[AssertionResult, ...] = ()
    if given or defaults:
        from tocsin.core.assertion import judge, verdict_of  # heavy for a check that has nothing to judge

        results = judge((*defaults, *given), seen, now)
        status, error = verdict_of(results)
        if error is not None:
            return status, error, results
    if seen.degraded is not None:
        return "degraded", seen.degraded, results
    return "up", None, results
