"""What a probe does with an order, whichever way it came: read it, run it here, write down what came of it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

from tocsin import __version__, checks, telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core import shape
from tocsin.core.plain import found
from tocsin.core.result import CheckError, Observation, Outcome
from tocsin.errors import Invalid, Problem, TocsinError
from tocsin.location import Location
from tocsin.location.lag import LagMeter
from tocsin.location.self_test import SelfTest
from tocsin.probe.answer import answer_of, written
from tocsin.probe.wire import Answer, Execute, Health

log = telemetry.logger("tocsin.probe")

REMEMBERED, REMEMBERED_BYTES, REMEMBERED_S = 2000, 4 << 20, 120.0
"""Answers that are kept for who asks for the same job again."""
NOT_HERE = ("push",)
"""Check types that are no work for a probe: such a monitor waits for calls to the server."""


class Busy(TocsinError):
    """As many checks as this probe may run are running."""


def types_here() -> tuple[str, ...]:
    """The check types a probe can run."""
    return tuple(name for name in checks.names() if name not in NOT_HERE)


def order_of(job: Execute, location: str) -> Order:
    """The check that is ordered. Raises Invalid with one Problem for each thing wrong; a type that this version does not
    know is one of them, at "monitorType"."""
    here = types_here()
    if job.monitorType not in here:
        expected = f"a check type of this probe ({', '.join(here)})"
        raise Invalid(Problem("monitorType", expected, found(job.monitorType)))
    kind = checks.kind(job.monitorType)
    problems: list[Problem] = []
    target = assertions = None
    try:
        target = shape.read(kind.target, job.config, where="config")
    except Invalid as error:
        problems += error.problems
    try:
        assertions = checks.check_assertions(job.validationRules, job.monitorType, "validationRules")
    except Invalid as error:
        problems += error.problems
    if problems:
        raise Invalid(*problems)
    return Order(
        job.monitorType, target, float(job.timeoutMs) / 1000, assertions or (), location,
        str(job.monitorId), job.scheduledAt, job.attempt,
    )  # fmt: skip


class Worker:
    """Runs orders by `run`, at most `most` at once. The same job is run once, however often it is ordered.

    `trouble` is what the look at itself found."""

    def __init__(self, run: Location, lag: LagMeter, clock: Clock, region: str, *, most: int) -> None:
        self.region = region
        self._run, self._lag, self._clock, self._most = run, lag, clock, most
        self._running: dict[str, asyncio.Task[bytes]] = {}
        self._known: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._known_bytes = 0
        self._born = time.monotonic()

    @property
    def in_flight(self) -> int:
        """How many checks are running."""
        return len(self._running)

    async def do(self, job: Execute) -> bytes:
        """The answer to the order, written down (see wire.written). Raises Invalid for an order that cannot be understood,
        and Busy."""
        known = self._known.get(job.jobId)
        if known is not None:
            telemetry.probe_jobs.labels("repeated").inc()
            return known[0]
        task = self._running.get(job.jobId)
        if task is None:
            order = order_of(job, self.region)
            if len(self._running) >= self._most:
                telemetry.probe_jobs.labels("busy").inc()
                raise Busy(f"{self._most} checks are running, and more this probe does not run at once")
            task = asyncio.create_task(self._work(job, order), name="job")
            self._running[job.jobId] = task
            task.add_done_callback(lambda _: self._running.pop(job.jobId, None))
        # Whoever asked may hang up: the check goes on, for who asks again.
        return await asyncio.shield(task)

    def health(self, *, buffered: int = 0, dropped: int = 0) -> Health:
        """How this probe is."""
        trouble = self._run.trouble if isinstance(self._run, SelfTest) else None
        lag_s = self._lag.worst_since(self._lag.now() - 60)
        return Health(
            status="ok" if trouble is None else "degraded",
            version=__version__,
            region=self.region,
            types=types_here(),
            uptimeS=round(time.monotonic() - self._born, 1),
            lagMs=round(lag_s * 1000, 1),
            inFlight=self.in_flight,
            capacity=self._most,
            buffered=buffered,
            dropped=dropped,
            trouble=trouble,
        )

    async def stop(self, grace_s: float) -> None:
        """Let the checks in flight end; cancel those that take longer."""
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, job: Execute, order: Order) -> bytes:
        began, since = time.perf_counter(), self._lag.now()
        try:
            outcome = self._lag.fair(await self._run(order), since)
        except Exception as error:
            log.exception("probe.check_raised", type=order.type)
            outcome = _failed(order, f"the check itself failed: {type(error).__name__}", self._clock)
        telemetry.probe_jobs.labels(outcome.status).inc()
        answer: Answer = answer_of(job, outcome, self.region, (time.perf_counter() - began) * 1000)
        text = written(answer)
        self._remember(job.jobId, text)
        return text

    def _remember(self, job_id: str, text: bytes) -> None:
        now = time.monotonic()
        self._known[job_id] = text, now
        self._known_bytes += len(text)
        while self._known and (
            len(self._known) > REMEMBERED
            or self._known_bytes > REMEMBERED_BYTES
            or next(iter(self._known.values()))[1] < now - REMEMBERED_S
        ):
            _, (old, _) = self._known.popitem(last=False)
            self._known_bytes -= len(old)


def _failed(order: Order, why: str, clock: Clock) -> Outcome:
    """An invalid outcome of a check that did not come to its end."""
    return Outcome(
        type=order.type, target="", status="invalid", error=CheckError("unknown", why), started_at=clock.now(),
        location=order.location, seen=Observation(),
    )  # fmt: skip


def keys_fit(keys: Sequence[str], given: str) -> bool:
    """Whether the given key is one of ours, in time that does not depend on where it differs."""
    import hmac

    fits = False
    for key in keys:
        fits |= hmac.compare_digest(key.encode(), given.encode("utf-8", "surrogatepass"))
    return fits
