"""The figures that pages share: uptimes of all monitors, the vitals line, a monitor's places and last checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from markupsafe import Markup

from tocsin.errors import StoreUnavailable
from tocsin.pipeline.watchlist import Watched
from tocsin.web.call import Call
from tocsin.web.pages import look, words
from tocsin.web.pages.look import Look

FRESH, SOON = timedelta(seconds=30), timedelta(seconds=5)
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Uptimes:
    """Shares of time, 0 to 1, by monitor, over a day and over 30 days; `failed` when the database did not answer."""

    at: datetime
    day: dict[str, float | None]
    month: dict[str, float | None]
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
    workspace = call.who.workspace_id
    known = kept().by_workspace.get(workspace)
    ids = [w.monitor.id for w in call.parts.corridor.watchlist.of(workspace)]
    if known is not None and call.now - known.at < (FRESH if all(known.day.get(i) is not None for i in ids) else SOON):
        return known
    store = call.parts.store.of(workspace)
    try:
        day = await store.read(lambda s: s.rollups.uptimes(ids, timedelta(days=1)))
        month = await store.read(lambda s: s.rollups.uptimes(ids, timedelta(days=30)))
    except StoreUnavailable:
        return Uptimes(call.now, known.day if known else {}, known.month if known else {}, failed=True)
    if len(kept().by_workspace) >= _MOST:
        kept().by_workspace.clear()
    made = kept().by_workspace[workspace] = Uptimes(call.now, day, month)
    return made


@dataclass(frozen=True, slots=True)
class Vital:
    """A figure and its label; `st` when it needs a look."""

    label: str
    figure: Markup | str
    st: str = ""


def vitals(call: Call, pairs: Sequence[tuple[Watched, Look]], uptime: Uptimes) -> list[Vital]:
    """The overview's line of figures."""
    states = [s.st for _, s in pairs]
    watched = [w for w, s in pairs if s.st != "paused"]
    down, other = states.count("down") + states.count("acked"), states.count("partial") + states.count("slow")
    times = sorted(t for w in watched if (t := look.response(w)) is not None)
    known = [u for w in watched if (u := uptime.day.get(w.monitor.id)) is not None]
    made = [Vital(f"up of {len(watched)}", str(states.count("up")))]
    made.append(Vital("down", str(down), "down" if down else ""))
    made.append(Vital("partial or slow", str(other), "slow" if other else ""))
    made.append(Vital("median response", words.with_unit(times[len(times) // 2] if times else None)))
    if known:
        made.append(Vital("uptime, 24 h", Markup("{} <small>%</small>").format(words.percent(sum(known) / len(known)))))
    rate = sum(60 / w.monitor.interval_s * max(1, len(w.states)) for w in watched)
    made.append(Vital("checks per minute", f"{rate:,.0f}"))
    made.append(Vital("location" if len(locations(pairs)) == 1 else "locations", str(len(locations(pairs)))))
    return made


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
