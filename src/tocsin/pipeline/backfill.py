"""Results of the past through the same arithmetic: they fill results, rollups and verdict intervals, and open no
incident."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core.consensus import LocationState, Seat, Verdict, decide, fold, lost
from tocsin.core.result import CheckResult
from tocsin.core.uptime import Interval
from tocsin.pipeline.watchlist import Watched
from tocsin.store import Store
from tocsin.store.batch import Batch, VerdictChange

SLICE = 1000
TURN = 200
"""So many results are judged at a stretch (some 10 ms)."""


async def backfill(store: Store, watched: Watched, results: Sequence[CheckResult], by: str, now: datetime) -> int:
    """How many results were handed to the store (known ones drop out there).

    Verdicts are decided from the results alone, from a blank state, and kept only where no live verdict was known.
    """
    if not results:
        return 0
    ordered = _ordered(results)
    for start in range(0, len(ordered), SLICE):
        await store.commit(Batch(id=new_id(), by=by, results=tuple(ordered[start : start + SLICE])))
    await fill(store, watched, ordered, by, now)
    return len(ordered)


async def fill(
    store: Store, watched: Watched, results: Sequence[CheckResult], by: str, now: datetime
) -> list[tuple[Verdict, datetime]]:
    """The verdicts that these results made where no live one was known, each with when it ended; they are stored."""
    ordered = _ordered(results)
    monitor, first = watched.monitor, ordered[0].scheduled_at
    end = min(now, ordered[-1].scheduled_at + timedelta(seconds=monitor.fresh_s()))
    known = await store.of(monitor.workspace_id).read(lambda s: s.verdicts.intervals(monitor.id, first, end))
    filled = _where_unknown(await _verdicts(watched, ordered), known, now)
    changes = [VerdictChange(workspace_id=monitor.workspace_id, monitor_id=monitor.id, verdict=v) for v, _ in filled]
    for start in range(0, len(changes), SLICE):
        await store.commit(Batch(id=new_id(), by=by, verdicts=tuple(changes[start : start + SLICE])))
    return filled


def _ordered(results: Sequence[CheckResult]) -> list[CheckResult]:
    return sorted(results, key=lambda r: (r.scheduled_at, r.location, r.attempt))


async def _verdicts(watched: Watched, ordered: Sequence[CheckResult]) -> list[Verdict]:
    """Each change of verdict over these results, gaps of coverage included; the loop gets its turn meanwhile."""
    monitor = watched.monitor
    fresh_s = monitor.fresh_s()
    places = {r.location for r in ordered}
    if len(watched.assigned) > 1:
        places.update(watched.assigned)
    states: dict[str, LocationState] = {}
    changes: list[Verdict] = []
    verdict: Verdict | None = None
    for n, result in enumerate(ordered):
        if n % TURN == TURN - 1:
            await asyncio.sleep(0)
        at, outcome = result.scheduled_at, result.outcome
        before = states.get(result.location) or LocationState(location=result.location)
        states[result.location] = fold(before, monitor, outcome.status, at, result.attempt, outcome.error)
        seats = [
            Seat(location=place, state=states.get(place), failure_domain=watched.domains.get(place))
            for place in sorted(places)
        ]
        after = decide(seats, monitor.quorum, fresh_s, verdict, at)
        if not after.pending and (verdict is None or verdict.value != after.value):
            changes.append(after)
        verdict = after
        faded = at + timedelta(seconds=fresh_s)
        if after.value != "unknown" and (n + 1 == len(ordered) or ordered[n + 1].scheduled_at > faded):
            changes.append(lost(after, faded, "No results are known from then on"))
            verdict = changes[-1]
    return changes


def _where_unknown(
    decided: Sequence[Verdict], known: Sequence[Interval], now: datetime
) -> list[tuple[Verdict, datetime]]:
    """The parts of these verdicts (each holds until the next) that lie where no live one was known. One that began under a
    live verdict goes on behind it. `known` is in order."""
    starts = [i.start for i in known]
    filled: list[tuple[Verdict, datetime]] = []
    for n, verdict in enumerate(decided):
        at, stop = verdict.at, min(decided[n + 1].at if n + 1 < len(decided) else now, now)
        while at < stop or at == verdict.at == stop:
            live = _live_at(known, starts, at)
            if live is None:
                later = range(bisect_right(starts, at), len(known))
                end = min(next((known[i].start for i in later if known[i].value != "unknown"), stop), stop)
                filled.append((replace(verdict, at=at), end))
            elif live.end is None:
                break
            else:
                end = live.end
            if end <= at:
                break
            at = end
    return filled


def _live_at(known: Sequence[Interval], starts: Sequence[datetime], at: datetime) -> Interval | None:
    """The live verdict that is known of that moment."""
    n = bisect_right(starts, at) - 1
    if n < 0:
        return None
    interval = known[n]
    return interval if interval.value != "unknown" and (interval.end is None or at < interval.end) else None
