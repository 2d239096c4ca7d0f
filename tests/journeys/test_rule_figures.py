"""Rules on windows, certificates and the usual, through the running corridor; and monitors that nobody sees."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builders import a_result, a_verdict, an_outcome, records, until
from tocsin.checks import Order
from tocsin.core.condition import OnAnomaly, OnCertificate, OnResponseTime, OnUptime, OnVerdict
from tocsin.core.figures import Share
from tocsin.core.result import Outcome, Timing, TlsFacts
from tocsin.core.scope import Scope
from tocsin.store.batch import Batch, VerdictChange
from world import Web, World, a_world, webs


class Slow:
    """A location whose answers take as long, and show such a certificate, as told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.status: Any = "up"
        self.ms = 20.0
        self.ends: datetime | None = None
        self.fingerprint = "f1"
        world.places["local"] = world.corridor.runner.locations["local"] = self.look

    async def look(self, order: Order) -> Outcome:
        tls = TlsFacts(not_after=self.ends, fingerprint_sha256=self.fingerprint) if self.ends else None
        now, timing = self._world.clock.now(), Timing(total=self.ms)
        return an_outcome(self.status, at=now, location=order.location, timing=timing, tls=tls)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[World, Web, Slow]]:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Slow(world)
        await world.tell(sink)
        yield world, sink, place


async def rule(world: World, condition: Any, **more: Any) -> None:
    made = replace(records()["alert_rules"], condition=condition, scope=Scope(everything=True), **more)
    await world.store.of("ws").write(lambda s: s.alert_rules.add(made))
    await world.corridor.telling_changed("ws")


async def watch(world: World, **more: Any) -> Any:
    return await world.watch(**({"target": {"url": "http://shop/"}, "interval_s": 10, "timeout_s": 5} | more))


