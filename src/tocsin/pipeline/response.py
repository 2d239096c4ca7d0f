"""What people do with an incident: acknowledge, resolve, comment, assign."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from tocsin.core.incident import Entry, Incident, Step, acknowledge, close
from tocsin.errors import Conflict
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Store
from tocsin.store.batch import IncidentChange

_Make = Callable[[Incident, datetime], Step]


class Response:
    """Each takes the workspace, the incident's id and who does it, and gives the incident as it is then; NotFound
    when there is none in that workspace."""

    def __init__(self, store: Store, watchlist: Watchlist, intake: Intake, judgement: Judgement) -> None:
        self._store, self._watchlist, self._intake, self._judgement = store, watchlist, intake, judgement

    async def acknowledge(
        self, workspace_id: str, incident_id: str, by: str, *, as_of: datetime | None = None
    ) -> Incident:
        """Somebody has it: reminders and steps stop. Twice is the same as once; Conflict when it is resolved, or was
        since `as_of` (what somebody saw then was another stretch of trouble)."""

        def make(incident: Incident, now: datetime) -> Step:
            _must_be_open(incident)
            if as_of is not None and as_of < incident.began_at():
                raise Conflict("the incident was over since, and began again")
            return acknowledge(incident, by, now)

        return await self._step(workspace_id, incident_id, by, make)

    async def resolve(self, workspace_id: str, incident_id: str, by: str, reason: str = "") -> Incident:
        """End it by hand. While what opened it lasts (the verdict is down, the rule's condition holds) nothing opens
        again until it has been over, or is worse."""

        def make(incident: Incident, now: datetime) -> Step:
            _must_be_open(incident)
            watched = self._watchlist.find(incident.monitor_id)
            if watched is not None and watched.subject == incident.subject:
                lasts = watched.verdict is not None and watched.verdict.value == "down"
            else:
                lasts = incident.over_since is None
            return close(incident, reason or f"resolved by {by}", now, by=by, held=lasts)

        return await self._step(workspace_id, incident_id, by, make)

    async def comment(self, workspace_id: str, incident_id: str, by: str, text: str) -> Incident:
        """Add a line to the timeline."""

        def make(incident: Incident, now: datetime) -> Step:
            return Step(incident=incident, entries=(Entry(at=now, kind="comment", text=text, by=by),), changed=True)

        return await self._step(workspace_id, incident_id, by, make)

    async def assign(self, workspace_id: str, incident_id: str, by: str, to: str | None) -> Incident:
        """Give it to somebody, or to nobody."""

        def make(incident: Incident, now: datetime) -> Step:
            if incident.assigned_to == to:
                return Step(incident=incident)
            entry = Entry(at=now, kind="assigned", text=f"assigned to {to}" if to else "assigned to nobody", by=by)
            return Step(incident=replace(incident, assigned_to=to), entries=(entry,), changed=True)

        return await self._step(workspace_id, incident_id, by, make)

    async def write_postmortem(self, workspace_id: str, incident_id: str, by: str, text: str) -> Incident:
        """Keep what was learnt; the timeline says that it was written, not what."""

        def make(incident: Incident, now: datetime) -> Step:
            if incident.postmortem == text:
                return Step(incident=incident)
            said = "Postmortem changed" if incident.postmortem and text else "Postmortem written" if text else ""
            entry = Entry(at=now, kind="postmortem", text=said or "Postmortem taken away", by=by)
            return Step(incident=replace(incident, postmortem=text), entries=(entry,), changed=True)

        return await self._step(workspace_id, incident_id, by, make)

    async def _step(self, workspace_id: str, incident_id: str, by: str, make: _Make) -> Incident:
        stored = await self._store.of(workspace_id).read(lambda s: s.incidents.get(incident_id))
        after = stored

        def work(draft: Draft, now: datetime) -> None:
            nonlocal after
            newest = self._newest(stored)
            step = make(newest, now) if newest is not None else make(stored, now)
            if newest is not None:
                self._judgement.take_step(draft, *self._judgement.terms_for(newest, now), step, now)
                watched = self._watchlist.find(newest.monitor_id)
                if watched is not None:
                    watched.calm = False
                    moments = (step.judge_again_at, watched.judge_again_at)
                    watched.judge_again_at = min((m for m in moments if m is not None), default=None)
                    draft.judged[watched.monitor.id] = watched
            elif step.changed and step.incident is not None:
                draft.incidents.append(IncidentChange(incident=step.incident, entries=step.entries))
            after = step.incident or stored

        await self._intake.apply(work, by=by)
        return after

    def _newest(self, stored: Incident) -> Incident | None:
        """The incident as memory has it; None when its subject has a newer one, or nobody watches it any more."""
        watched = self._watchlist.find(stored.monitor_id)
        if watched is not None and watched.subject == stored.subject:
            found = watched.incident
        else:
            found = self._watchlist.incidents.get((stored.workspace_id, stored.subject))
        return found if found is not None and found.id == stored.id else None


def _must_be_open(incident: Incident) -> None:
    if not incident.open:
        raise Conflict("the incident is resolved already")
