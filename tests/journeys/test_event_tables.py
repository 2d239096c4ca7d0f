"""What is told, as tables: each line a location, each letter what it says in one slot of 60 s.

u up, s degraded, d down, . silent. `acts` is what people do at the start of a slot. `told` is what the channel hears, and
in which slot ("3 opened": the event incident.opened in slot 3). Thresholds are 1 where a table does not name another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builders import START, a_result, at, records
from tocsin.core.rule import OnFailures, OnVerdict
from tocsin.core.scope import Scope
from tocsin.pipeline.watchlist import Watched
from world import Web, World, a_world, webs

SLOT = 60
SAYS = {"u": "up", "s": "degraded", "d": "down"}
ALL = Scope(everything=True)
UNTIL_UNSTABLE = "1 opened, 2 resolved, 3 reopened, 4 resolved, 5 reopened, 6 resolved, 7 reopened, 8 resolved"
ALL_OF_THEM = {"quorum": "all"}


@dataclass(frozen=True)
class Table:
    """One story."""

    name: str
    places: Mapping[str, str]
    told: str
    monitor: Mapping[str, Any] = field(default_factory=dict[str, Any])
    acts: Mapping[int, str] = field(default_factory=dict[int, str])


def one(letters: str) -> dict[str, str]:
    return {"a": letters}


TABLES = [
    # Thresholds and recovery
    Table("down opens, up resolves", one("uuddduu"), "2 opened, 5 resolved"),
    Table("one failure of two asked for is not an outage", one("uuduudu"), "", {"failure_threshold": 2}),
    Table("two in a row are", one("uudduu"), "3 opened, 4 resolved", {"failure_threshold": 2}),
    Table("two ups are asked for", one("uddududuu"), "1 opened, 8 resolved", {"recovery_threshold": 2}),
    Table("up must last", one("uddduduuuu"), "1 opened, 9 resolved", {"recovery_s": 180}),
    Table("degraded is told to nobody by itself", one("uussssuu"), ""),
    Table("from degraded to down and back", one("usddssuu"), "2 opened, 4 resolved", {"degraded_threshold": 1}),
    Table(
        "trouble within reopen_s is the same incident", one("uuddudduu"), "2 opened, 4 resolved, 5 reopened, 7 resolved"
    ),
    Table("later it is a new one", one("uudduuuuuuuudduu"), "2 opened, 4 resolved, 12 opened, 14 resolved"),
    Table(
        "reminders where asked for",
        one("udddddduu"),
        "1 opened, 3 reminder, 5 reminder, 7 resolved",
        {"reminder_s": 120},
    ),
    Table("an end is not told where nobody asked", one("udddu"), "1 opened", {"notify_on_resolve": False}),
    # Several locations
    Table("one of three is nobody's outage", {"a": "uudddduu", "b": "u" * 8, "c": "u" * 8}, ""),
    Table("two of three are", {"a": "uudddduu", "b": "uuudduuu", "c": "u" * 8}, "3 opened, 5 resolved"),
    Table("an even split does not flip", {"a": "uuddddd", "b": "uuuuuuu"}, ""),
    Table("any asks for one", {"a": "uuddu", "b": "uuuuu", "c": "uuuuu"}, "2 opened, 4 resolved", {"quorum": "any"}),
    Table(
        "all asks for all",
        {"a": "uudddduu", "b": "uudddduu", "c": "uuuudduu"},
        "4 opened, 6 resolved",
        {"quorum": "all"},
    ),
    Table(
        "one survivor decides nothing", {"a": "uudddddddd", "b": "uu........", "c": "uu........"}, "5 coverage opened"
    ),
    Table(
        "a location that is lost leaves the outage to the others",
        {"a": "uudddddduu", "b": "uudddddduu", "c": "uudd......"},
        "2 opened, 8 resolved",
    ),
    Table("every location silent: told once, as that", {"a": "uu........", "b": "uu........"}, "5 coverage opened"),
    Table(
        "silence in between neither ends nor begins one",
        one("uudd......dduu"),
        "2 opened, 7 coverage opened, 10 coverage resolved, 12 resolved",
    ),
    Table(
        "a location taken away while it says down",
        {"a": "uudddddd", "b": "uudddddd", "c": "uuuuuuuu"},
        "2 opened, 5 resolved",
        acts={5: "without a,b"},
    ),
    # Flapping
    Table(
        "a flap is told as unstable once, and where it stands when it is calm",
        one("u" + "du" * 6 + "u" * 20),  # slot 9: it is unstable; 27: calm, and up
        f"{UNTIL_UNSTABLE}, 9 reopened, 27 resolved",
        {"flap_detection": True},
    ),
    Table(
        "it calms while down",
        one("u" + "du" * 6 + "d" * 20 + "uu"),  # slot 9: it is unstable; 28: calm, and down
        f"{UNTIL_UNSTABLE}, 9 reopened, 28 reopened, 33 resolved",
        {"flap_detection": True},
    ),
    # People
    Table(
        "acknowledged: no more reminders",
        one("udddddddu"),
        "1 opened, 8 resolved",
        {"reminder_s": 120},
        {2: "acknowledge"},
    ),
    Table(
        "resolved by hand while down: silent until it has been up",
        one("uudddddduuddu"),
        "2 opened, 4 resolved, 10 opened, 12 resolved",
        {"reopen_s": 0},
        {4: "resolve"},
    ),
    Table("paused with an incident open", one("uuddd...."), "2 opened, 5 resolved", acts={5: "pause"}),
    Table("deleted with an incident open", one("uuddd...."), "2 opened, 5 resolved", acts={5: "delete"}),
    # Held back
    Table("what comes and goes in maintenance", one("uudddduuu"), "", acts={1: "maintenance 6"}),
    Table(
        "what outlasts it is told when it ends", one("uudddddddduu"), "5 opened, 10 resolved", acts={1: "maintenance 4"}
    ),
    Table("an end within a silence is told", one("uudddduuu"), "2 opened, 6 resolved", acts={3: "silence 5"}),
    Table(
        "a reminder is held back in a silence",
        one("udddddddddu"),
        "1 opened, 8 reminder, 10 resolved",
        {"reminder_s": 120},
        {2: "silence 6"},
    ),
    # Rules beside the verdict
    Table(
        "partial, where a rule asks for it",
        {"a": "uudddduu", "b": "u" * 8, "c": "u" * 8},
        "2 opened, 6 resolved",
        acts={1: "rule partial"},
    ),
    Table(
        "a rule beside the verdict has its own incident",
        one("uudddddduu"),
        "2 opened, 5 opened, 8 resolved, 8 resolved",
        acts={1: "rule failures 4"},
    ),
    # Restarts
    Table("a restart with an outage open", one("uudddddduu"), "2 opened, 8 resolved", acts={5: "restart"}),
    Table("a crash with an outage open", one("uudddddduu"), "2 opened, 8 resolved", acts={5: "crash"}),
    Table("a long stop over an outage's end", one("uudd......uuu"), "2 opened, 10 resolved", acts={4: "away 6"}),
    Table("a long stop over nothing", one("uuu......uuu"), "", acts={3: "away 6"}),
    Table("a stop over an outage's begin", one("uuu......ddduu"), "9 opened, 12 resolved", acts={3: "away 6"}),
]


class Told:
    """A table as it is played."""

    def __init__(self, world: World, table: Table, watched: Watched) -> None:
        self.world, self.table, self.watched = world, table, watched
        self.places = set(table.places)

    async def play(self, sink: Web) -> str:
        """All of it; what was told, by slot."""
        heard: list[str] = []
        slots, away = max(map(len, self.table.places.values())), 0
        for slot in range(slots):
            before = len(sink.events)
            if slot in self.table.acts:
                away = await self.act(slot, *self.table.acts[slot].split())
            if away:
                await self.world.clock.advance(SLOT, step=SLOT)
                away -= 1
                if not away:
                    await self.start()
            else:
                await self.feed(slot)
                await self.world.go(SLOT, step=SLOT / 6)
            heard += [f"{slot} {_said(post)}" for post in sink.posts[before:]]
        return ", ".join(heard)

    async def feed(self, slot: int) -> None:
        if self.watched.gone or self.watched.monitor.paused:
            return
        results = [
            a_result(SAYS[letters[slot]], monitor=self.watched.monitor, at=at(SLOT * slot), location=place)  # pyright: ignore[reportArgumentType]
            for place, letters in self.table.places.items()
            if place in self.places and letters[slot] != "."
        ]
        await self.world.corridor.intake.take_in(results)
        await self.world.quiet()

    async def act(self, slot: int, what: str, *more: str) -> int:
        """Do it; how many slots the server is away."""
        corridor, monitor, now = self.world.corridor, self.watched.monitor, self.world.clock.now()
        incident = self.watched.incident
        match what:
            case "acknowledge" | "resolve":
                assert incident is not None
                await getattr(corridor.response, what)("ws", incident.id, "alice@example.org")
            case "pause":
                await self.world.rewrite(replace(monitor, paused=True))
            case "delete":
                await corridor.removing(monitor.id)
                await self.world.store.of("ws").write(lambda s: s.monitors.delete(monitor.id))
                await corridor.removed(monitor.id)
            case "without":
                self.places -= set(more[0].split(","))
                await self.world.rewrite(replace(monitor, locations=tuple(sorted(self.places))))
            case "maintenance" | "silence":
                window = replace(
                    records()["maintenance_windows"], scope=ALL, starts_at=now, duration_s=int(more[0]) * SLOT,
                    silence=what == "silence",
                )  # fmt: skip
                await self.write_down("maintenance_windows", window)
            case "rule":
                condition = OnVerdict(values=("partial",)) if more[0] == "partial" else OnFailures(count=int(more[1]))
                await self.write_down("alert_rules", replace(records()["alert_rules"], scope=ALL, condition=condition))
            case "restart" | "crash":
                await (self.world.stop() if what == "restart" else self.world.crash())
                await self.start()
            case "away":
                await self.world.stop()
                return int(more[0])
        return 0

    async def write_down(self, noun: str, thing: Any) -> None:
        await self.world.store.of("ws").write(lambda s: getattr(s, noun).add(thing))
        await self.world.corridor.telling_changed("ws")

    async def start(self) -> None:
        await self.world.start()
        self.world.corridor.runner.locations.clear()
        self.watched = self.world.corridor.watchlist.get(self.watched.monitor.id)


def _said(post: dict[str, Any]) -> str:
    """The event, and "coverage" before it when it is about no monitor but about what is not seen any more."""
    return ("" if post["monitor"] else "coverage ") + post["event"].removeprefix("incident.")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_what_happens_is_told_as_the_table_says(table: Table, tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        world.corridor.runner.locations.clear()
        await world.tell(sink)
        config: dict[str, Any] = {
            "failure_threshold": 1, "interval_s": SLOT, "timeout_s": 10, "flap_detection": False,
            "monitoring_type": "global", "locations": tuple(table.places),
        }  # fmt: skip
        watched = await world.watch(**(config | dict(table.monitor)))
        story = Told(world, table, watched)
        assert await story.play(sink) == table.told
        assert world.clock.now() - START >= timedelta(seconds=SLOT * max(map(len, table.places.values())))
