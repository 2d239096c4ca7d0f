"""A world in which nothing changes is told nothing, however often the server starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from builders import records, until
from tocsin.core.rule import OnFailures
from tocsin.core.scope import Scope
from world import Place, World, a_world, webs


@pytest.mark.parametrize(
    "restarts", [pytest.param(4, id="4 restarts"), pytest.param(100, id="100 restarts", marks=pytest.mark.soak)]
)
async def test_restarts_of_an_unchanged_world_tell_nothing(tmp_path: Path, restarts: int) -> None:
    """One is well, one is down and was told, one is down in a silence, one is slow under a rule of its own."""
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        rule = replace(records()["alert_rules"], scope=Scope(everything=True), condition=OnFailures(count=3))
        await write_down(world, "alert_rules", rule)
        fast = {"interval_s": 10, "timeout_s": 5}
        for name in ("well", "down"):
            await world.watch(target={"url": f"http://{name}/"}, **fast)
        hushed = await world.watch(target={"url": "http://hushed/"}, **fast)
        silence = replace(
            records()["maintenance_windows"], scope=Scope(monitors=(hushed.monitor.id,)), duration_s=10**7, silence=True
        )  # fmt: skip
        await write_down(world, "maintenance_windows", silence)
        place.by_url = {"http://down/": "down", "http://hushed/": "down"}
        await until(lambda: sink.events == ["incident.opened"] * 2, clock=world.clock)
        await world.quiet()
        for restart in range(restarts):
            await (world.crash() if restart % 2 else world.stop())
            await world.start()
            again = Place(world)
            again.by_url = place.by_url
            await world.go(25, step=5)
        assert sink.events == ["incident.opened"] * 2
        stored, _ = await world.store.of("ws").read(lambda s: s.incidents.list(open=True))
        assert len(stored) == 4  # of both that are down: the verdict's and the rule's


async def write_down(world: World, noun: str, thing: object) -> None:
    await world.store.of("ws").write(lambda s: getattr(s, noun).add(thing))
    await world.corridor.telling_changed("ws")
