"""Rules beside the verdict, silences that hold openings back, steps that go on until somebody answers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import records, until
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.rule import AlertRule, OnFailures
from tocsin.core.scope import Scope
from world import Place, World, a_world, webs

ALL = Scope(everything=True)


async def write_down(world: World, noun: str, thing: Any) -> None:
    await world.store.of("ws").write(lambda s: getattr(s, noun).add(thing))
    await world.corridor.telling_changed("ws")


def a_rule(**more: Any) -> AlertRule:
    return replace(records()["alert_rules"], scope=ALL, **more)


async def test_a_silence_holds_an_opening_back_until_it_ends(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://sick/"}, interval_s=10, timeout_s=5)
        await world.go(2)
        silence = replace(
            records()["maintenance_windows"], scope=ALL, starts_at=world.clock.now(), duration_s=200, silence=True
        )
        await write_down(world, "maintenance_windows", silence)
        place.status = "down"
        await world.go(120, step=5)
        assert watched.incident is not None
        assert (watched.incident.open, watched.incident.suppressed) == (True, "silence “First”")
        assert sink.events == []
        await until(lambda: sink.events == ["incident.opened"], clock=world.clock)
        assert world.clock.now() - silence.starts_at >= timedelta(seconds=200)
        place.status = "up"
        await until(lambda: sink.events == ["incident.opened", "incident.resolved"], clock=world.clock)


async def test_a_rule_has_an_incident_of_its_own_beside_the_verdicts(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        channel = await world.tell(sink)
        watched = await world.watch(
            target={"url": "http://sick/"}, interval_s=10, timeout_s=5, channels=(), flap_detection=False
        )
        rule = a_rule(condition=OnFailures(count=5), severity="critical", channels=(channel.id,))
        await write_down(world, "alert_rules", rule)
        await world.go(2)
        place.status = "down"
        await until(lambda: watched.incident is not None and watched.incident.open, clock=world.clock)
        assert sink.events == []
        await until(lambda: sink.events == ["incident.opened"], clock=world.clock)
        (post,) = sink.posts
        assert post["severity"] == "critical"
        assert "By the alert rule “First”." in post["text"]
        (incident,) = world.corridor.watchlist.incidents.values()
        assert (incident.rule_id, incident.monitor_id, incident.words) == (rule.id, watched.monitor.id, "failing")
        place.status = "up"
        await until(lambda: sink.events == ["incident.opened", "incident.resolved"], clock=world.clock)
        await world.quiet()


async def test_the_incident_of_a_rule_survives_a_restart_and_ends_with_its_rule(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        await world.watch(target={"url": "http://sick/"}, interval_s=10, timeout_s=5)
        await write_down(world, "alert_rules", a_rule(condition=OnFailures(count=3)))
        await world.go(2)
        place.status = "down"
        await until(lambda: sink.events == ["incident.opened", "incident.opened"], clock=world.clock)
        await world.quiet()
        await world.stop()
        await world.start()
        place = Place(world)
        place.status = "down"
        await world.go(60, step=5)
        assert sink.events == ["incident.opened", "incident.opened"]
        await world.store.of("ws").write(lambda s: s.alert_rules.delete("r"))
        await world.corridor.telling_changed("ws")
        await until(lambda: len(sink.events) == 3, clock=world.clock)
        assert sink.posts[2]["reason"] == "its rule was changed or deleted"
        assert [i.open for i in world.corridor.watchlist.incidents.values()] == [False]


async def test_steps_of_a_policy_reach_others_until_somebody_acknowledges(tmp_path: Path) -> None:
    async with webs(2) as (first, second), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(first)
        boss = await world.tell(second, default=False)
        step = EscalationStep(delay_s=60, channels=(boss.id,))
        policy: EscalationPolicy = replace(records()["escalation_policies"], steps=(step,), repeat=5)
        await write_down(world, "escalation_policies", policy)
        watched = await world.watch(
            target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy=policy.id
        )
        await world.go(2)
        place.status = "down"
        await until(lambda: second.events == ["incident.escalated"], clock=world.clock)
        assert first.events == ["incident.opened"]
        await until(lambda: second.events == ["incident.escalated"] * 2, clock=world.clock)
        assert watched.incident is not None
        await world.corridor.response.acknowledge("ws", watched.incident.id, "alice@example.org")
        await world.go(200, step=10)
        assert second.events == ["incident.escalated"] * 2
        place.status = "up"
        await until(lambda: first.events[-1] == second.events[-1] == "incident.resolved", clock=world.clock)
