"""Nagios plugins, run on the host: their verdict as a service, their performance data as series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tocsin.collectors import Facility
from tocsin.collectors._answer import labelled, word
from tocsin.collectors._checks import Checks, Entry, must_differ, not_here
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import as_list, as_map
from tocsin.core.sample import Reading
from tocsin.core.shape import Help, Hidden, Length, Pattern, Range

TITLE, SAYS = "Nagios plugins", "programs by the rules of Nagios: exit code and performance data"
EVERY_S = 30
LOCAL_ONLY = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin that should exit with OK."""

    plugin: Annotated[
        str, Pattern(r"[^\s/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}", "the name of a file, without a slash"),
        Help("Its file in the folder"),
    ]  # fmt: skip
    arguments: Annotated[
        tuple[Annotated[str, Length(0, 4096)], ...],
        Hidden,
        Length(0, 100),
        Help("Its arguments, one each (no shell)"),
    ] = ()
    name: Annotated[str | None, Length(1, 60), Help("What it is called here; else by its file")] = None
    check_interval: Annotated[float, Range(1, 86_400), Help("How often it is run")] = 60
    timeout: Annotated[float, Range(0.1, 300), Help("It is ended after so long")] = 10
    retries: Annotated[int, Range(0, 5), Help("So often a failure is tried again before it counts")] = 0

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.plugin[:60]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which plugins are run."""

    plugins: Annotated[tuple[Plugin, ...], Length(1, 100), Help("Plugins, each with the name of its file")]
    folder: Annotated[
        str, Length(1, 1000), Pattern(r"/[^\x00\n]*", "an absolute path"), Help("Where they are; nothing else is run")
    ] = "/usr/lib/nagios/plugins"

    def __post_init__(self) -> None:
        must_differ("plugins", [plugin.called for plugin in self.plugins])


RULES = (
    HostRule(
        id="builtin:nagios.plugin", name="A plugin says CRITICAL", condition=OnService(kind="plugin"), severity="critical",
    ),
    HostRule(
        id="builtin:nagios.warning", name="A plugin says WARNING",
        condition=OnSample(metric="check.degraded", labels={"type": "nagios"}, above=0),
    ),
)  # fmt: skip


class Source:
    """The plugins, run from its first look on."""

    def __init__(self, options: Options, facility: Facility) -> None:
        if facility.checker is None:
            raise not_here()
        made: list[Entry] = []
        for one in options.plugins:
            target = {"plugin": one.plugin, "arguments": list(one.arguments)}
            check = facility.checker("nagios", target, one.timeout, (), Path(options.folder))
            made.append(Entry(name=one.called, check=check, every_s=one.check_interval, retries=one.retries))
        self._checks = Checks(made, facility, "plugin", "nagios")

    async def collect(self) -> Reading:
        """The latest result of each, with what it measured."""
        reading = await self._checks.collect()
        values = dict(reading.values)
        for name, outcome in self._checks.latest.items():
            for figure in as_list(outcome.seen.facts.get("perfdata")) or ():
                said: dict[Any, Any] = as_map(figure) or {}
                labels = {"name": name, "label": word(said.get("label"), 60)}
                if unit := word(said.get("unit"), 20):
                    labels["unit"] = unit
                labelled(values, "plugin.value", said.get("value"), **labels)
        return Reading(values=values, services=reading.services)

    async def close(self) -> None:
        """End what runs."""
        await self._checks.close()
