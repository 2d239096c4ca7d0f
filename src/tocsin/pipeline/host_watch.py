"""Watches hosts: whose agent is silent, and what of their incidents comes true by time alone."""

from __future__ import annotations

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
    """Looks once a second, while this instance leads."""

    def __init__(self, hosts: Hosts, watchlist: Watchlist, judgement: Judgement, intake: Intake, clock: Clock) -> None:
        self.hosts, self.incidents = hosts, HostIncidents(watchlist, judgement, hosts)
        self.pings = HostPings(hosts, clock)
        self._intake, self._clock = intake, clock
        self._rounds = Rounds("host watch", "hosts have not been watched", SILENT_S, clock, self.look, LOOK_S)
        self.pulse = self._rounds.pulse

    def start(self) -> None:
        """Begin to look."""
        self._rounds.start()

    async def stop(self) -> None:
        """End looking."""
        await self._rounds.stop()
        await self.pings.stop()

    async def look(self) -> None:
        """Take a step further what is due."""
        self.pings.look()
        now, tick = self._clock.now(), self._clock.monotonic()
        if due := self.incidents.due(tick, now):
            await self._intake.apply(lambda draft, at: self.incidents.take(draft, due, self._clock.monotonic(), at))
