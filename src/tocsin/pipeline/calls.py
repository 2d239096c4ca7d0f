"""Push monitors: calls become results, and so does a call that did not come or a run that does not end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from tocsin.clock import Clock
from tocsin.core import runs
from tocsin.core.consensus import LocationState
from tocsin.core.redaction import credentials, without
from tocsin.core.result import CheckError, CheckResult, Observation, Outcome, Timing, iso
from tocsin.core.rhythm import Rhythm, due_at
from tocsin.core.runs import IDLE, Doing, Run
from tocsin.core.wording import moment, span
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store.batch import StateChange

SILENT = CheckError("timeout", "no call came in time")
KEPT_LINE = 500


class Missed(NamedTuple):
    """The result of a call that did not come, or of a run that has not ended (`run`)."""

    watched: Watched
    result: CheckResult
    run: Run | None
    logged: bool


class Calls:
    """Takes the calls of push monitors in. What a job is doing (open runs, lines it logged) is part of its location's
    state, so that it survives a restart."""

    def __init__(self, watchlist: Watchlist, intake: Intake, clock: Clock) -> None:
        self._watchlist, self._intake, self._clock = watchlist, intake, clock

    async def take(
        self, watched: Watched, status: str, *, message: str, body: str, ping_ms: float | None, run_id: str
    ) -> CheckResult | None:  # fmt: skip
        """Take in a call: `start`, `up`, `down` or `log`. The result, None for a start, a log or while it is paused."""
        now, doing, paused = self._clock.now(), doing_of(watched), watched.monitor.paused
        secrets = credentials(watched.monitor.target)
        message, body = without(message, secrets), without(body, secrets)
        if status in ("start", "log"):
            if status == "start" and not paused:
                await self._note(watched, lambda before: runs.started(before, run_id, now))
            elif message and not paused:
                await self._note(watched, lambda before: runs.said(before, message[:KEPT_LINE], now))
            return None
        run = doing.run(run_id)
        if ping_ms is None and run is not None:
            ping_ms = (now - run.began).total_seconds() * 1000
        if runs.ended(doing, run_id) != doing:
            await self._note(watched, lambda before: runs.ended(before, run_id))
        if paused:
            return None
        error = None if status == "up" else CheckError("assertion", message or "the job reported a failure")
        facts: dict[str, Any] = {"message": message[:KEPT_LINE]} if message else {}
        if body and body != message:
            facts["body"] = body
        seen = Observation(timing=Timing(total=ping_ms), facts=facts | _logged(doing), body=body.encode())
        result = _result(watched, now, error, seen)
        await self._intake.take_in([result])
        return result

    def deadline(self, watched: Watched) -> datetime:
        """When the next call of a push monitor is overdue (not before the time that a start of ours gives it), or a run
        of it lasts too long."""
        overrun = _overrun(watched)
        return _silent_at(watched) if overrun is None else min(_silent_at(watched), overrun[0])

    def missed(self, watched: Watched, now: datetime) -> Missed | None:
        """What is overdue: a call that did not come, or a run that has not ended. None when nothing is."""
        if self.deadline(watched) > now:
            return None
        doing, limit = doing_of(watched), _limit_s(watched)
        overrun = _overrun(watched)
        late = overrun[1] if overrun is not None and overrun[0] <= now else None
        error = SILENT
        if late is not None:
            error = CheckError(
                "timeout", f"a run that began at {moment(late.began)} has not ended within {span(limit)}"
            )
        result = _result(watched, now, error, Observation(timing=Timing(), facts=_logged(doing)))
        return Missed(watched, result, late, doing.lines != ())

    async def take_missed(self, missed: Sequence[Missed]) -> None:
        """Take in what is overdue, all at once, and keep what has been said of it."""
        await self._intake.take_in([m.result for m in missed])
        noted = [m for m in missed if m.run is not None or m.logged]

        def work(draft: Draft, now: datetime) -> None:
            for m in noted:
                _keep(draft, m.watched, partial(runs.told, run=m.run))

        if noted:
            await self._intake.apply(work)

    async def _note(self, watched: Watched, change: Callable[[Doing], Doing]) -> None:
        """Keep what the job is doing now."""
        await self._intake.apply(lambda draft, _: _keep(draft, watched, change))


def _keep(draft: Draft, watched: Watched, change: Callable[[Doing], Doing]) -> None:
    draft.touch(watched)
    place, monitor = watched.assigned[0], watched.monitor
    state = watched.states.get(place) or LocationState(location=place)
    doing = change(state.doing or IDLE)
    watched.states[place] = state = replace(state, doing=None if doing == IDLE else doing)
    draft.states.append(StateChange(workspace_id=monitor.workspace_id, monitor_id=monitor.id, state=state))


def doing_of(watched: Watched) -> Doing:
    """What its job is doing."""
    state = watched.states.get(watched.assigned[0])
    return state.doing or IDLE if state is not None else IDLE


def _rhythm(watched: Watched) -> Rhythm:
    given = getattr(watched.target, "rhythm", None)
    return given if isinstance(given, Rhythm) else Rhythm(period_s=watched.monitor.interval_s, grace_s=0)


def _limit_s(watched: Watched) -> float:
    return float(getattr(watched.target, "run_limit_s", 0))


def _silent_at(watched: Watched) -> datetime:
    """When a call is overdue: as its rhythm has it after the latest one, and not while a run may last."""
    heard = (s.ages_from for s in watched.states.values())
    latest = max((at for at in heard if at is not None), default=watched.monitor.updated_at)
    due, busy = due_at(_rhythm(watched), latest), runs.busy_until(doing_of(watched), _limit_s(watched))
    return max(due, watched.settled_at, due if busy is None else busy)


def _overrun(watched: Watched) -> tuple[datetime, Run] | None:
    """When its first run will have lasted too long, and which. One that ended while nobody listened has said so in vain:
    such a run gets its time once more (an hour at most)."""
    limit_s = _limit_s(watched)
    found = runs.overdue_at(doing_of(watched), limit_s)
    if found is None or found[1].began >= watched.heard_from:
        return found
    return max(found[0], watched.heard_from + timedelta(seconds=min(limit_s, 3600))), found[1]


def _logged(doing: Doing) -> dict[str, Any]:
    return {"log": [{"at": iso(line.at), "text": line.text} for line in doing.lines]} if doing.lines else {}


def _result(watched: Watched, now: datetime, error: CheckError | None, seen: Observation) -> CheckResult:
    place, monitor = watched.assigned[0], watched.monitor
    outcome = Outcome(
        type="push", target=watched.shown, status="up" if error is None else "down", error=error, started_at=now,
        location=place, seen=seen,
    )  # fmt: skip
    return CheckResult(
        workspace_id=monitor.workspace_id, monitor_id=monitor.id, location=place, scheduled_at=now, attempt=0,
        outcome=outcome,
    )  # fmt: skip
