"""Units of systemd, over D-Bus: asked at each look, and heard of by signals: a failure is known within a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from tocsin.collectors import Facility
from tocsin.collectors._rates import Rates
from tocsin.collectors._units import Restarts, Unit, full_name, seen, whole
from tocsin.core.host_rule import HostRule, OnService
from tocsin.core.sample import Reading, series
from tocsin.core.shape import Help, Length, Pattern
from tocsin.errors import CheckFailed
from tocsin.net.dbus import SYSTEM_BUS, Bus, NoAnswer

TITLE, SAYS = "systemd", "units of systemd: running, failed, restarted, what they use"
EVERY_S = 15
LOCAL_ONLY = ("bus",)
MOST_UNITS = 200
QUIET_S = 0.5
"""Looks for which signals ask are at least so far apart."""

_WHO, _AT = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_UNIT, _MANAGER = f"{_WHO}.Unit", f"{_WHO}.Manager"
_SIGNALS = (
    f"type='signal',sender='{_WHO}',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='{_UNIT}'",
    f"type='signal',sender='{_WHO}',interface='{_MANAGER}',member='JobRemoved'",
)
"""UnitNew and UnitRemoved are not asked for: looking at a unit that is not loaded makes both, so looks would never end."""
UnitName = Annotated[
    str,
    Pattern(r"[A-Za-z0-9:_.\\@*?\[\]!-]{1,200}", "the name of a unit, such as nginx, backup.timer or app-*.service"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which units are looked at."""

    services: Annotated[
        tuple[UnitName, ...],
        Length(0, 100),
        Help("Units, each by its name (without an ending: .service) or a pattern with *; none: every unit that fails"),
    ] = ()
    bus: Annotated[str, Length(1, 100), Pattern(r"/[^\x00\n]*", "an absolute path"), Help("Socket of the D-Bus")] = (
        SYSTEM_BUS
    )


RULES = (
    HostRule(
        id="builtin:systemd.unit", name="A unit is not as it should be", condition=OnService(kind="unit"),
        severity="critical", recovery_s=5,
    ),
)  # fmt: skip


