"""When the agent tells nothing by itself: its host is switched off, or in maintenance, as its server said last.

What was said counts until the server says otherwise, through restarts too. In memory it is measured by the clock that never
jumps; on disk it stands by this machine's clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from tocsin.agent import wire
from tocsin.clock import Clock
from tocsin.core.wording import moment

MOST_STRETCHES = 100
LONGEST_S = 366 * 86_400.0
_SAME_S = 2.0
"""A stretch that moved by less is the one that was known."""


class Stretch(Struct, frozen=True, kw_only=True):
    """A stretch of time in which what opens is not told, on disk. `ends` None: nobody said when."""

    why: str
    begins: datetime
    ends: datetime | None = None


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was heard, on disk. `off`: why the server refuses this agent, empty while it does not."""

    off: str = ""
    stretches: tuple[Stretch, ...] = ()


class _Known(NamedTuple):
    why: str
    begins: float
    ends: float


class Quiet:
    """What was heard of it. `off`: why the server refuses this agent, empty while it does not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.off = ""
        self._known: tuple[_Known, ...] = ()

    def take_up(self, kept: Kept) -> None:
        """Know what was heard before this start."""
        now, tick = self._clock.now(), self._clock.monotonic()
        self.off = kept.off
        self._known = tuple(
            _Known(
                one.why, tick + (one.begins - now).total_seconds(),
                math.inf if one.ends is None else tick + (one.ends - now).total_seconds(),
            )
            for one in kept.stretches
            if one.begins.tzinfo is not None and (one.ends is None or one.ends.tzinfo is not None)
        )  # fmt: skip

    def hear(self, said: Sequence[wire.Quiet]) -> bool:
        """The server takes this agent, and said when nothing is told; whether that is news."""
        tick = self._clock.monotonic()
        known = tuple(_known(one, tick) for one in said[:MOST_STRETCHES])
        same = len(known) == len(self._known) and all(map(_is_same, known, self._known, [tick] * len(known)))
        news = bool(self.off) or not same
        self.off = ""
        if not same:
            self._known = known
        return news

    def refused(self, why: str) -> bool:
        """The server says that the host is switched off; whether that is news."""
        news, self.off = not self.off, why
        return news

    @property
    def kept(self) -> Kept:
        """The same for the disk."""
        now, tick = self._clock.now(), self._clock.monotonic()

        def at(moment: float) -> datetime:
            return now + timedelta(seconds=max(-LONGEST_S, min(LONGEST_S, moment - tick)))

        return Kept(
            off=self.off,
            stretches=tuple(
                Stretch(why=one.why, begins=at(one.begins), ends=None if one.ends == math.inf else at(one.ends))
                for one in self._known
            ),
        )

    @property
    def holds(self) -> bool:
        """Whether what opens now is not told by the agent."""
        return bool(self.off) or self._lasting() is not None

    def _lasting(self) -> _Known | None:
        """Of the stretches that last now the one that ends last."""
        tick = self._clock.monotonic()
        lasting = [one for one in self._known if one.begins <= tick < one.ends]
        return max(lasting, key=lambda one: one.ends, default=None)

    @property
    def words(self) -> str:
        """Why nothing is told, in words; empty when that is not so."""
        if self.off:
            return "the host is switched off at its server: nothing is told by the agent until it hears otherwise"
        if (one := self._lasting()) is None:
            return ""
        ends = self._clock.now() + timedelta(seconds=min(LONGEST_S, one.ends - self._clock.monotonic()))
        until = "until its server says otherwise" if one.ends == math.inf else f"until {moment(ends)}"
        return f"{one.why} {until}: what opens is not told by the agent"


def _known(said: wire.Quiet, tick: float) -> _Known:
    begins = tick + max(0.0, min(LONGEST_S, said.in_s))
    return _Known(
        said.why[:200], begins, math.inf if said.for_s is None else begins + max(0.0, min(LONGEST_S, said.for_s))
    )


def _is_same(one: _Known, other: _Known, tick: float) -> bool:
    begun = one.begins <= tick and other.begins <= tick
    ends = one.ends == other.ends or abs(one.ends - other.ends) < _SAME_S
    return one.why == other.why and ends and (begun or abs(one.begins - other.begins) < _SAME_S)
