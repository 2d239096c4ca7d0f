"""Containers of a Docker Engine (or Podman) on this host, asked over its socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from tocsin.collectors import Facility, _containers
from tocsin.collectors._answer import Door, asked, find_socket, labelled, read_json, word
from tocsin.collectors._rates import Rates
from tocsin.collectors._units import Restarts
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import as_list, as_map, clip
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Length, Pattern, Range
from tocsin.errors import CheckFailed

TITLE, SAYS = "Docker", "containers: state, health, restarts, processor, memory, network; images and volumes"
EVERY_S = 15
LOCAL_ONLY = ("socket",)
MOST_CONTAINERS = 100
AT_ONCE = 4
"""So many questions are open at one engine at a time."""
ROOM_EVERY_S = 600.0
"""The engine adds up the room of all images and volumes for an answer, so it is not asked each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which containers are looked at."""

    containers: Annotated[
        tuple[Annotated[str, Pattern(r"[A-Za-z0-9_.*?\[\]!-]{1,128}", "a container's name, or a pattern with *")], ...],
        Length(0, 100),
        Help("Containers by name, or patterns with *; none: all. One that is named without * should run"),
    ] = ()
    socket: Annotated[
        str, Length(1, 100), Pattern(r"/[^\x00\n]*", "an absolute path"), Help("Socket of the engine")
    ] = "/var/run/docker.sock"
    disk: Annotated[bool, Help("Whether the room of images and volumes is asked for, every ten minutes")] = True
    timeout: Annotated[float, Range(0.5, 25), Help("An engine that takes longer does not answer")] = 10


RULES = (
    HostRule(
        id="builtin:docker.engine", name="The container engine does not answer", condition=OnService(kind="engine"),
        severity="critical", for_s=30,
    ),
    HostRule(
        id="builtin:docker.container", name="A container is not as it should be", condition=OnService(kind="container"),
        severity="critical", for_s=15,
    ),
    HostRule(
        id="builtin:docker.memory", name="A container's memory runs out",
        condition=OnSample(metric="container.memory_percent", above=95, clear=90), for_s=120, recovery_s=60,
    ),
)  # fmt: skip


class Source:
    """One engine. Keeps the counters of the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        self._door = Door(base="http://docker", socket=options.socket, timeout_s=options.timeout)
        self._named = [name for name in options.containers if not any(c in name for c in "*?[")]
        self._rates, self._restarts = Rates(), Restarts()
        self._room: dict[str, float] = {}
        self._room_at = float("-inf")

    async def collect(self) -> Reading:
        """Ask once. An engine that does not answer is a service that is not well."""
        return await asked("engine", "docker", self._options.timeout, self._look)

    async def close(self) -> None:
        """Nothing is held but numbers."""

    async def _ask(self, path: str, what: str) -> Any:
        return read_json(await self._door.body(self._net, path, max_body=16 << 20), what)

    async def _look(self) -> Reading:
        find_socket(self._options.socket)
        rows = as_list(await self._ask("/containers/json?all=1", "the list of containers"))
        if rows is None:
            raise CheckFailed("protocol", "expected the list of containers, found another value")
        found = {_containers.name_of(entries): entries for row in rows if (entries := as_map(row)) is not None}
        values: dict[str, float] = {}
        running = [row for row in found.values() if row.get("State") == "running"]
        labelled(values, "docker.containers", float(len(found)))
        labelled(values, "docker.containers_running", float(len(running)))
        chosen = [name for name in found if name and self._wanted(name)]
        chosen.sort(key=lambda name: (name not in self._named, found[name].get("State") != "running"))
        turn = asyncio.Semaphore(AT_ONCE)
        whole = await asyncio.gather(*(self._one(turn, name, found[name]) for name in chosen[:MOST_CONTAINERS]))
        services = self._judged([one for one in whole if one is not None], values)
        troubles = [f"{len(chosen) - MOST_CONTAINERS} containers more than {MOST_CONTAINERS}"] * (
            len(chosen) > MOST_CONTAINERS
        )
        if self._options.disk:
            values |= await self._disk(troubles)
        engine = Service(kind="engine", name="docker", state="answers", ok=True)
        return Reading(values=values, services=(engine, *services), trouble="; ".join(troubles))

    def _wanted(self, name: str) -> bool:
        patterns = self._options.containers
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    async def _one(
        self, turn: asyncio.Semaphore, name: str, row: dict[Any, Any]
    ) -> tuple[str, dict[Any, Any], dict[Any, Any]] | None:
        """The container, and what it uses while it runs; None when it went meanwhile."""
        id_ = row.get("Id")
        if not isinstance(id_, str) or not id_.isalnum() or len(id_) > 64:
            return None
        async with turn:
            try:
                told = as_map(await self._ask(f"/containers/{id_}/json", "a container")) or {}
                stats: dict[Any, Any] = {}
                if _containers.part(told, "State").get("Status") == "running":
                    stats = as_map(await self._ask(f"/containers/{id_}/stats?stream=false&one-shot=true", "use")) or {}
            except CheckFailed as error:
                if error.message.endswith("status 404") or error.message.endswith("status 409"):
                    return None
                raise
        return name, told, stats

    def _judged(
        self, whole: list[tuple[str, dict[Any, Any], dict[Any, Any]]], values: dict[str, float]
    ) -> list[Service]:
        mono = self._clock.monotonic()
        counted: dict[str, float] = {}
        services: list[Service] = []
        self._restarts.keep({name for name, _, _ in whole})
        for name, told, stats in whole:
            count: object = told.get("RestartCount")
            lately = self._restarts.lately(name, count if isinstance(count, int) else None, mono)
            services.append(_containers.seen(name, told, named=name in self._named, lately=lately))
            values |= _containers.memory(name, told, stats)
            counted |= _containers.counters(name, stats)
        values |= _containers.rates(self._rates.per_s(counted, mono))
        for name in self._named:
            if name not in {s.name for s in services}:
                detail = "there is no container of that name"
                services.append(Service(kind="container", name=name, state="not there", ok=False, detail=detail))
        return services

    async def _disk(self, troubles: list[str]) -> dict[str, float]:
        """The room that images and volumes take, now and then."""
        now = self._clock.monotonic()
        if now - self._room_at >= ROOM_EVERY_S:
            self._room_at = now
            try:
                async with asyncio.timeout(self._options.timeout / 2):
                    self._room = _containers.room(as_map(await self._ask("/system/df", "the use of disk")) or {})
            except TimeoutError:
                self._room = {}
                troubles.append("the engine takes long to add up its use of disk")
            except CheckFailed as error:
                self._room = {}
                troubles.append(clip(word(error.message, 200), 200))
        return self._room
