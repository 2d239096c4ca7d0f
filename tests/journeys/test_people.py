"""People: who is on duty is told by e-mail when nobody acknowledges, through a real mail server."""

from __future__ import annotations

import email
import email.policy
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import ALICE, BOB, START, records, until
from notifiers.sinks import Mailbox, mail_sink
from tocsin.core.account import Membership, User
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.on_call import OnCallSchedule, Override, Rotation
from tocsin.secret import Secret
from world import Place, World, a_world, webs

HOUR = timedelta(hours=1)


class Letters(Mailbox):
    """What arrived, as (to whom, subject)."""

    @property
    def read(self) -> list[tuple[str, str]]:
        return [(mail.rcpt_tos[0], str(self.letter(n)["subject"]).strip()) for n, mail in enumerate(self.mails)]

    def letter(self, n: int) -> Any:
        return email.message_from_bytes(self.mails[n].content, policy=email.policy.default)


async def with_bob(world: World) -> None:
    bob = User(id="bob", email=BOB, password_hash="x", created_at=START)
    membership = Membership(user_id="bob", workspace_id="ws", role="USER")

    def join(s: Any) -> None:
        s.accounts.add_user(bob)
        s.accounts.add_membership(membership)

    await world.store.everything().write(join)


async def write_down(world: World, schedule: OnCallSchedule, *steps: EscalationStep) -> None:
    policy: EscalationPolicy = replace(records()["escalation_policies"], steps=steps)

    def keep(s: Any) -> None:
        s.on_call_schedules.add(schedule)
        s.escalation_policies.add(policy)

    await world.store.of("ws").write(keep)
    await world.corridor.telling_changed("ws")


def a_schedule(*people: str, **more: Any) -> OnCallSchedule:
    rotation = Rotation(people=people, starts_at=START, unit="hour", **more)
    return replace(records()["on_call_schedules"], rotations=(rotation,))


async def texts(world: World, incident_id: str, kind: str) -> list[str]:
    timeline = await world.store.of("ws").read(lambda s: s.incidents.timeline(incident_id))
    return [entry.text for entry in timeline if entry.kind == kind]


async def test_a_member_who_cannot_be_mailed_is_a_notice_and_the_next_step_comes_at_once(tmp_path: Path) -> None:
    async with webs(2) as (sink, boss), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        other = await world.tell(boss, name="Boss", default=False)
        steps = EscalationStep(delay_s=60, schedules=("r",)), EscalationStep(delay_s=3600, channels=(other.id,))
        await write_down(world, a_schedule("alice"), *steps)
        watched = await world.watch(
            target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy="r", failure_threshold=1
        )
        await world.go(2)
        place.status = "down"
        await world.go(80)
        (notice,) = await world.store.of("ws").read(lambda s: s.notices.list())
        assert (notice.kind, notice.channel_id) == ("channel.given_up", "person:alice")
        assert notice.text.startswith(f"{ALICE} did not get a message: no mail server is configured")
        assert boss.events == ["incident.escalated"]
        assert watched.incident is not None
        assert watched.incident.told_channels is not None
        assert "person:alice" not in watched.incident.told_channels
        first, second = await texts(world, watched.incident.id, "escalated")
        assert first == (
            f"Escalated: step 1 reached nobody ({ALICE} cannot be mailed: this server has no mail server (its operator "
            "can set TOCSIN_SMTP_URL))"
        )
        assert second == "Escalated: step 2, to Boss"
        place.status = "up"
        await world.go(30)
        told = (await world.store.of("ws").read(lambda s: s.outbox.list()))[0]
        assert [d.row.message.event for d in told if d.row.channel_id == "person:alice"] == ["incident.escalated"]


async def test_who_is_on_duty_is_told_until_somebody_acknowledges(tmp_path: Path) -> None:
    box = Letters()
    async with mail_sink(box), webs(1) as (sink,):
        async with a_world(tmp_path, smtp_url=Secret(f"smtp://127.0.0.1:{box.port}")) as world:
            place = Place(world)
            await world.tell(sink)
            await with_bob(world)
            steps = (EscalationStep(delay_s=60, schedules=("r",)), EscalationStep(delay_s=3600, schedules=("r",)))
            await write_down(world, a_schedule("alice", "bob"), *steps)
            watched = await world.watch(
                target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy="r", failure_threshold=1
            )
            await world.go(2)
            place.status = "down"
            await until(lambda: len(box.mails) == 1, clock=world.clock)
            assert box.read[0][0] == ALICE
            assert box.read[0][1].startswith("Not acknowledged: ")
            await world.clock.advance(3600, step=30)
            await until(lambda: len(box.mails) == 2, clock=world.clock)
            assert box.read[1][0] == BOB
            assert watched.incident is not None
            said = await texts(world, watched.incident.id, "escalated")
            assert said == [f"Escalated: step 1, to {ALICE}", f"Escalated: step 2, to {BOB}"]
            assert [post["event"] for post in sink.posts if post["monitor"] is not None] == ["incident.opened"]
            place.status = "up"
            await until(lambda: len(box.mails) == 4, clock=world.clock)
            assert {to for to, _ in box.read[2:]} == {ALICE, BOB}


