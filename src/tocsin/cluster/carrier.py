"""Carries what `core.failover` decides: to disk, to the other instances, and to the tables.

One loop owns the node. It hands in one event, then does each effect in order, and waits for each before the next. What
takes long (asking peers, bringing entries into the tables, a change of gear) runs beside it. At the primary the store puts
its own entries into the log, in the transaction that made them; the node hears of them once they are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.cluster import disk
from tocsin.cluster.beside import AGAIN_S, Beside
from tocsin.cluster.standing import Hooks, Peers, Standing
from tocsin.core import turn
from tocsin.core.control_log import Position
from tocsin.core.failover import Node
from tocsin.core.lease import Terms
from tocsin.core.membership import Change, Membership
from tocsin.core.peer import Appended, Message, PreVote, PreVoted, Vote, Voted
from tocsin.errors import Conflict, Invalid, NotPrimary, PeerLost
from tocsin.store.control import Entry as StoredEntry
from tocsin.store.control import Position as StoredPosition
from tocsin.store.replica import Replica

log = telemetry.logger("tocsin.cluster")

ANSWERS = (PreVoted, Voted, Appended)
ANSWER_S = 20.0
"""How long somebody who asks waits for what comes of it."""
IN_FLIGHT = 8
"""Messages on their way to one peer at most: it gets the next heartbeat instead of more."""


def boottime() -> float:
    """Seconds of the clock that leases are measured by: it also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Asked:
    """An event and who waits for what comes of it: the answer to a question, or Done/Refused of an id."""

    event: turn.Event
    sender: str | None = None
    done: asyncio.Future[Message | None] | None = None
    local: tuple[StoredEntry, ...] = ()
    snapshot: Path | None = None


class _TooLate(Exception):
    """An entry of the store's came when the node was primary no longer."""


