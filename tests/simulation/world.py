"""A small world with a seed: machines with wrong clocks and real disks' faults, a network that loses, doubles and reorders,
and the true course of things, which nobody in it knows. It runs the real `core.failover.Node`; no asyncio, only a heap."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulation.truth import Truth
from tocsin.core.lease import Terms
from tocsin.core.membership import Member, Membership


class Broken(AssertionError):
    """An invariant does not hold; `args[0]` begins with its id."""


@dataclass(kw_only=True)
class Network:
    """How messages travel: `loss` and `doubled` are shares; `slow_share` of them take up to `slow_s`, others `fast_s`.
    A `script` is asked for each message (from, to, what): it gives seconds more, or None: lost."""

    loss: float = 0.0
    doubled: float = 0.0
    fast_s: float = 0.05
    slow_share: float = 0.0
    slow_s: float = 3.0
    cuts: set[tuple[str, str]] = field(default_factory=set)
    script: Callable[[str, str, Any], float | None] | None = None


class World:
    """Time, chance, network and truth. `story` keeps a line for everything that happens."""

    def __init__(self, seed: int, *, terms: Terms | None = None, story: bool = False) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.terms = terms or Terms()
        self.now = 0.0
        self.network = Network()
        self.machines: dict[str, Any] = {}
        self.machines_at_first: tuple[str, ...] = ()
        self.targets: dict[str, Any] = {}
        self.channels: dict[str, Any] = {}
        self.agents: dict[str, Any] = {}
        self.truth = Truth(self)
        self.lines: list[tuple[float, str]] | None = [] if story else None
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self.steps = 0

    def at(self, when: float, do: Callable[..., None], *args: Any) -> None:
        """Do this then."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, do, args))

    def after(self, wait: float, do: Callable[..., None], *args: Any) -> None:
        """Do this after so many seconds."""
        self.at(self.now + wait, do, *args)

    def run(self, until: float) -> None:
        """Let everything happen until then."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, do, args = heapq.heappop(heap)
            do(*args)
        self.now = until

    def run_while(self, going: Callable[[], bool], limit: float) -> bool:
        """Let things happen while `going()`, looked at every second; False when it still goes on after `limit` seconds."""
        end = self.now + limit
        while going():
            if self.now >= end:
                return False
            self.run(min(self.now + 1.0, end))
        return True

    def tell(self, text: str, *args: object) -> None:
        """A line of the story."""
        if self.lines is not None:
            self.lines.append((self.now, text.format(*args)))

    def broken(self, invariant: str, text: str) -> None:
        """End the world: this invariant does not hold."""
        self.tell("BROKEN {}: {}", invariant, text)
        raise Broken(f"{invariant}: {text}")

    def post(self, source: str, target: str, deliver: Callable[..., None], *args: Any) -> None:
        """Send something: it arrives once, twice or never."""
        network, chance = self.network, self.random.random
        if (source, target) in network.cuts or chance() < network.loss:
            return
        more = network.script(source, target, args[-1]) if network.script else 0.0
        if more is None:
            return
        for _ in range(2 if chance() < network.doubled else 1):
            most = network.slow_s if network.slow_share and chance() < network.slow_share else network.fast_s
            self.at(self.now + 0.001 + more + chance() * most, self._arrive, source, target, deliver, args)

    def _arrive(self, source: str, target: str, deliver: Callable[..., None], args: tuple[Any, ...]) -> None:
        if (source, target) not in self.network.cuts:
            deliver(*args)

    def story(self) -> str:
        """What happened, a line each."""
        told = "\n".join(f"{at:10.3f}  {line}" for at, line in self.lines or [])
        return f"seed {self.seed}\n{told}"


def everybody(names: str, kinds: dict[str, str] | None = None) -> Membership:
    """A membership of machines with one-letter names, in this order."""
    return Membership(
        version=1,
        members=tuple(
            Member(id=n, incarnation=f"{n}1", order=i, kind=(kinds or {}).get(n, "voter"))  # type: ignore[arg-type]
            for i, n in enumerate(names)
        ),
    )
