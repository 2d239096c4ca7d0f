"""The figures that pages share: uptimes of all monitors, the vitals line, a monitor's places and last checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from markupsafe import Markup

from tocsin.core.uptime import Uptime, uptime
from tocsin.errors import StoreUnavailable
from tocsin.pipeline.watchlist import Watched
from tocsin.store import Session
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.call import Call
from tocsin.web.pages import look, view, words
from tocsin.web.pages.look import Look

FRESH, SOON = timedelta(seconds=30), timedelta(seconds=3)
_MOST, _FEW = 1000, 100


@dataclass(frozen=True, slots=True)
class Uptimes:
    """Uptimes by monitor, over a day and over 30 days; `failed` when the database did not answer."""

    at: datetime
    day: dict[str, Uptime]
    month: dict[str, Uptime]
    failed: bool = False


@dataclass(slots=True)
class Kept:
    """The last uptimes of each workspace: asked anew when older than half a minute."""

    by_workspace: dict[str, Uptimes] = field(default_factory=dict[str, Uptimes])


@cache
def kept() -> Kept:
    """The uptimes this process keeps."""
    return Kept()


async def uptimes(call: Call) -> Uptimes:
    """Uptimes of every monitor of the caller's workspace, at most half a minute old."""
    workspace, now = call.who.workspace_id, call.now
    known = kept().by_workspace.get(workspace)
    watched = list(call.parts.corridor.watchlist.of(workspace))
    if known is not None and now - known.at < _lasts(known, watched):
        return known
    ids = [w.monitor.id for w in watched]
    as_up = partial_is_up(call.parts, workspace)
    try:
        made = await call.parts.store.of(workspace).read(lambda s: _judged(s, ids, now, as_up=as_up))
    except StoreUnavailable:
        return Uptimes(now, known.day if known else {}, known.month if known else {}, failed=True)
    if len(kept().by_workspace) >= _MOST:
        kept().by_workspace.clear()
    kept().by_workspace[workspace] = made
    return made


def _lasts(known: Uptimes, watched: Sequence[Watched]) -> timedelta:
    """How long figures are kept: few are cheap to make anew, and so is a first figure that is missing."""
    few = len(watched) <= _FEW or not all(_told(known, w) for w in watched)
    return SOON if few else FRESH


def _told(known: Uptimes, watched: Watched) -> bool:
    """Whether the kept figures say something of this monitor, as far as there is something to say."""
    share = known.day.get(watched.monitor.id)
    judged = watched.verdict is not None and watched.verdict.value != "unknown" and not watched.monitor.paused
    return share is not None and (share.uptime is not None or not judged)


def _judged(s: Session, ids: Sequence[str], now: datetime, *, as_up: bool) -> Uptimes:
    """Uptimes from the intervals of verdicts: the same figures that a monitor's own page shows."""
    day, month = now - timedelta(days=1), now - timedelta(days=30)
    intervals = s.verdicts.intervals_of(ids, month, now)
    lately = {id: [i for i in found if i.end is None or i.end > day] for id, found in intervals.items()}
    return Uptimes(
        now,
        {id: uptime(found, day, now, partial_is_up=as_up) for id, found in lately.items()},
        {id: uptime(found, month, now, partial_is_up=as_up) for id, found in intervals.items()},
    )


def partly(share: Uptime, *, least: float = 0.9999) -> str:
    """How long an uptime is known for, "2 min", when that is less than `least` of its time; else ""."""
    return "" if share.coverage >= least else words.span(share.up_s + share.down_s)


def bounds(share: Uptime) -> str:
    """What the uptime can be at worst and at best, with what is not known counted as down or up."""
    return f"{words.percent(share.worst)} to {words.percent(share.best)} %"


@dataclass(frozen=True, slots=True)
class Vital:
    """A figure and its label; `st` when it needs a look, `note` is its second line."""

    label: str
    figure: Markup | str
    st: str = ""
    note: str = ""


def vitals(call: Call, pairs: Sequence[tuple[Watched, Look]], uptime: Uptimes) -> list[Vital]:
    """The overview's line of figures."""
    states = [s.st for _, s in pairs]
    watched = [w for w, s in pairs if s.st != "paused"]
    down, other = states.count("down") + states.count("acked"), states.count("partial") + states.count("slow")
    times = sorted(t for w in watched if (t := look.response(w)) is not None)
    known = [u for w in watched if (u := uptime.day.get(w.monitor.id)) is not None and u.uptime is not None]
    if view.alone(call):
        made = [Vital(label, "–") for label in (f"up of {len(watched)}", "down", "partial or slow")]
    else:
        made = [Vital(f"up of {len(watched)}", str(states.count("up")))]
        made.append(Vital("down", str(down), "down" if down else ""))
        made.append(Vital("partial or slow", str(other), "slow" if other else ""))
    made.append(Vital("median response", words.with_unit(times[len(times) // 2] if times else None)))
    if known:
        made.append(_mean(known, len(watched)))
    rate = sum(60 / w.monitor.interval_s * max(1, len(w.states)) for w in watched)
    made.append(Vital("checks per minute", f"{rate:,.0f}"))
    made.append(Vital("location" if len(locations(pairs)) == 1 else "locations", str(len(locations(pairs)))))
    return made


def of_uptime(name: str, share: Uptime) -> Vital:
    """A monitor's uptime as a figure: how much of the time is known is always said beside it."""
    figure = Markup("{} <small>%</small>").format(words.percent(share.uptime))
    known = partly(share)
    return Vital(name, figure, note=f"known for {known} only; of all the time {bounds(share)}" if known else "")


def _mean(known: Sequence[Uptime], number: int) -> Vital:
    """The day's uptime of all monitors together."""
    mean = sum(u.uptime or 0 for u in known) / len(known)
    covered = sum(u.coverage for u in known) / number
    seen = "" if covered >= 0.995 else f"of {words.span(covered * 86_400)} known"
    return Vital("uptime, 24 h", Markup("{} <small>%</small>").format(words.percent(mean)), note=seen)


def locations(pairs: Sequence[tuple[Watched, Look]]) -> set[str]:
    """Every place that results come from."""
    return {place for w, _ in pairs for place in w.states}


def letters(watched: Watched) -> str:
    """The last checks as u s p d m . letters, oldest first."""
    return bytes(watched.tally).decode()


def places(watched: Watched) -> str:
    """How many of its locations say it is up: "5/6", or the place's name when there is one."""
    verdict = watched.verdict
    if watched.monitor.type == "push":
        return "push"
    if watched.monitor.monitoring_type == "local" or verdict is None or verdict.n <= 1:
        return "local" if watched.monitor.monitoring_type == "local" else next(iter(watched.states), "")
    return f"{verdict.u}/{verdict.n}"