async def test_every_message_that_asks_somebody_has_a_link_of_its_own(tmp_path: Path) -> None:
    box = Letters()
    async with mail_sink(box), webs(1) as (sink,):
        smtp = Secret(f"smtp://127.0.0.1:{box.port}")
        async with a_world(tmp_path, smtp_url=smtp, link_key=b"l" * 32) as world:
            place = Place(world)
            chat = await world.tell(sink)
            await write_down(world, a_schedule("alice"), EscalationStep(delay_s=60, schedules=("r",)))
            watched = await world.watch(
                target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy="r", failure_threshold=1
            )
            await world.go(2)
            place.status = "down"
            await until(lambda: box.mails, clock=world.clock)
            body = str(box.letter(0).get_body(("plain",)).get_content())
            mailed = body.partition("Acknowledge: ")[2].split()[0]
            posted = sink.posts[0]["acknowledge_url"]
            links = world.corridor.delivery.one.links
            found = [links.read(url.removeprefix("https://tocsin.example/acknowledge/")) for url in (posted, mailed)]
            assert watched.incident is not None
            assert [(link.incident_id, link.who) for link in found if link is not None] == [
                (watched.incident.id, chat.id), (watched.incident.id, "person:alice"),
            ]  # fmt: skip
            stored = await world.store.of("ws").read(lambda s: s.outbox.list()[0])
            assert all(d.row.message.acknowledge_url == "" for d in stored)
            place.status = "up"
            await until(lambda: sink.events[-1] == "incident.resolved", clock=world.clock)
            assert "acknowledge_url" not in sink.posts[-1]


async def test_each_line_of_a_digest_that_asks_somebody_has_a_link_of_its_own(tmp_path: Path) -> None:
    async with webs(2) as (sink, boss), a_world(tmp_path, link_key=b"l" * 32) as world:
        place = Place(world)
        await world.tell(sink)
        other = await world.tell(boss, default=False)
        await write_down(world, a_schedule("alice"), EscalationStep(delay_s=60, channels=(other.id,)))
        more: dict[str, Any] = {"failure_threshold": 1, "retries": 0, "interval_s": 6, "timeout_s": 5}
        watched = [await world.watch(escalation_policy="r", **more) for _ in range(12)]
        await world.go(60)
        place.status = "down"
        await world.go(100)
        escalated = [item for post in boss.posts for item in post.get("items", ())]
        assert {item["event"] for item in escalated} == {"incident.escalated"}
        known = {w.incident.id: w for w in watched if w.incident is not None}
        opened = [item for post in sink.posts for item in post.get("items", ())]
        for item, channel in [(i, other.id) for i in escalated] + [(i, None) for i in opened]:
            link = world.corridor.delivery.one.links.read(item["acknowledge_url"].rpartition("/")[2])
            assert link is not None
            assert link.incident_id == item["incident_id"]
            assert channel in (None, link.who)
        link = world.corridor.delivery.one.links.read(escalated[0]["acknowledge_url"].rpartition("/")[2])
        assert link is not None
        await world.corridor.response.acknowledge("ws", link.incident_id, "a link", as_of=link.moment)
        incident = known[link.incident_id].incident
        assert incident is not None
        assert incident.acknowledged_by == "a link"
        stored = await world.store.of("ws").read(lambda s: s.outbox.list()[0])
        assert not any(item.acknowledge_url for d in stored for item in d.row.message.items)
        place.status = "up"
        await world.go(100)
        over = [i for p in boss.posts + sink.posts for i in p.get("items", ()) if i["event"] == "incident.resolved"]
        assert over
        assert not any("acknowledge_url" in item for item in over)


async def test_a_step_without_anybody_on_duty_gives_way_to_the_next(tmp_path: Path) -> None:
    box = Letters()
    async with mail_sink(box), a_world(tmp_path, smtp_url=Secret(f"smtp://127.0.0.1:{box.port}")) as world:
        place = Place(world)
        await with_bob(world)
        empty = a_schedule("alice", from_time="03:00", until_time="04:00")
        steps = (EscalationStep(delay_s=30, schedules=("r",)), EscalationStep(delay_s=3600, people=("bob",)))
        await write_down(world, empty, *steps)
        watched = await world.watch(
            target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy="r", failure_threshold=1
        )
        await world.go(2)
        place.status = "down"
        await until(lambda: len(box.mails) == 1, clock=world.clock)
        assert box.read[0][0] == BOB
        assert watched.incident is not None
        assert world.clock.now() - watched.incident.opened_at < timedelta(seconds=120)
        assert await texts(world, watched.incident.id, "escalated") == [
            "Escalated: step 1 reached nobody (nobody is on duty in “First”)", f"Escalated: step 2, to {BOB}",
        ]  # fmt: skip


async def test_who_takes_over_is_told(tmp_path: Path) -> None:
    box = Letters()
    async with mail_sink(box), a_world(tmp_path, smtp_url=Secret(f"smtp://127.0.0.1:{box.port}")) as world:
        place = Place(world)
        await with_bob(world)
        away = Override(person="bob", starts_at=START - HOUR, ends_at=START + HOUR)
        await write_down(
            world, replace(a_schedule("alice"), overrides=(away,)), EscalationStep(delay_s=0, schedules=("r",))
        )
        await world.watch(
            target={"url": "http://sick/"}, interval_s=10, timeout_s=5, escalation_policy="r", failure_threshold=1
        )
        await world.go(2)
        place.status = "down"
        await until(lambda: box.mails, clock=world.clock)
        assert [to for to, _ in box.read] == [BOB]
