"""The corridor: scheduler → runner → intake → delivery and live, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from tocsin import checks, telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core.consensus import Verdict
from tocsin.core.finding import Hush
from tocsin.core.host_rule import HostFinding
from tocsin.core.monitor import Monitor
from tocsin.core.result import CheckResult
from tocsin.errors import NotFound
from tocsin.location.lag import SILENT_S, LagMeter
from tocsin.location.self_test import SelfTest
from tocsin.net import Net
from tocsin.pipeline import condition
from tocsin.pipeline.alone import Alone
from tocsin.pipeline.backfill import backfill
from tocsin.pipeline.canary import Canary
from tocsin.pipeline.catching_up import catch_up, replayed
from tocsin.pipeline.delivery import Delivery
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.figures import Figures
from tocsin.pipeline.foresight import foreseen
from tocsin.pipeline.host_watch import HostWatch
from tocsin.pipeline.hosts import HostNow, Hosts
from tocsin.pipeline.housekeeping import Housekeeping
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.late import Late
from tocsin.pipeline.leaning import Leaning
from tocsin.pipeline.links import Links
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.lookout import Lookout
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.response import Response
from tocsin.pipeline.roster import Reach
from tocsin.pipeline.runner import Runner
from tocsin.pipeline.scheduler import Scheduler
from tocsin.pipeline.ticking import Ticking
from tocsin.pipeline.watchdog import Watchdog
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.secret import Secret
from tocsin.store import Store

log = telemetry.logger("tocsin.corridor")

REPLAY_WAIT_S = 8.0
"""How long a start waits for what a crash left on the spool."""
GRACE_S = 5.0
"""How long checks in flight may take to end when we stop; messages get as long as a send may take."""


AT_ONCE = 100
"""So many monitors are judged anew in one turn of the loop."""


@dataclass(slots=True, kw_only=True)
class Corridor:
    """Every part of the way from a due check to a delivered message."""

    store: Store
    clock: Clock
    watchlist: Watchlist
    scheduler: Scheduler
    runner: Runner
    intake: Intake
    judgement: Judgement
    response: Response
    delivery: Delivery
    canary: Canary
    live: Live
    watchdog: Watchdog
    lookout: Lookout
    alone: Alone
    leaning: Leaning
    figures: Figures
    housekeeping: Housekeeping
    host_watch: HostWatch
    lag: LagMeter
    self_test: SelfTest
    started_at: datetime | None = None
    stopped: bool = False
    leads: bool = True
    _catching_up: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.runner.unreachable, self.lookout.turned = self.lookout.failed, self.turned
        self.watchdog.stood, self.host_watch.stood = self.lag.standstills(), self.lag.standstills()
        self.watchdog.quarantine.doubts, self.host_watch.pings.run = self.doubts, self.self_test

    @classmethod
    def build(
        cls, *, store: Store, net: Net, clock: Clock, location: str = "local", max_concurrent: int = 1000,
        max_per_host: int = 50, base_url: str = "", smtp_url: Secret | None = None, retention_days: int = 90,
        anchors: Sequence[Order] = (), link_key: bytes = b"", reach: Reach | None = None,
    ) -> Corridor:  # fmt: skip
        """The parts, not started. `location` is the name of the place this instance checks from, `link_key` what
        acknowledge links are signed with (none: there are none), `reach` how the probes of other places are reached."""
        lag, live = LagMeter(), Live()
        lag.pulse = Pulse("lag meter", "the event loop has not been measured", SILENT_S, lag.now)
        watchlist = Watchlist(store, clock, location, reach, mails=smtp_url is not None)
        judgement = Judgement(watchlist, base_url)
        intake = Intake(store, watchlist, judgement, live, clock)
        self_test = SelfTest(partial(checks.run, net=net, clock=clock), anchors, clock)
        runner = Runner(watchlist, {location: self_test}, intake, clock, lag)
        scheduler = Scheduler(
            watchlist, runner, intake, store, clock, lag, max_concurrent=max_concurrent, max_per_host=max_per_host
        )
        delivery = Delivery(store, watchlist, live, net, clock, smtp_url=smtp_url)
        delivery.one.base_url, delivery.one.links = base_url, Links(base_url, link_key)
        late = Late(store, watchlist, clock, base_url)
        intake.late, late.handed = late.note, delivery.handed
        watchdog = Watchdog(watchlist, intake, judgement, clock, late)
        leaning = Leaning(watchlist, scheduler, watchdog, clock)
        figures = Figures(store, watchlist, intake, judgement, clock)
        intake.stored, intake.judged, figures.watch = delivery.handed, leaning.judged, watchdog.watch
        return cls(
            store=store,
            clock=clock,
            watchlist=watchlist,
            scheduler=scheduler,
            runner=runner,
            intake=intake,
            judgement=judgement,
            response=Response(store, watchlist, intake, judgement),
            delivery=delivery,
            canary=Canary(store, watchlist, clock, delivery.handed, base_url),
            live=live,
            watchdog=watchdog,
            lookout=Lookout(store, watchlist, intake, judgement, clock),
            alone=Alone(watchlist, judgement, net, clock, smtp_url),
            leaning=leaning,
            figures=figures,
            host_watch=HostWatch(Hosts(store, live, clock), watchlist, judgement, intake, clock),
            housekeeping=Housekeeping(store, clock, Ticking(store, watchlist, clock), retention_days=retention_days),
            lag=lag,
            self_test=self_test,
        )

    @property
    def hosts(self) -> Hosts:
        return self.host_watch.hosts

    def doubts(self, workspace_id: str) -> dict[str, str]:
        """What the locations of a workspace, this one among them, find wrong with themselves now."""
        own, home = self.self_test.trouble, self.watchlist.home
        return self.lookout.doubts(workspace_id) | ({} if own is None else {home: own})

    async def start(self, *, leads: bool = True) -> None:
        """Load what is stored, then let every part run: the receiving ends before the sending ones. One that does not lead
        checks and keeps results; another instance judges and tells (`lead` and `follow` change that later).

        What a crash left on the spool comes first. When that takes long, checks begin meanwhile; their results wait,
        and nothing is sent, until all of it is in the database: only then is known what was judged and told already."""
        self.started_at = self.clock.now()
        self._set_gear(leads)
        self.lag.start()
        behind = not await replayed(self.store, REPLAY_WAIT_S)
        await self.watchlist.load(folds=not leads)
        await self.hosts.load()
        if behind:
            self._catching_up = asyncio.create_task(catch_up(self), name="catch up")
        else:
            self.receive()
        if self.leads:
            self._look()
        self.housekeeping.start()
        await self.scheduler.start()

    def receive(self) -> None:
        """Let results in and messages out."""
        self.intake.start()
        if self.leads:
            self.delivery.start()
            self.canary.start()

    def _look(self) -> None:
        self.watchdog.start()
        self.figures.start()
        self.lookout.start()
        self.host_watch.start()

    async def lead(self, home: str) -> None:
        """Judge, watch and tell from now on: this instance is the one that does. `home`: where local monitors are checked
        from, which is here. Every vote has its settling time again."""
        if not self.leads:
            await self._turn(True, home)
            self.delivery.renew()
            self.canary.start()
            self._look()

    async def follow(self, home: str) -> None:
        """Only check and keep results from now on; what is just being sent is cut off (whoever leads sends it again).
        `home`: where local monitors are checked from, which is another place."""
        if self.leads:
            await self.delivery.stop(grace_s=0)
            for part in (self.canary, self.host_watch, self.lookout, self.figures, self.watchdog):
                await part.stop()
        await self._turn(False, home)

    def judge_while(self, may: Callable[[], bool]) -> None:
        """Let time alone change something only while this instance surely leads: by the clock of its lease, which it knows
        of before anybody tells it."""
        for part in (self.watchdog, self.figures, self.lookout, self.host_watch):
            part.rounds.may = may

    def _set_gear(self, leads: bool) -> None:
        self.leads = self.judgement.leads = self.runner.leads = self.housekeeping.leads = leads

    async def _turn(self, leads: bool, home: str) -> None:
        """Know everything anew, as another instance left it, and check what is checked from here."""
        await self.scheduler.stop()

        async def between() -> None:
            self._set_gear(leads)
            self.watchlist.home = self.watchlist.roster.home = home
            await self.watchlist.load(folds=True)
            await self.hosts.load()

        await self.intake.between_rounds(between)
        await self.scheduler.start()
        log.info("corridor.turned", leads=leads, local_means=home or "not known yet")

    async def stop(self) -> None:
        """Stop in order, nothing lost: no new checks, those in flight end or are cancelled, results are stored,
        messages in flight are recorded (what is left is sent after the next start)."""
        self.stopped = True
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)
        steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("canary", self.canary.stop),
            ("alone", self.alone.end),
            ("delivery", self.delivery.hold),
            ("scheduler", self.scheduler.stop),
            ("runner", lambda: self.runner.stop(GRACE_S)),
            ("figures", self.figures.stop),
            ("host watch", self.host_watch.stop),
            ("lookout", self.lookout.stop),
            ("watchdog", self.watchdog.stop),
            ("housekeeping", self.housekeeping.stop),
            ("intake", self.intake.stop),
            ("delivery", self.delivery.stop),
            ("lag meter", self.lag.stop),
        )
        for part, step in steps:
            try:
                await step()
            except Exception:
                log.exception("corridor.stop_fault", part=part)
        self.live.close()

    async def changed(self, monitor_id: str, written: Monitor | None = None) -> Watched:
        """A monitor's configuration was written (as `written`, if that is known; else it is read again): reschedule it,
        check a new or resumed one at once.

        A paused one's open incident is closed with that reason."""
        before = self.watchlist.find(monitor_id)
        old, places = (None, ()) if before is None else (before.monitor, before.assigned)
        watched = await self.watchlist.refresh(monitor_id, written)
        monitor = watched.monitor
        anew = (
            old is None
            or (old.paused and not monitor.paused)
            or (old.type, old.target) != (monitor.type, monitor.target)
        )
        self.scheduler.schedule(watched, now=anew or set(watched.assigned) - set(places))
        if monitor.paused and (old is None or not old.paused):
            await self._close(watched, "the monitor was paused")
        elif old is not None and not monitor.paused and watched.states:
            await self.intake.apply(lambda draft, now: self.judgement.judge(draft, watched, now))
        self.watchdog.watch(watched)
        self.leaning.wake_below(watched)
        self.live.publish(monitor.workspace_id, event("monitor.changed", self.clock.now(), monitor.id))
        return watched

    async def adopt(self, monitor_ids: Iterable[str], workspace_ids: Iterable[str], *, judged: bool) -> None:
        """Whoever leads has written this: configuration of these monitors, what these workspaces wrote down of telling, and
        (`judged`) verdicts or incidents. (Of locations: `locations_changed`.)"""
        for id in monitor_ids:
            known = self.watchlist.find(id)
            try:
                watched = await self.watchlist.refresh(id)
            except NotFound:
                watched = self.watchlist.remove(id)
            if watched is not None:
                self.scheduler.schedule(watched, now=known is None)
                self.live.publish(watched.monitor.workspace_id, event("monitor.changed", self.clock.now(), id))
        for id in workspace_ids:
            await self.watchlist.load_telling(id)
        if judged:
            await self.intake.between_rounds(self.watchlist.reread_judged)

    async def removing(self, monitor_id: str) -> None:
        """A monitor is about to be deleted: close its incident with that reason, and tell who was told of it."""
        watched = self.watchlist.find(monitor_id)
        if watched is not None:
            await self._close(watched, "the monitor was deleted")

    async def removed(self, monitor_id: str) -> None:
        """A monitor was deleted: nothing more is run, judged or told."""
        await self.removing(monitor_id)
        watched = self.watchlist.remove(monitor_id)
        if watched is not None:
            self.leaning.wake_below(watched)
            self.scheduler.schedule(watched)
            gone = event("monitor.removed", self.clock.now(), monitor_id)
            self.live.publish(watched.monitor.workspace_id, gone)

    async def locations_changed(self, workspace_id: str) -> None:
        """A location of the workspace was written: what checks from there begins, ends, or goes on by its new way at once;
        who was assigned to one that is gone or switched off is judged without it."""
        changed, moved = await self.watchlist.load_probes(workspace_id)
        for watched in self.watchlist.of(workspace_id):
            if any(place in changed for place in watched.assigned) or any(w is watched for w, _ in moved):
                self.scheduler.schedule(watched, now=changed)
        some = [watched for watched, _ in moved]
        await self.intake.apply(lambda draft, now: self.judgement.judge_all(draft, some, now))
        for watched in some:
            self.watchdog.watch(watched)

    def turned(self, workspace_id: str, code: str) -> None:
        """A location was lost or is back: who is checked from there is checked at once, by it or by who stands in for it."""
        telemetry.probes_lost.set(sum(post.lost for post in self.watchlist.roster))
        for watched in self.watchlist.of(workspace_id):
            if code in watched.assigned:
                lost = self.watchlist.roster.lost(workspace_id, watched.assigned)
                self.scheduler.ask(watched, at={code, *lost})
        self.live.publish(workspace_id, event("location.changed", self.clock.now(), None, location=code))

    async def channels_changed(self, workspace_id: str) -> None:
        """A channel of the workspace was written."""
        await self.watchlist.load_telling(workspace_id)
        self.delivery.nudge()

    async def telling_changed(self, workspace_id: str) -> None:
        """A rule, window, policy or schedule of the workspace was written: what depends on it is judged anew, and
        incidents of rules that are gone are closed with that reason."""
        await self.watchlist.load_telling(workspace_id)
        await self.intake.apply(lambda draft, now: self.judgement.close_orphans(draft, workspace_id, now))
        watched = self.watchlist.of(workspace_id)
        for some in (watched[n : n + AT_ONCE] for n in range(0, len(watched), AT_ONCE)):
            await self.intake.apply(lambda draft, now, some=some: self.judgement.judge_all(draft, some, now))
            for one in some:
                self.watchdog.watch(one)

    async def findings(self, host: HostNow, incarnation: str, turns: Sequence[HostFinding]) -> None:
        """File what an agent found, and tell what it did not tell by itself; written down for good when this returns."""
        take, turns = self.host_watch.incidents.take_turns, await foreseen(self.store, host, turns, self.clock.now())
        await self.intake.apply(
            lambda draft, now: take(draft, host, incarnation, turns, now), by=f"agent {host.host.name}"
        )

    async def push_call(self, token: str, status: str = "up", **said: Any) -> CheckResult | None:
        """A call of a push monitor (see Watchdog.push_call). Raises NotFound for an unknown token."""
        return await self.watchdog.push_call(token, status, **said)

    async def backfill(self, monitor_id: str, results: Sequence[CheckResult], by: str) -> int:
        """Fill history with results of the past: how many were taken in. Opens no incident."""
        watched = self.watchlist.get(monitor_id)
        count = await backfill(self.store, watched, results, by, self.clock.now())
        await self.watchlist.recount(watched)
        return count

    def explain(self, watched: Watched) -> tuple[Verdict, Hush | None]:
        """The verdict judged now with the votes behind it, and what would hold an opening back."""
        return self.judgement.explain(watched, self.clock.now())

    def status(self) -> dict[str, Any]:
        """How the corridor is: plain JSON for /monitoring/status."""
        return condition.status(self)

    async def _close(self, watched: Watched, reason: str) -> None:
        """Close a monitor's open incidents for a reason that is no verdict. Without one nobody has to wait for the round
        that is under way, unless that may change it."""
        incidents = self.watchlist.incidents_of(watched)
        if not self.intake.at(watched.monitor.id) and not any(incident.open for incident in incidents):
            return

        def work(draft: Draft, now: datetime) -> None:
            for incident in self.watchlist.incidents_of(watched):
                if incident.open:
                    self.judgement.close(draft, incident, reason, now)

        await self.intake.apply(work)