class Carrier:
    """The node of this instance, with its disk and its peers. Made by `begin`."""

    def __init__(self, node: Node, replica: Replica, peers: Peers, hooks: Hooks, folder: Path, terms: Terms) -> None:
        self.node, self.terms = node, terms
        self.replica, self.peers, self.hooks, self.folder = replica, peers, hooks, folder
        self._events: deque[Asked] = deque()
        self._own: deque[StoredEntry] = deque()
        self._stirred = asyncio.Event()
        self._answers: dict[str, asyncio.Future[turn.Done | turn.Refused | turn.HandedOver]] = {}
        self._commits: list[tuple[int, asyncio.Future[None]]] = []
        self._saying: dict[str, set[asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._until = 0.0
        self.news, self.settled = asyncio.Event(), asyncio.Event()
        self._beside = Beside(self)
        self.torn, self.stored = False, node.commit
        """Whether the tables are not those of the log; up to which entry what a majority has is on disk here, too."""
        self.applied, self.trouble = -1, ""
        """Up to which entry the tables are and this instance works by them; why they do not go on, if they do not."""
        self._over = False
        self.standing = Standing(role="follower", epoch=node.epoch, primary=None)
        self.own_url = ""
        """Where this instance says that its peers reach it."""
        self.chosen, self.unheard_s = "", 0.0
        """Why this instance came into office last, and for how long no primary had been heard then."""
        self.first: str | None = None
        """The instance that let this one in, to be asked while no primary is known."""

    @classmethod
    async def begin(cls, replica: Replica, peers: Peers, hooks: Hooks, folder: Path, terms: Terms) -> Carrier:
        """The carrier of an instance that belongs to a cluster, from what is on its disk; not started."""
        me, found, torn = await disk.read(replica)
        carrier = cls(Node(me, found, boottime(), terms), replica, peers, hooks, folder, terms)
        carrier.torn = torn
        return carrier

    def start(self) -> None:
        """Begin to take part."""
        self._tasks = [asyncio.create_task(self._turn_on(), name="cluster"), *self._beside.start()]

    async def said(self) -> None:
        """Returns once what is being told to the others has arrived or failed, after 2 s at the latest."""
        if saying := {task for some in self._saying.values() for task in some}:
            await asyncio.wait(saying, timeout=2.0)

    async def stop(self) -> None:
        """Take no part any more. A primary's office ends with its lease, or at once by `promote` before."""
        self._over, self._until = True, 0.0
        tasks = [*self._tasks, *self._beside.copying(), *(task for some in self._saying.values() for task in some)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._release(lost=True)
        for asked in self._events:
            if asked.done is not None and not asked.done.done():
                asked.done.set_result(None)

    # What others ask -------------------------------------------------------------------------------------------------
    async def hear(self, sender: str, message: Message) -> Message | None:
        """What this instance answers to a message of another (who it is was proved), if anything."""
        if self._over:
            return None
        done: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self.put(Asked(turn.Received(sender=sender, message=message), sender, done))
        async with asyncio.timeout(ANSWER_S):
            return await done

    async def change(self, change: Change) -> None:
        """Change the membership by this step; returns when a majority has it. Raises Conflict (with why) or NotPrimary."""
        await self._ask(lambda id: turn.ChangeAsked(id=id, change=change))

    async def promote(self, to: str | None) -> None:
        """Hand the office to that instance (None: the next in order). Raises Conflict or NotPrimary."""
        await self._ask(lambda id: turn.PromoteAsked(id=id, to=to))

    async def force(self, floor: int) -> None:
        """Become primary alone, in an epoch not before `floor`: somebody states that all others are off. Raises Conflict."""
        await self._ask(lambda id: turn.Forced(id=id, floor=floor))

    async def _ask(self, event: Callable[[str], turn.Event]) -> None:
        id, waiting = new_id(), asyncio.get_running_loop().create_future()
        self._answers[id] = waiting
        try:
            self.put(Asked(event(id)))
            async with asyncio.timeout(ANSWER_S):
                came = await waiting
        except TimeoutError:
            raise Conflict("a majority of the instances did not take it in time: it may hold yet") from None
        finally:
            self._answers.pop(id, None)
        if isinstance(came, turn.Refused):
            if came.reason in ("not_primary", "handing_over"):
                raise NotPrimary(came.why, primary=self.peers.url(came.primary))
            raise Conflict(came.why)

    # What the store asks (store.capture.Carrier) ---------------------------------------------------------------------
    def may_write(self) -> bool:
        """Whether this instance holds its lease now."""
        return boottime() < self._until

    def appended(self, entry: StoredEntry) -> None:
        """An entry of ours is durable here: the others shall have it too."""
        self._own.append(entry)
        self._stirred.set()

    async def committed(self, index: int) -> None:
        """Returns when a majority has the entry. NotPrimary when that can no longer be known here."""
        if self._over:
            raise self._not_primary()
        if self.node.role == "primary" and index <= self.node.commit:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits.append((index, waiting))
        await waiting

    def unwritable(self) -> None:
        """This instance's database cannot be written: another one should lead."""
        if self.standing.leads and len(self.node.membership.voters()) > 1:
            self.put(Asked(turn.PromoteAsked(id=new_id())))

    def may_send(self) -> float:
        """How many seconds a message that begins now may take; 0: none may begin."""
        return self.node.may_send(boottime())

    def primary_url(self) -> str | None:
        """Where the primary is reached by its peers, if it is known."""
        return self.peers.url(self.node.primary)

    def lease_left(self) -> float:
        """For how many seconds this instance surely stays primary."""
        return self.node.lease_left(boottime())

    # The loop --------------------------------------------------------------------------------------------------------
    async def _turn_on(self) -> None:
        while True:
            asked = await self._next()
            try:
                await self._step(asked)
            except asyncio.CancelledError:
                raise
            except _TooLate:
                await self._begin_again()
            except Exception:
                telemetry.faults.labels("cluster").inc()
                log.exception("cluster.step_failed", what=type(asked.event).__name__)
                await self._begin_again()
            finally:
                if asked.done is not None and not asked.done.done():
                    asked.done.set_result(None)

    async def install(self, path: Path) -> None:
        """Make the tables what this snapshot says; returns when they are, or when it was refused."""
        done: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self.put(Asked(turn.Ticked(), done=done, snapshot=path))
        await done

    async def begin_behind(self, position: Position, membership: Membership) -> None:
        """As a witness: let the log begin there, where others have tables; returns when it does."""
        done: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self.put(Asked(turn.SnapshotInstalled(position=position, membership=membership), done=done))
        await done

    def hand(self, event: turn.Event) -> None:
        """Hand this in when its turn comes."""
        self.put(Asked(event))

    def put(self, asked: Asked) -> None:
        self._events.append(asked)
        self._stirred.set()

    async def _next(self) -> Asked:
        """What to hand in next: first what the store has put into the log, so that both logs end at the same entry."""
        while True:
            if self._own:
                return self._taken()
            if self._events:
                return self._events.popleft()
            wait = self.node.wakes_at() - boottime()
            if wait <= 0:
                return Asked(turn.Ticked())
            self._stirred.clear()
            try:
                async with asyncio.timeout(None if wait == inf else wait):
                    await self._stirred.wait()
            except TimeoutError:
                return Asked(turn.Ticked())

    def _taken(self) -> Asked:
        entries = tuple(self._own)
        self._own.clear()
        proposals = tuple(turn.Proposal(id=f"entry {e.index}", kind=e.kind, payload=e.payload) for e in entries)
        return Asked(turn.Proposed(proposals=proposals), local=entries)

    async def _step(self, asked: Asked) -> None:
        leads = self.node.role == "primary"
        if isinstance(asked.event, turn.ChangeAsked) and leads:
            async with self.replica.hold():  # nothing of the store's gets between
                await self._do_own()
                await self._do(asked)
        elif isinstance(asked.event, turn.PromoteAsked) and leads:
            await self.replica.follow(None, retry_after_s=1.0)
            await self._do_own()
            await self._do(asked)
            self.news.set()
        else:
            await self._do(asked)

    async def _do_own(self) -> None:
        """Hand in what the store has put into the log already."""
        if self._own:
            await self._do(self._taken())

    async def _do(self, asked: Asked) -> None:
        if asked.snapshot is not None:
            asked.event = await self._install(asked.snapshot)
        elif isinstance(asked.event, turn.SnapshotInstalled):
            position, membership = asked.event.position, disk.membership_bytes(asked.event.membership)
            await self.replica.rebase(StoredPosition(position.epoch, position.index), membership)
        now, committed = boottime(), False
        for effect in self.node.step(now, asked.event):
            match effect:
                case turn.Write():
                    await self._write(effect, asked)
                case turn.Send(to=to, message=message):
                    self._send(to, message, asked)
                case turn.Became():
                    self._became(effect)
                case turn.Committed():
                    committed = True
                case turn.Done(id=id) | turn.Refused(id=id) | turn.HandedOver(id=id):
                    await self._answer(id, effect, asked)
                case turn.Truncated(entries=gone):
                    log.warning("cluster.tail_cut", entries=len(gone), first=gone[0].index)
                case turn.NeedsSnapshot(sender=sender):
                    self._beside.copy(sender)
        self.stored = self.node.commit
        if committed:
            self.settled.set()
        self._until = now + self.node.lease_left(now) if self.node.may_write(now) else 0.0
        self._release(lost=self.node.role != "primary")

    async def _write(self, write: turn.Write, asked: Asked) -> None:
        if isinstance(asked.event, turn.SnapshotInstalled):
            return  # it is written: with the snapshot
        torn = await disk.write(self.replica, write)
        self.torn = self.torn or torn

    def _send(self, to: str, message: Message, asked: Asked) -> None:
        asks = isinstance(asked.event, turn.Received) and isinstance(asked.event.message, Appended)
        waits = asked.sender == to and asked.done is not None and not asked.done.done()
        if waits and asked.done is not None and (asks or isinstance(message, ANSWERS)):
            asked.done.set_result(message)  # who cannot be reached is told what it asked for in no other way
            return
        if self.torn and isinstance(message, PreVote | Vote):
            return  # its tables are not those of the log: it must not lead
        busy = self._saying.setdefault(to, set())
        if len(busy) >= IN_FLIGHT or not self.peers.reaches(to):
            return
        task = asyncio.create_task(self.say(to, message))
        busy.add(task)
        task.add_done_callback(busy.discard)

    async def say(self, to: str, message: Message) -> None:
        try:
            answer = await self.peers.say(to, message)
        except PeerLost as lost:
            telemetry.peers_lost.inc()
            log.debug("cluster.peer_lost", peer=to, error=str(lost))
            return
        if answer is not None:
            self.put(Asked(turn.Received(sender=to, message=answer)))

    def _became(self, effect: turn.Became) -> None:
        before = self.standing
        self.standing = Standing(role=effect.role, epoch=effect.epoch, primary=effect.primary)
        if effect.role != "primary":
            self._until = 0.0
        if effect.role == "elect":
            self.chosen, self.unheard_s = effect.why, self.node.unheard_s(boottime())
        if before != self.standing:
            log.info("cluster.became", role=effect.role, epoch=effect.epoch, primary=effect.primary, why=effect.why)
            self.news.set()
        self.hooks.changed()

    async def _answer(self, id: str, effect: turn.Done | turn.Refused | turn.HandedOver, asked: Asked) -> None:
        waiting = self._answers.get(id)
        if waiting is not None and not waiting.done():
            waiting.set_result(effect)
        if isinstance(effect, turn.Refused) and asked.local and effect.reason != "in_doubt":
            raise _TooLate  # what the store wrote the node did not take: the disk is ahead of it

    def _release(self, *, lost: bool) -> None:
        """Tell who waits for entries that a majority has them, or that it cannot be known any more."""
        left: list[tuple[int, asyncio.Future[None]]] = []
        for index, waiting in self._commits:
            if waiting.done():
                continue
            if not lost and index <= self.node.commit:
                waiting.set_result(None)
            elif lost:
                waiting.set_exception(self._not_primary())
            else:
                left.append((index, waiting))
        self._commits = left

    def _not_primary(self) -> NotPrimary:
        return NotPrimary(primary=self.peers.web(self.node.primary), retry_after_s=self.terms.lease_s, in_doubt=True)

    async def _begin_again(self) -> None:
        """The disk may not be as the node believes: begin again from what is there."""
        self._until = 0.0
        self._release(lost=True)
        while True:
            try:
                await self.replica.follow(None)
                me, found, torn = await disk.read(self.replica)
                break
            except Exception:
                log.exception("cluster.not_begun_again")
                await asyncio.sleep(AGAIN_S)
        self._own.clear()  # they are in what was read
        self.node, self.torn = Node(me, found, boottime(), self.terms), torn
        self.stored = self.node.commit
        self.standing = Standing(role="follower", epoch=self.node.epoch, primary=None)
        self.news.set()

    async def _install(self, path: Path) -> turn.Event:
        """Make the tables what the file says; what the node is told of it."""
        try:
            await self.replica.install(path)
        except (Conflict, Invalid) as refused:
            log.warning("cluster.snapshot_refused", error=str(refused))
            return turn.Ticked()
        self.torn = False
        _, found, _ = await disk.read(self.replica)
        log.info("cluster.snapshot_installed", index=found.base.index)
        return turn.SnapshotInstalled(position=found.base, membership=found.membership)
