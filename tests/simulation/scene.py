"""A scene to play: machines, what they watch, whom they tell, what goes wrong meanwhile, and how it must end."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation.agent import Agent
from simulation.desk import INTERVAL_S, MONITOR, when
from simulation.machine import Habits, Machine
from simulation.results import Row
from simulation.world import World, everybody
from tocsin.core.membership import Change, Member, enough, has_vote
from tocsin.core.turn import ChangeAsked, Compacted, Forced, PromoteAsked
from tocsin.core.uptime import Interval, uptime

if TYPE_CHECKING:
    from collections.abc import Sequence

CALM_S = 60.0
"""After so long without faults there is one primary again (I14)."""
MERGED_S = 300.0
"""And after so long all results are everywhere they belong."""


@dataclass
class Target:
    """Something that is watched: at which times its state changed (up at first), and when a location alone saw it down."""

    world: World
    subject: str
    channels: list[str]
    turns: list[float] = field(default_factory=list)
    alone: dict[str, tuple[float, float]] = field(default_factory=dict)

    def down(self, at: float, who: str) -> bool:
        """Whether this location sees it down then."""
        first, last = self.alone.get(who, (0.0, 0.0))
        return bisect_right(self.turns, at) % 2 == 1 or first <= at < last

    def was_down(self, who: str, now: float) -> bool:
        """Whether it could see it down at a time that still counts."""
        since = now - 60
        first, last = self.alone.get(who, (0.0, 0.0))
        turned = bisect_right(self.turns, now) > bisect_right(self.turns, since)
        return (
            self.down(since, who) or self.down(now, who) or turned or (first <= now and last >= since and last > first)
        )

    def must_be_down(self, places: Sequence[str], text: str) -> None:
        """I13: somebody calls it down."""
        seen = sum(self.was_down(p, self.world.now) for p in places)
        if seen * 2 <= len(places):
            self.world.truth.false_down(self.subject, f"by {text}, but {seen} of {len(places)} could see it down")


@dataclass
class Channel:
    """Where messages go: when it is away, and how long a message takes."""

    world: World
    away: list[tuple[float, float]] = field(default_factory=list)
    slow_share: float = 0.0

    def up(self, at: float) -> bool:
        return not any(first <= at < last for first, last in self.away)

    def takes(self) -> float:
        chance = self.world.random.random
        return 30.0 * chance() if self.slow_share and chance() < self.slow_share else 0.1 + chance()


@dataclass(kw_only=True)
class Plan:
    """How rough a random scene is. Rates are per second of the whole scene; `lasts_s` is how long things go wrong."""

    lasts_s: float = 600.0
    loss: float = 0.05
    cuts: float = 1 / 60
    crashes: float = 1 / 120
    pauses: float = 1 / 120
    frozen: float = 1 / 400
    write_crashes: float = 0.002
    wipe: float = 0.3
    changes: float = 1 / 150
    promotions: float = 1 / 200
    slow_sends: float = 0.1
    channel_away: float = 1 / 150
    turns: int = 12
    rates: float = 0.01


class Scene:
    """One world with everything in it. `names`: machines; those in `kinds` are something else than voters."""

    def __init__(
        self, seed: int, names: str, *, kinds: dict[str, str] | None = None, rates: float = 0.0, story: bool = False
    ) -> None:
        self.world = world = World(seed, story=story)
        self.kinds = kinds or {}
        members = everybody(names, self.kinds)
        world.machines_at_first = members.voters()
        chance = world.random.uniform
        self.machines = {
            n: Machine(world, n, members, rate=1 + chance(-rates, rates), kind=self.kinds.get(n, "voter"))
            for n in names
        }
        self.calm = False
        self.wiped: set[str] = set()
        self.config = 0
        self.operations = 0

    def __getitem__(self, who: str) -> Machine:
        return self.machines[who]

    def watch(
        self, workspace: str, name: str, turns: Sequence[float] = (), *, channels: int = 1, slow: float = 0.0
    ) -> Target:
        """Something to be watched by all locations from now on, in a workspace with channels of its own."""
        world = self.world
        target = Target(world, f"{workspace}-{name}", [f"{workspace}/{i}" for i in range(channels)], list(turns))
        for channel in target.channels:
            world.channels.setdefault(channel, Channel(world, slow_share=slow))
        world.targets[target.subject] = target
        if len(world.targets) == 1:
            for machine in self.machines.values():
                if not machine.witness:
                    world.after(world.random.random() * INTERVAL_S, self._probe, machine)
        return target

    def _probe(self, machine: Machine) -> None:
        """A location looks at everything."""
        world = self.world
        world.after(INTERVAL_S, self._probe, machine)
        if not machine.up or machine.paused:
            return
        rows: list[Row] = []
        shelf = machine.drive.shelf
        for target in world.targets.values():
            shelf.seq += 1
            workspace = target.subject.split("-")[0]
            down = target.down(world.now, machine.id)
            rows.append(Row(machine.forwarder.origin, shelf.seq, workspace, target.subject, world.now, down))
        machine.forwarder.made(rows)
        machine.desk.judge(rows)
        machine.desk.look_again()

    def write(self, every_s: float) -> None:
        """People change the configuration now and then, where they believe the primary is."""
        self.world.after(every_s, self.write, every_s)
        able = [m for m in self.machines.values() if m.up and not m.paused and m.node.role == "primary"]
        if able:
            self.config += 1
            self.world.random.choice(able).desk.propose("config", str(self.config).encode(), "config")

    # What an operator does

    def ask(self, machine: Machine, event: ChangeAsked | PromoteAsked | Forced | Compacted) -> None:
        """Hand an operator's wish to a machine."""
        self.world.tell("operator to {}: {}", machine.id, event)
        machine.hand(event)

    def primary(self) -> Machine | None:
        """The machine that is usable as a primary now."""
        able = [m for m in self.machines.values() if m.up and not m.paused and m.node.lease_left(m.clock()) > 0]
        return max(able, key=lambda m: m.node.epoch) if able else None

    def change(self, change: Change) -> None:
        """Ask the primary, if there is one, to change the membership."""
        primary = self.primary()
        self.operations += 1
        if primary is not None:
            self.ask(primary, ChangeAsked(id=f"op{self.operations}", change=change))

    def promote(self, who: str | None = None) -> None:
        """Ask the primary to hand its office over."""
        primary = self.primary()
        self.operations += 1
        if primary is not None:
            self.ask(primary, PromoteAsked(id=f"op{self.operations}", to=who))

    def care(self) -> None:
        """What an operator sees to all the time: whoever is missing in the membership, or lost its disk, is taken in again
        step by step."""
        self.world.after(7.0, self.care)
        primary = self.primary()
        if primary is None:
            self._rescue()
            return
        members = primary.node.membership
        for machine in self.machines.values():
            if not machine.up:
                continue
            wanted = self.kinds.get(machine.id, "voter")
            member = members.member(machine.id)
            put = Member(id=machine.id, incarnation=machine.incarnation, order=sorted(self.machines).index(machine.id))
            if member is None:
                self.change(
                    Change(put=Member(id=put.id, incarnation=put.incarnation, order=put.order, kind="observer"))
                )
            elif member.incarnation != machine.incarnation:
                self.change(Change(remove=machine.id))
            elif member.kind != wanted:
                self.change(Change(put=Member(id=put.id, incarnation=put.incarnation, order=put.order, kind=wanted)))  # type: ignore[arg-type]
            else:
                continue
            return

    def _rescue(self) -> None:
        """With a disk lost, too few may be left that vote: then one is promoted by force, after all the others are off."""
        able = [m for m in self.machines.values() if not m.witness and m.node.membership.members]
        if not able or not self.wiped:
            return
        best = max(able, key=lambda m: m.node.log.last)
        members = best.node.membership
        left = [m for m in self.machines.values() if has_vote(members, m.id, m.incarnation)]
        newer = [m for m in left if m.node.log.last > best.node.log.last]
        if not best.up or best.paused or (len(left) >= enough(members) and not newer):
            return
        for other in self.machines.values():
            if other is not best:
                other.crash("switched off by the operator", 30.0)
        self.force(best)

    def force(self, machine: Machine) -> None:
        """Promote this machine by force."""
        self.world.truth.forgets(machine)
        self.ask(machine, Forced(id="force", floor=1_000_000 + int(self.world.now)))

    # The end

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        world = self.world
        world.tell("from now on nothing goes wrong")
        self.calm = True
        world.network.cuts.clear()
        world.network.loss = world.network.doubled = world.network.slow_share = 0.0
        for channel in world.channels.values():
            channel.away, channel.slow_share = [], 0.0
        for machine in self.machines.values():
            machine.habits = Habits()
            machine.go_on()
            machine.start()

    def finish(self) -> None:
        """Heal, and see that everything comes right (I3, I4, I5, I6, I14)."""
        world = self.world
        self.heal()
        if not world.run_while(lambda: not self._one_primary(), CALM_S):
            world.broken("I14", f"no single primary {CALM_S:g} s after everything was well")
        if not world.run_while(lambda: self._wrong() is not None, MERGED_S):
            world.broken(*(self._wrong() or ("I14", "?")))
        self._figures()

    def _one_primary(self) -> bool:
        held = [m for m in self.machines.values() if m.lease_until > self.world.now]
        return len(held) == 1

    def _wrong(self) -> tuple[str, str] | None:
        """What is not yet as it must be in the end."""
        world, truth, primary = self.world, self.world.truth, self.primary()
        if primary is None:
            return "I14", "there is no primary"
        if primary.drive.applied < len(truth.committed):
            return "I3", f"{primary.id} has {primary.drive.applied} of {len(truth.committed)} committed entries"
        shelf = primary.drive.shelf
        lost = [k for k in truth.acked if k not in shelf.rows]
        if lost:
            return "I4", f"{primary.id} lacks {len(lost)} results that were acknowledged: {lost[:3]}"
        for machine in self.machines.values():
            missing = shelf.cursors.missing(machine.drive.shelf.cursors.offer())
            if missing and any(
                (o, s) in machine.drive.shelf.rows for o, r in missing.items() for s in range(r[0][0], r[0][1] + 1)
            ):
                recent = all(machine.drive.shelf.rows[o, r[0][0]].slot > world.now - 20 for o, r in missing.items())
                if not recent:
                    return "I14", f"{primary.id} lacks results that {machine.id} has: {missing}"
        for agent in world.agents.values():
            if agent.first is not None or any(agent.key(f) not in truth.arrived for f in agent.found):
                return "I6", f"{agent.id} has no receipt for {agent.first}, or it was not told"
        untold = [k for k in primary.drive.tables.open if k not in truth.arrived]
        if untold:
            return "I6", f"nobody was told {untold[:3]}"
        for subject, target in world.targets.items():
            _, value = primary.drive.tables.stands.get(subject, (0, "up"))
            if (value == "down") != target.down(world.now, "") and world.now - (target.turns or [0])[-1] > 120:
                return "I6", f"{subject} is called {value}"
        return None

    def _figures(self) -> None:
        """I5: each result once, and the same figures in whatever order the results came."""
        primary = self.primary()
        if primary is None:
            return
        shelf = primary.drive.shelf
        ids = [(r.subject, r.origin.source, r.slot) for r in shelf.rows.values()]
        if len(ids) != len(set(ids)):
            self.world.broken("I5", f"{primary.id} holds a result twice")
        self._same_uptime(list(shelf.rows.values()))
        for workspace, table in shelf.tables.items():
            if any(row.workspace != workspace or not row.subject.startswith(workspace) for row in table.values()):
                self.world.broken("I15", f"a result of another workspace is in that of {workspace}")

    def _same_uptime(self, rows: list[Row]) -> None:
        """I5: in the order they came, in the order they were made, and backwards."""
        spans = [
            Interval(
                value="down" if r.down else "up", start=when(r.slot), end=when(r.slot + 2 * INTERVAL_S),
                fresh_until=when(r.slot + MONITOR.fresh_s()),
            )
            for r in rows if r.subject.startswith("alice") and r.origin.source == "a"
        ]  # fmt: skip
        orders = (spans, spans[::-1], sorted(spans, key=lambda s: s.start))
        if len({uptime(order, when(0), when(self.world.now)) for order in orders}) > 1:
            self.world.broken("I5", "the uptime depends on the order in which results came")


