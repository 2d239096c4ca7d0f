"""One monitor: state, figures, chart, locations, latest results, certificate, why it is judged so, incidents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from markupsafe import Markup
from msgspec import Struct, structs

from tocsin.core import fact_text
from tocsin.core.consensus import AHEAD, Verdict
from tocsin.core.incident import Incident
from tocsin.core.result import CheckError
from tocsin.core.ticks import Tick, ticks
from tocsin.core.uptime import Uptime, uptime
from tocsin.errors import Conflict, StoreUnavailable
from tocsin.pipeline.watchlist import Watched
from tocsin.store import Session, Store
from tocsin.store.results import StoredResult
from tocsin.store.rollups import LatencyStats
from tocsin.web.api import monitors, silences
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import attempt, figures, incident_words, look, monitor_edit, phases, view, whence, words
from tocsin.web.pages.figures import Vital

DONE = {
    "created": "Saved. The first check is on its way.",
    "saved": "Saved.",
    "ran": "Checked just now.",
    "paused": "Paused.",
    "resumed": "Going on.",
    "readdressed": "There is a new address. The old one no longer works.",
}
RANGES = {"1h": "1 h", "3h": "3 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}


CHANGES = 10
"""So many of the latest changes of verdict are shown with their votes."""


ROUNDS = 10
"""So many of the latest ticks are shown with what all locations saw."""


class Shown(Struct, frozen=True, kw_only=True):
    """What of the page is shown: the chart's range, one location alone, and what has just been done."""

    range: Literal["1h", "3h", "24h", "7d", "30d"] = "3h"
    location: str = ""
    did: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the store tells of a monitor; `failed` when it does not answer."""

    results: Sequence[StoredResult] = ()
    latest: Sequence[StoredResult] = ()
    day: Uptime | None = None
    month: Uptime | None = None
    stats: LatencyStats | None = None
    incidents: Sequence[Incident] = ()
    changes: Sequence[Verdict] = ()
    ticks: Sequence[Tick] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One location's line."""

    name: str
    st: str
    word: str
    letter: str
    last: Markup
    phases: tuple[phases.Phase, ...]
    total: float | None
    at: datetime | None


async def show(call: Call) -> Reply:
    """The page of one monitor."""
    wanted: Shown = call.query or Shown()
    watched = monitors.watched(call.parts, call.who, call.path["id"])
    only = wanted.location if wanted.location in watched.assigned else ""
    told = await _told(call, watched, only)
    seen = look.look(watched, view.alone(call))
    scale = max((r.timing.total or 0 for r in told.latest), default=0) or 1.0
    tls = next((r.outcome.seen.tls for r in watched.last.values() if r.outcome.seen.tls is not None), None)
    return view.page(
        call,
        "monitor.html",
        section="overview",
        w=watched,
        look=seen,
        told=told,
        vitals=_vitals(call, watched, told),
        places=_places(watched, told, scale),
        ranges=RANGES,
        range=wanted.range,
        only=only,
        where=whence.badge(watched.assigned, call.parts.corridor.watchlist.home),
        done=DONE.get(wanted.did, ""),
        undo={"paused": "resume", "resumed": "pause"}.get(wanted.did),
        tls=tls,
        letters=figures.letters(watched),
        words=monitor_edit.words_of(call, monitor_edit.of(watched.monitor), watched.monitor),
        explain=_votes(call, watched),
        seen_of=seen_of,
        quiet=silences.over(call.parts, watched.monitor),
        hushed=incident_words.why_held(watched.incident) if watched.incident is not None else "",
        past=look.past,
        worse=worse,
        held=incident_words.HELD if look.held(watched) else "",
        push_url=monitors.push_url(call.parts, watched.monitor) if view.frame(call).can_write else None,
        facts=_facts(told),
        printed=_printed(told) if view.frame(call).can_write else "",
    )


