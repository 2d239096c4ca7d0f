"""A host's agent in the world: it judges its own host, hands what it finds to the primary, and tells by itself when nobody
gives a receipt in time (VERDICT: one judge, one key)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.machine import Machine
    from simulation.world import World

RECEIPT_S = 15.0
BEAT_S = 15.0
SILENT_S = 75.0


@dataclass
class Found:
    """A transition that the agent found, on its disk: `receipt` by the primary, or `told` by the agent itself."""

    number: int
    value: str
    at: float
    receipt: bool = False
    told: bool = False


class Agent:
    """One agent; it may be cut off (its name stands in cuts like a machine's), and is silent while its host is `off`."""

    def __init__(self, world: World, who: str, channel: str, turns: list[float]) -> None:
        self.world, self.id, self.channel = world, who, channel
        self.subject = f"{channel.partition('/')[0]}-{who}"
        self.found: list[Found] = []
        self.asked = 0
        self.off = (0.0, 0.0)
        world.agents[who] = self
        for at in turns:
            world.at(at, self._turn)
        world.after(world.random.random() * BEAT_S, self._beat)

    @property
    def first(self) -> Found | None:
        """What has to be settled next: one after the other, so that nothing overtakes."""
        return next((f for f in self.found if not f.receipt), None)

    def key(self, found: Found) -> str:
        return f"{self.channel}|{self.subject}|{found.number}"

    def _turn(self) -> None:
        number = len(self.found) + 1
        self.found.append(Found(number, "down" if number % 2 else "up", self.world.now))
        if self.first is self.found[-1]:
            self._hand(number)

    def _hand(self, number: int) -> None:
        """Ask the instances in turn to take it; after 15 s without a receipt tell by itself, and file that."""
        found = self.first
        if found is None or found.number != number:
            return
        world = self.world
        if not found.told and world.now - found.at >= RECEIPT_S:
            self._tell(found)
        names = sorted(world.machines)
        target = world.machines[names[self.asked % len(names)]]
        said = (self.subject, found.number, found.value, self.channel, found.told)
        world.post(self.id, target.id, target.desk_of_now, "take_finding", self, said)
        world.after(2.0, self._hand, number)

    def _tell(self, found: Found) -> None:
        world = self.world
        if world.channels[self.channel].up(world.now):
            found.told = True
            world.truth.told_directly.add(self.key(found))
            if self.key(found) in world.truth.handed:
                world.truth.allowed[self.key(found)] += 1
            world.truth.arrives(self.key(found), self.channel, self.subject, found.number, self.id, -1)

    def answered(self, machine: Machine, number: int, ok: bool) -> None:
        """A receipt, or somebody who is not primary: ask the next one."""
        found = self.first
        if found is None or found.number != number:
            return
        if not ok:
            self.asked += 1
            return
        found.receipt = True
        following = self.first
        if following is not None:
            following.at = max(following.at, self.world.now)
            self._hand(following.number)

    def _beat(self) -> None:
        world = self.world
        world.after(BEAT_S, self._beat)
        for machine in world.machines.values():
            if not machine.witness and not self.off[0] <= world.now < self.off[1]:
                world.post(self.id, machine.id, machine.desk_of_now, "hear_agent", self.id)

    def payload(self, said: tuple[str, int, str, str, bool]) -> bytes:
        subject, number, value, channel, told = said
        words = {"subject": subject, "number": number, "value": value, "channels": [channel], "filed": told}
        return json.dumps(words).encode()
