"""Turns a template and values into a reply. The edge compresses it and adds the security headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from markupsafe import Markup

from tocsin import __version__
from tocsin.cluster import watch
from tocsin.core import coverage, probe, quarantine
from tocsin.core.access import may
from tocsin.core.incident import Incident
from tocsin.core.result import iso
from tocsin.core.shape import HIDDEN_TEXT
from tocsin.errors import Invalid
from tocsin.web import health
from tocsin.web.call import Call, Reply
from tocsin.web.pages import look, words, zones
from tocsin.web.pages.assets import assets

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True, slots=True)
class Follows:
    """That this server does not lead: who does ("" nobody is known), and where people reach that one. `no_part`: why it
    takes no part in the cluster any more. `alone_since`: since when nobody leads, if for long."""

    name: str
    url: str
    no_part: str = ""
    alone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page of a signed-in person shows around its content. What somebody `can` do they can at an instance that
    leads, or stands alone, only; `is_admin` counts for what is shown. `incidents` are the open ones that ring;
    `held_back` counts those of which nobody is told for now. `workspaces`: (id, name) of all that the person belongs to,
    where that are several."""

    name: str
    role: str
    incidents: tuple[Incident, ...]
    monitors: int
    section: str
    can_write: bool
    can_operate: bool
    can_admin: bool
    is_admin: bool
    last: datetime | None = None
    troubles: tuple[str, ...] = ()
    held_back: int = 0
    several: bool = False
    follows: Follows | None = None
    workspaces: tuple[tuple[str, str], ...] = ()
    workspace_id: str = ""
    hosts: int = 0

    @property
    def open(self) -> int:
        return len(self.incidents)

    @property
    def unheard(self) -> int:
        """Open incidents that nobody has acknowledged."""
        return sum(i.acknowledged_at is None for i in self.incidents)


def frame(call: Call, section: str = "") -> Frame:
    """The frame for this caller; needs no database."""
    who = call.who
    watched = list(call.parts.corridor.watchlist.of(who.workspace_id))
    known = call.parts.corridor.watchlist.open_of(who.workspace_id)
    followed = follows(call)
    incidents = sorted((i for i in known if not i.suppressed), key=lambda i: i.opened_at, reverse=True)
    return Frame(
        name=who.name,
        role=who.role,
        incidents=tuple(sorted(incidents, key=lambda i: i.acknowledged_at is not None)),
        monitors=len(watched),
        section=section,
        can_write=followed is None and may(who, "write"),
        can_operate=followed is None and may(who, "operate"),
        can_admin=followed is None and may(who, "admin"),
        is_admin=may(who, "admin"),
        last=max((at for w in watched if (at := look.checked_at(w)) is not None), default=None),
        troubles=tuple(health.own_problems(call.parts)),
        held_back=len(known) - len(incidents),
        several=call.parts.cluster is not None,
        follows=followed,
        workspaces=who.workspaces,
        workspace_id=who.workspace_id,
        hosts=sum(now.host.workspace_id == who.workspace_id for now in call.parts.corridor.hosts),
    )


def follows(call: Call) -> Follows | None:
    """Whom this server follows; None where it leads, or stands alone."""
    cluster = call.parts.cluster
    if cluster is None or cluster.carrier.standing.leads:
        return None
    primary = cluster.carrier.standing.primary
    why = health.no_part(call.parts) or ""
    if primary is None or why:
        return Follows("", "", why, watch.alone_since(cluster))
    return Follows(cluster.names.get(primary, "another one"), cluster.peers.web(primary) or "")


def alone(call: Call) -> str:
    """The place of this server where nobody has led for long: of how things are it knows only what it sees. Else ""."""
    followed = follows(call)
    if followed is None or followed.alone_since is None or call.parts.cluster is None:
        return ""
    return call.parts.cluster.me.location


def about(call: Call, incident: Incident) -> str:
    """What an incident is about: its monitor's name, or what it is when it is of no monitor."""
    watched = call.parts.corridor.watchlist.find(incident.monitor_id)
    if watched is not None and watched.monitor.workspace_id == call.who.workspace_id:
        return watched.monitor.name
    for prefix in (quarantine.SUBJECT, probe.SUBJECT):
        if incident.subject.startswith(prefix):
            return f"Location {incident.subject.removeprefix(prefix)}"
    return coverage.NAME if incident.subject == coverage.SUBJECT else incident.name or "A deleted monitor"