async def test_a_slow_response_time_is_told_once_and_when_it_is_over(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    await watch(world)
    await rule(world, OnResponseTime(over_ms=500, window_s=60, percentile=50), severity="info")
    await world.go(60, step=5)
    assert sink.events == []
    place.ms = 900
    await world.go(120, step=5)
    assert sink.events == ["incident.opened"]
    (post,) = sink.posts
    assert post["severity"] == "info"
    assert post["reason"].startswith("p50 over 1 min is 8")
    await world.store.move_tail()
    await world.go(60, step=5)
    assert sink.events == ["incident.opened"]
    place.ms = 20
    await world.go(120, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_rule_on_a_window_goes_on_after_a_restart(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    await watch(world)
    await rule(world, OnResponseTime(over_ms=500, window_s=300))
    place.ms = 900
    await world.go(60, step=5)
    assert sink.events == ["incident.opened"]
    await world.stop()
    await world.start()
    await world.go(60, step=5)
    assert sink.events == ["incident.opened"]
    (incident,) = world.corridor.watchlist.incidents.values()
    kinds = [e.kind for e in await world.store.of("ws").read(lambda s: s.incidents.timeline(incident.id))]
    assert kinds == ["opened"]
    place.ms = 20
    await world.go(400, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_low_uptime_is_told_and_over_when_it_is_back(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    await watch(world, channels=())
    channel = (await world.store.of("ws").read(lambda s: s.channels.list()))[0]
    await rule(world, OnUptime(under=0.9, window_s=300), channels=(channel.id,))
    await world.go(30, step=5)
    place.status = "down"
    await world.go(30, step=5)
    assert sink.events == []
    await world.go(60, step=5)
    assert sink.events == ["incident.opened"]
    assert sink.posts[0]["reason"].startswith("uptime over 5 min is ")
    place.status = "up"
    await world.go(400, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_certificate_is_told_at_each_threshold_and_when_it_is_renewed(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    watched = await watch(world, name="Shop")
    await rule(world, OnCertificate(days=(2, 1)))
    place.ends = world.clock.now() + timedelta(days=2, seconds=100)
    await world.go(60, step=5)
    assert sink.events == []
    await world.go(90, step=5)
    assert sink.events == ["incident.opened"]
    assert sink.posts[0]["reason"].startswith("its certificate ends in 2 days, on 2026-03-")
    rows, _ = await world.store.of("ws").read(lambda s: s.outbox.list())
    assert rows[0].row.message.title.startswith("Shop: its certificate ends in 2 days")
    (incident,) = world.corridor.watchlist.incidents.values()
    await world.corridor.response.resolve("ws", incident.id, "alice@example.org")
    await world.go(60, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]
    place.ends = world.clock.now() + timedelta(days=1, seconds=100)
    await world.go(60, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]
    await world.go(90, step=5)
    assert sink.events == ["incident.opened", "incident.resolved", "incident.opened"]
    place.fingerprint, place.ends = "f2", world.clock.now() + timedelta(hours=3)
    await world.go(60, step=5)
    assert sink.events[3:] == ["incident.resolved", "incident.opened"]
    place.fingerprint, place.ends = "f3", world.clock.now() + timedelta(days=90)
    await world.go(60, step=5)
    assert sink.events[5:] == ["incident.resolved"]
    assert watched.incident is None


async def test_a_certificate_that_is_no_longer_asked_for_is_over(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    watched = await watch(world)
    await rule(world, OnCertificate())
    place.ends = world.clock.now() + timedelta(days=5)
    await world.go(60, step=5)
    place.status = "down"
    await world.go(60, step=5)
    assert sink.events == ["incident.opened", "incident.opened"]
    place.status, place.ends = "up", None
    await world.rewrite(replace(watched.monitor, target={"url": "http://plain/"}))
    await world.go(60, step=5)
    assert sink.events[2:] == ["incident.resolved", "incident.resolved"]


async def test_a_restart_tells_nothing_of_a_certificate_again(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    await watch(world)
    await rule(world, OnCertificate())
    place.ends = world.clock.now() + timedelta(days=5)
    await world.go(60, step=5)
    (incident,) = world.corridor.watchlist.incidents.values()
    await world.corridor.response.resolve("ws", incident.id, "alice@example.org")
    await world.go(10, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]
    await world.stop()
    await world.start()
    await world.go(90, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]


async def test_an_unusual_slowness_is_told_by_what_this_hour_was_before(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    watched = await watch(world)
    now = world.clock.now()
    past = [
        a_result(
            monitor=watched.monitor, at=now - timedelta(weeks=w) + timedelta(minutes=n), timing=Timing(total=100.0)
        )
        for w in (3, 2, 1)
        for n in range(10)
    ]
    await world.store.of("ws").write(lambda s: s.results.add(past))
    await rule(world, OnAnomaly(window_s=300, weeks=3))
    place.ms = 110
    await world.go(120, step=5)
    assert sink.events == []
    await world.store.move_tail()
    place.ms = 900
    await world.go(120, step=5)
    assert sink.events == ["incident.opened"]
    assert "at this hour of the week it is usually 98.7 ms ± 9.87 ms" in sink.posts[0]["reason"]


async def test_for_how_long_a_verdict_has_held_survives_a_restart(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    watched = await watch(world, degraded_threshold=1)
    await rule(world, OnVerdict(values=("degraded",)), for_s=300)
    await world.go(10, step=5)
    place.status = "degraded"
    await until(lambda: watched.verdict and watched.verdict.value == "degraded", clock=world.clock)
    began = world.clock.now()
    await world.go(150, step=5)
    await world.stop()
    await world.start()
    await world.go((began - world.clock.now()).total_seconds() + 290, step=5)
    assert sink.events == []
    await world.go(30, step=5)
    assert sink.events == ["incident.opened"]


async def test_monitors_that_nobody_sees_are_told_once_all_together(stage: tuple[World, Web, Slow]) -> None:
    world, sink, place = stage
    for name in ("Api", "Blog", "Shop"):
        await watch(world, name=name, target={"url": f"http://{name}/"})
    await world.go(30, step=5)
    place.status = "invalid"
    await world.go(30, step=5)
    assert sink.events == []
    await world.go(120, step=5)
    assert sink.events == ["incident.opened"]
    (post,) = sink.posts
    assert post["reason"] == "3 monitors are not seen by enough locations: Api, Blog and Shop"
    assert (post["monitor"], post["severity"]) == (None, "warning")
    await world.stop()
    await world.start()
    await world.go(120, step=5)
    assert sink.events == ["incident.opened"]
    place.status = "up"
    await world.go(60, step=5)
    assert sink.events == ["incident.opened", "incident.resolved"]
    rows, _ = await world.store.of("ws").read(lambda s: s.outbox.list())
    assert any(r.row.message.title.startswith("Monitoring: every monitor is seen again, after") for r in rows)


async def test_partial_counts_as_down_where_the_workspace_wants_it(stage: tuple[World, Web, Slow]) -> None:
    world, sink, _ = stage
    watched = await watch(world, paused=True)
    now = world.clock.now()
    partly = a_verdict("partial", at=now - timedelta(seconds=200), fresh_s=1000.0)
    change = VerdictChange(workspace_id="ws", monitor_id=watched.monitor.id, verdict=partly)
    await world.store.commit(Batch(id="past", verdicts=(change,)))
    await rule(world, OnUptime(under=0.9, window_s=300))
    figures_ = world.corridor.figures
    read = figures_._read(OnUptime(under=0.9, window_s=300), [watched.monitor.id], now)
    assert (await read)[watched.monitor.id] == Share(uptime=1.0, coverage=0.667, worst=0.6666667, best=1.0)
    telling = world.corridor.watchlist._telling
    wanted = dataclasses.replace(telling["ws"], preferences=replace(telling["ws"].preferences, partial_is_down=True))
    telling["ws"] = wanted
    read = figures_._read(OnUptime(under=0.9, window_s=300), [watched.monitor.id], now)
    assert (await read)[watched.monitor.id] == Share(uptime=0.0, coverage=0.667, worst=0.0, best=0.3333333)
    assert sink.events == []
