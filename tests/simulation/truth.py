"""What really happened, and what must always hold of it (the invariants of docs/clustering.md, by their ids)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tocsin.core.control_log import Entry, Position

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.world import World


class Truth:
    """The record of a world, checked while it is written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.committed: list[Entry] = []
        self.offices: dict[int, tuple[str, str]] = {}
        self.memberships: list[tuple[int, int, tuple[str, ...]]] = []
        self.arrived: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
        self.allowed: Counter[str] = Counter()
        self.cut_off: Counter[tuple[str, int]] = Counter()
        self.acked: set[tuple[Any, int]] = set()
        self.made: dict[tuple[Any, int], Any] = {}
        self.handed: set[str] = set()
        self.told_directly: set[str] = set()
        self.rude: dict[int, str] = {}
        self.forced = False
        self.forces, self.forced_from = 0, 0
        self.elections = 0
        self.in_office: list[tuple[float, str, int]] = []
        self.writes = 0
        self.stale_arrivals = 0
        self.duplicates = 0

    # Office: I1, I2, I11, I12

    def won(self, machine: Machine) -> None:
        """I1, and that the winner has everything that was committed."""
        world, node = self.world, machine.node
        self.elections += 1
        holder = self.offices.setdefault(node.epoch, (machine.id, machine.incarnation))
        if holder != (machine.id, machine.incarnation):
            world.broken("I1", f"{machine.id} and {holder[0]} are both elected in epoch {node.epoch}")
        newest = next((e for e in reversed(self.committed) if e.epoch < node.epoch), None)
        known = newest is None or self.forced or newest.index <= node.log.base.index
        if newest is not None and not known and node.log.epoch_at(newest.index) != newest.epoch:
            world.broken("I3", f"{machine.id} was elected without the committed entry {newest.index}")

    def holds(self, machine: Machine) -> None:
        """I2: at this instant nobody else has a lease."""
        if not machine.steady or self.forces > 1:
            return
        now = self.world.now
        for other in self.world.machines.values():
            if other is not machine and other.up and other.steady and other.lease_until > now + 1e-6:
                self.world.broken(
                    "I2",
                    f"{machine.id} (epoch {machine.node.epoch}) has a lease from now on, "
                    f"{other.id} (epoch {other.node.epoch}) until {other.lease_until:.3f}",
                )

    def begins(self, machine: Machine, *, released: bool) -> None:
        """An epoch begins: rude is that of somebody who could have known that there is a primary, since 5 s at least."""
        if not machine.steady:
            return
        for other in self.world.machines.values():
            lasts = other.up and other.steady and other.lease_until > self.world.now
            if lasts and other.lease_since < self.world.now - 5.0 and not released:
                self.rude[machine.node.epoch] = f"{machine.id} while {other.id} was primary"

    def deposed(self, machine: Machine, left: float, why: str) -> None:
        """I11: a primary with a lease gave up its office for an epoch that should never have begun."""
        epoch = machine.node.epoch
        if left > 0.01 and machine.steady and not self.forced and "handed" not in why and epoch in self.rude:
            text = f"{machine.id} lost its office with {left:.2f} s of lease left: {why}, begun by {self.rude[epoch]}"
            self.world.broken("I11", text)

    def lingers(self, machine: Machine) -> None:
        """I12: a primary without a lease is none."""
        self.world.broken("I12", f"{machine.id} has no lease and stays primary of epoch {machine.node.epoch}")

    def accepted(self, machine: Machine, left: float) -> None:
        """I12: a write was taken; its primary must have the only lease."""
        self.writes += 1
        if left <= 0 and machine.lease_until <= self.world.now:
            self.world.broken("I12", f"{machine.id} took a write without a lease")

    # Log: I3, I10

    def commits(self, machine: Machine, entries: tuple[Entry, ...]) -> None:
        """I3: whatever is committed anywhere is the same everywhere; of two promotions by force the later one counts."""
        if machine.node.epoch < self.forced_from:
            return
        for entry in entries:
            if entry.index <= len(self.committed):
                first = self.committed[entry.index - 1]
                same = (entry.epoch, entry.kind) == (first.epoch, first.kind)
                if not same or (entry.payload != first.payload and not machine.witness):
                    text = f"entry {entry.index} is {said(entry)} at {machine.id}, and was committed as {said(first)}"
                    self.world.broken("I3", text)
            elif entry.index == len(self.committed) + 1:
                self.committed.append(entry)
                self._handed(entry)
                if entry.membership is not None:
                    voters = entry.membership.voters()
                    self.memberships.append((entry.index, entry.membership.version, voters))
            else:
                self.world.broken("I3", f"{machine.id} committed {entry.index} before {len(self.committed) + 1}")

    def _handed(self, entry: Entry) -> None:
        """What an agent handed over is told by the centre; if the agent did not hear so in time, by the agent too."""
        filed = entry.kind == "transition" and json.loads(entry.payload).get("filed")
        for channel, subject, number in messages(entry):
            key = f"{channel}|{subject}|{number}"
            if not filed:
                self.handed.add(key)
                if key in self.told_directly:
                    self.allowed[key] += 1

    def silent(self, machine: Machine, agent: str, heard_at: float | None, timeout_s: float) -> None:
        """Rule 16: who calls an agent silent has watched for a whole timeout, and heard nothing in it."""
        watched = self.world.now - next(at for at, who, _ in reversed(self.in_office) if who == machine.id)
        lately = heard_at is not None and self.world.now - heard_at < timeout_s * 0.98
        if watched < timeout_s * 0.98 or lately:
            self.world.broken("I13", f"{machine.id} calls {agent} silent after {watched:.1f} s in office")

    def forgets(self, machine: Machine) -> None:
        """A forced promotion: the log of this machine is the history from now on; what it lacks may be told anew."""
        self.forced = True
        self.forces += 1
        self.forced_from = max(machine.node.epoch + 1, 1_000_000 + int(self.world.now)) if self.forces > 1 else 0
        held, log = self.committed, machine.node.log
        while held and held[-1].index > log.base.index and log.epoch_at(held[-1].index) != held[-1].epoch:
            self.allowed.update(f"{c}|{s}|{n}" for c, s, n in messages(held.pop()))

    def changes(self, machine: Machine, entry: Entry) -> None:
        """I10: a membership that a primary puts into force is one step from the committed one before."""
        new = entry.membership
        known = [(i, v, m) for i, v, m in self.memberships if i < entry.index]
        if new is None or self.forced:
            return
        before = set(known[-1][2]) if known else set(self.world.machines_at_first)
        version = known[-1][1] if known else 1
        if len(before ^ set(new.voters())) > 1 or new.version > version + 1:
            self.world.broken("I10", f"{machine.id} goes from {sorted(before)} to {sorted(new.voters())} at once")

    # Notifications: I7, I8, I9, I15

    def arrives(self, key: str, channel: str, subject: str, number: int, sender: str, epoch: int) -> None:
        """I7 and I8: at most once an epoch (and once more for each that was cut off), and in order."""
        world = self.world
        arrivals = self.arrived[key]
        arrivals.append((world.now, sender, epoch))
        world.tell("{} hears {} {} of {} (epoch {})", channel, subject, number, sender, epoch)
        self.duplicates += len(arrivals) > 1
        in_epoch = sum(1 for _, _, e in arrivals if e == epoch)
        if in_epoch > 1 + self.cut_off[key, epoch]:
            world.broken("I7", f"{key} was told {in_epoch} times in epoch {epoch}")
        if len(arrivals) > 1 + self.allowed[key]:
            told = ", ".join(f"{at:.1f} s by {who} (epoch {e})" for at, who, e in arrivals)
            world.broken("I7", f"{key} was told {len(arrivals)} times, {self.allowed[key]} of them in doubt: {told}")
        if not channel.startswith(subject.partition("-")[0]):
            world.broken("I15", f"channel {channel} was told of {subject}")
        before = f"{channel}|{subject}|{number - 1}"
        by_agent = epoch < 0  # what the centre still has to tell, an agent that is cut off cannot wait for
        if number > 1 and before not in self.arrived and not self.forced and not by_agent:
            world.broken("I8", f"{channel} was told {subject} {number} before {number - 1}")

    # Results: I4, I5, I13

    def false_down(self, subject: str, text: str) -> None:
        """I13."""
        self.world.broken("I13", f"{subject} was called down: {text}")


def messages(entry: Entry) -> list[tuple[str, str, int]]:
    """The channels, subject and number of what a transition wants told."""
    if entry.kind != "transition":
        return []
    told = json.loads(entry.payload)
    return [(channel, told["subject"], told["number"]) for channel in told["channels"]]


def said(entry: Entry) -> str:
    """An entry in a few words."""
    return f"{Position(entry.epoch, entry.index)} {entry.kind} {entry.payload[:60]!r}"
