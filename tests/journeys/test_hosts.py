"""Hosts with a clock that the test moves: silence, what agents find, and who tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from builders import START, until
from tocsin.agent import wire
from tocsin.agent.api import Door
from tocsin.core.condition import OnHeartbeat
from tocsin.core.host import Host
from tocsin.core.host_rule import HostFinding, OnSample, finding_key, subject_of
from tocsin.core.host_silence import subject_of_silence
from tocsin.core.maintenance import Window
from tocsin.core.rule import AlertRule
from tocsin.core.scope import Scope
from tocsin.core.wording import moment
from world import Web, World


@dataclass(slots=True)
class Scene:
    """A corridor, a channel that hears everything, and the door for agents."""

    world: World
    inbox: Web
    channel: str
    host: Host

    @property
    def door(self) -> Door:
        corridor = self.world.corridor
        made = Door(self.world.store, corridor.hosts, corridor.findings, self.world.clock, lambda: ["http://a"])
        made.telling = corridor.watchlist.telling
        return made

    async def beat(self, **more: Any) -> wire.Beat:
        said = wire.Heartbeat(
            server_uuid=self.host.id, timestamp=self.world.clock.now(), agent_version="1", incarnation="one", **more
        )
        return await self.door.heartbeat(self.host.id, msgspec.json.encode(said))

    async def find(self, *turns: HostFinding, incarnation: str = "one") -> int:
        found = wire.Findings(incarnation=incarnation, findings=list(turns))
        return (await self.door.findings(self.host.id, msgspec.json.encode(found))).taken

    def turn(self, number: int, **more: Any) -> HostFinding:
        known: dict[str, Any] = {
            "rule": "builtin:system.disk", "rule_name": "Disk is nearly full", "what": "disk.used_percent{mount=/}",
            "number": number, "turn": "opened" if number % 2 else "resolved", "severity": "critical",
            "words": "disk / is 95 % full (limit 90 %)", "value": 95.0, "at": self.world.clock.now(),
        }  # fmt: skip
        return HostFinding(**(known | more))

    async def pass_(self, seconds: float) -> None:
        await self.world.go(seconds)

    async def settle(self) -> list[tuple[str, str]]:
        """What the channel heard until now: (event, title)."""
        await self.pass_(5)
        return [(post["event"], post["title"]) for post in self.inbox.posts]

    async def change(self, **fields: Any) -> None:
        def work(s: Any) -> Host:
            return s.hosts.replace(replace(s.hosts.get(self.host.id), **fields))

        self.world.corridor.hosts.put(await self.world.store.of("ws").write(work))

    def incident(self, subject: str) -> Any:
        return self.world.corridor.watchlist.incidents.get(("ws", subject))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    world = World(tmp_path)
    await world.start()
    async with Web() as inbox:
        channel = await world.tell(inbox)
        host = Host(id="h", workspace_id="ws", name="web-1", enrolled_at=START, created_at=START, updated_at=START)
        await world.store.of("ws").write(lambda s: s.hosts.add(host))
        world.corridor.hosts.put(host)
        yield Scene(world, inbox, channel.id, host)
        await world.stop()


SILENT = subject_of_silence("h")


async def test_a_silent_host_is_told_twice_in_one_incident_and_its_return_once(scene: Scene) -> None:
    """It began with what was heard last, and its words stay true however long it lasts."""
    await scene.beat()
    at = scene.world.clock.now()
    await scene.pass_(74)
    assert scene.incident(SILENT) is None
    await scene.pass_(3)
    incident = scene.incident(SILENT)
    assert (incident.severity, incident.host_id, incident.open) == ("warning", "h", True)
    await scene.pass_(45)
    assert scene.incident(SILENT).severity == "down"
    await scene.beat()
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened", "incident.escalated", "incident.resolved"]
    assert heard[0][1] == f"web-1 is silent: no heartbeat since {at:%H:%M:%S} UTC"
    assert f"Since {moment(at)}." in scene.inbox.posts[0]["text"]
    assert heard[2][1].startswith("web-1 is no longer silent after 2 min ")


async def test_an_agent_whose_key_was_revoked_is_refused_rather_than_silent(scene: Scene) -> None:
    await scene.beat()
    at = scene.world.clock.now()
    await scene.change(revoked_at=at)
    await scene.pass_(80)
    heard = await scene.settle()
    assert heard[0][1] == (
        f"web-1 is refused: its agent's key was revoked at {at:%H:%M:%S} UTC, so it has to enrol anew"
    )


async def test_after_a_restart_every_agent_has_one_whole_timeout(scene: Scene) -> None:
    await scene.beat()
    await scene.pass_(60)
    await scene.world.stop()
    await scene.world.clock.advance(600)
    await scene.world.start()
    await scene.pass_(70)
    assert scene.incident(SILENT) is None
    await scene.pass_(10)
    assert scene.incident(SILENT).open


async def test_a_silence_that_was_told_is_not_over_because_we_restarted(scene: Scene) -> None:
    await scene.beat()
    await scene.pass_(80)
    await scene.settle()
    await scene.world.stop()
    await scene.world.start()
    await scene.pass_(60)
    assert scene.incident(SILENT).open
    await scene.beat()
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened", "incident.resolved"]


@pytest.mark.parametrize("field", ["maintenance", "enabled"])
async def test_nobody_is_told_of_a_host_in_maintenance_or_switched_off(scene: Scene, field: str) -> None:
    await scene.beat()
    await scene.change(**{field: field == "maintenance"})
    await scene.pass_(150)
    assert await scene.settle() == []
    if field == "maintenance":
        await scene.change(maintenance=False)
        assert [event for event, _ in await scene.settle()] == ["incident.opened"]


async def test_a_host_that_is_switched_on_again_has_one_whole_timeout(scene: Scene) -> None:
    await scene.beat()
    await scene.change(enabled=False)
    await scene.pass_(300)
    await scene.change(enabled=True)
    on = scene.world.clock.now()
    await scene.pass_(70)
    assert scene.incident(SILENT) is None
    await scene.pass_(10)
    assert scene.incident(SILENT).open
    heard = await scene.settle()
    assert heard == [("incident.opened", f"web-1 is silent: no heartbeat since {on:%H:%M:%S} UTC")]


async def test_what_an_agent_finds_is_told_with_the_key_that_it_knows(scene: Scene) -> None:
    await scene.beat()
    assert await scene.find(scene.turn(1)) == 1
    assert await scene.find(scene.turn(1)) == 1
    await scene.settle()
    await scene.beat()
    await scene.find(scene.turn(1), scene.turn(2, words="disk / is 80 % full again (limit 90 %)"))
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened", "incident.resolved"]
    assert heard[0][1] == "web-1: disk / is 95 % full (limit 90 %)"
    assert heard[1][1].startswith("web-1: disk / is 80 % full again (limit 90 %), after ")
    subject = subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}")
    keys = [finding_key("ws", scene.channel, subject, "one", n, t) for n, t in ((1, "opened"), (2, "resolved"))]  # type: ignore[arg-type]
    assert [post["key"] for post in scene.inbox.posts] == keys
    await scene.find(scene.turn(1), incarnation="two")
    assert (await scene.settle())[2][0] == "incident.reopened"


async def test_trouble_is_from_when_it_began_to_hold_rather_than_from_when_that_was_long_enough(scene: Scene) -> None:
    now = scene.world.clock.now
    began = now() - timedelta(seconds=30)
    await scene.find(scene.turn(1, since=began))
    await scene.pass_(60)
    over = now() - timedelta(seconds=20)
    await scene.find(scene.turn(2, since=over))
    assert len(await scene.settle()) == 2
    incident = scene.incident(subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}"))
    assert (incident.trouble_from(), incident.trouble_to()) == (began, over)
    assert f"Since {moment(began)}." in scene.inbox.posts[0]["text"]
    assert scene.inbox.posts[1]["incident"]["duration_s"] == (over - began).total_seconds()
    odd = scene.turn(3, since=now() - timedelta(days=30))
    await scene.find(odd)
    assert scene.incident(incident.subject).trouble_from() > over


async def test_what_the_agent_told_is_filed_silently_with_the_end_that_it_told(scene: Scene) -> None:
    now = scene.world.clock.now()
    await scene.find(scene.turn(1, at=now - timedelta(seconds=300), told_at=now - timedelta(seconds=280), told=("c",)))
    subject = subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}")
    incident = scene.incident(subject)
    assert incident.opened_at == now - timedelta(seconds=300)
    assert (incident.told, incident.told_by, incident.open) == (True, "agent", True)
    timeline = await scene.world.store.of("ws").read(lambda s: s.incidents.timeline(incident.id))
    assert "Told by the agent itself" in timeline[-1].text
    await scene.beat()
    await scene.find(scene.turn(2, told_at=now, told=("c",)))
    assert not scene.incident(subject).open
    assert await scene.settle() == []


@pytest.mark.parametrize("to", ["the channel", "one that only the agent knows"])
async def test_an_end_that_the_agent_could_not_tell_is_told_here(scene: Scene, to: str) -> None:
    channel = scene.channel if to == "the channel" else "local:mail"
    await scene.find(scene.turn(1, told_at=scene.world.clock.now(), told=(channel,)))
    assert await scene.settle() == []
    await scene.beat()
    await scene.find(scene.turn(2))
    assert [event for event, _ in await scene.settle()] == ["incident.resolved"]


async def test_an_end_that_the_agent_told_while_we_were_away_is_not_told_again(scene: Scene) -> None:
    await scene.find(scene.turn(1))
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]
    await scene.find(scene.turn(2, told_at=scene.world.clock.now(), told=(scene.channel,)))
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]


async def test_a_lost_receipt_lets_both_tell_and_only_the_agent_tells_the_end(scene: Scene) -> None:
    now = scene.world.clock.now()
    await scene.find(scene.turn(1, at=now))
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]
    await scene.find(scene.turn(1, at=now, told_at=now, told=(scene.channel,)))
    subject = subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}")
    incident = scene.incident(subject)
    timeline = await scene.world.store.of("ws").read(lambda s: s.incidents.timeline(incident.id))
    assert timeline[-1].text.startswith("Told by the agent itself")
    await scene.find(scene.turn(2, told_at=scene.world.clock.now(), told=(scene.channel,)))
    assert not scene.incident(subject).open
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]


async def test_who_heard_the_beginning_from_here_hears_the_end_from_here(scene: Scene) -> None:
    await scene.find(scene.turn(1))
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]
    await scene.find(scene.turn(2, told_at=scene.world.clock.now(), told=("local:mail",)))
    assert [event for event, _ in await scene.settle()] == ["incident.opened", "incident.resolved"]


async def test_after_a_lost_receipt_each_tells_the_end_to_whom_it_told_the_beginning(scene: Scene) -> None:
    now = scene.world.clock.now()
    await scene.find(scene.turn(1, at=now))
    await scene.settle()
    await scene.find(scene.turn(1, at=now, told_at=now, told=("local:mail",)))
    await scene.find(scene.turn(2, told_at=now, told=("local:mail",)))
    assert [event for event, _ in await scene.settle()] == ["incident.opened", "incident.resolved"]


async def test_a_restart_tells_nothing_again(scene: Scene) -> None:
    await scene.find(scene.turn(1))
    await scene.settle()
    await scene.world.stop()
    await scene.world.start()
    await scene.beat()
    await scene.find(scene.turn(1))
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]
    await scene.find(scene.turn(2))
    assert [event for event, _ in await scene.settle()] == ["incident.opened", "incident.resolved"]


async def test_an_opening_in_maintenance_is_told_when_that_ends(scene: Scene) -> None:
    await scene.change(maintenance=True)
    await scene.find(scene.turn(1))
    assert await scene.settle() == []
    await scene.beat()
    await scene.change(maintenance=False)
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened"]
    subject = subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}")
    assert scene.inbox.posts[0]["key"] == finding_key("ws", scene.channel, subject, "one", 1, "opened")


async def test_what_opened_and_ended_in_maintenance_while_we_were_away_is_told_to_nobody(scene: Scene) -> None:
    await scene.find(scene.turn(1, held=True), scene.turn(2))
    assert await scene.settle() == []
    assert not scene.incident(subject_of("h", "builtin:system.disk", "disk.used_percent{mount=/}")).open
    await scene.find(scene.turn(3, held=True))  # and what lasts still is told
    assert [event for event, _ in await scene.settle()] == ["incident.reopened"]
    await scene.find(scene.turn(4))
    assert [event for event, _ in await scene.settle()] == ["incident.reopened", "incident.resolved"]


async def test_an_agent_hears_when_nobody_is_told(scene: Scene) -> None:
    assert (await scene.beat()).quiet == ()
    now = scene.world.clock.now()
    night = Window(
        id="w", workspace_id="ws", name="Night", scope=Scope(hosts=("h",)), starts_at=now - timedelta(minutes=30),
        duration_s=3600, rrule="FREQ=DAILY", created_at=now, updated_at=now,
    )  # fmt: skip
    await scene.world.store.of("ws").write(lambda s: s.maintenance_windows.add(night))
    await scene.world.corridor.telling_changed("ws")
    lasts, comes = (await scene.beat()).quiet
    assert (lasts.why, lasts.in_s, lasts.for_s) == ("maintenance “Night”", 0, pytest.approx(1800, abs=1))
    assert (comes.why, comes.in_s, comes.for_s) == ("maintenance “Night”", pytest.approx(84_600, abs=1), 3600)
    await scene.change(maintenance=True)
    by_hand = next(one for one in (await scene.beat()).quiet if one.for_s is None)
    assert (by_hand.why, by_hand.in_s) == ("the host is in maintenance", 0)


async def test_a_host_that_is_deleted_takes_its_incidents_along(scene: Scene) -> None:
    await scene.find(scene.turn(1))
    await scene.settle()
    await scene.world.store.of("ws").write(lambda s: s.hosts.delete("h"))
    await scene.world.corridor.hosts.changed("ws")
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened", "incident.resolved"]
    assert "the host was deleted" in heard[1][1]


async def test_a_channel_for_the_worst_hears_when_it_is_that_bad_and_of_the_end(scene: Scene) -> None:
    async with Web() as sms:
        await scene.world.tell(sms, id="sms", least="down", default=True)
        await scene.beat()
        await scene.world.go(80)
        assert sms.posts == []
        await scene.world.go(45)
        await scene.beat()
        await scene.settle()
        assert sms.events == ["incident.escalated", "incident.resolved"]
        await scene.find(scene.turn(1, severity="warning"))
        await scene.find(scene.turn(2, severity="warning"))
        await scene.settle()
        assert len(sms.posts) == 2


async def test_a_silence_says_whether_the_host_answers_from_outside(scene: Scene) -> None:
    await scene.change(addresses=("tcp:127.0.0.1:1", f"tcp:127.0.0.1:{scene.inbox.port}"))
    await scene.beat()
    now = scene.world.corridor.hosts.get("ws", "h")
    await until(lambda: now.outside is not None, clock=scene.world.clock)
    assert (now.outside, now.outside_words) == (True, f"tcp:127.0.0.1:{scene.inbox.port} answers")
    await scene.change(addresses=("tcp:127.0.0.1:1",))
    now.outside_words = ""
    await until(lambda: now.outside_words, clock=scene.world.clock)
    await scene.world.go(80)
    assert "reachable from outside: no (tcp:127.0.0.1:1: " in scene.incident(SILENT).reason


def a_rule(**more: Any) -> AlertRule:
    known: dict[str, Any] = {
        "id": "ru", "workspace_id": "ws", "name": "Mine", "scope": Scope(hosts=("h",)), "created_at": START,
        "updated_at": START,
    }  # fmt: skip
    return AlertRule(**(known | more))


async def keep(scene: Scene, rule: AlertRule) -> None:
    await scene.world.store.of("ws").write(lambda s: s.alert_rules.add(rule))
    await scene.world.corridor.telling_changed("ws")


async def test_a_rule_sets_other_times_for_silence_and_other_channels(scene: Scene) -> None:
    async with Web() as other:
        await scene.world.tell(other, id="other", default=False)
        await keep(scene, a_rule(condition=OnHeartbeat(warn_s=20, down_s=30), channels=("other",)))
        await scene.beat()
        await scene.world.go(32)
        assert other.events == ["incident.opened", "incident.escalated"]
        await scene.beat()
        assert await scene.settle() == []
        assert other.events[-1] == "incident.resolved"


async def test_the_incident_of_a_rule_that_is_gone_is_closed(scene: Scene) -> None:
    await keep(scene, a_rule(condition=OnSample(metric="disk.used_percent", above=90)))
    await scene.find(scene.turn(1, rule="ru"))
    incident = scene.incident(subject_of("h", "ru", "disk.used_percent{mount=/}"))
    assert (incident.rule_id, incident.rule) == ("ru", "Disk is nearly full")
    await scene.settle()
    await scene.world.store.of("ws").write(lambda s: s.alert_rules.delete("ru"))
    await scene.world.corridor.telling_changed("ws")
    heard = await scene.settle()
    assert [event for event, _ in heard] == ["incident.opened", "incident.resolved"]
    assert "its rule was changed or deleted" in heard[1][1]


async def test_a_window_about_the_host_holds_openings_back(scene: Scene) -> None:
    window = Window(
        id="w", workspace_id="ws", name="Patches", scope=Scope(hosts=("h",)), starts_at=scene.world.clock.now(),
        duration_s=60, created_at=START, updated_at=START,
    )  # fmt: skip
    await scene.world.store.of("ws").write(lambda s: s.maintenance_windows.add(window))
    await scene.world.corridor.telling_changed("ws")
    await scene.find(scene.turn(1))
    assert await scene.settle() == []
    await scene.beat()
    await scene.world.go(60)
    assert [event for event, _ in await scene.settle()] == ["incident.opened"]


async def test_samples_are_gathered_after_an_hour(scene: Scene) -> None:
    names, at = ["disk.used_percent{mount=/}"], scene.world.clock.now()
    batches = [
        wire.Batch(seq=n + 1, at=at + timedelta(seconds=60 * (n - 120)), collector="s", values=[(0, 50 + n / 10)])
        for n in range(120)
    ]
    message = wire.Samples(incarnation="one", series=names, batches=batches)
    taken = await scene.door.samples("h", msgspec.json.encode(message))
    assert taken.acked == 120
    housekeeping = scene.world.corridor.housekeeping
    assert await housekeeping.move_samples() == 0
    scene.world.clock.jump(3700)
    moving = asyncio.create_task(housekeeping.move_samples())
    await until(moving.done, clock=scene.world.clock)
    assert await moving == 120
    assert await scene.world.store.everything().read(lambda s: s.samples.waits_since(("ws", "h"))) is None