class Source:
    """The systemd of this host. Keeps a connection to the bus, and what it knows of each unit."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._facility, self._clock = options, facility, facility.clock
        names = [full_name(text) for text in options.services]
        self._names = [n for n in names if not any(c in n for c in "*?[")]
        self._patterns = [n for n in names if n not in self._names]
        self._bus: Bus | None = None
        self._rates, self._restarts = Rates(), Restarts()
        self._failed: set[str] = set()
        self._paths: set[str] = set()
        self._woken: asyncio.TimerHandle | None = None
        self._looked_at = float("-inf")

    async def collect(self) -> Reading:
        """Ask systemd. Raises CheckFailed when there is none to ask."""
        self._quiet()
        try:
            bus = await self._connected()
            units = await self._units(bus)
            values = await self._counts(bus)
        except BaseException:  # cancelled in the middle of a question too: the next look begins with a fresh connection
            await self._drop()
            raise
        now = self._clock.now().timestamp()
        mono = self._clock.monotonic()
        self._restarts.keep({u.name for u in units})
        services = [seen(unit, self._restarts.lately(unit.name, unit.restarts, mono), now) for unit in units]
        return Reading(values=values | self._figures(units, mono), services=tuple(services))

    async def close(self) -> None:
        """Leave the bus."""
        self._quiet()
        await self._drop()

    async def _drop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            await bus.close()

    async def _connected(self) -> Bus:
        if self._bus is None or not self._bus.open:
            await self._drop()
            self._bus = bus = Bus(self._options.bus, self._heard, self._soon)
            await bus.connect()
            for rule in _SIGNALS:
                await bus.listen(rule)
            try:
                await bus.call(_WHO, _AT, f"{_MANAGER}.Subscribe")
            except NoAnswer as error:
                if error.name.endswith((".ServiceUnknown", ".NameHasNoOwner", ".Spawn.ServiceNotFound")):
                    raise CheckFailed("network", f"there is no systemd at {self._options.bus}") from None
                if not error.name.endswith(".AlreadySubscribed"):
                    raise
        return self._bus

    async def _units(self, bus: Bus) -> list[Unit]:
        rows: dict[str, tuple[Any, ...]] = {}
        if not self._options.services:
            (found,) = await bus.call(_WHO, _AT, f"{_MANAGER}.ListUnitsByPatterns", "asas", ["failed"], [])
            rows = {row[0]: row for row in found}
            before, self._failed = self._failed - set(rows), set(rows)
            rows |= await self._by_name(bus, sorted(before))  # those that failed and do no more are shown once more
        if self._patterns:
            (found,) = await bus.call(_WHO, _AT, f"{_MANAGER}.ListUnitsByPatterns", "asas", [], self._patterns)
            rows |= {row[0]: row for row in found if row[2] == "loaded"}
        rows |= await self._by_name(bus, self._names)
        chosen = list(rows.values())[:MOST_UNITS]
        self._paths = {row[6] for row in chosen}
        return list(await asyncio.gather(*(self._one(bus, row) for row in chosen)))

    async def _by_name(self, bus: Bus, names: list[str]) -> dict[str, tuple[Any, ...]]:
        if not names:
            return {}
        (found,) = await bus.call(_WHO, _AT, f"{_MANAGER}.ListUnitsByNames", "as", names)
        return {row[0]: row for row in found}

    async def _one(self, bus: Bus, row: tuple[Any, ...]) -> Unit:
        """A unit and what its kind has: properties that it has not are left out."""
        name, description, load, active, sub, _, path = row[:7]
        kind = f"{_WHO}.{name.rpartition('.')[2].capitalize()}"

        async def get(interface: str, wanted: str) -> Any:
            try:
                return (await bus.call(_WHO, path, "org.freedesktop.DBus.Properties.Get", "ss", interface, wanted))[0]
            except NoAnswer:  # there is no such property, or the unit went meanwhile
                return None

        unit = Unit(
            name=name, description=description, load=load, active=active, sub=sub, named=name not in self._matched(name)
        )
        if load == "not-found":
            return unit
        since, triggers, result = await asyncio.gather(
            get(_UNIT, "StateChangeTimestamp"), get(_UNIT, "TriggeredBy"), get(kind, "Result")
        )
        more = dict.fromkeys(("Type", "NRestarts", "ExecMainStatus", "MemoryCurrent", "CPUUsageNSec"))
        if kind.endswith(".Service"):
            more = dict(zip(more, await asyncio.gather(*(get(kind, wanted) for wanted in more)), strict=True))
        return Unit(
            name=name, description=description, load=load, active=active, sub=sub, named=unit.named,
            since=since / 1e6 if whole(since) else None, triggered=bool(triggers),
            result=result if isinstance(result, str) else "success",
            type=more["Type"] or "", status=more["ExecMainStatus"], restarts=more["NRestarts"],
            memory=whole(more["MemoryCurrent"]), cpu_ns=whole(more["CPUUsageNSec"]),
        )  # fmt: skip

    def _matched(self, name: str) -> set[str]:
        """The name, when the file does not ask for exactly this one."""
        return set() if name in self._names else {name}

    async def _counts(self, bus: Bus) -> dict[str, float]:
        wanted = ("org.freedesktop.DBus.Properties.Get", "ss", _MANAGER, "NFailedUnits")
        (failed,) = await bus.call(_WHO, _AT, *wanted)
        return {"systemd.failed_units": float(failed)}

    def _figures(self, units: list[Unit], mono: float) -> dict[str, float]:
        made: dict[str, float] = {}
        for unit in units:
            label = unit.name[:150]
            if unit.memory is not None and unit.active != "inactive":
                made[series("unit.memory_bytes", unit=label)] = unit.memory
            if unit.restarts is not None:
                made[series("unit.restarts", unit=label)] = float(unit.restarts)
        rates = self._rates.per_s({unit.name: unit.cpu_ns for unit in units if unit.cpu_ns is not None}, mono)
        for name, rate in rates.items():
            made[series("unit.cpu_percent", unit=name[:150])] = rate / 1e7
        return made

    def _heard(self, path: str, member: str, body: list[Any]) -> None:
        """Something changed: look soon, when it is about a unit that is looked at."""
        if member == "PropertiesChanged":
            changed: Any = body[1] if len(body) > 1 else {}
            state: object = changed.get("ActiveState")
            wanted = path in self._paths or (not self._options.services and state == "failed")
        else:
            wanted = len(body) > 3 and (body[2] in self._names or (not self._options.services and body[3] == "failed"))
        if wanted:
            self._soon()

    def _soon(self) -> None:
        """Ask for a look, at once or when the last one is half a second old."""
        if self._woken is None:
            loop = asyncio.get_running_loop()
            left = max(0.0, self._looked_at + QUIET_S - loop.time())
            self._woken = loop.call_later(left, self._wake)

    def _wake(self) -> None:
        self._quiet()  # what is heard from now on asks anew, whether the look comes or not
        self._facility.wake()

    def _quiet(self) -> None:
        if self._woken is not None:
            self._woken.cancel()
            self._woken = None
        self._looked_at = asyncio.get_running_loop().time()
