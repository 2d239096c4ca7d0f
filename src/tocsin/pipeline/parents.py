"""How a monitor is seen by what depends on it, and what that holds back."""

from __future__ import annotations

from datetime import datetime, timedelta

from tocsin.core.consensus import Verdict
from tocsin.core.dependency import Held, Seen, held_by
from tocsin.pipeline.watchlist import Watched, Watchlist


def held(watchlist: Watchlist, w: Watched, verdict: Verdict, now: datetime) -> Held | None:
    """What holds a monitor's openings back for the sake of what it depends on. Those are seen by their states as they
    are now: in a round with results of several their verdicts may still be those of before."""

    def look(id: str) -> Seen | None:
        found = watchlist.find(id)
        if found is None or found.monitor.workspace_id != w.monitor.workspace_id:
            return None
        fresh = None if found.monitor.paused or found.verdict is None else found.judge(now)
        return seen(found, now, fresh)

    return held_by(seen(w, now, verdict), look, now) if w.monitor.parents else None


def seen(w: Watched, now: datetime, verdict: Verdict | None = None) -> Seen:
    """How dependencies see it now; `verdict` when it has just got another one. A push monitor is called, not asked: what
    it says holds at any time."""
    verdict, monitor = verdict or w.verdict, w.monitor
    fresh = timedelta(seconds=monitor.fresh_s())
    states = [state for place in w.assigned if (state := w.states.get(place)) is not None]
    heard = [moment for state in states if (moment := state.ages_from) is not None and now - moment < fresh]
    return Seen(
        id=monitor.id,
        name=monitor.name,
        value=None if verdict is None else verdict.value,
        since=None if verdict is None else verdict.since,
        answered_at=now if monitor.type == "push" else min(heard, default=None),
        suspect=any(state.suspect for state in states),
        paused=monitor.paused,
        interval_s=monitor.interval_s,
        timeout_s=float(monitor.timeout_s),
        groups=monitor.groups,
    )
