"""Looks after the probes: who does not answer twice is lost; that is told once, and somebody stands in until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock, new_id
from tocsin.core.advance import advance
from tocsin.core.alert import About
from tocsin.core.finding import Finding, Terms
from tocsin.core.incident import Step
from tocsin.core.notice import Notice
from tocsin.core.probe import CHECKED_EVERY_S, SUBJECT, Health, Probe, awaited, heard, lost_finding, lost_terms, missed
from tocsin.core.wording import one_line
from tocsin.errors import Conflict, NotFound, PeerLost, StoreUnavailable
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.roster import Post
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Store

log = telemetry.logger("tocsin.lookout")

LOOK_S = 1.0
SILENT_S = 30.0
"""Longer than this no look may fail or take."""
AT_ONCE = 20
"""So many probes are asked at once."""
ANSWER_S = 10.0
"""A probe that has not answered by then is missed."""


class _Found(NamedTuple):
    """What was found of a location, and how its incident behaves."""

    code: str
    terms: Terms
    finding: Finding


class Lookout:
    """Asks every probe how it is. `turned` is called with a workspace and the code of a location that was lost or is
    back."""

    def __init__(self, store: Store, watchlist: Watchlist, intake: Intake, judgement: Judgement, clock: Clock) -> None:
        self._store, self._watchlist, self._intake = store, watchlist, intake
        self._judgement, self._clock = judgement, clock
        self._asking: dict[Post, asyncio.Task[None]] = {}
        self.turned: Callable[[str, str], None] = lambda workspace_id, code: None
        silent = "probes have not been looked after"
        self.rounds = Rounds("lookout", silent, SILENT_S, clock, lambda: self.look(clock.now()), LOOK_S)
        self.pulse = self.rounds.pulse

    def start(self) -> None:
        """Begin to look; of no probe is known yet how it is."""
        self._forget()
        self.rounds.start()

    async def stop(self) -> None:
        """End looking."""
        await self.rounds.stop()
        tasks = tuple(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._forget()

    def _forget(self) -> None:
        """What was known of the probes was known in an office that is over: they had another server to call since."""
        for post in self._watchlist.roster:
            post.health, post.hurry = Health(), True

    async def ask(self, post: Post) -> Health:
        """Ask one probe now, wait, and give what is known of it then."""
        await asyncio.shield(self._begin(post))
        await self._tell(self._clock.now())
        return post.health

    def failed(self, workspace_id: str, code: str) -> None:
        """A check could not be run there: look soon, unless it is known already that it does not answer."""
        post = self._watchlist.roster.find(workspace_id, code)
        if post is not None and (post.health.state == "well" or post.health.looked_at is None):
            post.hurry = True

    def hurry(self, workspace_id: str, code: str) -> None:
        """Its link came or went: look at once."""
        post = self._watchlist.roster.find(workspace_id, code)
        if post is not None:
            post.hurry = True

    def doubts(self, workspace_id: str) -> dict[str, str]:
        """What the workspace's locations find wrong with themselves now, by code."""
        found = {p.probe.code: p.health.sign.trouble for p in self._watchlist.roster.of(workspace_id) if not p.lost}
        return {code: trouble for code, trouble in found.items() if trouble}

    async def look(self, now: datetime) -> None:
        """Ask those that are due, and tell what became of those that were asked."""
        for post in self._watchlist.roster:
            if len(self._asking) < AT_ONCE and post.probe.enabled and post not in self._asking and _due(post, now):
                self._begin(post)
        await self._tell(now)

    def _begin(self, post: Post) -> asyncio.Task[None]:
        task = self._asking.get(post)
        if task is None:
            post.hurry = False
            task = self._asking[post] = asyncio.create_task(self._ask(post), name="ask a probe")
            task.add_done_callback(lambda _: self._asking.pop(post, None))
        return task

    async def _ask(self, post: Post) -> None:
        before, began = post.health, self._clock.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                sign = await self._watchlist.roster.reach.look(post.probe)
        except (PeerLost, TimeoutError) as error:
            if (until := await self._joins_until(post.probe, before)) is not None:
                post.health = awaited(before, until, self._clock.now())
            else:
                await self._miss(post, error)
        except Exception as error:  # noqa: BLE001 (a bug of ours is no answer of theirs, and must not end the looking)
            self.pulse.fault("lookout.fault", location=post.probe.code)
            await self._miss(post, PeerLost(f"it could not be asked: {type(error).__name__}"))
        else:
            post.health = heard(post.health, sign, self._clock.now())
            telemetry.probe_seconds.observe(self._clock.monotonic() - began)
            if before.state != "well":
                await self._unsay(post.probe)
            if sign.newest_key and len(post.probe.keys) > 1:
                await self._settle(post)
        if (before.state == "lost") != post.lost:
            log.warning("lookout.turned", location=post.probe.code, state=post.health.state, why=post.health.why)
            self.turned(post.probe.workspace_id, post.probe.code)

    async def _joins_until(self, probe: Probe, health: Health) -> datetime | None:
        """Until when a probe that calls us, and has never joined, may do that; None: it is missed."""
        if probe.mode != "pull" or health.heard_at is not None:
            return None
        now = self._clock.now()
        try:
            return await self._store.of(probe.workspace_id).read(lambda s: s.probes.joins_until(probe.id, now))
        except StoreUnavailable:
            return None

    async def _miss(self, post: Post, error: PeerLost | TimeoutError) -> None:
        lost = error if isinstance(error, PeerLost) else PeerLost(f"no answer within {ANSWER_S:g} s")
        cause = lost.cause or "silent"
        telemetry.probes_missed.labels(cause).inc()
        before, post.health = (
            post.health,
            missed(post.health, str(lost), self._clock.now(), refused=lost.cause is not None),
        )
        if lost.cause is not None and not before.refused:
            await self._warn(post, lost)

    async def _settle(self, post: Post) -> None:
        """It takes its new key: the one before is not needed any more."""
        settled = replace(post.probe, keys=post.probe.keys[:1])
        try:
            post.probe = await self._store.of(settled.workspace_id).write(lambda s: s.probes.replace(settled))
        except (StoreUnavailable, Conflict, NotFound) as error:  # it is tried again with the next look
            log.info("lookout.not_settled", location=settled.code, error=str(error))

    async def _warn(self, post: Post, lost: PeerLost) -> None:
        """Tell those who run the workspace that what answers is not the probe, or does not take us: it may be an attack."""
        probe = post.probe
        told = Notice(
            workspace_id=probe.workspace_id, mark=f"location.refused:{probe.code}", kind="location.refused",
            at=self._clock.now(), location=probe.code, text=one_line(f"Location {probe.code}: {lost}", 400),
        )  # fmt: skip
        try:
            await self._store.of(probe.workspace_id).write(lambda s: s.notices.put(told))
        except (StoreUnavailable, NotFound):
            log.exception("lookout.notice_not_kept", location=probe.code)

    async def _unsay(self, probe: Probe) -> None:
        """It takes us again: what was said of that is over."""
        mark, workspace = f"location.refused:{probe.code}", self._store.of(probe.workspace_id)
        try:
            if any(n.mark == mark for n in await workspace.read(lambda s: s.notices.list())):
                await workspace.write(lambda s: s.notices.clear(probe.workspace_id, mark))
        except (StoreUnavailable, NotFound):
            log.exception("lookout.notice_not_cleared", location=probe.code)

    async def _tell(self, now: datetime) -> None:
        due = [found for found in self._found(now) if self._step(found, now).changed]
        if due:
            await self._intake.apply(lambda draft, at: self._take(draft, due, at))

    def _found(self, now: datetime) -> Iterable[_Found]:
        """Every location that is lost, or of which that was told."""
        roster, incidents = self._watchlist.roster, self._watchlist.incidents
        wanted = {(p.probe.workspace_id, p.probe.code) for p in roster if p.lost}
        for w in self._watchlist if any(health.state == "lost" for health in roster.others.values()) else ():
            lost = (place for place in w.assigned if place in roster.others and roster.others[place].state == "lost")
            wanted |= {(w.monitor.workspace_id, place) for place in lost}
        if roster.keeper:
            wanted |= {(roster.keeper, place) for place, health in roster.others.items() if health.state == "lost"}
        wanted |= {
            (ws, s.removeprefix(SUBJECT)) for (ws, s), i in incidents.items() if i.open and s.startswith(SUBJECT)
        }
        for workspace_id, code in sorted(wanted):
            post = roster.find(workspace_id, code)
            names = [w.monitor.name for w in self._watchlist.of(workspace_id) if code in w.assigned]
            health = roster.others.get(code) if post is None else post.health
            enabled = post.probe.enabled if post is not None else None if health is None else True
            finding = lost_finding(enabled, health or Health(), sorted(names), now)
            yield _Found(code, lost_terms(workspace_id, code), finding)

    def _step(self, found: _Found, now: datetime) -> Step:
        latest = self._watchlist.incidents.get((found.terms.workspace_id, found.terms.subject))
        return advance(latest, found.terms, found.finding, now, new_id=new_id())

    def _take(self, draft: Draft, due: list[_Found], now: datetime) -> None:
        for found in due:
            self._judgement.take_step(
                draft, found.terms, About(name=f"Location {found.code}"), self._step(found, now), now
            )


def _due(post: Post, now: datetime) -> bool:
    """Whether a probe has to be asked now: one that calls us also when its link came or went (`hurry`)."""
    if post.hurry or post.health.looked_at is None:
        return True
    waited = (now - post.health.looked_at).total_seconds()
    return not 0 <= waited < CHECKED_EVERY_S
