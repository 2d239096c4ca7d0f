"""Which monitors are due at this tick: hash slots on a heap, looked at every 50 ms.

Each monitor has fixed slots, spread over its interval. A slot that comes while the monitor still waits or runs is
skipped and counted. After a gap (a stop, a stall, a sleeping machine) nothing is caught up in a burst: missed slots
are counted and the next regular one is taken. A repetition after a failure gives way to the next slot.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Collection
from datetime import datetime, timedelta

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core import schedule
from tocsin.core.result import CheckResult, iso
from tocsin.location.lag import LagMeter
from tocsin.pipeline.admission import Admission, Job
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.runner import Runner
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store import Store

log = telemetry.logger("tocsin.scheduler")

TICK_S = 0.05
WATERMARK = "scheduler.watermark"
WATERMARK_EVERY_S = 30.0
BURST = 50
"""Starts in a tick that are always allowed; more by the configured rate."""
MOST = 150
"""More starts in a tick (3,000 a second, beyond what one loop can run) would only make all else wait: answers, messages."""
FULL_ROWS = 20_000
"""With so many rows waiting for the writer nothing new starts."""
SLOW_LAG_S = 0.25
"""With the loop so far behind only a trickle starts."""
TRICKLE = 5
EASY_LAG_S, TIGHT_LAG_S = 0.03, 0.12
"""From a lag of the one to a lag of the other fewer and fewer checks start, down to a trickle. Else, with more to do than
can be done, the loop would be as far behind as we let it, and each answer and each write takes several of its turns."""
JUMP_S = 1.0
"""A wall clock that moves this much against the monotonic one was set."""

SILENT_S = 30.0
"""Longer than this no tick may fail or be missing."""

_Entry = tuple[float, int, Watched, str, datetime, int, int, bool]


class Scheduler:
    """Puts due checks into the runner's queue. `missed` counts slots that passed without a check since the start;
    `gap_s` is how long nobody looked before the start."""

    def __init__(
        self, watchlist: Watchlist, runner: Runner, intake: Intake, store: Store, clock: Clock, lag: LagMeter,
        *, max_concurrent: int, max_per_host: int,
    ) -> None:  # fmt: skip
        self._watchlist, self._runner, self._intake = watchlist, runner, intake
        self._store, self._clock, self._lag = store, clock, lag
        self.admission = Admission(
            max_concurrent=max_concurrent, max_per_host=max_per_host, start=self._begin, room=self._room
        )
        runner.admission, runner.ended = self.admission, self._ended
        self._heap: list[_Entry] = []
        self._sequence = itertools.count()
        self._repeats: dict[tuple[str, str], int] = {}
        self._rates: dict[str, float] = {}
        self._rate = 0.0
        self._budget = BURST
        self._offset: float | None = None
        self._watermark_due = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._left_out: set[Watched] = set()
        self.pulse = Pulse("scheduler", "checks have not been started", SILENT_S, clock.monotonic)
        self.missed = 0
        self.gap_s: float | None = None
        self.holding: str | None = None

    async def start(self) -> None:
        """Schedule every monitor and begin to tick."""
        await self._look_back()
        for n, watched in enumerate(self._watchlist):
            self._schedule_safely(watched, now=watched.verdict is None and not watched.states)
            if n % 500 == 499:
                await asyncio.sleep(0)
        self._tasks = [asyncio.create_task(self._tick_on(), name="scheduler")]
        self.pulse.begin(self._tasks[0])

    async def stop(self) -> None:
        """Start nothing more, and note when."""
        self.pulse.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._budget = [], 0
        self._heap.clear()
        for watched in self._watchlist:
            self._drop_waiting(watched)
        await self._note()

    def schedule(self, watched: Watched, *, now: bool | Collection[str] = False) -> None:
        """(Re)schedule a monitor after its configuration came or changed; with `now` it is also checked at once, everywhere
        or at these locations."""
        watched.generation += 1
        self._drop_waiting(watched)
        monitor, moment = watched.monitor, self._clock.now()
        watched.next_at = None
        places = self._runner.seats(watched)
        at_once = places if now is True else now or ()
        active = self._is_run(watched)
        self._set_rate(monitor.id, len(places) / monitor.interval_s if active else 0.0)
        if not active:
            return
        for place in places:
            self._push(watched, place, schedule.next_slot(monitor.id, monitor.interval_s, moment))
            if place in at_once:
                self._push(watched, place, moment, own_slot=False)

    def ask(self, watched: Watched, at: Collection[str] | None = None) -> bool:
        """Have a monitor checked now, besides its slots, wherever (of `at`) it is not being checked already; whether that
        was anywhere."""
        if watched.gone or watched.monitor.paused or not self._is_run(watched) or not self._tasks:
            return False
        places = [place for place in self._runner.asked(watched) if at is None or place in at]
        idle = [place for place in places if place not in watched.running]
        for place in idle:
            self._push(watched, place, self._clock.now(), own_slot=False)
        return bool(idle)

    def tick(self) -> None:
        """Queue what is due and start what may start."""
        now = self._clock.now()
        moment, mono = now.timestamp(), self._clock.monotonic()
        self._watch_for_jumps(moment - mono)
        self._budget = min(MOST, max(BURST, int(4 * self._rate * TICK_S)))
        heap = self._heap
        while heap and heap[0][0] <= moment:
            entry = heapq.heappop(heap)
            try:
                self._take(entry, now, moment, mono)
            except Exception:  # noqa: BLE001 (one monitor's bug must not keep the others from being checked)
                self.pulse.fault("scheduler.entry_fault", monitor=entry[2].monitor.id)
                self._schedule_safely(entry[2])
        self.admission.admit()
        self.admission.show()

    def _schedule_safely(self, watched: Watched, *, now: bool = False) -> None:
        """Schedule one monitor of many; one that cannot be is tried again later."""
        try:
            self.schedule(watched, now=now)
        except Exception:  # noqa: BLE001 (see above)
            self.pulse.fault("scheduler.not_scheduled", monitor=watched.monitor.id)
            self._left_out.add(watched)

    def _take(self, entry: _Entry, now: datetime, moment: float, mono: float) -> None:
        due, number, watched, place, slot, attempt, generation, own_slot = entry
        if generation != watched.generation:
            return
        interval_s = watched.monitor.interval_s
        late_s = moment - due
        if own_slot:
            if late_s > interval_s:
                self._miss(int(late_s // interval_s) + 1)
                self._push(watched, place, schedule.next_slot(watched.monitor.id, interval_s, now))
                return
            self._push(watched, place, slot + timedelta(seconds=interval_s))
            self._repeats.pop((watched.monitor.id, place), None)
        elif attempt and not self._still_wanted(watched, place, number):
            return
        if self._runner.who(watched, place) is None:
            return  # it is lost, and nobody stands in for it there
        if place in watched.running:
            if own_slot:
                self._miss(1)
                self.admission.renew(watched, place, slot, mono - late_s)
            return
        self._runner.submit(Job(watched, place, slot, mono - late_s, attempt, own_slot))

    def _still_wanted(self, watched: Watched, place: str, number: int) -> bool:
        if self._repeats.get((watched.monitor.id, place)) != number:
            return False
        del self._repeats[watched.monitor.id, place]
        state = watched.states.get(place)
        return state is None or state.vote != "down"

    def _ended(self, job: Job, result: CheckResult) -> None:
        """Repeat a failure that is not yet believed, and ask the other locations at once."""
        watched, monitor = job.watched, job.watched.monitor
        if (
            result.status not in ("down", "invalid")
            or not job.stored
            or watched.gone
            or monitor.paused
            or not self._tasks
        ):
            return
        state = watched.states.get(job.location)
        if (state is not None and state.vote == "down") or self._clock.monotonic() - job.due > monitor.interval_s:
            return
        now = self._clock.now()
        watched.failed_at[job.location] = job.slot
        if job.attempt < monitor.retries:
            again = schedule.retry_at(job.attempt, now, float(monitor.retry_interval_s), monitor.id)
            if watched.next_at is None or again < watched.next_at:
                number = self._push(watched, job.location, job.slot, due=again, attempt=job.attempt + 1, own_slot=False)
                self._repeats[monitor.id, job.location] = number
        if job.attempt == 0 and job.own_slot and result.status == "down":
            for place in self._runner.asked(watched):
                if place not in watched.running and watched.failed_at.get(place) != job.slot:
                    self._push(watched, place, now, own_slot=False)

    def _push(
        self, watched: Watched, place: str, slot: datetime, *, due: datetime | None = None, attempt: int = 0,
        own_slot: bool = True,
    ) -> int:  # fmt: skip
        number = next(self._sequence)
        when = slot if due is None else due
        if own_slot and (watched.next_at is None or when < watched.next_at or watched.next_at <= self._clock.now()):
            watched.next_at = when
        entry = (when.timestamp(), number, watched, place, slot, attempt, watched.generation, own_slot)
        heapq.heappush(self._heap, entry)
        return number

    def _begin(self, job: Job) -> None:
        self._budget -= 1
        self._runner.start(job)

    def _room(self, running: int) -> int:
        """How many may start now, by what we ourselves can bear."""
        rows = self._store.backlog + self._intake.backlog
        if rows >= FULL_ROWS:
            self.holding = f"{rows} rows wait for the database"
            return 0
        if self._lag.latest_s > SLOW_LAG_S and running:
            self.holding = f"the event loop is {self._lag.latest_s * 1000:.0f} ms behind"
            return min(self._budget, TRICKLE)
        self.holding = None
        share = (TIGHT_LAG_S - self._lag.latest_s) / (TIGHT_LAG_S - EASY_LAG_S)
        return self._budget if share >= 1 or not running else max(TRICKLE, int(self._budget * share))

    def _miss(self, slots: int) -> None:
        self.missed += slots
        telemetry.slots_missed.inc(slots)

    def _set_rate(self, monitor_id: str, rate: float) -> None:
        self._rate += rate - self._rates.pop(monitor_id, 0.0)
        if rate:
            self._rates[monitor_id] = rate

    @staticmethod
    def _is_run(watched: Watched) -> bool:
        """Whether it has slots at all: a push monitor is called."""
        return not (watched.monitor.paused or watched.gone or watched.monitor.type == "push")

    def _drop_waiting(self, watched: Watched) -> None:
        for job in self.admission.forget(watched):
            watched.running.discard(job.location)
            if job.done is not None:
                job.done.cancel()
        watched.wake()

    def _watch_for_jumps(self, offset: float) -> None:
        """A wall clock that was set moves every slot: schedule anew, without a burst."""
        before, self._offset = self._offset, offset
        if before is not None and abs(offset - before) > JUMP_S:
            log.warning("scheduler.clock_jumped", seconds=round(offset - before, 3))
            self._heap.clear()
            self._repeats.clear()
            self._watchlist.rewind(self._clock.now())
            for watched in self._watchlist:
                self._schedule_safely(watched)

    async def _tick_on(self) -> None:
        while True:
            try:
                self.tick()
                if self._clock.monotonic() >= self._watermark_due:
                    self._now_and_then()
            except Exception:  # noqa: BLE001 (a tick that failed must not be the last one; its pulse tells when all do)
                self.pulse.fault("scheduler.tick_fault")
            else:
                self.pulse.beat()
            await self._clock.sleep(TICK_S)

    def _now_and_then(self) -> None:
        self._watermark_due = self._clock.monotonic() + WATERMARK_EVERY_S
        self._tasks[1:] = [asyncio.create_task(self._note(), name="watermark")]
        again, self._left_out = self._left_out, set()
        for watched in again:
            if not watched.gone:
                self._schedule_safely(watched)
        self._runner.sweep()

    async def _note(self) -> None:
        now = iso(self._clock.now())
        try:
            await self._store.everything().write(lambda s: s.notes.set(WATERMARK, now))
        except Exception as error:  # noqa: BLE001 (without it the next start only knows the gap less well)
            log.warning("scheduler.watermark_not_saved", error=str(error))

    async def _look_back(self) -> None:
        """How long nobody looked: known even after a crash."""
        noted = await self._store.everything().read(lambda s: s.notes.get(WATERMARK))
        if not noted:
            return
        self.gap_s = max(0.0, (self._clock.now() - datetime.fromisoformat(noted)).total_seconds())
        slots = sum(int(self.gap_s // w.monitor.interval_s) for w in self._watchlist if self._is_run(w))
        self._miss(slots)
        if self.gap_s > 2 * WATERMARK_EVERY_S:
            log.warning("scheduler.gap", seconds=round(self.gap_s), slots=slots)
