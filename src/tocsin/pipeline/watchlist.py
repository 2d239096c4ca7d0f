"""Every monitor with its live judgement in memory: loaded from the store at the start, kept in step by intake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.alert import Channel
from tocsin.core.consensus import LocationState, Verdict
from tocsin.core.incident import Incident, set_right
from tocsin.core.monitor import Monitor
from tocsin.core.quarantine import SUBJECT
from tocsin.errors import NotFound
from tocsin.pipeline.family import Family
from tocsin.pipeline.known import TALLY, Known, read_known
from tocsin.pipeline.roster import Nowhere, Reach, Roster
from tocsin.pipeline.targets import target_of
from tocsin.pipeline.telling import Telling, read_telling
from tocsin.pipeline.tokens import Tokens
from tocsin.pipeline.watched import Watched
from tocsin.store import Store


class Watchlist:
    """All monitors of all workspaces, and what their workspaces wrote down of telling.

    `incidents`: by (workspace, subject) the newest incident of every subject that is not a monitor's verdict. `family`:
    which of them depend on which. `roster`: the
    workspaces' own locations. `mails`: there is a mail server that reaches members."""

    def __init__(
        self, store: Store, clock: Clock, home: str, reach: Reach | None = None, *, mails: bool = True
    ) -> None:
        self._store, self._clock, self.home, self._mails = store, clock, home, mails
        self.roster = Roster(home, reach or Nowhere())
        self._watched: dict[str, Watched] = {}
        self._telling: dict[str, Telling] = {}
        self.incidents: dict[tuple[str, str], Incident] = {}
        self._tokens = Tokens()
        self.family = Family()
        self._reading = asyncio.Lock()
        """Held from a read until what was read is known: what is written meanwhile comes after it, not under it."""
        self._removed: set[str] = set()
        self.show()

    def __len__(self) -> int:
        return len(self._watched)

    def __iter__(self) -> Iterator[Watched]:
        return iter(tuple(self._watched.values()))

    def get(self, monitor_id: str) -> Watched:
        """That monitor; raises NotFound."""
        watched = self._watched.get(monitor_id)
        if watched is None:
            raise NotFound(f"there is no monitor {monitor_id}")
        return watched

    def find(self, monitor_id: str | None) -> Watched | None:
        """That monitor, or None."""
        return self._watched.get(monitor_id) if monitor_id is not None else None

    def of(self, workspace_id: str) -> list[Watched]:
        """The monitors of one workspace."""
        return [w for w in self._watched.values() if w.monitor.workspace_id == workspace_id]

    def channels(self, workspace_id: str) -> tuple[Channel, ...]:
        """The notification channels of one workspace."""
        return self.telling(workspace_id).channels

    def workspaces(self) -> list[str]:
        """The ids of the workspaces that have monitors."""
        return list(dict.fromkeys(w.monitor.workspace_id for w in self._watched.values()))

    def telling(self, workspace_id: str) -> Telling:
        """What a workspace wrote down of whom to tell and when."""
        return self._telling.get(workspace_id) or Telling()

    def every_channel(self) -> list[Channel]:
        """The notification channels of all workspaces."""
        return [channel for telling in self._telling.values() for channel in telling.channels]

    def hearer(self, workspace_id: str, id: str) -> Channel | None:
        """A channel, or what reaches a member, or None."""
        return self.telling(workspace_id).hearer(id)

    def channel(self, workspace_id: str, channel_id: str) -> Channel | None:
        """One channel, or None."""
        return next((c for c in self.channels(workspace_id) if c.id == channel_id), None)

    def by_token(self, token: str) -> Watched:
        """The push monitor with this token (looked up by its hash); raises NotFound."""
        monitor_id = self._tokens.find(token)
        if monitor_id is None:
            raise NotFound("there is no monitor with this token")
        return self.get(monitor_id)

    async def load(self, *, folds: bool = False) -> None:
        """Read everything from the store. `folds`: somebody else judged until now (see read_known)."""
        async with self._reading:
            await self._load(folds=folds)

    async def _load(self, *, folds: bool) -> None:
        self._removed.clear()
        known, telling, others, probes = await self._store.everything().read(
            lambda s: (
                read_known(s, s.monitors.all(), folds=folds), read_telling(s, mails=self._mails),
                s.incidents.latest_of_others(), s.probes.list(),
            )
        )  # fmt: skip
        self.roster.put(probes)
        now, before = self._clock.now(), dict(self._watched)
        for n, fresh in enumerate(self._built(known, now)):
            old = before.pop(fresh.monitor.id, None)
            if fresh.monitor.id not in self._removed:
                if old is not None:
                    old.renew(fresh)
                self._enter(old or fresh)
            if n % 200 == 199:
                await asyncio.sleep(0)
        for id in before:
            self.remove(id)
        self._telling = telling
        self.incidents = {(i.workspace_id, i.subject): i for i in others}
        self._seat(self)

    async def reread(self) -> None:
        """Read what was judged and told again: the store has caught up with its spool. Nothing may be judged meanwhile
        (`Intake.between_rounds`): it would be overwritten."""
        async with self._reading:
            await self._reread()

    async def _reread(self) -> None:
        known, others = await self._store.everything().read(
            lambda s: (read_known(s, s.monitors.all()), s.incidents.latest_of_others())
        )
        self.incidents = {(i.workspace_id, i.subject): i for i in others}
        self._seat(self)
        for fresh in self._built(known, self._clock.now()):
            watched = self._watched.get(fresh.monitor.id)
            if watched is not None:
                watched.states = {place: state for place, state in fresh.states.items() if place in watched.assigned}
                watched.verdict, watched.incident = fresh.verdict, fresh.incident
                watched.tally, watched.gap_from, watched.calm = fresh.tally, fresh.gap_from, False

    async def reread_judged(self) -> None:
        """Read again what another instance judged: verdicts and incidents. What the locations say stays as it is known here.
        Nothing may be judged meanwhile."""
        async with self._reading:
            ids = list(self._watched)
            verdicts, incidents, others = await self._store.everything().read(
                lambda s: (
                    s.verdicts.open_all(), s.incidents.latest_of([f"monitor:{id}" for id in ids]),
                    s.incidents.latest_of_others(),
                )
            )  # fmt: skip
            self.incidents = {(i.workspace_id, i.subject): i for i in others}
            self._seat(self)
            for id in ids:
                if (watched := self._watched.get(id)) is not None:
                    watched.verdict = _until(verdicts.get(id), self._clock.now())
                    watched.incident = incidents.get(watched.subject)

    async def load_probes(self, workspace_id: str) -> tuple[list[str], list[tuple[Watched, tuple[str, ...]]]]:
        """Read again which locations the workspace has: (the codes of those that came, went or are reached another way, its
        monitors that are checked from other locations than before, each with those)."""
        async with self._reading:
            probes = await self._store.of(workspace_id).read(lambda s: s.probes.list())
            changed = self.roster.put(probes, workspace_id)
        moved: list[tuple[Watched, tuple[str, ...]]] = []
        for watched in self.of(workspace_id):
            before, watched.assigned = watched.assigned, self.roster.assigned(watched.monitor)
            if before != watched.assigned:
                watched.states = {p: state for p, state in watched.states.items() if p in watched.assigned}
                watched.calm = False
                moved.append((watched, before))
        return changed, moved

    async def load_telling(self, workspace_id: str) -> None:
        """Read again what the workspace wrote down of telling; each of its monitors is judged anew when it is next
        heard of."""
        async with self._reading:
            telling = await self._store.of(workspace_id).read(lambda s: read_telling(s, mails=self._mails))
            self._telling[workspace_id] = telling.get(workspace_id, Telling())
        self._seat(self.of(workspace_id))

    async def refresh(self, monitor_id: str, written: Monitor | None = None) -> Watched:
        """Take one monitor's configuration as it was `written`, else read it again (its judgement stays, of locations that
        still check it); raises NotFound. What was written before the version that is known is read again.

        A monitor that was resumed or has another target begins a new settling time."""
        async with self._reading:
            return await self._refresh(monitor_id, written)

    async def _refresh(self, monitor_id: str, written: Monitor | None) -> Watched:
        known = self._watched.get(monitor_id)
        monitor = written if known is None or written is None or written.version > known.monitor.version else None
        if monitor is None:
            monitor = await self._store.everything().read(lambda s: s.monitors.get(monitor_id))
        now = self._clock.now()
        fresh = next(self._built(Known([monitor], [], {}, {}, {}), now))
        old = self._watched.get(monitor_id)
        if old is None:
            self._enter(fresh)
            return fresh
        resumed = old.monitor.paused and not monitor.paused
        if old.monitor.target != monitor.target:
            old.good = {}
        old.monitor, old.target, old.shown, old.host = monitor, fresh.target, fresh.shown, fresh.host
        old.problem, old.breaks, old.assigned = fresh.problem, fresh.breaks, fresh.assigned
        old.states = {place: state for place, state in old.states.items() if place in fresh.assigned}
        if resumed:
            old.settled_at, old.gap_from, old.heard_from = fresh.settled_at, _gap(old, now), now
        old.calm = False
        old.generation += 1
        self._enter(old)
        return old

    async def recount(self, watched: Watched) -> None:
        """Read a monitor's tally again: its history was filled."""
        id = watched.monitor.id
        workspace = self._store.of(watched.monitor.workspace_id)
        tallies = await workspace.read(lambda s: s.results.recent([id], TALLY))
        watched.tally = bytearray(tallies.get(id, "").encode()[-TALLY:])

    def put_incident(self, incident: Incident | None, workspace_id: str, subject: str) -> None:
        """Keep the newest incident of a subject (None: it has none)."""
        watched = self.find(subject.removeprefix("monitor:"))
        if watched is not None and watched.subject == subject:
            watched.incident = incident
        elif incident is None:
            self.incidents.pop((workspace_id, subject), None)
        else:
            self.incidents[workspace_id, subject] = incident
        if subject.startswith(SUBJECT):
            self._seat(self.of(workspace_id))

    def quarantined(self, workspace_id: str) -> frozenset[str]:
        """The locations that abstain there: those with an open incident of their own."""
        return frozenset(
            subject.removeprefix(SUBJECT)
            for (workspace, subject), incident in self.incidents.items()
            if workspace == workspace_id and incident.open and subject.startswith(SUBJECT)
        )

    def _seat(self, some: Iterable[Watched]) -> None:
        """Tell monitors whose votes count and what fails together; each is judged anew when it is next heard of."""
        silent: dict[str, frozenset[str]] = {}
        for watched in some:
            workspace_id = watched.monitor.workspace_id
            if workspace_id not in silent:
                silent[workspace_id] = self.quarantined(workspace_id)
            watched.quarantined = silent[workspace_id]
            watched.domains = self.telling(workspace_id).preferences.failure_domains
            watched.calm = False

    def incidents_of(self, watched: Watched) -> list[Incident]:
        """The newest incident of its verdict and of each rule on it."""
        ending = f":{watched.subject}"
        others = [i for (_, subject), i in self.incidents.items() if subject.endswith(ending)]
        return [*([] if watched.incident is None else [watched.incident]), *others]

    def open_of(self, workspace_id: str) -> list[Incident]:
        """Every open incident of a workspace."""
        verdicts = [w.incident for w in self.of(workspace_id) if w.incident is not None]
        others = [i for (of, _), i in self.incidents.items() if of == workspace_id]
        return [incident for incident in (*verdicts, *others) if incident.open]

    def heard_by(self, workspace_id: str, channel_id: str) -> int:
        """Of how many open incidents a channel was told."""
        return sum(channel_id in (incident.told_channels or ()) for incident in self.open_of(workspace_id))

    async def reload_incident(self, workspace_id: str, subject: str) -> None:
        """Take the subject's newest incident as the store has it."""
        found = await self._store.of(workspace_id).read(lambda s: s.incidents.latest_of([subject]))
        self.put_incident(found.get(subject), workspace_id, subject)

    def rewind(self, now: datetime) -> None:
        """The wall clock was set back: what was seen "later" than now counts as seen now, or nothing newer would."""
        for watched in self._watched.values():
            for place, state in watched.states.items():
                if state.at is not None and state.at > now:
                    watched.states[place] = replace(state, at=now, attempt=0)
            watched.last = {place: r for place, r in watched.last.items() if r.scheduled_at <= now}
            watched.calm, watched.slot_at = False, None
            watched.verdict = _until(watched.verdict, now)
            watched.incident = None if watched.incident is None else set_right(watched.incident, now)
        self.incidents = {subject: set_right(incident, now) for subject, incident in self.incidents.items()}

    def remove(self, monitor_id: str) -> Watched | None:
        """Forget a monitor; what was known of it."""
        if self._reading.locked():
            self._removed.add(monitor_id)
        watched = self._watched.pop(monitor_id, None)
        if watched is not None:
            watched.gone = True
            watched.generation += 1
            self._tokens.forget(monitor_id)
            self.family.forget(monitor_id)
        return watched

    def _enter(self, watched: Watched) -> None:
        monitor = watched.monitor
        self._watched[monitor.id] = watched
        self.family.put(monitor.id, monitor.parent_ids)
        self._seat((watched,))
        self._tokens.put(monitor)

    def show(self) -> None:
        """Export how many are active and in trouble: counted when somebody asks, not with every change of one."""
        telemetry.active_monitors.set_function(lambda: sum(not w.monitor.paused for w in self._watched.values()))
        telemetry.active_incidents.set_function(lambda: open_incidents(self))

    def _built(self, known: Known, now: datetime) -> Iterator[Watched]:
        states: dict[str, dict[str, LocationState]] = {}
        for monitor_id, state in known.states:
            ahead = state.at is not None and state.at > now
            states.setdefault(monitor_id, {})[state.location] = replace(state, heard=now if ahead else None)
        for monitor in known.monitors:
            aim, assigned = target_of(monitor, now), self.roster.assigned(monitor)
            watched = Watched(
                monitor=monitor,
                target=aim.target,
                shown=aim.shown,
                problem=aim.problem,
                breaks=aim.breaks,
                host=aim.host,
                assigned=assigned,
                heard_from=now,
                settled_at=now + timedelta(seconds=aim.settles_s),
                states={place: state for place, state in states.get(monitor.id, {}).items() if place in assigned},
                verdict=_until(known.verdicts.get(monitor.id), now),
                incident=known.incidents.get(f"monitor:{monitor.id}"),
                tally=bytearray(known.tallies.get(monitor.id, "").encode()[-TALLY:]),
            )
            watched.gap_from = _gap(watched, now)
            yield watched


def _until(verdict: Verdict | None, now: datetime) -> Verdict | None:
    """The verdict, which has held since now where a clock that was ahead has dated it."""
    if verdict is None or verdict.at <= now:
        return verdict
    return replace(verdict, at=now, since=min(verdict.since, now))


def _gap(watched: Watched, now: datetime) -> datetime | None:
    """Since when, before this start, none of its votes was fresh."""
    latest = max((s.at for s in watched.states.values() if s.at is not None), default=None)
    if (
        latest is None
        or watched.verdict is None
        or watched.verdict.value == "unknown"
        or watched.monitor.type == "push"
    ):
        return None
    faded = max(latest, watched.verdict.at) + timedelta(seconds=watched.monitor.fresh_s())
    return faded if faded < now else None


def open_incidents(watchlist: Watchlist) -> int:
    """How many incidents are open."""
    return sum(w.incident is not None and w.incident.open for w in watchlist) + sum(
        incident.open for incident in watchlist.incidents.values()
    )
