"""The one door of results: fold, judge, store in one transaction, and only then tell anyone.

Results are taken in rounds, one at a time. A result that may change something starts a round at once; steady ones
wait for company, up to a quarter of a second. A round that could not be stored is taken back and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.alert import OutboxRow
from tocsin.core.result import CheckResult, iso
from tocsin.errors import Conflict
from tocsin.pipeline.judgement import Draft, Judgement, live_data, steady
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store import Store

log = telemetry.logger("tocsin.intake")

WAIT_S = 0.25
"""How long steady results wait: a commit writes some 10 KB however few its results."""
ENOUGH = 100
"""So many steady results start a round without waiting longer: more together would hardly save anything."""
FULL = 1000
"""A round takes no more, so that the loop is not held up."""
KEPT = 50_000
"""Results kept while nothing can be stored; older ones are dropped and counted."""
AGAIN_S = 1.0
RACES = 3
SILENT_S = 30.0
"""Longer than this no result may wait while no round succeeds."""

_LETTERS = {"up": "u", "degraded": "s", "down": "d", "invalid": "."}


class Intake:
    """Takes results in. `stored` is called after each commit with its outbox rows and whether they went to the spool;
    `judged` with every monitor that was judged."""

    def __init__(
        self, store: Store, watchlist: Watchlist, judgement: Judgement, live: Live, clock: Clock
    ) -> None:  # fmt: skip
        self._store, self._watchlist, self._judgement = store, watchlist, judgement
        self._live, self._clock = live, clock
        self._buffer: list[CheckResult] = []
        self._round: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = 0.0
        self._stopping = False
        self.pulse = Pulse("intake", "results have not been taken in", SILENT_S, clock.monotonic)
        self.dropped = 0
        self.stored: Callable[[Sequence[OutboxRow], bool], None] = lambda rows, spooled: None
        self.judged: Callable[[Watched], None] = lambda watched: None

    @property
    def backlog(self) -> int:
        """Results that wait for their round."""
        return len(self._buffer)

    @property
    def idle(self) -> bool:
        """Whether everything handed over is stored."""
        return not self._buffer and not self._turn.locked()

    def start(self) -> None:
        """Begin to take rounds."""
        self._task = asyncio.create_task(self._rounds(), name="intake")
        self.pulse.begin(self._task)
        if not self._buffer:
            self.pulse.rest()

    async def stop(self) -> None:
        """Take what is left in, then end (also what came before the start)."""
        if self._task is None and self._buffer:
            self.start()
        self.pulse.end()
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    def offer(self, result: CheckResult) -> None:
        """Hand over a result without waiting for the commit."""
        if not self._buffer:
            self._first = self._clock.monotonic()
            self.pulse.wake()
        self._buffer.append(result)
        watched = self._watchlist.find(result.monitor_id)
        if len(self._buffer) >= ENOUGH or (watched is not None and not steady(watched, result)):
            self._hurry()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WAIT_S, self._hurry)

    async def take_in(self, results: Sequence[CheckResult]) -> None:
        """Take results in and return when they are stored (in the database or the spool) and judged.

        Safe to repeat: what is known drops out. Raises what the store raised when they could not be kept anywhere;
        they are then tried again by themselves."""
        if not results:
            return
        self._buffer.extend(results)
        self.pulse.wake()
        await self.flushed()

    async def flushed(self) -> None:
        """Return when everything handed over until now is stored."""
        if not self._buffer:
            async with self._turn:
                return
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        self._hurry()
        await asyncio.shield(self._round)

    async def apply(self, work: Callable[[Draft, datetime], None], *, by: str = "tocsin") -> None:
        """Do a change of memory that is no result (acknowledge, close …): `work` writes it into a draft, which is
        stored and told like a round. When another writer opened or closed the incident meanwhile, `work` runs again."""
        async with self._turn:
            await self._settle(work, by)

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake.set()

    async def _rounds(self) -> None:
        while not (self._stopping and not self._buffer):
            await self._wake.wait()
            self._wake.clear()
            if not self._buffer:
                self.pulse.rest()
                continue
            self.pulse.wake()
            results = self._buffer[:FULL]
            del self._buffer[:FULL]
            waiter: asyncio.Future[None] | None = None
            if self._buffer:
                self._wake.set()
            else:
                waiter, self._round = self._round, None
            try:
                async with self._turn:
                    await self._settle(partial(self._fold_in, results), "tocsin")
            except Exception as error:  # noqa: BLE001 (whatever hinders a round, the results are kept and tried again)
                self._put_back(results, error)
                failed, self._round = waiter or self._round, None
                if failed is not None:
                    failed.set_exception(error)
                    failed.exception()
                if self._stopping:
                    return
                await asyncio.sleep(AGAIN_S)
                self._wake.set()
            else:
                self.pulse.beat() if self._buffer else self.pulse.rest()
                telemetry.intake_seconds.observe(max(0.0, self._clock.monotonic() - self._first))
                if waiter is not None:
                    waiter.set_result(None)

    def _fold_in(self, results: list[CheckResult], draft: Draft, now: datetime) -> None:
        self._judgement.fold_in(draft, results, now)

    async def _settle(self, work: Callable[[Draft, datetime], None], by: str) -> None:
        """Judge, store, tell. Who loses the race for an open incident decides again from the stored one."""
        for tries_left in reversed(range(RACES)):
            draft = Draft(by=by)
            try:
                work(draft, self._clock.now())
                if draft.empty:
                    return
                kept = await self._store.commit(draft.batch())
            except Conflict:
                draft.take_back()
                if not tries_left:
                    raise
                for change in draft.incidents:
                    watched = self._watchlist.find(change.incident.monitor_id)
                    if watched is not None:
                        watched.incident = await self._watchlist.stored_incident(watched)
            except BaseException:
                draft.take_back()
                raise
            else:
                self._tell(draft, spooled=kept == "spooled")
                return

    def _put_back(self, results: list[CheckResult], error: Exception) -> None:
        log.error("intake.not_stored", results=len(results), error=str(error), exc_info=error)
        self._buffer[:0] = results
        too_many = len(self._buffer) - KEPT
        if too_many > 0:
            del self._buffer[:too_many]
            self.dropped += too_many
            log.error("intake.dropped", results=too_many)

    def _tell(self, draft: Draft, *, spooled: bool) -> None:
        telemetry.intake_results.inc(len(draft.results))
        self.stored(draft.outbox, spooled)
        for result in draft.results:
            self._note(result)
        for told in draft.told:
            monitor = told.watched.monitor
            if told.step is not None:
                for transition in told.step.transitions:
                    data = live_data(told.step)
                    log.info(f"intake.incident_{transition.what}", monitor=monitor.id, **data)
                    kind = f"incident.{transition.what}"
                    self._live.publish(monitor.workspace_id, event(kind, transition.at, monitor.id, **data))
                if not told.step.transitions:
                    now = event("incident.updated", self._clock.now(), monitor.id, **live_data(told.step))
                    self._live.publish(monitor.workspace_id, now)
            if told.verdict is not None:
                v = told.verdict
                changed = event(
                    "verdict.changed", v.at, monitor.id, verdict=v.value, since=iso(v.since), reason=v.reason
                )
                self._live.publish(monitor.workspace_id, changed)
        for watched in draft.judged.values():
            self.judged(watched)
        if draft.incidents:
            self._watchlist.show()

    def _note(self, result: CheckResult) -> None:
        """What the lists and the live pages show of a stored result."""
        watched = self._watchlist.find(result.monitor_id)
        if watched is None:
            return
        last = watched.last.get(result.location)
        if last is not None and (result.scheduled_at, result.attempt) <= (last.scheduled_at, last.attempt):
            return
        watched.last[result.location] = result
        outcome, verdict = result.outcome, watched.verdict
        letter = _LETTERS[outcome.status]
        if letter == "d" and verdict is not None and verdict.value == "partial":
            letter = "p"
        watched.count(letter, again=last is not None and last.scheduled_at == result.scheduled_at)
        if self._live.wanted(result.workspace_id):
            error = outcome.error
            self._live.publish(
                result.workspace_id,
                event(
                    "check.completed",
                    outcome.started_at,
                    result.monitor_id,
                    status=outcome.status,
                    location=result.location,
                    total_ms=outcome.seen.timing.total,
                    error=None if error is None else {"type": error.type, "message": error.message},
                    verdict=None if verdict is None else verdict.value,
                    scheduled_at=iso(result.scheduled_at),
                    attempt=result.attempt,
                ),
            )