def random_scene(
    seed: int, names: str, plan: Plan | None = None, *, kinds: dict[str, str] | None = None, story: bool = False
) -> Scene:
    """A scene whose troubles are drawn from its seed."""
    plan = plan or Plan()
    scene = Scene(seed, names, kinds=kinds, rates=plan.rates, story=story)
    world, chance = scene.world, scene.world.random
    network = world.network
    network.loss, network.doubled = chance.choice((0.0, plan.loss, 2 * plan.loss, 6 * plan.loss)), 0.02
    network.slow_share, network.slow_s = 0.05, chance.choice((1.0, 5.0, 20.0))
    for machine in scene.machines.values():
        machine.habits = Habits(crash_share=plan.write_crashes)
    for workspace in ("alice", "bob"):
        turns = sorted(chance.uniform(30, plan.lasts_s) for _ in range(plan.turns // 2))
        target = scene.watch(workspace, "shop", turns, slow=plan.slow_sends)
        for name in names:
            if chance.random() < 0.3:
                begins = chance.uniform(0, plan.lasts_s)
                target.alone[name] = (begins, begins + chance.uniform(10, 60))
    turns = sorted(chance.uniform(30, plan.lasts_s) for _ in range(4))
    agent = Agent(world, "h", "alice/0", turns)
    if chance.random() < 0.5:
        off_at = chance.uniform(0, plan.lasts_s)
        agent.off = (off_at, off_at + chance.uniform(60, 200))
    scene.write(20.0)
    scene.care()
    troubles = Troubles(scene, plan)
    troubles.plan_all()
    return scene


class Troubles:
    """What goes wrong in a random scene."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        self.scene, self.plan, self.world = scene, plan, scene.world
        self.names = list(scene.machines)
        self.all = [*self.names, *scene.world.agents]

    def plan_all(self) -> None:
        plan = self.plan
        for rate, do in (
            (plan.cuts, self.cut), (plan.crashes, self.crash), (plan.pauses, self.pause), (plan.frozen, self.freeze),
            (plan.changes, self.leave), (plan.promotions, self.promote), (plan.channel_away, self.channel_away),
            (1 / 60, self.compact),
        ):  # fmt: skip
            at = 0.0
            while rate and (at := at + self.world.random.expovariate(rate)) < plan.lasts_s:
                self.world.at(at, do)
        if self.world.random.random() < plan.wipe:
            self.world.at(self.world.random.uniform(0, plan.lasts_s), self.wipe)

    def _one(self) -> Machine:
        return self.scene[self.world.random.choice(self.names)]

    def cut(self) -> None:
        """A partition of two groups, or one direction between two machines, for a while."""
        chance, network = self.world.random, self.world.network
        if chance.random() < 0.5:
            group = {n for n in self.all if chance.random() < 0.5}
            cuts = {(a, b) for a in self.all for b in self.all if (a in group) != (b in group)}
        else:
            cuts = {(chance.choice(self.all), chance.choice(self.all))}
        self.world.tell("cut: {}", sorted(cuts))
        network.cuts |= cuts
        self.world.after(chance.uniform(2, 60), self.mend, cuts)

    def mend(self, cuts: set[tuple[str, str]]) -> None:
        self.world.tell("mended: {}", sorted(cuts))
        self.world.network.cuts -= cuts

    def crash(self) -> None:
        self._one().crash("power", self.world.random.uniform(0.5, 40))

    def pause(self) -> None:
        self._one().pause(self.world.random.uniform(0.5, 60))

    def freeze(self) -> None:
        self._one().pause(self.world.random.uniform(5, 60), frozen=True)

    def wipe(self) -> None:
        """One disk a scene is lost."""
        machine = self._one()
        if self.scene.wiped or machine.witness:
            return
        self.scene.wiped.add(machine.id)
        machine.wipe()
        self.world.after(self.world.random.uniform(1, 30), machine.start)

    def leave(self) -> None:
        """The operator takes a machine out of the membership for a while."""
        if len(self.names) < 3:
            return
        who = self.world.random.choice(self.names)
        self.scene.change(Change(remove=who))

    def promote(self) -> None:
        self.scene.promote(self.world.random.choice([None, *self.names]))

    def channel_away(self) -> None:
        channel = self.world.random.choice(list(self.world.channels.values()))
        channel.away.append((self.world.now, self.world.now + self.world.random.uniform(5, 60)))

    def compact(self) -> None:
        machine = self._one()
        if machine.up and not machine.paused:
            machine.hand(Compacted(index=machine.drive.applied))
