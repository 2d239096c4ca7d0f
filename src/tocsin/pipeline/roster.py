"""The workspaces' own locations: each with its probe, how it is reached, and how it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tocsin import telemetry
from tocsin.checks import Order
from tocsin.core.monitor import Monitor
from tocsin.core.probe import LOCAL, Health, Probe, Sign
from tocsin.core.result import Outcome
from tocsin.errors import NotFound, PeerLost
from tocsin.location import Location

log = telemetry.logger("tocsin.roster")


class Reach(Protocol):
    """How probes are reached. `location` gives what runs a probe's checks (one that keeps connections), `look` what it says
    of itself now, PeerLost when it cannot be asked; `forget` ends what was kept for it. `prove` returns when one that is not
    known yet may be reached so (`ask`: and answers), else raises Invalid or PeerLost."""

    def location(self, probe: Probe) -> Location: ...

    async def look(self, probe: Probe) -> Sign: ...

    def forget(self, probe: Probe) -> None: ...

    async def prove(self, probe: Probe, *, ask: bool) -> None: ...


class Nowhere:
    """No probe can be reached."""

    def location(self, probe: Probe) -> Location:
        """One that cannot be asked."""

        async def nobody(order: Order) -> Outcome:
            raise PeerLost(f"there is no way to {probe.code} from here")

        return nobody

    async def look(self, probe: Probe) -> Sign:
        """Never an answer."""
        raise PeerLost(f"there is no way to {probe.code} from here")

    def forget(self, probe: Probe) -> None:
        """Nothing was kept."""

    async def prove(self, probe: Probe, *, ask: bool) -> None:
        """Nothing speaks against it."""


@dataclass(slots=True, eq=False)
class Post:
    """One location: its probe, what runs its checks, and how it is. `hurry`: look at it as soon as can be."""

    probe: Probe
    run: Location
    health: Health = field(default_factory=Health)
    hurry: bool = True

    @property
    def lost(self) -> bool:
        return self.health.state == "lost"


class Roster:
    """Every location of every workspace but this instance's own, `home`."""

    def __init__(self, home: str, reach: Reach) -> None:
        self.home, self.reach = home, reach
        self.others: dict[str, Health] = {}
        """How the other instances are, by their locations: those belong to no workspace."""
        self.keeper = ""
        """The workspace that is told when one of them is lost, whatever is checked from there: the first."""
        self._posts: dict[tuple[str, str], Post] = {}

    def __iter__(self) -> Iterator[Post]:
        return iter(tuple(self._posts.values()))

    def find(self, workspace_id: str, code: str) -> Post | None:
        """A workspace's location, or None."""
        return self._posts.get((workspace_id, code))

    def get(self, workspace_id: str, code: str) -> Post:
        """A workspace's location; raises NotFound."""
        post = self.find(workspace_id, code)
        if post is None:
            raise NotFound(f"there is no location {code[:64]}")
        return post

    def by_id(self, workspace_id: str, id: str) -> Post:
        """The location with this probe; raises NotFound."""
        post = next((post for post in self.of(workspace_id) if post.probe.id == id), None)
        if post is None:
            raise NotFound(f"there is no probe {id[:64]}")
        return post

    def of(self, workspace_id: str) -> list[Post]:
        """A workspace's locations, by code."""
        found = [post for (workspace, _), post in self._posts.items() if workspace == workspace_id]
        return sorted(found, key=lambda post: post.probe.code)

    def on(self, workspace_id: str) -> list[str]:
        """The codes of those that are switched on."""
        return [post.probe.code for post in self.of(workspace_id) if post.probe.enabled]

    def run(self, workspace_id: str, code: str) -> Location | None:
        """What runs the checks of a location that is switched on, or None."""
        post = self.find(workspace_id, code)
        return post.run if post is not None and post.probe.enabled else None

    def lost(self, workspace_id: str, places: Iterable[str]) -> list[str]:
        """Which of these are lost now."""
        return [place for place in places if self.is_lost(workspace_id, place)]

    def is_lost(self, workspace_id: str, place: str) -> bool:
        """Whether that location is lost now: a probe's, or another instance's."""
        if (post := self.find(workspace_id, place)) is not None:
            return post.lost
        return (health := self.others.get(place)) is not None and health.state == "lost"

    def assigned(self, monitor: Monitor) -> tuple[str, ...]:
        """The locations that check a monitor now: those that are switched off are not among them."""
        named = monitor.assigned(self.home)
        if not self._posts or named == (self.home,):
            return named
        return tuple(place for place in named if self._counts(monitor.workspace_id, place))

    def put(self, probes: Sequence[Probe], workspace_id: str | None = None) -> list[str]:
        """Take in a workspace's locations as they are kept (None: everybody's). Gives the codes of those that came, went, or
        are reached another way than before; how the others are stays known."""
        wanted = {(p.workspace_id, p.code): p for p in probes if not self._ours(p)}
        before = {key: post for key, post in self._posts.items() if workspace_id in (None, key[0])}
        changed: list[str] = []
        for key, post in before.items():
            if key not in wanted or _way(wanted[key]) != _way(post.probe):
                self.reach.forget(post.probe)
                del self._posts[key]
                changed.append(key[1])
        for key, probe in wanted.items():
            known = self._posts.get(key)
            if known is not None:
                known.probe = probe
                continue
            self._posts[key] = Post(probe, self.reach.location(probe))
            if key not in before:
                changed.append(key[1])
        return changed

    def _counts(self, workspace_id: str, place: str) -> bool:
        post = self.find(workspace_id, place)
        return post is None or post.probe.enabled

    def _ours(self, probe: Probe) -> bool:
        """Whether its code is what this instance is called itself (it was renamed since): then it is never asked."""
        if probe.code not in (self.home, LOCAL):
            return False
        log.error("roster.code_is_ours", location=probe.code, workspace=probe.workspace_id)
        return True


def _way(probe: Probe) -> tuple[object, ...]:
    """What makes it another way to it when it changes."""
    return probe.id, probe.mode, probe.endpoint_url, probe.keys[:1], probe.pin, probe.enabled
