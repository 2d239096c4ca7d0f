"""What is looked at now, by the agent's file and by the server: looks are started and stopped as that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tocsin import collectors, telemetry
from tocsin.agent.config import AgentConfig
from tocsin.agent.loop import Look, Took
from tocsin.agent.monitors import Monitor, default_monitors
from tocsin.agent.signed import ServerConfig
from tocsin.clock import Clock
from tocsin.core.host_rule import HostRule
from tocsin.core.sample import Reading
from tocsin.net import Net

log = telemetry.logger("tocsin.agent.watch")

MOST_SERIES_NAMED = 5


class Watch:
    """The looks that run. `took` is given each reading."""

    def __init__(self, net: Net, clock: Clock, host: str, took: Took) -> None:
        self._net, self._clock, self._host, self._took = net, clock, host, took
        self._looks: dict[str, Look] = {}
        self._latest: dict[str, Reading] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def apply(self, monitors: Iterable[Monitor]) -> None:
        """Look at these from now on; those that did not change go on undisturbed."""
        wanted = {monitor.id: monitor for monitor in monitors}
        for id, look in list(self._looks.items()):
            if wanted.get(id) != look.monitor:
                del self._looks[id]
                self._latest.pop(id, None)
                task = asyncio.create_task(look.stop())
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
        for id, monitor in wanted.items():
            if id not in self._looks:
                look = self._looks[id] = Look(monitor, self._net, self._clock, self._host, self._taken)
                look.start()

    async def _taken(self, monitor: Monitor, reading: Reading) -> float:
        self._latest[monitor.id] = reading
        return await self._took(monitor, reading)

    @property
    def monitors(self) -> list[Monitor]:
        """What is looked at."""
        return [look.monitor for look in self._looks.values()]

    @property
    def latest(self) -> dict[str, Reading]:
        """The latest reading of each."""
        return self._latest

    def troubles(self) -> dict[str, str]:
        """What cannot be seen now, by source."""
        return {id: look.trouble for id, look in self._looks.items() if look.trouble}

    def rules(self) -> list[HostRule]:
        """The limits that the collectors bring along."""
        kinds = dict.fromkeys(look.monitor.type for look in self._looks.values())
        return [rule for kind in kinds for rule in collectors.kind(kind).rules]

    async def stop(self) -> None:
        """End all looks."""
        looks, self._looks = list(self._looks.values()), {}
        await asyncio.gather(*(look.stop() for look in looks), *self._stopping, return_exceptions=True)


def monitors_of(config: AgentConfig, server: ServerConfig | None) -> list[Monitor]:
    """What is looked at: the file has the last word on what it names; where nobody names anything, the host itself."""
    made = {monitor.id: monitor for monitor in (*(server.monitors if server else ()), *config.monitors)}
    if not made:
        made = {monitor.id: monitor for monitor in default_monitors()}
    return list(made.values())
