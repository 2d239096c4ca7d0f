"""How a monitor looks: its state in one of nine shapes, in words, and its last checks as a tally."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from markupsafe import Markup

from tocsin.core.consensus import Verdict
from tocsin.pipeline.watchlist import Watched
from tocsin.web.pages import words

RANK = {"down": 8, "acked": 7, "partial": 6, "slow": 5, "nodata": 4, "pending": 3, "maint": 2, "paused": 1, "up": 0}
TICKS = 90
_NAMES = {"u": "up", "s": "slow", "p": "partly down", "d": "down", "m": "in maintenance", ".": "without result"}


_NOW = {"up": "up", "degraded": "slow", "partial": "partly down", "down": "down", "unknown": "no data"}


@dataclass(frozen=True, slots=True)
class Look:
    """`st` is the state of the design's table, `word` what is said of it, `since` when it began. `known`: somebody
    judges."""

    st: str
    word: str
    since: datetime | None = None
    known: bool = True

    @property
    def rank(self) -> int:
        return RANK[self.st]

    @property
    def attention(self) -> bool:
        """Whether somebody should look: down, partial, slow or no data."""
        return self.rank >= RANK["nodata"]


def look(watched: Watched, alone: str = "") -> Look:
    """The state a monitor shows now. `alone`: the place of this server, where nobody leads: what it sees is all it knows."""
    verdict, incident = watched.verdict, watched.incident
    if watched.monitor.paused:
        return Look("paused", "Paused")
    if alone:
        own = watched.states.get(alone)
        word = "Not known" if own is None or own.vote is None else f"Not known, {own.vote} from here"
        return Look("nodata", word, known=False)
    if verdict is None or (verdict.value == "unknown" and verdict.pending):
        return Look("pending", "Waiting for its first result")
    if verdict.maintenance and not (incident is not None and incident.open and incident.told):
        return Look("maint", f"Maintenance, {_NOW[verdict.value]}", verdict.since)
    if verdict.value == "unknown":
        return Look("nodata", "No data", verdict.since)
    if verdict.value == "down":
        if incident is not None and incident.open and incident.acknowledged_at is not None:
            return Look("acked", "Down, acknowledged", verdict.since)
        if incident is not None and incident.open and incident.suppressed:
            return Look("acked", "Down, held back", verdict.since)
        if held(watched):
            return Look("acked", "Down, closed by hand", verdict.since)
        return Look("down", "Down", verdict.since)
    if verdict.value == "partial":
        return Look("partial", f"Partial, {verdict.u} of {verdict.n}", verdict.since)
    if verdict.value == "degraded":
        return Look("slow", _degraded(watched), verdict.since)
    return Look("up", "Up", verdict.since)


def past(verdict: Verdict) -> Look:
    """How a verdict of the past is shown."""
    if verdict.maintenance:
        return Look("maint", f"Maintenance ({verdict.value})", verdict.at)
    st = {"degraded": "slow", "unknown": "nodata"}.get(verdict.value, verdict.value)
    word = {"partial": f"Partial, {verdict.u} of {verdict.n}", "unknown": "No data"}.get(verdict.value)
    return Look(st, word or verdict.value.capitalize(), verdict.at)


def held(watched: Watched) -> bool:
    """Whether its incident was closed by hand while it is down: nobody is told until it has been up."""
    incident = watched.incident
    return incident is not None and incident.held and not incident.open and not watched.monitor.paused


def _degraded(watched: Watched) -> str:
    """Why it is degraded, in two or three words: the figure when it is slow, else the assertion that was missed."""
    total = response(watched)
    for result in watched.last.values():
        for assertion in result.outcome.assertions:
            if assertion.ok:
                continue
            if assertion.type == "certificate_days":
                return f"Certificate {int(assertion.actual or 0)} days"
            if assertion.type != "response_time_ms":
                return "Degraded, " + assertion.type.replace("_", " ")
            return "Slow" if total is None else f"Slow, {words.ms(total)} ms"
    return "Degraded"


def response(watched: Watched) -> float | None:
    """The median of the latest results' total times, ms."""
    times = sorted(
        r.outcome.seen.timing.total
        for r in watched.last.values()
        if r.status in ("up", "degraded") and r.outcome.seen.timing.total is not None
    )
    return times[len(times) // 2] if times else None


def checked_at(watched: Watched) -> datetime | None:
    """When its newest result began."""
    return max((r.outcome.started_at for r in watched.last.values()), default=None)


def tally(letters: str) -> Markup:
    """The last checks as one SVG, oldest first, newest at the right; runs of one state share a path segment."""
    shown = letters[-TICKS:]
    start, paths = TICKS - len(shown), dict[str, str]()
    at = start * 4
    for letter, run in groupby(shown):
        width = 4 * sum(1 for _ in run)
        row = "12.5" if letter == "." else "12"
        paths[letter] = paths.get(letter, "") + f"M{at + (letter == '.')} {row}h{width - 1 - (letter == '.')}"
        at += width
    drawn = "".join(f'<path class="{"n" if k == "." else k}" d="{d}"/>' for k, d in paths.items() if k in _NAMES)
    return Markup(
        '<div class="tally-wrap"><svg class="tally" viewBox="0 0 360 24" preserveAspectRatio="xMaxYMax slice"'
        ' role="img" aria-label="{}" data-tally="{}">{}</svg></div>'
    ).format(_told(shown), shown, Markup(drawn))  # noqa: S704 (made of our own letters)


def _told(letters: str) -> str:
    if not letters:
        return "No checks yet"
    counts = [f"{letters.count(k)} {name}" for k, name in _NAMES.items() if k in letters]
    return f"Last {len(letters)} checks: {', '.join(counts)}"


def worst_first(watched: Iterable[Watched], alone: str = "") -> list[tuple[Watched, Look]]:
    """Monitors with their looks, worst first, then by name."""
    seen = [(w, look(w, alone)) for w in watched]
    return sorted(seen, key=lambda pair: (-pair[1].rank, pair[0].monitor.name.casefold(), pair[0].monitor.id))
