"""Which monitors and hosts something is about: named ones, those with a tag, or all of a workspace."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from tocsin.core.host import Host
from tocsin.core.marks import Help, Length
from tocsin.core.monitor import Monitor
from tocsin.errors import Invalid, Problem


class Scope(Struct, frozen=True, kw_only=True):
    """Monitors and hosts by id, by tag, or (`everything`) all of the workspace. One is in it when any of these says so."""

    monitors: Annotated[tuple[str, ...], Length(0, 1000), Help("ids of monitors")] = ()
    hosts: Annotated[tuple[str, ...], Length(0, 1000), Help("ids of hosts")] = ()
    tags: Annotated[tuple[str, ...], Length(0, 100), Help("every monitor and host with one of these tags")] = ()
    everything: Annotated[bool, Help("every monitor and host of the workspace")] = False

    def covers(self, thing: Monitor | Host) -> bool:
        """Whether the monitor or host (of the same workspace) is in it."""
        named = self.hosts if isinstance(thing, Host) else self.monitors
        return self.everything or thing.id in named or any(tag in self.tags for tag in thing.tags)

    def must_name_something(self, where: str = "scope") -> None:
        """Raise Invalid when nothing could ever be in it."""
        if not (self.everything or self.monitors or self.hosts or self.tags):
            raise Invalid(Problem(where, "monitors, hosts, tags, or everything: true", "none of them"))
