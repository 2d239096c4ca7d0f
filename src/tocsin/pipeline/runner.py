"""Runs one job: calls its location's function, sees whether it was judged fairly, hands the result on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tocsin import telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core.probe import stand_in
from tocsin.core.redaction import redacted
from tocsin.core.result import STATUSES, CheckError, CheckResult, Observation, Outcome
from tocsin.errors import Conflict, NotFound, PeerLost
from tocsin.location import Location
from tocsin.location.lag import LagMeter
from tocsin.pipeline.admission import Admission, Job
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.watchlist import Watched, Watchlist

log = telemetry.logger("tocsin.runner")

STUCK_S = 30.0
"""A run that takes so much longer than its timeout is cancelled."""
TRIALS = 20
"""Unstored checks for people and programs at once."""


class Runner:
    """Runs jobs at locations. `ended` is called with each job and its result, after the result was handed to intake.

    `here` is this instance's own location. `others` are those of other instances, which keep their own schedule: they are
    asked for confirmations and by people only. While this instance does not lead, nobody but itself is asked."""

    def __init__(
        self, watchlist: Watchlist, locations: Mapping[str, Location], intake: Intake, clock: Clock, lag: LagMeter
    ) -> None:
        self.locations = dict(locations)
        self.here = next(iter(self.locations), "")
        self.others: dict[str, Location] = {}
        self.leads = True
        self._watchlist, self._intake, self._clock, self._lag = watchlist, intake, clock, lag
        self._tasks: dict[asyncio.Task[None], tuple[Job, float]] = {}
        self._trials = asyncio.Semaphore(TRIALS)
        self._figures = _Figures()
        self.admission: Admission
        self.ended: Callable[[Job, CheckResult], None] = lambda job, result: None
        self.unreachable: Callable[[str, str], None] = lambda workspace_id, code: None

    def seats(self, watched: Watched) -> list[str]:
        """The locations of a monitor that it is to be checked at from here, be they lost for now or not."""
        ours = (place for place in watched.assigned if self._ours(watched, place))
        return [place for place in ours if self._way(watched, place) is not None]

    def places(self, watched: Watched) -> list[str]:
        """The locations of a monitor that it is to be checked at from here, by themselves or by who stands in for them."""
        return [place for place in self.asked(watched) if self._ours(watched, place)]

    def asked(self, watched: Watched) -> list[str]:
        """The locations of a monitor that it can be checked at now; those of other instances too."""
        return [place for place in watched.assigned if self.who(watched, place) is not None]

    def who(self, watched: Watched, place: str) -> str | None:
        """The location that looks where this one should: itself, or we ourselves while it is lost; None when nobody can."""
        roster = self._watchlist.roster
        if not roster.is_lost(watched.monitor.workspace_id, place):
            return place if self._way(watched, place) is not None else None
        home = roster.home
        lost = roster.lost(watched.monitor.workspace_id, watched.assigned)
        return home if home in self.locations and stand_in(watched.assigned, lost, home) == place else None

    def _ours(self, watched: Watched, place: str) -> bool:
        """Whether its schedule is kept here: unless another instance keeps it, which is not lost or not stood in for."""
        return place not in self.others or self.who(watched, place) not in (place, None)

    def _way(self, watched: Watched, place: str) -> Location | None:
        run = self.locations.get(place)
        if run is not None or not self.leads:
            return run
        return self.others.get(place) or self._watchlist.roster.run(watched.monitor.workspace_id, place)

    def start(self, job: Job) -> None:
        """Begin to run an admitted job."""
        task = asyncio.create_task(self._run(job))
        self._tasks[task] = job, self._clock.monotonic()
        task.add_done_callback(self._tasks.pop)

    def sweep(self) -> int:
        """Cancel runs that are long past their timeout (a fault of ours, or the monitor would never be checked again): how
        many."""
        now, stuck = self._clock.monotonic(), 0
        for task, (job, begun) in tuple(self._tasks.items()):
            if now - begun > float(job.watched.monitor.timeout_s) + STUCK_S:
                log.error("runner.stuck", monitor=job.watched.monitor.id, location=job.location)
                telemetry.checks_invalid.labels("stuck").inc()
                task.cancel()
                stuck += 1
        return stuck

    def submit(self, job: Job, *, first: bool = False) -> None:
        """Queue a job; its location counts as running from now on."""
        job.watched.running.add(job.location)
        self.admission.submit(job, first=first)

    async def run_now(self, monitor_id: str) -> dict[str, Any]:
        """Check a monitor at all its locations now, wait, and give {verdict, results}, stored and judged.

        A check that is running is waited for first. Raises NotFound; Conflict when it is paused or cannot be run."""
        watched = self._watchlist.get(monitor_id)
        places = self.asked(watched)
        if watched.monitor.type == "push" or not places:
            raise Conflict("nothing to run: it is not checked from here")
        jobs: list[Job] = []
        for place in places:
            await self._idle(watched, place)
            if watched.gone:
                raise NotFound(f"there is no monitor {monitor_id} any more")
            if watched.monitor.paused:
                raise Conflict("the monitor is paused: resume it first")
            jobs.append(self._asked_for(watched, place, stored=False))
        for job in jobs:
            self.submit(job, first=True)
        self.admission.admit()
        ended = await asyncio.gather(*(job.done for job in jobs if job.done), return_exceptions=True)
        results = [r for r in ended if isinstance(r, CheckResult)]
        await self._intake.take_in(results)
        for job, result in zip(jobs, ended, strict=True):
            if isinstance(result, CheckResult):
                job.stored = True  # it is by now, so that a failure is repeated like any other
                self._follow_up(job, result)
        return {"verdict": watched.verdict, "results": results}

    async def try_check(self, order: Order) -> Outcome:
        """One check from this instance that is not stored and not judged."""
        async with self._trials:
            since = self._lag.now()
            return self._lag.fair(await self._ask(self.locations[self.here], order), since)

    async def look(self, watched: Watched, slot: datetime, attempt: int) -> Outcome:
        """What this instance sees of a monitor now, for another one that asks; nothing is stored here."""
        job = Job(watched, self.here, slot, self._clock.monotonic(), attempt, own_slot=False, stored=False)
        return (await self._result(job)).outcome

    async def cycle(self, workspace_id: str | None = None, *, stored: bool = True) -> dict[str, Any]:
        """Check every active monitor (of a workspace) now, within the limits, and wait: figures of the cycle.

        {total, up, degraded, down, invalid, skipped, took_ms}; skipped were just running. With `stored` False nothing
        is kept and nobody is told."""
        begun = self._clock.monotonic()
        jobs: list[Job] = []
        skipped = 0
        for watched in self._watchlist if workspace_id is None else self._watchlist.of(workspace_id):
            if watched.monitor.paused or watched.monitor.type == "push":
                continue
            for place in self.places(watched):
                if place in watched.running:
                    skipped += 1
                else:
                    job = self._asked_for(watched, place, stored=stored)
                    self.submit(job)
                    jobs.append(job)
        self.admission.admit()
        ended = await asyncio.gather(*(job.done for job in jobs if job.done), return_exceptions=True)
        results = [r for r in ended if isinstance(r, CheckResult)]
        if stored:
            await self._intake.flushed()
        counts = Counter(r.status for r in results)
        took_ms = round((self._clock.monotonic() - begun) * 1000, 1)
        return {"total": len(results), **{s: counts[s] for s in STATUSES}, "skipped": skipped, "took_ms": took_ms}

    async def stop(self, grace_s: float) -> None:
        """Let the checks in flight end; cancel those that take longer than `grace_s`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _asked_for(self, watched: Watched, place: str, *, stored: bool) -> Job:
        due, done = self._clock.monotonic(), asyncio.get_running_loop().create_future()
        return Job(watched, place, self._clock.now(), due, own_slot=False, stored=stored, done=done)

    async def _idle(self, watched: Watched, place: str) -> None:
        while place in watched.running:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            watched.idle.append(waiter)
            await waiter

    async def _run(self, job: Job) -> None:
        try:
            result = await self._result(job)
            if job.stored:
                self._intake.offer(result)
        except BaseException:
            if job.done is not None:
                job.done.cancel()
            raise
        finally:
            self._free(job)
        self._follow_up(job, result)
        if job.done is not None and not job.done.done():
            job.done.set_result(result)

    def _follow_up(self, job: Job, result: CheckResult) -> None:
        """Tell the scheduler; its fault must not keep the result from who waits for it."""
        try:
            self.ended(job, result)
        except Exception:
            telemetry.faults.labels("runner").inc()
            log.exception("runner.not_followed_up", monitor=job.watched.monitor.id)

    def _free(self, job: Job) -> None:
        watched = job.watched
        watched.running.discard(job.location)
        self.admission.finished(job)
        if watched.idle:
            watched.wake()

    async def _result(self, job: Job) -> CheckResult:
        watched, monitor = job.watched, job.watched.monitor
        by, late_s = self.who(watched, job.location) or job.location, self._clock.monotonic() - job.due
        if late_s > monitor.interval_s:
            outcome = self._unfair(watched, job.location, "lateness", f"it would have started {late_s:.1f} s late")
        elif watched.problem is not None:
            outcome = self._unfair(
                watched, job.location, "configuration", f"its target cannot be read: {watched.problem}"
            )
        else:
            order = Order(
                monitor.type, watched.target, float(monitor.timeout_s), monitor.assertions, by,
                monitor.id, job.slot, job.attempt,
            )  # fmt: skip
            outcome = redacted(await self._judged(watched, order), watched.secrets)
        self._figures.count(outcome, late_s)
        return CheckResult(
            workspace_id=monitor.workspace_id,
            monitor_id=monitor.id,
            location=by,
            scheduled_at=job.slot,
            attempt=job.attempt,
            outcome=outcome,
            substitute_for=None if by == job.location else job.location,
        )

    async def _judged(self, watched: Watched, order: Order) -> Outcome:
        """The outcome of an order; invalid when its location could not be asked, or we ourselves stood still meanwhile."""
        place, since = order.location, self._lag.now()
        run = self._way(watched, place)
        try:
            if run is None:
                raise PeerLost("there is no such location any more")  # noqa: TRY301 (the same as one that is cut off)
            outcome = await self._ask(run, order)
        except PeerLost as error:
            self.unreachable(watched.monitor.workspace_id, place)
            return self._unfair(watched, place, "peer_lost", f"location {place} could not be asked: {error}")
        return self._lag.fair(outcome, since) if place in self.locations else outcome

    async def _ask(self, run: Location, order: Order) -> Outcome:
        """Whatever a location raises is our fault, never the target's; PeerLost is passed on."""
        started = self._clock.now()
        try:
            return await run(order)
        except PeerLost:
            raise
        except Exception as error:
            log.exception("runner.check_raised", type=order.type, location=order.location)
            telemetry.checks_invalid.labels("error").inc()
            return Outcome(
                type=order.type,
                target="",
                status="invalid",
                error=CheckError("unknown", f"the check itself failed: {type(error).__name__}"),
                started_at=started,
                location=order.location,
                seen=Observation(),
            )

    def _unfair(self, watched: Watched, place: str, cause: str, why: str) -> Outcome:
        """An invalid outcome of a check that was not made."""
        telemetry.checks_invalid.labels(cause).inc()
        return Outcome(
            type=watched.monitor.type,
            target=watched.shown,
            status="invalid",
            error=CheckError("unknown", f"not judged: {why}"),
            started_at=self._clock.now(),
            location=place,
            seen=Observation(),
        )


class _Figures:
    """Metrics of checks, with their labelled children kept."""

    def __init__(self) -> None:
        self._checks: dict[tuple[str, str], Any] = {}
        self._ms: dict[str, Any] = {}

    def count(self, outcome: Outcome, late_s: float) -> None:
        """Count one finished check."""
        key = (outcome.type, outcome.status)
        counter = self._checks.get(key)
        if counter is None:
            counter = self._checks[key] = telemetry.checks.labels(*key)
            self._ms[outcome.type] = telemetry.check_ms.labels(outcome.type)
        counter.inc()
        if (total := outcome.seen.timing.total) is not None:
            self._ms[outcome.type].observe(total)
        telemetry.scheduler_lateness.observe(max(0.0, late_s))
        if outcome.error is not None:
            telemetry.check_errors.labels(outcome.error.type).inc()