@cache
def templates() -> Environment:
    """The templates of this installation: everything is escaped, an unknown name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # here, so that a start does not wait for it

    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    shared: dict[str, Any] = {"static": assets().url, "version": __version__}
    filters: dict[str, Any] = {
        "ms": words.ms,
        "with_unit": words.with_unit,
        "percent": words.percent,
        "span": words.span,
        "every": words.every,
        "count": words.count,
        "clock": words.clock,
        "iso": iso,
        "when": when,
        "tally": look.tally,
        "listed": words.listed,
        "epoch": epoch,
        "in_zone": zones.both,
        "is_loopback": words.is_loopback,
    }
    made.globals.update(shared)
    made.filters.update(filters)
    return made


def when(at: datetime | None, shape: str = "time") -> Markup:
    """A time that the reader's browser shows in their own zone, UTC until then. `shape`: time, second, day,
    slot (a moment within weeks), full or ago."""
    if at is None:
        return Markup('<span class="muted">never</span>')
    plain = {
        "time": "%H:%M",
        "second": "%H:%M:%S",
        "day": "%-d %b",
        "slot": "%a %-d %b, %H:%M",
        "full": "%-d %b %Y, %H:%M:%S",
        "ago": "%-d %b, %H:%M",
    }
    text = at.strftime(plain[shape])
    return Markup('<time datetime="{}" data-t="{}" title="{} UTC">{}</time>').format(
        iso(at), shape, at.strftime("%Y-%m-%d %H:%M:%S"), text
    )


def epoch(at: datetime | None) -> int:
    """Whole milliseconds since 1970, for the browser's clocks."""
    return 0 if at is None else int(at.timestamp() * 1000)


def render(template: str, **values: Any) -> str:
    """A template's text."""
    return templates().get_template(template).render(**values)


def page(call: Call, template: str, *, status: int = 200, section: str = "", **values: Any) -> Reply:
    """A whole page. Signed-in callers get the frame around it."""
    around = frame(call, section) if call.principal is not None else None
    return html(render(template, frame=around, now=call.now, path=call.url_path, **values), status=status)


def html(text: str, *, status: int = 200) -> Reply:
    """A reply with this HTML."""
    return Reply(status=status, content=text.encode(), media_type="text/html; charset=utf-8")


def see_other(to: str, *, cookies: tuple[str, ...] = ()) -> Reply:
    """Go and look at `to`: a path of ours, or the same at the primary."""
    return Reply(
        status=303, content=b"", media_type="text/plain; charset=utf-8", headers={"location": to}, cookies=cookies
    )


def safe_path(text: str, otherwise: str = "/") -> str:
    """`text` when it is a path on this server, else `otherwise`: no scheme, host, backslash or control character."""
    if (
        not text.startswith("/")
        or text.startswith("//")
        or "\\" in text
        or any(ord(c) < 33 or ord(c) == 127 for c in text)
    ):
        return otherwise
    parts = urlsplit(text)
    return text if not parts.scheme and not parts.netloc and parts.path.startswith("/") else otherwise


def query(text: str) -> str:
    """`text` as it may stand in a URL's query."""
    return quote(text, safe="")


def first(call: Call, name: str, otherwise: str = "") -> str:
    """A form field's first value, without spaces around it."""
    return next((value.strip() for key, value in call.form if key == name), otherwise)


def every(call: Call, name: str) -> list[str]:
    """All values of a form field, in order."""
    return [value for key, value in call.form if key == name]


def ticked(call: Call, name: str) -> bool:
    """Whether a checkbox was set."""
    return any(key == name and value for key, value in call.form)


def problems(error: Invalid) -> dict[str, str]:
    """What is wrong with each field, as a sentence with its remedy; the first problem of a field counts."""
    told: dict[str, str] = {}
    for p in error.problems:
        given = "given: " if p.found == "nothing" else ""
        told.setdefault(p.field, f"Must be {given}{p.expected.removesuffix(' or null')}{_but(p.found)}.")
    return told


def _but(found: str) -> str:
    """What was found instead, where that says anything: not the empty field, nor the stars of a secret."""
    if found in ("", "nothing", '""', HIDDEN_TEXT):
        return ""
    rest = found.removeprefix("one that ")
    return f", not {found}" if rest == found else f"; this one {rest}"
