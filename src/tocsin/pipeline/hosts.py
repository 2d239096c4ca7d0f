"""Every host in memory: what was heard of its agent, and what it saw last. Loaded at the start, kept in step by its door."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tocsin.clock import Clock
from tocsin.core.buckets import Buckets
from tocsin.core.host import Host, Lives, Speaker
from tocsin.errors import NotFound
from tocsin.pipeline.live import Live, event
from tocsin.store import Session, Store
from tocsin.store.heartbeats import Said

_AT_ONCE = 100


@dataclass(slots=True, eq=False)
class HostNow:
    """A host as it is now. `heard`: when its last heartbeat came, by the clock that never jumps; None when it came before
    this start (or to another instance). `lives`: the runs of its agent, `speakers` whoever said to
    be it, by (incarnation, life). `latest`: the newest (second, value) of each series.
    `looked`: when each of its collectors looked last, of what was taken in since this start. `outside`: whether it answers
    from outside, and how that was seen. `awaited`: since when its agent is waited for, where that began after this start
    (it was switched on), `awaited_at` the same by the clock on the wall."""

    host: Host
    heard: float | None = None
    heard_at: datetime | None = None
    said: Said = field(default_factory=Said)
    latest: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    looked: dict[str, datetime] = field(default_factory=dict[str, datetime])
    outside: bool | None = None
    outside_at: datetime | None = None
    outside_words: str = ""
    recalled: bool = False
    lives: Lives = field(default_factory=Lives)
    speakers: dict[tuple[str, str], Speaker] = field(default_factory=dict[tuple[str, str], Speaker])
    awaited: float = -math.inf
    awaited_at: datetime | None = None

    def heard_since(self, since: float) -> bool:
        """Whether its agent was heard since this instance watches (`since`), and since it is waited for."""
        return self.heard is not None and self.heard >= max(since, self.awaited)

    def silent_s(self, since: float, tick: float) -> float:
        """For how long its agent has said nothing; whoever is waited for anew has one whole timeout."""
        return tick - max(since, self.awaited, since if self.heard is None else self.heard)


class Hosts:
    """The hosts of all workspaces. `since`: from when on this instance has watched them."""

    def __init__(self, store: Store, live: Live, clock: Clock) -> None:
        self._store, self._live, self._clock = store, live, clock
        self._hosts: dict[str, HostNow] = {}
        self._changes = 0
        self.since = clock.monotonic()

    def __iter__(self) -> Iterator[HostNow]:
        return iter(tuple(self._hosts.values()))

    def __len__(self) -> int:
        return len(self._hosts)

    def find(self, host_id: str | None) -> HostNow | None:
        """That host, or None."""
        return None if host_id is None else self._hosts.get(host_id)

    def get(self, workspace_id: str, host_id: str) -> HostNow:
        """A host of a workspace; raises NotFound."""
        found = self._hosts.get(host_id)
        if found is None or found.host.workspace_id != workspace_id:
            raise NotFound(f"there is no host {host_id[:64]}")
        return found

    def of(self, workspace_id: str) -> list[HostNow]:
        """The hosts of a workspace, by name."""
        found = [now for now in self._hosts.values() if now.host.workspace_id == workspace_id]
        return sorted(found, key=lambda now: (now.host.name.lower(), now.host.id))

    async def load(self) -> None:
        """Read everything from the store; every agent gets one whole timeout to be heard."""
        while True:
            changes = self._changes
            hosts, stretches = await self._store.everything().read(lambda s: (s.hosts.list(), s.heartbeats.newest()))
            if changes == self._changes:  # else what was written meanwhile may be missing in it
                break
        before, self._hosts = self._hosts, {host.id: HostNow(host) for host in hosts}
        for one in stretches:
            if (now := self._hosts.get(one.host_id)) is not None:
                now.heard_at, now.said = one.last_at, one.said
                now.lives = Lives(incarnation=one.said.incarnation, life=one.said.life, since=self._clock.monotonic())
        for id, now in self._hosts.items():
            if id in before:
                was = before[id]
                now.latest, now.looked, now.lives, now.speakers = was.latest, was.looked, was.lives, was.speakers
        self.since = self._clock.monotonic()

    async def recall(self, hosts: Iterable[HostNow]) -> None:
        """Know the figures of hosts that have said nothing since this start as they were when they were heard last: once,
        and of some at a time."""
        unknown = [now for now in hosts if not now.latest and not now.recalled and now.heard_at is not None][:_AT_ONCE]

        def work(s: Session) -> list[dict[str, Buckets]]:
            found: list[dict[str, Buckets]] = []
            for now in unknown:
                end = int(now.heard_at.timestamp()) if now.heard_at is not None else 0
                names = [metric.name for metric in s.samples.metrics(now.host.id)]
                found.append(s.samples.read(now.host.id, names, end - 300, end + 60, 60) if names else {})
            return found

        if not unknown:
            return
        for now, series in zip(unknown, await self._store.everything().read(work), strict=True):
            now.recalled = True
            for name, some in series.items():
                if some:
                    at = max(some)
                    now.latest.setdefault(name, (at, some[at].last))

    async def changed(self, workspace_id: str) -> None:
        """Hosts of a workspace were written: know them as they are kept, tell open pages."""
        hosts = await self._store.of(workspace_id).read(lambda s: s.hosts.list())
        ids = {host.id for host in hosts}
        self._changes += 1
        for id in [id for id, now in self._hosts.items() if now.host.workspace_id == workspace_id and id not in ids]:
            del self._hosts[id]
        for host in hosts:
            self.put(host)

    def put(self, host: Host) -> HostNow:
        """Know a host as it was written."""
        known = self._hosts.get(host.id)
        self._changes += 1
        if known is None:
            known = self._hosts[host.id] = HostNow(host)
        elif known.host.version >= host.version:
            return known
        if host.enabled and not known.host.enabled:
            self.await_(known)
        known.host = host
        self.tell("host.changed", host)
        return known

    def await_(self, now: HostNow) -> None:
        """From now on its agent is waited for: until now it was refused, so its silence said nothing."""
        now.awaited, now.awaited_at = self._clock.monotonic(), self._clock.now()

    def heard(self, now: HostNow, said: Said) -> None:
        """A heartbeat of its agent was taken in."""
        now.heard, now.heard_at, now.said = self._clock.monotonic(), self._clock.now(), said
        self.tell("host.changed", now.host)

    def looked(self, now: HostNow, looks: Iterable[tuple[str, datetime]]) -> None:
        """Its agent's collectors looked then, whether anything was another than before or not."""
        for collector, at in looks:
            now.looked[collector] = max(at, now.looked.get(collector, at))

    def saw(self, now: HostNow, looks: Sequence[tuple[int, Sequence[str], Sequence[float]]]) -> None:
        """Its agent's looks (second, series, values) were taken in."""
        for at, names, values in looks:
            for name, value in zip(names, values, strict=True):
                if (known := now.latest.get(name)) is None or known[0] <= at:
                    now.latest[name] = (at, value)
        self.tell("host.sample", now.host)

    def tell(self, what: str, host: Host) -> None:
        """Tell open pages."""
        if self._live.wanted(host.workspace_id):
            self._live.publish(host.workspace_id, event(what, self._clock.now(), None, host_id=host.id))
