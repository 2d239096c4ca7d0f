"""Watches hosts: whose agent is silent, and what of their incidents comes true by time alone."""

from __future__ import annotations

import asyncio

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.pipeline.host_incidents import HostIncidents
from tocsin.pipeline.host_pings import HostPings
from tocsin.pipeline.hosts import Hosts
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.pulse import Pulse
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
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse("host watch", "hosts have not been watched", SILENT_S, clock.monotonic)

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look_on(), name="host watch")
        self.pulse.begin(self._task)

    async def stop(self) -> None:
        """End looking."""
        self.pulse.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.pings.stop()

    async def look(self) -> None:
        """Take a step further what is due."""
        self.pings.look()
        now, tick = self._clock.now(), self._clock.monotonic()
        if due := self.incidents.due(tick, now):
            await self._intake.apply(lambda draft, at: self.incidents.take(draft, due, self._clock.monotonic(), at))

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 (what is due stays due, and is looked at again)
                self.pulse.fault("host_watch.fault")
            else:
                self.pulse.beat()
            await self._clock.sleep(LOOK_S)
