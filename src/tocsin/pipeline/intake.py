"""The one door of results: fold, judge, store in one transaction, and only then tell anyone.

Results are taken in rounds, one at a time. A result that may change something starts a round at once; steady ones
wait for company, up to a quarter of a second. A round that could not be stored is taken back and tried again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from tocsin import telemetry
from tocsin.clock import Clock, rest
from tocsin.core.alert import OutboxRow
from tocsin.core.consensus import set_right
from tocsin.core.result import CheckResult, iso
from tocsin.errors import Conflict, NotPrimary, StoreUnavailable
from tocsin.pipeline.draft import Draft, Told
from tocsin.pipeline.judgement import Judgement, live_data, steady, without_body
from tocsin.pipeline.line import Line
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store import Store

log = telemetry.logger("tocsin.intake")
T = TypeVar("T")

WAIT_S = 0.25
"""How long steady results wait: a commit writes some 10 KB however few its results."""
FULL = 1000
"""A round takes no more, so that the loop is not held up; so many steady results start one without waiting longer."""
CHANGING = 100
"""A round takes no more of those that may change something."""
KEPT = 50_000
"""Results kept while nothing can be stored; older ones are dropped and counted."""
AGAIN_S = 1.0
APART = 64
"""How often a round that failed is taken apart before what is left of it waits for the next one."""
RACES = 3
SILENT_S = 30.0
"""Longer than this no result may wait while no round succeeds."""


class Intake:
    """Takes results in. `stored` is called after each commit with its outbox rows and whether they went to the spool;
    `judged` with every monitor that was judged, `late` with results too old to open an incident, `kept` when any result
    was."""

    def __init__(
        self, store: Store, watchlist: Watchlist, judgement: Judgement, live: Live, clock: Clock
    ) -> None:  # fmt: skip
        self._store, self._watchlist, self._judgement = store, watchlist, judgement
        self._live, self._clock = live, clock
        self._line = Line()
        self._turn = asyncio.Lock()
        self._wake, self._ending = asyncio.Event(), asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = 0.0
        self._ended = False
        self.pulse = Pulse("intake", "results have not been taken in", SILENT_S, clock.monotonic)
        self.dropped = 0
        self._drafts: list[Draft] = []
        self.stored: Callable[[Sequence[OutboxRow], bool], None] = lambda rows, spooled: None
        self.judged: Callable[[Watched], None] = lambda watched: None
        self.late: Callable[[Sequence[CheckResult]], None] = lambda results: None
        self.kept: Callable[[], None] = lambda: None

    @property
    def backlog(self) -> int:
        """Results that wait for their round."""
        return len(self._line)

    def start(self) -> None:
        """Begin to take rounds."""
        self._task = asyncio.create_task(self._rounds(), name="intake")
        self.pulse.begin(self._task)
        if not self._line:
            self.pulse.rest()

    async def stop(self) -> None:
        """Take what is left in, then end (also what came before the start). Who waits for more is told so."""
        if self._task is None and self._line:
            self.start()
        self.pulse.end()
        self._ending.set()
        self._hurry()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._end()

    def offer(self, result: CheckResult) -> None:
        """Hand over a result without waiting for the commit."""
        if not self._line:
            self._first = self._clock.monotonic()
            self.pulse.wake()
        self._line.join((result,))
        watched = self._watchlist.find(result.monitor_id)
        if len(self._line) >= FULL or (watched is not None and not _steady(watched, result)):
            self._hurry()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._hurry_soon(), name="intake timer")

    async def take_in(self, results: Sequence[CheckResult]) -> None:
        """Take results in and return when they are stored (in the database or the spool) and judged.

        Safe to repeat: what is known drops out. Raises what the store raised when they could not be kept anywhere;
        they are then tried again by themselves. StoreUnavailable after the stop."""
        if not results:
            return
        self._must_go_on()
        self.pulse.wake()
        first = self._line.join(results)
        self._hurry()
        await self._line.wait(first)

    async def learn(self, results: Sequence[CheckResult]) -> None:
        """While another instance judges, know what others saw: these results are stored here already. Nothing is kept."""
        async with self._turn:
            if self._judgement.leads:
                return
            self._judgement.fold_in(Draft(), results, self._clock.now())
            for result in results:
                self._safely(self._note, result)

    async def flushed(self) -> None:
        """Return when everything handed over until now is stored."""
        self._must_go_on()
        self._hurry()
        await self._line.wait(self._line.done)

    async def apply(self, work: Callable[[Draft, datetime], None], *, by: str = "tocsin") -> None:
        """Do a change of memory that is no result (acknowledge, close …): `work` writes it into a draft, which is
        stored and told like a round. When another writer opened or closed the incident meanwhile, `work` runs again."""
        async with self._turn:
            await self._settle(work, by)

    def at(self, monitor_id: str) -> bool:
        """Whether a round is under way that has judged this monitor and may still be taken back."""
        return any(monitor_id in draft.before for draft in self._drafts)

    async def between_rounds(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, done while nothing is judged or stored: memory and store agree, and stay as they are."""
        async with self._turn:
            return await work()

    def _must_go_on(self) -> None:
        if self._ended:
            raise StoreUnavailable("the server stops: results are not taken in any more")

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake.set()

    async def _hurry_soon(self) -> None:
        await self._clock.sleep(WAIT_S)
        self._timer = None
        self._wake.set()

    async def _rounds(self) -> None:
        try:
            while self._line or not self._ending.is_set():
                await self._wake.wait()
                self._wake.clear()
                if not self._line:
                    continue
                self.pulse.wake()
                if not await self._round():
                    if self._ending.is_set():
                        return
                    await rest(self._clock, AGAIN_S, self._ending)
                if self._line:
                    self._wake.set()
        finally:
            self._end()

    def _end(self) -> None:
        """Nobody shall wait for a round that does not come."""
        self._ended = True
        if self._line:
            log.error("intake.not_stored_at_the_end", results=len(self._line))
        self._line.fail(
            StoreUnavailable("the server stops: this could not be stored any more"), self._line.done, self._line.given
        )

    async def _round(self) -> bool:
        """Take in what is first in line; whether all of it is done with."""
        results = self._line.take(self._worth())
        try:
            await self._take(results)
        except StoreUnavailable as error:
            self._put_back(results, len(results), error)
            return False
        except Exception as error:  # noqa: BLE001 (whatever hinders a round, the results are kept)
            return await self._take_apart(results, error)
        self._pass(len(results))
        telemetry.intake_seconds.observe(max(0.0, self._clock.monotonic() - self._first))
        return True

    def _worth(self) -> int:
        """How many results one round takes: those that change something cost so much more that the loop would be held up."""
        changing = 0
        for count, result in enumerate(self._line.first(FULL), 1):
            watched = self._watchlist.find(result.monitor_id)
            changing += watched is not None and not _steady(watched, result)
            if changing >= CHANGING:
                return count
        return FULL

    async def _take(self, results: Sequence[CheckResult]) -> None:
        async with self._turn:
            await self._settle(lambda draft, now: self._judgement.fold_in(draft, results, now), "tocsin")

    async def _take_apart(self, results: list[CheckResult], error: Exception) -> bool:
        """Take a failed round in by halves, and those that fail by halves again; whether all of it is done with.

        A result that fails alone while others do not is set aside. When all fail it is not their fault: they are kept.
        """
        self.pulse.fault("intake.round_failed", results=len(results))
        parts, alone, taken = deque(_halves(results)), list[tuple[CheckResult, Exception]](), 0
        for _ in range(APART):
            if not parts:
                break
            part = parts.popleft()
            try:
                await self._take(part)
            except StoreUnavailable as away:
                error = away
                parts.appendleft(part)
                break
            except Exception as fault:  # noqa: BLE001 (see _round)
                error = fault
                if len(part) > 1:
                    parts.extendleft(reversed(_halves(part)))
                else:
                    alone.append((part[0], fault))
            else:
                taken += len(part)
        numbers = {id(result): n for n, result in enumerate(results, self._line.done)}
        for result, fault in alone if taken else ():
            if not await self._set_aside(result, fault):
                number = numbers[id(result)]
                self._line.fail(fault, number, number + 1)
        left = [*(() if taken else (result for result, _ in alone)), *(result for part in parts for result in part)]
        self._pass(len(results) - len(left))
        if left:
            self._put_back(left, len(left), error)
        return not left

    async def _set_aside(self, result: CheckResult, error: Exception) -> bool:
        """Keep a result that could not be taken in, without a judgement; whether that was possible."""
        telemetry.results_set_aside.inc()
        what = {"monitor": result.monitor_id, "location": result.location, "slot": iso(result.scheduled_at)}
        log.error("intake.set_aside", **what, exc_info=error)
        try:
            async with self._turn:
                await self._settle(lambda draft, _: draft.results.append(without_body(result)), "tocsin")
        except Exception as again:  # noqa: BLE001 (nothing more can be done with it)
            self.dropped += 1
            log.error("intake.dropped", results=1, **what, error=str(again))  # noqa: TRY400 (its traceback is above)
            return False
        return True

    def _pass(self, count: int) -> None:
        self._line.passed(count)
        if count:
            self.pulse.beat() if self._line else self.pulse.rest()

    async def _settle(self, work: Callable[[Draft, datetime], None], by: str) -> None:
        """Judge, store, tell. Who loses the race for an open incident decides again from the stored one."""
        for tries_left in reversed(range(RACES)):
            draft = Draft(by=by)
            self._drafts.append(draft)
            try:
                work(draft, self._clock.now())
                if draft.empty:
                    return
                kept = await self._store.commit(draft.batch())
            except Conflict:
                draft.take_back(self._watchlist)
                if not tries_left:
                    raise
                for change in draft.incidents:
                    await self._watchlist.reload_incident(change.incident.workspace_id, change.incident.subject)
            except BaseException:
                draft.take_back(self._watchlist)
                raise
            else:
                self._tell(draft, spooled=kept == "spooled")
                return
            finally:
                self._drafts.remove(draft)

    def _put_back(self, results: Sequence[CheckResult], count: int, error: Exception) -> None:
        """Keep results that could not be stored for the next round, and tell who waits for them."""
        if isinstance(error, NotPrimary):  # what was seen is kept, and who leads now judges it
            log.info("intake.not_primary", results=count)
        else:
            log.error("intake.not_stored", results=count, error=str(error), exc_info=error)
        line = self._line
        line.fail(error, line.done, line.done + count)
        if too_many := line.put_back(results, KEPT):
            line.fail(error, line.done, line.done + too_many)
            line.passed(too_many)
            self.dropped += too_many
            log.error("intake.dropped", results=too_many)

    def _tell(self, draft: Draft, *, spooled: bool) -> None:
        """Tell everyone. It is stored already: who cannot be told must not undo that, nor keep others from hearing."""
        telemetry.intake_results.inc(len(draft.results))
        self._safely(self.stored, draft.outbox, spooled)
        for result in draft.results:
            self._safely(self._note, result)
        for told in draft.told:
            self._safely(self._publish, told)
        for watched in draft.judged.values():
            self._safely(self.judged, watched)
        self._safely(self.late, draft.late)
        if draft.results:
            self._safely(self.kept)

    def _safely(self, tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception:  # noqa: BLE001 (see _tell)
            self.pulse.fault("intake.not_told")

    def _publish(self, told: Told) -> None:
        to, monitor_id = told.workspace_id, told.monitor_id
        if told.step is not None:
            data = live_data(told.step)
            for transition in told.step.transitions:
                log.info("intake.incident_told", what=transition.what, monitor=monitor_id, **data)
                self._live.publish(to, event(f"incident.{transition.what}", transition.at, monitor_id, **data))
            if not told.step.transitions:
                self._live.publish(to, event("incident.updated", self._clock.now(), monitor_id, **data))
        if told.verdict is not None:
            v = told.verdict
            changed = event("verdict.changed", v.at, monitor_id, verdict=v.value, since=iso(v.since), reason=v.reason)
            self._live.publish(to, changed)

    def _note(self, result: CheckResult) -> None:
        """What the lists and the live pages show of a stored result."""
        watched = self._watchlist.find(result.monitor_id)
        if watched is None:
            return
        last, now = watched.last.get(result.seat), self._clock.now()
        at = result.at
        known = None if last is None else (last.at, last.attempt)
        if known is not None and (at, result.attempt) <= known and not set_right(known[0], at, now):
            return
        if set_right(watched.slot_at, at, now):
            watched.slot_at = None
        watched.last[result.seat] = result
        if result.outcome.status in ("up", "degraded"):
            watched.good[result.seat] = result
        outcome, verdict = result.outcome, watched.verdict
        watched.count(result)
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


def _halves(results: list[CheckResult]) -> list[list[CheckResult]]:
    """Both halves; of a single result that one."""
    middle = (len(results) + 1) // 2
    return [half for half in (results[:middle], results[middle:]) if half]


def _steady(watched: Watched, result: CheckResult) -> bool:
    """`steady`; what cannot be told does not hurry: the round will find out."""
    try:
        return steady(watched, result)
    except Exception:  # noqa: BLE001 (a bug in judging one result is the round's matter)
        return True
