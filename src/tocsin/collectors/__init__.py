"""Collectors: the registry. A collector is one source of what an agent sees of its host, in one file.

Its module has `Options` (a dataclass, read by core/shape from the agent's file, without `type`, `enabled` and
`check_interval`), `Source` (see below), `RULES` (the limits that hold by themselves), and may have `TITLE`, `SAYS` and
`EVERY_S` (how often it looks when the file does not say).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from tocsin.clock import Clock
from tocsin.core.host_rule import HostRule
from tocsin.core.monitor import Assertion
from tocsin.core.result import Outcome
from tocsin.core.sample import Reading
from tocsin.errors import NotFound
from tocsin.net import Net

# One line a kind: its name and the module that is imported when it is first used.
REGISTRY: dict[str, str] = {
    "system": "tocsin.collectors.system",
    "systemd": "tocsin.collectors.systemd",
    "process": "tocsin.collectors.process",
    "custom": "tocsin.collectors.custom",
    "postgres": "tocsin.collectors.postgres",
    "docker": "tocsin.collectors.docker",
    "tailscale": "tocsin.collectors.tailscale",
    "minio": "tocsin.collectors.minio",
    "hikvision": "tocsin.collectors.hikvision",
    "http": "tocsin.collectors.http",
    "nagios": "tocsin.collectors.nagios",
}


Check = Callable[[], Awaitable[Outcome]]


class Checker(Protocol):
    """Makes a check of a type that is run from this host each time it is called. `folder`: where the plugins of nagios
    are. Raises Invalid for a target that is none of that type."""

    def __call__(
        self, type_: str, target: Mapping[str, Any], timeout_s: float, assertions: Sequence[Assertion],
        folder: Path | None = None,
    ) -> Check: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facility:
    """What a source works with: connections only by `net`, time only by `clock`. `wake` asks to look now, for a source that
    hears of changes by itself; it may be called from any place of the loop. `checker` makes checks, for those that run
    them (kinds of collectors know none of those of checks)."""

    net: Net
    clock: Clock
    wake: Callable[[], None] = lambda: None
    checker: Checker | None = None


class Source(Protocol):
    """One source, made as `Source(options, facility)`. It may keep what it needs from look to look (counters, a
    connection)."""

    async def collect(self) -> Reading:
        """Look once. Raises CheckFailed or OSError when the thing looked at does not answer; the loop holds the deadline."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Kind(Struct, frozen=True):
    """A collector: its Options, how to make its Source, the rules that hold by default, how often it looks."""

    name: str
    options: type[Any]
    source: Callable[[Any, Facility], Source]
    rules: tuple[HostRule, ...]
    every_s: float
    title: str
    says: str


def names() -> list[str]:
    """The names of all collectors."""
    return list(REGISTRY)


@functools.cache
def kind(name: str) -> Kind:
    """The collector of that name. Raises NotFound."""
    if name not in REGISTRY:
        raise NotFound(f"there is no collector {name!r}; there are {', '.join(REGISTRY)}")
    module = importlib.import_module(REGISTRY[name])
    title, says = getattr(module, "TITLE", name.capitalize()), getattr(module, "SAYS", "")
    every_s = float(getattr(module, "EVERY_S", 30))
    return Kind(name, module.Options, module.Source, tuple(getattr(module, "RULES", ())), every_s, title, says)
