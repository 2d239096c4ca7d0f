"""Watches over the locations themselves: who is blind abstains, and that is told once, as an incident of its own.

A location is in quarantine while its incident is open; so it stays there over a restart, and ends when somebody closes
the incident by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from tocsin.clock import new_id
from tocsin.core.advance import advance
from tocsin.core.alert import About
from tocsin.core.finding import Finding, Terms
from tocsin.core.incident import Step
from tocsin.core.quarantine import SUBJECT, Ballot, finding_of, survey, terms_of
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.watchlist import Watched, Watchlist

AT_ONCE = 100
"""So many monitors are judged anew in one turn of the loop."""


class _Found(NamedTuple):
    """What was found of a location, and how its incident behaves."""

    location: str
    terms: Terms
    finding: Finding


class Quarantine:
    """Looks at every location of every workspace that has monitors at several. `doubts`: by location of a workspace, what
    its self-test found wrong with itself now."""

    def __init__(self, watchlist: Watchlist, intake: Intake, judgement: Judgement) -> None:
        self._watchlist, self._intake, self._judgement = watchlist, intake, judgement
        self.doubts: Callable[[str], Mapping[str, str]] = lambda workspace_id: {}

    async def look(self, now: datetime) -> None:
        """Let who is blind abstain, and who sees again vote; monitors of theirs are judged anew."""
        due = [found for found in self._survey(now) if self._step(found, now).changed]
        if not due:
            return
        await self._intake.apply(lambda draft, at: self._take(draft, due, at))
        touched = {(found.terms.workspace_id, found.location) for found in due}
        some = [w for w in self._watchlist if any((w.monitor.workspace_id, p) in touched for p in w.assigned)]
        for part in (some[n : n + AT_ONCE] for n in range(0, len(some), AT_ONCE)):
            await self._intake.apply(lambda draft, at, part=part: self._judgement.judge_all(draft, part, at))

    def _survey(self, now: datetime) -> Iterable[_Found]:
        """Every location that there is something to say of: it says down somewhere, doubts itself, or is in quarantine."""
        doubts: dict[str, Mapping[str, str]] = {}
        by_workspace: dict[str, list[Watched]] = {}
        wanted = {workspace_id for workspace_id, subject in self._watchlist.incidents if subject.startswith(SUBJECT)}
        for w in self._watchlist:
            if len(w.assigned) > 1 and not w.monitor.paused:
                workspace_id = w.monitor.workspace_id
                by_workspace.setdefault(workspace_id, []).append(w)
                if workspace_id not in doubts:
                    doubts[workspace_id] = self.doubts(workspace_id)
                if doubts[workspace_id] or any(state.vote == "down" for state in w.states.values()):
                    wanted.add(workspace_id)
        for workspace_id in sorted(wanted):
            yield from self._of(workspace_id, by_workspace.get(workspace_id, []), doubts.get(workspace_id, {}), now)

    def _of(self, workspace_id: str, some: list[Watched], doubts: Mapping[str, str], now: datetime) -> Iterable[_Found]:
        inside = self._watchlist.quarantined(workspace_id)
        sights = survey((list(_ballots(w, now)) for w in some), inside)
        assigned = {place for w in some for place in w.assigned}
        known = {
            s.removeprefix(SUBJECT)
            for ws, s in self._watchlist.incidents
            if ws == workspace_id and s.startswith(SUBJECT)
        }
        for location in sorted(assigned | known):
            finding = finding_of(sights.get(location), assigned=location in assigned, doubt=doubts.get(location))
            yield _Found(location, terms_of(workspace_id, location), finding)

    def _step(self, found: _Found, now: datetime) -> Step:
        latest = self._watchlist.incidents.get((found.terms.workspace_id, found.terms.subject))
        return advance(latest, found.terms, found.finding, now, new_id=new_id())

    def _take(self, draft: Draft, due: list[_Found], now: datetime) -> None:
        for found in due:
            what = About(name=f"Location {found.location}")
            self._judgement.take_step(draft, found.terms, what, self._step(found, now), now)


def _ballots(watched: Watched, now: datetime) -> Iterable[Ballot]:
    """The fresh votes on a monitor. Who stands in speaks for itself, not for the lost location."""
    fresh_s = watched.monitor.fresh_s()
    for place in watched.assigned:
        state = watched.states.get(place)
        if state is None or state.vote is None or state.at is None:
            continue
        if (now - (state.ages_from or state.at)).total_seconds() < fresh_s:
            since = state.since or state.at
            yield Ballot(
                state.stand_in or place, state.vote == "down", since.timestamp(), state.at.timestamp(), state.suspect
            )
