"""What a carrier does beside its loop because it takes long: gears, bringing entries into the tables, snapshots."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tocsin import telemetry
from tocsin.core import turn
from tocsin.core.peer import Appended
from tocsin.errors import PeerLost

if TYPE_CHECKING:
    from tocsin.cluster.carrier import Carrier

log = telemetry.logger("tocsin.cluster")

AGAIN_S = 1.0
KEEP_ENTRIES = 5_000
"""So many settled entries stay in the log, for those that are behind."""
COMPACT_EVERY_S = 60.0


class Beside:
    """The loops beside the loop of one carrier."""

    def __init__(self, of: Carrier) -> None:
        self._of = of
        self._copying: asyncio.Task[None] | None = None
        self._said: str | None = None
        self._knowing = asyncio.Lock()
        """Held while memory is read anew or follows rows: what comes while all is read would not be in it."""

    def start(self) -> list[asyncio.Task[None]]:
        """Their tasks, begun."""
        loops = (self._apply_on, self._gear_on, self._compact_on, self._poll_on)
        return [asyncio.create_task(loop(), name=f"cluster {loop.__name__}") for loop in loops]

    def copying(self) -> list[asyncio.Task[None]]:
        """What fetches a snapshot, if something does."""
        return [] if self._copying is None else [self._copying]

    async def _gear_on(self) -> None:
        """Lead or follow, as the node stands: first the store, then the rest of the instance."""
        while True:
            await self._of.news.wait()
            self._of.news.clear()
            standing = self._of.standing
            try:
                if standing.leads:
                    await self._of.replica.apply(self._of.node.commit)
                    await self._of.replica.lead(standing.epoch, self._of)
                else:
                    self._said = self._of.peers.web(standing.primary)
                    await self._of.replica.follow(self._said)
                    if standing.role != "follower":
                        continue
                async with self._knowing:
                    if standing == self._of.standing:
                        await self._of.hooks.turned(standing)
            except Exception:
                log.exception("cluster.not_turned", role=standing.role, epoch=standing.epoch)
                await asyncio.sleep(AGAIN_S)
                self._of.news.set()

    async def _say_where(self) -> None:
        """Name the primary's address to who wants to write here, once it is known."""
        where = self._of.peers.web(self._of.node.primary)
        if where != self._said and self._of.standing.role == "follower":
            self._said = where
            await self._of.replica.follow(where)

    async def _apply_on(self) -> None:
        found = await self._of.replica.state()
        self._of.applied = -1 if found is None or found.torn else found.applied
        while True:
            await self._of.settled.wait()
            self._of.settled.clear()
            if self._of.node.me.witness:
                continue  # it has no tables
            if self._of.torn and self._of.node.primary not in (None, self._of.node.me.id):
                self.copy(self._of.node.primary)
            if self._of.torn or self._of.node.role == "primary":
                continue
            try:
                applied = await self._of.replica.apply(self._of.stored)
                if applied.changed:
                    async with self._knowing:
                        await self._of.hooks.applied(applied)
                    await self._say_where()
                self._of.applied, self._of.trouble = applied.index, ""
            except Exception as error:
                self._of.trouble = str(error) or type(error).__name__
                log.exception("cluster.not_applied", upto=self._of.stored)
                await asyncio.sleep(AGAIN_S)
                self._of.settled.set()

    def copy(self, sender: str) -> None:
        """Fetch the tables of that instance, unless that is being done."""
        if self._copying is None or self._copying.done():
            self._copying = asyncio.create_task(self._fetch(sender), name="cluster snapshot")

    async def _fetch(self, sender: str) -> None:
        try:
            if self._of.node.me.witness:
                await self._of.begin_behind(*await self._of.peers.place(sender))
                return
            path = await self._of.peers.snapshot(sender, self._of.folder)
        except PeerLost as lost:
            log.warning("cluster.no_snapshot", peer=sender, error=str(lost))
            await asyncio.sleep(AGAIN_S)
            return
        try:
            await self._of.install(path)
        finally:
            path.unlink(missing_ok=True)
        if not self._of.torn:
            place = self._of.node.log.base.index
            self._of.settled.set()  # what came meanwhile is behind it in the log
            async with self._knowing:
                await self._of.hooks.applied(None)
            self._of.applied, self._of.trouble = max(place, self._of.applied), ""
            await self._say_where()

    async def _compact_on(self) -> None:
        """Let old entries go: they are in the tables."""
        while True:
            await asyncio.sleep(COMPACT_EVERY_S)
            try:
                held = max(0, self._of.node.commit - KEEP_ENTRIES)
                if self._of.node.me.witness:
                    self._of.hand(turn.Compacted(index=held))
                elif (edge := await self._of.replica.spare(held)) is not None:
                    self._of.hand(turn.Compacted(index=edge.index))
            except Exception:
                log.exception("cluster.not_compacted")

    async def _poll_on(self) -> None:
        """An instance that the others have no address of, or one where it is no longer, asks for what they would tell it."""
        for turns in itertools.count():
            await asyncio.sleep(self._of.terms.beat_s)
            me = self._of.node.membership.member(self._of.node.me.id)
            if me is not None and me.url and me.url == self._of.own_url:
                continue
            others = [one.id for one in self._of.node.membership.members if one.id != self._of.node.me.id]
            some = [self._of.first, *others] if self._of.first is not None else others
            to = self._of.node.primary or (some[turns % len(some)] if some else None)
            if to is None or not self._of.peers.reaches(to):
                continue
            here = Appended(
                epoch=self._of.node.epoch, stamp=0.0, ok=True, index=self._of.node.log.last.index,
                incarnation=self._of.node.me.incarnation,
            )  # fmt: skip
            await self._of.say(to, here)


async def ever(turn: Callable[[], Awaitable[None]]) -> None:
    """Do this over and over; a fault of it is counted and logged, and does not end it."""
    while True:
        try:
            await turn()
        except Exception:
            telemetry.faults.labels("cluster").inc()
            log.exception("cluster.loop_fault", loop=getattr(turn, "__name__", "?"))
            await asyncio.sleep(1.0)
