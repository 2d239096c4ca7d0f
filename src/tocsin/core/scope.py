"""Which monitors something is about: named ones, those with a tag, or all of a workspace."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from tocsin.core.marks import Help, Length
from tocsin.core.monitor import Monitor
from tocsin.errors import Invalid, Problem


class Scope(Struct, frozen=True, kw_only=True):
    """Monitors by id, by tag, or (`everything`) all of the workspace. A monitor is in it when any of these says so."""

    monitors: Annotated[tuple[str, ...], Length(0, 1000), Help("ids of monitors")] = ()
    tags: Annotated[tuple[str, ...], Length(0, 100), Help("every monitor with one of these tags")] = ()
    everything: Annotated[bool, Help("every monitor of the workspace")] = False

    def covers(self, monitor: Monitor) -> bool:
        """Whether the monitor (of the same workspace) is in it."""
        return self.everything or monitor.id in self.monitors or any(tag in self.tags for tag in monitor.tags)

    def must_name_something(self, where: str = "scope") -> None:
        """Raise Invalid when nothing could ever be in it."""
        if not (self.everything or self.monitors or self.tags):
            raise Invalid(Problem(where, "monitors, tags, or everything: true", "none of them"))
