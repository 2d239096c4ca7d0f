"""The overview: the verdict in a sentence, open incidents, and every monitor, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from markupsafe import Markup
from msgspec import Struct

from tocsin.core.access import may
from tocsin.core.notice import Notice
from tocsin.core.uptime import Uptime
from tocsin.core.wording import headline as headline_of
from tocsin.errors import StoreUnavailable
from tocsin.pipeline.watchlist import Watched
from tocsin.web.api import channels, notices
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import figures, hosts, incident_words, look, view, words
from tocsin.web.pages.headline import Headline, headline, not_known
from tocsin.web.pages.look import Look
from tocsin.web.pages.notice_link import leads_to

MOST_ROWS = 250
_KEPT = 20_000
_STRIPS = 20


class Filter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of the ledger is shown."""

    q: str = ""
    state: str = ""
    group: str = ""
    tag: str = ""


class Wanted(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows a page that is open wants anew: ids with commas between."""

    ids: str = ""


@dataclass(slots=True)
class Group:
    """A stretch of the ledger under one heading."""

    key: str
    title: str
    rows: list[Markup] = field(default_factory=list[Markup])
    up: int = 0


@dataclass(slots=True)
class Rows:
    """Rendered rows, kept while nothing in them changes."""

    kept: dict[str, tuple[object, Markup]] = field(default_factory=dict[str, tuple[object, Markup]])

    def of(self, watched: Watched, seen: Look, uptime: figures.Uptimes) -> Markup:
        """The row of one monitor."""
        monitor = watched.monitor
        letters, day, month = figures.letters(watched), _share(uptime.day, monitor.id), _share(uptime.month, monitor.id)
        checked = look.checked_at(watched)
        signature = (monitor.version, seen, letters, checked, day, month)
        known = self.kept.get(monitor.id)
        if known is not None and known[0] == signature:
            return known[1]
        row = Markup(  # noqa: S704 (a template of ours, escaped)
            view.render(
                "row.html",
                w=watched,
                look=seen,
                letters=letters,
                day=day,
                month=month,
                checked=checked,
                response=None if seen.st in ("down", "acked", "paused", "nodata") else look.response(watched),
                places=figures.places(watched) if seen.known else "–",
                home=home(watched),
            )
        )
        if len(self.kept) >= _KEPT:
            self.kept.clear()
        self.kept[monitor.id] = (signature, row)
        return row


@dataclass(frozen=True, slots=True)
class Share:
    """An uptime in a row: its figure, how long it is known for ("" when all of the time), and its bounds."""

    figure: str
    known: str = ""
    bounds: str = ""

    @property
    def briefly(self) -> str:
        """For how long it is known, in its largest unit."""
        return " ".join(self.known.split(" ")[:2])


def _share(shares: Mapping[str, Uptime], id: str) -> Share:
    share = shares.get(id)
    if share is None or share.uptime is None:
        return Share(words.percent(None))
    known = figures.partly(share, least=0.995)
    return Share(words.percent(share.uptime), known, figures.bounds(share) if known else "")


@cache
def rows() -> Rows:
    """The rows this process keeps."""
    return Rows()


def home(watched: Watched) -> str:
    """The group a monitor belongs to while it needs no attention: its first tag."""
    return watched.monitor.tags[0] if watched.monitor.tags else ""


async def show(call: Call) -> Reply:
    """The page; before the first account exists, the way to set-up."""
    wanted: Filter = call.query or Filter()
    pairs = look.worst_first(call.parts.corridor.watchlist.of(call.who.workspace_id), view.alone(call))
    uptime = await figures.uptimes(call)
    grouped = wanted.group != "none" and any(w.monitor.tags for w, _ in pairs)
    matching = [(w, s) for w, s in pairs if _matches(w, s, wanted)]
    told = await _notices(call)
    return view.page(
        call,
        "overview.html",
        section="overview",
        headline=_headline(call, pairs),
        vitals=figures.vitals(call, pairs, uptime),
        groups=_groups(matching, uptime, by_tag=grouped),
        total=len(pairs),
        hosts=hosts.attention(call)[0],
        hidden=len(pairs) - len(matching),
        counts=_counts(pairs),
        wanted=wanted,
        grouped=grouped,
        tagged=any(w.monitor.tags for w, _ in pairs),
        strips=_strips(call),
        unshown=_unshown(view.frame(call)),
        notices=told,
        leads_to=leads_to,
        over=await _over(call, told),
        failed=uptime.failed,
    )


def _headline(call: Call, pairs: Sequence[tuple[Watched, Look]]) -> Headline:
    follows, place = view.follows(call), view.alone(call)
    if place and follows is not None and follows.alone_since is not None and pairs:
        return not_known([w for w, _ in pairs], place, (call.now - follows.alone_since).total_seconds())
    return headline(pairs, len(figures.locations(pairs)), hosts.attention(call))


async def _notices(call: Call) -> list[Notice]:
    """What an admin has not put away yet."""
    if not may(call.who, "admin"):
        return []
    try:
        return await notices.newest(call.parts, call.who, unseen=True, limit=5)
    except StoreUnavailable:
        return []


async def _over(call: Call, told: Sequence[Notice]) -> dict[str, datetime]:
    """Since when channels that are spoken of take messages again, as far as their latest ones arrived."""
    if not any(notice.channel_id for notice in told):
        return {}
    return {id: how.since for id, how in (await channels.lately_of(call.parts, call.who)).items() if how.well}


async def put_away(call: Call) -> Reply:
    """A notice was seen."""
    await notices.put_away(call.parts, call.who, call.path["id"])
    return view.see_other("/")


def _matches(watched: Watched, seen: Look, wanted: Filter) -> bool:
    text = f"{watched.monitor.name} {watched.shown} {' '.join(watched.monitor.tags)}".casefold()
    states = {"down": ("down", "acked")}.get(wanted.state, (wanted.state,))
    return (
        wanted.q.casefold() in text
        and (not wanted.state or seen.st in states)
        and (not wanted.tag or wanted.tag in watched.monitor.tags)
    )


def _counts(pairs: Sequence[tuple[Watched, Look]]) -> dict[str, int]:
    counts = Counter("down" if s.st == "acked" else s.st for _, s in pairs)
    return {st: counts[st] for st in ("down", "partial", "slow", "nodata", "pending", "paused")}


def _groups(pairs: Sequence[tuple[Watched, Look]], uptime: figures.Uptimes, *, by_tag: bool) -> list[Group]:
    """The ledger's stretches: first what needs attention, then each tag's monitors, then those without one."""
    attention = Group("!", "Needs attention")
    rest: dict[str, Group] = {}
    for watched, seen in pairs:
        key = home(watched) if by_tag else ""
        title = key or ("Without a tag" if by_tag else "Monitors")
        group = rest.setdefault(key, Group(key, title))
        if seen.attention:
            group = attention
        group.rows.append(rows().of(watched, seen, uptime))
        group.up += seen.st == "up"
    named = sorted((g for g in rest.values()), key=lambda g: (g.key == "", g.title.casefold()))
    return [attention, *named]


@dataclass(frozen=True, slots=True)
class Strip:
    """An open incident above everything: its sentence, its cause, its running clock."""

    id: str
    st: str
    title: str
    text: str
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    held: str = ""


def _strips(call: Call) -> list[Strip]:
    made: list[Strip] = []
    watchlist = call.parts.corridor.watchlist
    for incident in view.frame(call).incidents[:_STRIPS]:
        watched = watchlist.find(incident.monitor_id)
        name = view.about(call, incident)
        of_verdict = watched is not None and watched.subject == incident.subject
        verdict = watched.verdict if watched and of_verdict else None
        places = f" from {verdict.d} of {verdict.n} locations" if verdict and verdict.n > 1 else ""
        loud = incident.severity in ("critical", "down")
        made.append(
            Strip(
                incident.id,
                "down" if loud else "slow",
                f"{name} is {'down' if loud else 'not well'}{places}" if of_verdict else headline_of(incident, name),
                incident.reason if of_verdict or incident.reason not in headline_of(incident, name) else "",
                incident.trouble_from(),
                incident.acknowledged_at,
                incident.acknowledged_by,
            )
        )
    return made + [_quiet(w) for w in watchlist.of(call.who.workspace_id) if look.held(w)][:_STRIPS]


def _unshown(frame: view.Frame) -> int:
    """How many open incidents have no strip."""
    return max(0, len(frame.incidents) - _STRIPS)


def _quiet(watched: Watched) -> Strip:
    """What was closed by hand while it is down: nobody is told, so it must be seen."""
    incident = watched.incident
    assert incident is not None
    title = f"{watched.monitor.name}{incident_words.heading(incident, watched)}"
    closed = incident.resolved_at or incident.opened_at
    return Strip(
        incident.id, "down", title, incident.reason, incident.trouble_from(), closed, None, held=incident_words.HELD
    )


async def live(call: Call) -> Reply:
    """What an open overview needs anew: the head, the strips, the vitals, and the rows it asks for."""
    wanted: Wanted = call.query or Wanted()
    pairs = look.worst_first(call.parts.corridor.watchlist.of(call.who.workspace_id), view.alone(call))
    uptime = await figures.uptimes(call)
    ids = set(wanted.ids.split(",")[:MOST_ROWS])
    frame, told = view.frame(call, "overview"), _headline(call, pairs)
    parts: dict[str, Any] = {
        "head": view.render("overview_head.html", headline=told),
        "strips": view.render(
            "overview_strips.html", strips=_strips(call), unshown=_unshown(frame), frame=frame, now=call.now
        ),
        "vitals": view.render("vitals.html", vitals=figures.vitals(call, pairs, uptime)),
        "counts": _counts(pairs),
        "total": len(pairs),
        "open": frame.open,
        "rows": {w.monitor.id: str(rows().of(w, s, uptime)) for w, s in pairs if w.monitor.id in ids},
    }
    return Reply(data=parts)


ROUTES = [
    Route(
        method="GET",
        path="/",
        run=show,
        permission="read",
        summary="The overview",
        kind="page",
        loose=True,
        query=Filter,
        tag="pages",
    ),
    Route(
        method="POST",
        path="/notices/{id}/seen",
        run=put_away,
        permission="admin",
        summary="Put a notice away",
        kind="page",
        tag="pages",
    ),
    Route(
        method="GET",
        path="/overview/live",
        run=live,
        permission="read",
        summary="What changed on the overview",
        kind="page",
        query=Wanted,
        tag="pages",
    ),
]