async def _told(call: Call, watched: Watched, only: str) -> Told:
    id, now, as_up = watched.monitor.id, call.now, partial_is_up(call.parts, call.who.workspace_id)
    day, month = now - timedelta(days=1), now - timedelta(days=30)

    def read(s: Session) -> Told:
        results, _ = s.results.page(id, end=now + AHEAD, location=only or None, limit=20)
        results = results or s.results.page(id, location=only or None, limit=20)[0]  # our clock may be what is behind
        latest = s.results.latest(id)
        looks = s.results.looks(id, day, now, ROUNDS * len(watched.assigned) * 3) if len(watched.assigned) > 1 else ()
        whole = {r.id: r for r in latest}  # what is kept of the newest only
        incidents, _ = s.incidents.list(monitor=id, limit=6)
        return Told(
            [whole.get(r.id, r) for r in results],
            latest,
            uptime(s.verdicts.intervals(id, day, now), day, now, partial_is_up=as_up),
            uptime(s.verdicts.intervals(id, month, now), month, now, partial_is_up=as_up),
            s.rollups.stats(id, day, now),
            incidents,
            s.verdicts.history(id, CHANGES),
            ticks(watched.monitor, looks)[:ROUNDS],
        )

    store: Store = call.parts.store
    try:
        return await store.of(call.who.workspace_id).read(read)
    except StoreUnavailable:
        return Told(failed=True)


def _vitals(call: Call, watched: Watched, told: Told) -> list[Vital]:
    verdict, made = watched.verdict, list[Vital]()
    if verdict is not None and verdict.n > 1 and not view.alone(call):
        made.append(Vital(f"locations up, of {verdict.n}", str(verdict.u), "down" if verdict.value == "down" else ""))
    made.append(Vital("response now", words.with_unit(look.response(watched))))
    if told.stats is not None:
        made.append(Vital("median, 24 h", words.with_unit(told.stats.p50)))
        made.append(Vital("95th percentile, 24 h", words.with_unit(told.stats.p95)))
    for name, share in (("uptime, 24 h", told.day), ("uptime, 30 d", told.month)):
        if share is not None and share.uptime is not None:
            made.append(figures.of_uptime(name, share))
    for result in watched.last.values():
        if result.outcome.seen.tls is not None and (left := result.outcome.seen.tls.days_left) is not None:
            made.append(Vital("certificate days left", str(int(left)), "slow" if left < 14 else ""))
            break
    if watched.next_at is not None and not watched.monitor.paused and watched.monitor.type != "push":
        made.append(Vital("next check in", Markup('<span data-until="{}"></span>').format(view.epoch(watched.next_at))))
    return made[:8]


_VOTES = {"up": ("up", "Up"), "degraded": ("slow", "Degraded"), "down": ("down", "Down"), None: ("pending", "Waiting")}


def _places(watched: Watched, told: Told, scale: float) -> list[Place]:
    by = {r.substitute_for or r.location: r for r in sorted(told.latest, key=lambda r: r.at)}
    made: list[Place] = []
    for n, name in enumerate(watched.assigned):
        state, result = watched.states.get(name), by.get(name)
        st, word = _VOTES[state.vote if state else None]
        if state is not None and state.suspect and st != "down":
            word += ", failing"
        if state is not None and state.stand_in is not None:
            word += f", by {state.stand_in}"
        timing = result.timing if result is not None else None
        last = (
            words.with_unit(timing.total)
            if timing is not None and result is not None and result.status in ("up", "degraded")
            else Markup("{}").format(result.error.type if result and result.error else "")
        )
        made.append(
            Place(
                name,
                st,
                word,
                f"s{n % 6 + 1}",
                last,
                phases.of(structs.asdict(timing), scale) if timing else (),
                timing.total if timing else None,
                result.at if result else None,
            )
        )
    return made


NOT_KEPT = "why is kept only where it begins, and of the latest check"


def seen_of(result: StoredResult) -> str:
    """What a result saw, in a few words."""
    if result.outcome is not None and result.status != "up":
        missed = [attempt.failure(a) for a in result.outcome["assertions"] if not a["ok"]]
        if missed:
            return "; ".join(missed[:2])
    if result.error is not None:
        return NOT_KEPT if result.status == "invalid" and not result.error.message else _said(result.error)
    return f"{result.status_code}" if result.status_code is not None else "as expected"


