"""Watches hosts: whose agent is silent, and what of their incidents comes true by time alone."""

from __future__ import annotations

from collections.abc import Callable

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.pipeline.host_incidents import HostIncidents
from tocsin.pipeline.host_pings import HostPings
from tocsin.pipeline.hosts import Hosts
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.watchlist import Watchlist

log = telemetry.logger("tocsin.host_watch")

LOOK_S = 1.0
SILENT_S = 30.0
"""Longer than this no look may fail or take."""


class HostWatch:
    """Looks once a second, while this instance leads. `stood`: whether this process stood still for long since that was
    asked last; then every agent gets one whole timeout."""

    def __init__(self, hosts: Hosts, watchlist: Watchlist, judgement: Judgement, intake: Intake, clock: Clock) -> None:
        self.hosts, self.incidents = hosts, HostIncidents(watchlist, judgement, hosts)
        self.pings = HostPings(hosts, clock)
        self._intake, self._clock = intake, clock
        self.rounds = Rounds("host watch", "hosts have not been watched", SILENT_S, clock, self.look, LOOK_S)
        self.pulse = self.rounds.pulse
        self.stood: Callable[[], bool] = lambda: False

    def start(self) -> None:
        """Begin to look."""
        self.stood()
        self.rounds.start()

    async def stop(self) -> None:
        """End looking."""
        await self.rounds.stop()
        await self.pings.stop()

    async def look(self) -> None:
        """Take a step further what is due."""
        self.pings.look()
        if self.stood():
            self.hosts.since = self._clock.monotonic()
        now, tick = self._clock.now(), self._clock.monotonic()
        if due := self.incidents.due(tick, now):
            await self._intake.apply(lambda draft, at: self.incidents.take(draft, due, self._clock.monotonic(), at))
