"""Results on their way between instances. Whoever follows asks the primary again and again, at once when it has something:
"here is what you lack of what I hold; this is how far I am", and gets the same back. So what was acknowledged is on two
disks, a new primary is offered all that anybody holds, also what lies behind a gap that nobody can fill, and the order of
cuts and returns does not matter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct

from tocsin import telemetry
from tocsin.core.consensus import AHEAD
from tocsin.core.cursors import Range, without
from tocsin.core.result import CheckResult
from tocsin.errors import Invalid, Problem
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Store
from tocsin.store.carrying import Portion

log = telemetry.logger("tocsin.cluster")

EVERY_S = 1.0
LEAST_S = 0.05
PORTION = 500
MOST_PORTIONS = 8
EXPIRE_S = 3600.0


class Exchange(Struct, frozen=True, kw_only=True):
    """`portions`: results that the other side lacks, as far as is known. `ends`: up to which number of each source
    everything is here; `islands`: what is here behind a gap. `more`: ask again at once. `applied`: up to which entry of the
    control log the tables of who asks are; `trouble`: why they do not go on. `clock`: what the sender's shows (seconds since
    1970), 0 where an older version does not say."""

    portions: tuple[Portion, ...] = ()
    ends: dict[str, int] = {}
    islands: dict[str, list[Range]] = {}
    more: bool = False
    applied: int = -1
    trouble: str = ""
    clock: float = 0.0


class Results:
    """The results of one instance."""

    def __init__(self, store: Store, corridor: Corridor, source: str) -> None:
        assert store.replica is not None
        self._store, self._transport = store, store.replica.transport
        self._corridor, self._source = corridor, source
        self._theirs: Exchange | None = None
        self._off: dict[str, timedelta] = {}
        self.stirred = asyncio.Event()
        corridor.intake.kept = self.stirred.set

    async def begin(self) -> None:
        """Number what this instance stores from now on."""
        await self._transport.number_as(self._source)

    def forget(self) -> None:
        """Another instance leads: how far it is will turn out."""
        self._theirs = None
        self.stirred.set()

    async def wait(self) -> None:
        """Until there is something to say, or it is time to ask."""
        await asyncio.sleep(LEAST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_S):
                await self.stirred.wait()
        self.stirred.clear()

    async def offer(self) -> Exchange:
        """As follower: what to say to the primary."""
        ours = await self._held()
        portions = () if self._theirs is None else await self._lacking(ours, self._theirs)
        return msgspec.structs.replace(ours, portions=portions)

    async def hear(self, said: Exchange, by: str) -> bool:
        """As follower: take in what the primary answered. Whether to ask again at once."""
        self._compare(said, by)
        known, self._theirs = self._theirs is not None, msgspec.structs.replace(said, portions=())
        for portion in said.portions:
            await self._transport.take_in(portion)
            await self._corridor.intake.learn(self._by_our_clock(portion))
        ends = await self._transport.ends()
        behind = any(said.ends.get(source, 0) < end for source, end in ends.items())
        return said.more or (behind and not known)

    async def answer(self, said: Exchange, to: str) -> Exchange:
        """As primary: take in what a follower says, and give it what it lacks. While something waits on the spool nothing
        is taken in: it would wait there again each time it is offered, and where it is now it is safe."""
        self._compare(said, to)
        for portion in () if self._store.spooled else said.portions:
            await self._corridor.intake.take_in(self._by_our_clock(portion))
            await self._transport.keep(portion)
        ours = await self._held()
        portions = await self._lacking(ours, said)
        given = dict(said.ends)
        given |= {portion.source: portion.upto for portion in portions}
        more = any(given.get(source, 0) < end for source, end in ours.ends.items())
        return msgspec.structs.replace(ours, portions=portions, more=more)

    async def expire(self) -> None:
        """Forget the numbers of results that are a day old."""
        await self._transport.expire()

    async def _held(self) -> Exchange:
        ends, islands = await self._transport.ends(), await self._transport.islands()
        return Exchange(ends=ends, islands=islands, clock=self._corridor.clock.now().timestamp())

    def _compare(self, said: Exchange, by: str) -> None:
        """Know by how much the clock of an instance is ahead of ours, where that is more than nobody need care about."""
        self._off.pop(by, None)
        off = timedelta(seconds=said.clock - self._corridor.clock.now().timestamp() if said.clock else 0.0)
        if abs(off) > AHEAD:
            self._off[by] = off

    def _by_our_clock(self, portion: Portion) -> Sequence[CheckResult]:
        """Its results, each with the moment that it was seen at by our clock, where the one of their source differs."""
        off = self._off.get(portion.source.partition(":")[0])
        if off is None:
            return portion.results
        return [msgspec.structs.replace(result, here_at=result.scheduled_at - off) for result in portion.results]

    async def _lacking(self, ours: Exchange, theirs: Exchange) -> tuple[Portion, ...]:
        """What the other side lacks of what is here: what has no gap before it first."""
        found: list[Portion] = []
        for source, end in sorted(ours.ends.items()):
            here, there = ours.islands.get(source, ()), theirs.islands.get(source, ())
            for low, high in without([(1, end), *here], [(1, theirs.ends.get(source, 0)), *there]):
                after = low - 1
                while after < high and len(found) < MOST_PORTIONS:
                    portion = await self._transport.read(source, after, high, PORTION)
                    found.append(portion)
                    if portion.upto <= after:
                        break
                    after = portion.upto
        return tuple(found)


def read(body: bytes) -> Exchange:
    """An exchange from what came. Raises Invalid."""
    try:
        return msgspec.msgpack.decode(body, type=Exchange)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Invalid(Problem("", "results of another instance", str(error)[:200])) from None


def write(said: Exchange) -> bytes:
    """An exchange as it travels."""
    return msgspec.msgpack.encode(said)