def worse(result: StoredResult) -> str:
    """The word for a result that is degraded: slow where the time was too long, else for whatever else it is."""
    missed = [a for a in (result.outcome or {}).get("assertions", ()) if not a["ok"]]
    return "Slow" if any(a["type"] == "response_time_ms" for a in missed) else "Degraded"


def _said(error: CheckError) -> str:
    return error.message or error.type.replace("_", " ")


def _facts(told: Told) -> list[tuple[str, str]]:
    """What the latest check saw beyond times and status, at most 40 rows."""
    latest = next((r for r in told.latest if r.type != "push" and r.outcome is not None), None)
    return [] if latest is None or latest.outcome is None else fact_text.fact_rows(latest.outcome["facts"])[:40]


def _printed(told: Told) -> str:
    """What the job of a push monitor printed at its latest call, and what it logged before."""
    latest = next((r for r in told.latest if r.type == "push" and r.outcome is not None), None)
    facts: dict[str, Any] = latest.outcome["facts"] if latest is not None and latest.outcome is not None else {}
    lines = [f"{line['at']} {line['text']}" for line in facts.get("log", ())]
    return "\n".join([*lines, *filter(None, [facts.get("body") or facts.get("message")])])


def _votes(call: Call, watched: Watched) -> dict[str, Any]:
    verdict = watched.verdict
    return {"verdict": verdict, "now": watched.judge(call.now) if verdict is not None else None}


async def run(call: Call) -> Reply:
    """Check now, wait, and show the page."""
    await monitors.run_now(call.parts, call.who, call.path["id"])
    return view.see_other(f"/monitors/{call.path['id']}?did=ran")


async def pause(call: Call) -> Reply:
    """Stop checking it for now."""
    await monitors.pause(call.parts, call.who, call.path["id"], paused=True)
    return view.see_other(f"/monitors/{call.path['id']}?did=paused")


async def resume(call: Call) -> Reply:
    """Go on checking it."""
    await monitors.pause(call.parts, call.who, call.path["id"], paused=False)
    return view.see_other(f"/monitors/{call.path['id']}?did=resumed")


async def toggle(call: Call) -> Reply:
    """Pause it, or go on if it is paused."""
    watched = monitors.watched(call.parts, call.who, call.path["id"])
    return await (resume if watched.monitor.paused else pause)(call)


async def readdress(call: Call) -> Reply:
    """Give a push monitor a new address; the old one stops working."""
    watched = monitors.watched(call.parts, call.who, call.path["id"])
    if watched.monitor.type != "push":
        raise Conflict("only a push monitor has an address to call")
    await monitors.change(call.parts, call.who, watched.monitor.id, {"target": {"token": ""}})
    return view.see_other(f"/monitors/{watched.monitor.id}?did=readdressed")


async def delete(call: Call) -> Reply:
    """Forget it."""
    await monitors.delete(call.parts, call.who, call.path["id"])
    return view.see_other("/")


_READ: dict[str, Any] = {"kind": "page", "permission": "read", "tag": "pages"}
_DO: dict[str, Any] = {"kind": "page", "permission": "operate", "tag": "pages"}
_ONE = "/monitors/{id}"
ROUTES = [
    Route(method="GET", path=_ONE, run=show, summary="A monitor's page", query=Shown, loose=True, **_READ),
    Route(method="POST", path=_ONE + "/run", run=run, summary="Check now", **_DO),
    Route(method="POST", path=_ONE + "/pause", run=pause, summary="Pause", **_DO),
    Route(method="POST", path=_ONE + "/resume", run=resume, summary="Go on", **_DO),
    Route(method="POST", path=_ONE + "/toggle", run=toggle, summary="Pause or go on", **_DO),
    Route(
        method="POST",
        path=_ONE + "/address",
        run=readdress,
        permission="write",
        kind="page",
        tag="pages",
        summary="A new address for the job",
    ),
    Route(
        method="POST", path=_ONE + "/delete", run=delete, permission="write", kind="page", tag="pages", summary="Delete"
    ),
]
