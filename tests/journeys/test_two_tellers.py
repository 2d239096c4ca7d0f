"""Agent and server in every order of events: turns, receipts that are lost, servers that are away or start anew, agents that
are killed. What the agent does is decided by its own code over a real disk (core/handover, agent/ledger); at the other end
stand the real door, corridor and store. Each turn is told once, by one of the two; only a lost receipt may tell it twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from builders import START, at
from journeys.test_hosts import Scene
from tocsin.agent import wire
from tocsin.agent.api import Door
from tocsin.agent.disk import Disk
from tocsin.agent.ledger import Ledger, load, write
from tocsin.core import handover
from tocsin.core.handover import RECEIPT_S
from tocsin.core.host import Host
from tocsin.core.host_rule import HostRule, OnService, Seen
from tocsin.core.host_turn import Standing, step
from world import Web, World

THINGS = ("unit/a", "unit/b")
OWN = ("own",)
STEPS = 40


class Play:
    """One story. `told` counts (who, thing, whether an opening); `excused` those that a lost receipt may double."""

    def __init__(self, scene: Scene, folder: Path, seed: int) -> None:
        self.scene, self.folder, self.chance = scene, folder, random.Random(seed)
        self.rule = HostRule(
            id="local:down", name="down", condition=OnService(), severity="critical", direct=self.chance.random() < 0.2
        )
        self.away = False
        self.story: list[str] = []
        self.made: Counter[tuple[str, bool]] = Counter()
        self.by_agent: Counter[tuple[str, bool]] = Counter()
        self.excused: set[tuple[str, int]] = set()
        self.disk: Disk
        self.ledger = self._opened()

    @property
    def now(self) -> float:
        return self.scene.world.clock.monotonic()

    def _opened(self) -> Ledger:
        self.disk = Disk(self.folder, "machine")
        self.disk.open()
        return load(self.disk, self.now)

    def _save(self) -> None:
        if (what := self.ledger.to_write(self.disk.incarnation)) is not None:
            assert write(self.disk, what) == ""

    def _settle(self) -> None:
        for turn in self.ledger.turns:
            if handover.is_done(turn, self.ledger.turns, OWN):
                self.ledger.remove(turn.key)

    # --- what may happen --------------------------------------------------------------------------------------------

    async def beat(self) -> None:
        said = wire.Heartbeat(
            server_uuid="h",
            timestamp=self.scene.world.clock.now(),
            agent_version="1",
            incarnation=self.disk.incarnation,
        )
        await self.door.heartbeat("h", msgspec.json.encode(said))

    async def sees(self, thing: str, trouble: bool) -> None:
        before = self.ledger.of(self.rule.id).get(thing) or Standing(
            rule=self.rule.id, rule_name="down", what=thing, source="systemd"
        )
        seen = Seen(what=thing, trouble=trouble, words="as it is")
        after, finding = step(
            self.rule, seen, before, self.now, at((self.scene.world.clock.now() - START).total_seconds())
        )
        self.ledger.stand(after)
        if finding is not None:
            self.made[thing, finding.turn == "opened"] += 1
            self.ledger.add(handover.new_turn(finding, after, direct=self.rule.direct, now=self.now))
            self.story.append(f"{thing} {finding.turn} {finding.number}")
        self._save()

    async def hand_over(self, receipt: bool = True) -> None:
        given = handover.to_hand_over(self.ledger.turns, OWN, (), self.now)[: self.chance.randint(1, 5)]
        if self.away or not given:
            return
        said = wire.Findings(incarnation=self.disk.incarnation, findings=[turn.finding for turn in given])
        taken = (await self.door.findings(self.scene.host.id, msgspec.json.encode(said))).taken
        self.story.append(f"handed over {[(t.finding.what, t.finding.number, t.told) for t in given]}, {receipt=}")
        for turn in given[:taken]:
            if receipt:
                self.ledger.receipted(turn.key)
            else:
                self.excused.add((turn.finding.what, turn.finding.number))
        self._settle()
        self._save()

    @property
    def door(self) -> Door:
        return self.scene.door

    async def tell(self, works: bool = True) -> None:
        for turn in handover.to_tell(self.ledger.turns, OWN, (), self.now):
            open_ = handover.open_to(turn, self.ledger.turns, OWN)
            self.ledger.change(turn.key, handover.taken_up)
            self._save()
            self.ledger.change(turn.key, handover.tried)
            if works and open_:
                self.by_agent[turn.finding.what, turn.finding.turn == "opened"] += 1
                self.story.append(f"agent told {turn.finding.what} {turn.finding.number}")
                self.ledger.change(turn.key, lambda one: handover.told(one, "own", START))
        self._settle()
        self._save()

    async def is_killed(self) -> None:
        self.disk.close()
        self.ledger = self._opened()

    async def server_restarts(self) -> None:
        self.story.append("server restarts")
        world = self.scene.world
        await world.stop()
        await world.start()

    async def goes_on(self) -> None:
        """One thing that may happen, and what the agent does by itself from time to time."""
        one = self.chance.choices(
            ("sees", "wait", "away", "lost", "killed", "restart", "mute"), (10, 10, 4, 3, 2, 1, 2)
        )[0]
        if one == "sees":
            await self.sees(self.chance.choice(THINGS), self.chance.random() < 0.5)
        elif one == "wait":
            await self.scene.pass_(self.chance.choice((1.0, 5.0, RECEIPT_S + 1, 60.0)))
        elif one == "away":
            self.away = not self.away
            self.story.append(f"{self.away=}")
        elif one == "lost":
            await self.hand_over(receipt=False)
        elif one == "killed":
            await self.is_killed()
        elif one == "restart":
            await self.server_restarts()
        if self.chance.random() < 0.6:
            await self.hand_over()
        await self.tell(works=one != "mute")
        await self.beat()  # its silence is another matter, told in tests/journeys/test_hosts.py

    async def to_the_end(self) -> None:
        for _ in range(STEPS):
            await self.goes_on()
        self.away = False
        for thing in THINGS:
            await self.sees(thing, False)
        for _ in range(30):
            await self.hand_over()
            await self.tell()
            await self.beat()
            await self.scene.pass_(RECEIPT_S + 1)
        assert self.ledger.turns == [], self.ledger.turns
        await self.scene.settle()

    def by_server(self) -> Counter[tuple[str, bool]]:
        told: Counter[tuple[str, bool]] = Counter()
        said = [
            item for post in self.scene.inbox.posts for item in (post["items"] if post["event"] == "digest" else [post])
        ]
        for post in said:
            assert post["event"] in ("incident.opened", "incident.reopened", "incident.resolved"), post
            (thing,) = [thing for thing in THINGS if thing.replace("/", " ") in str(post)]
            for back in range(len(post.get("keys") or [""])):  # of a digest: openings and ends in turn, this one last
                told[thing, (post["event"] != "incident.resolved") == (back % 2 == 0)] += 1
        return told

    def judge(self) -> None:
        server = self.by_server()
        for thing in THINGS:
            for opening in (True, False):
                made, told = self.made[thing, opening], server[thing, opening] + self.by_agent[thing, opening]
                lost = [n for what, n in self.excused if what == thing]
                doubled = sum(1 for n in lost if bool(n % 2) or not opening)  # who told it twice tells its end twice
                assert made <= told <= made + doubled, "\n".join(
                    [f"{thing} {opening=}: {made=} {told=} {doubled=} {server=} {self.by_agent=}", *self.story]
                )
        keys = [post["key"] for post in self.scene.inbox.posts]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(n, marks=pytest.mark.soak) for n in range(8, 300))])
async def test_each_turn_is_told_once_whatever_happens(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path)
    await world.start()
    async with Web() as inbox:
        channel = await world.tell(inbox)
        host = Host(id="h", workspace_id="ws", name="web-1", enrolled_at=START, created_at=START, updated_at=START)
        await world.store.of("ws").write(lambda s: s.hosts.add(host))
        world.corridor.hosts.put(host)
        (tmp_path / "agent").mkdir(mode=0o700)
        play = Play(Scene(world, inbox, channel.id, host), tmp_path / "agent", seed)
        await play.beat()
        try:
            await play.to_the_end()
            play.judge()
        finally:
            play.disk.close()
            await world.stop()
