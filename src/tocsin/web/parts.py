"""What the HTTP edge works with: the running parts, put together by app/server.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tocsin.agent.api import Door
from tocsin.agent.installer import Installer
from tocsin.web.memory import Memory

if TYPE_CHECKING:
    from tocsin.clock import Clock
    from tocsin.cluster.instance import Cluster
    from tocsin.net import Net
    from tocsin.pipeline.corridor import Corridor
    from tocsin.probe.link import Links
    from tocsin.settings import Settings
    from tocsin.store import Store


@dataclass(slots=True, kw_only=True)
class Parts:
    """The running parts of one server. `cluster` is None while it stands alone. `setup_token` is None when setup
    needs none (listening on loopback only);
    `is_set_up`: it had its first account when it started. `memory` is what the edge itself remembers between calls (limits,
    tickets, sign-ins). `links`: the probes that have called us."""

    settings: Settings
    clock: Clock
    store: Store
    net: Net
    corridor: Corridor
    cluster: Cluster | None = None
    signing_key: bytes = field(repr=False)
    setup_token: str | None = field(repr=False)
    is_set_up: bool = False
    links: Links | None = None
    memory: Memory = field(init=False)
    agents: Door = field(init=False)
    installer: Installer = field(init=False)

    def __post_init__(self) -> None:
        self.installer = Installer(self.settings.data_dir / "agent-install")
        self.agents = Door(self.store, self.corridor.hosts, self.corridor.findings, self.clock, lambda: self.urls)
        self.agents.telling, self.agents.epoch = self.corridor.watchlist.telling, lambda: self.epoch
        self.agents.unended = self.corridor.host_watch.incidents.unended
        self.memory = Memory(
            requests_per_minute=self.settings["REQUESTS_PER_MINUTE"],
            logins_per_minute=self.settings["LOGIN_ATTEMPTS_PER_MINUTE"],
        )
        if self.cluster is not None:
            self.cluster.forget, self.cluster.followed = self.memory.forget, self._followed

    @property
    def urls(self) -> tuple[str, ...]:
        """Where people and probes reach this server and, if there are several, the others: the primary first."""
        return (self.cluster.web_urls if self.cluster is not None else ()) or (self.settings.base_url,)

    @property
    def epoch(self) -> int:
        """The epoch of who leads, as far as this server knows; 0 where it stands alone."""
        return 0 if self.cluster is None else self.cluster.carrier.standing.epoch

    async def _followed(self, primary: str) -> None:
        """Another instance leads: probes that have called here go there."""
        if self.links is not None:
            await self.links.moved(primary, self.urls)
