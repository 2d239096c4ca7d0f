"""Outbox → notifiers: claim with a lease, send, record. One message is told once.

Messages of one channel and subject leave in order; channels do not wait for each other. How many leave for a channel, and
when they are gathered into a digest, `core.storm` decides; a digest is stored with what it carries before it is sent. A
crash between send and record sends again with the same key. While the database cannot be used, the messages that intake
handed over are sent from memory under the same keys, and what came of them goes to the spool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tocsin import notifiers, telemetry
from tocsin.clock import Clock, new_id, rest
from tocsin.core import digest as digests
from tocsin.core.alert import Channel, OutboxRow, test_message
from tocsin.core.storm import Decision, Waiting, decide, ends, opens
from tocsin.errors import StoreUnavailable
from tocsin.net import Net
from tocsin.pipeline.afloat import Afloat, Queue
from tocsin.pipeline.live import Live
from tocsin.pipeline.pacing import Pacing, Place, Storm
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.sending import GIVE_UP, SEND_LIMIT_S, Sending
from tocsin.pipeline.trouble import Trouble
from tocsin.pipeline.watchlist import Watchlist
from tocsin.secret import Secret
from tocsin.store import Session, Store

log = telemetry.logger("tocsin.delivery")

LEASE_S = 60.0
STOP_S = SEND_LIMIT_S + 2.0
"""How long a stop waits for what is being sent and recorded: as long as a send may take."""
LOOK_S = 1.0
"""Looks at the outbox at least so often while something waits there."""
IDLE_LOOK_S = 15.0
SILENT_S = 60.0
"""Longer than this no look may fail or take."""
PLACES = 200
"""Channels that one look serves at most."""
OFF_LOOK = timedelta(seconds=60)
"""How often a channel that is off is looked at."""


class Delivery:
    """Sends what the outbox intends."""

    def __init__(
        self, store: Store, watchlist: Watchlist, live: Live, net: Net, clock: Clock, *, smtp_url: Secret | None
    ) -> None:
        self._store, self._watchlist, self._live = store, watchlist, live
        self._clock, self._name = clock, new_id()
        self.afloat, self.pacing = Afloat(), Pacing()
        self.trouble = Trouble(store, watchlist, live, clock, self.afloat, self.handed)
        self._behind: set[Place] = set()
        self.one = Sending(
            store=store, watchlist=watchlist, live=live, net=net, clock=clock, smtp_url=smtp_url, afloat=self.afloat,
            pacing=self.pacing, trouble=self.trouble, behind=self._behind.add,
        )  # fmt: skip
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._fresh: set[Place] = set()
        self._rests: dict[Place, datetime] = {}
        self._waiting: tuple[int, datetime | None] = (0, None)
        self._count_at = datetime.min.replace(tzinfo=UTC)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = self._resting = False
        self.pulse = Pulse("delivery", "messages have not been looked for", SILENT_S, clock.monotonic)

    def start(self) -> None:
        """Begin to deliver, first what was left over."""
        self._task = asyncio.create_task(self._deliver(), name="delivery")
        self.pulse.begin(self._task)

    async def hold(self) -> None:
        """Begin to send nothing more."""
        self.pulse.end()
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self, grace_s: float = STOP_S) -> None:
        """Begin nothing more; let what is being sent end and be recorded. What is cut off is sent again later."""
        await self.hold()
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=grace_s)
        for task in tuple(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def renew(self) -> None:
        """Begin again after a stop, while which others may have sent: nothing in memory counts any more."""
        self._stopping = False
        self.pacing.forget()
        self.afloat.forget()
        self.trouble.forget()
        self._fresh.clear()
        self._behind.clear()
        self._rests.clear()
        self.start()

    def nudge(self) -> None:
        """Look at the outbox now: a channel changed."""
        self._rests.clear()
        self._count_at = datetime.min.replace(tzinfo=UTC)
        self._wake.set()

    def handed(self, rows: Sequence[OutboxRow], spooled: bool) -> None:
        """These rows were committed (to the database, or to the spool)."""
        if not rows:
            return
        self.afloat.hand(rows, spooled=spooled)
        places = {(row.workspace_id, row.channel_id) for row in rows}
        self._fresh |= places
        self._behind |= places
        self._wake.set()

    async def test(self, channel: Channel) -> dict[str, Any]:
        """Send a test message now, whatever else waits: {ok, detail, took_ms}. Nothing is stored."""
        message = test_message(channel, self._clock.now(), base_url=self.one.base_url)
        self.pacing.left((channel.workspace_id, channel.id), self._clock.now())
        receipt, took_ms, failure = await self.one.attempt(channel, message)
        if failure is None:
            await self.trouble.took(channel)
        return {"ok": failure is None, "detail": str(failure or receipt.detail), "took_ms": took_ms}

    # The loop -------------------------------------------------------------------------------------------------------
    async def _deliver(self) -> None:
        try:
            await self._recall()
        except StoreUnavailable:
            log.exception("delivery.leases_kept")
        while not self._stopping:
            self._wake.clear()
            pause = IDLE_LOOK_S
            try:
                pause = await self._look()
            except Exception:  # noqa: BLE001 (the outbox stays as it is, and is looked at again)
                self.pulse.fault("delivery.fault")
            else:
                self.pulse.beat()
            await self._rest(pause)

    async def _recall(self) -> None:
        """What was sent before the start counts; and where nobody else sends, what a killed sender held need not wait for
        its lease."""
        everything, since = self._store.everything(), self._clock.now() - timedelta(seconds=60)
        left, places = await everything.read(lambda s: (s.outbox.left_since(since), s.outbox.places()))
        self.pacing.recall(left)
        self._behind.update(place for place, _ in places)
        if self._store.alone:
            await everything.write(lambda s: s.outbox.release())

    async def _rest(self, seconds: float) -> None:
        self._resting = True
        try:
            await rest(self._clock, seconds, self._wake)
        finally:
            self._resting = False

    async def _look(self) -> float:
        """Start what is due; how long to rest."""
        if self.one.budget() <= 0:
            return LOOK_S
        now = self._clock.now()
        away = self._store.breaker.state == "open"
        if not away:
            try:
                await self._serve_stored(now)
            except StoreUnavailable:
                away = True
            away = away or self._store.breaker.state == "open"
        queues = self.afloat.queues(lambda row: self._ready(row, now), everything=away)
        for place, queue in queues.items():
            await self._serve_memory(place, queue, now)
        while self._behind:  # what waits behind a message that its channel does not take; nobody else waits for that
            await self.trouble.follow(self._behind.pop())
        if away:
            self._waiting = len(self.afloat), self.afloat.oldest()
        waiting, oldest = self._waiting
        telemetry.outbox_pending.set(waiting)
        telemetry.outbox_age.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        if not waiting and not len(self.afloat) and not self._fresh:
            return IDLE_LOOK_S
        return min([LOOK_S, *((at - now).total_seconds() for at in self._rests.values() if at > now)])

    def _ready(self, row: OutboxRow, now: datetime) -> bool:
        return row.next_at <= now and row.key not in self._sending

    async def _serve_stored(self, now: datetime) -> None:
        """Decide for each channel that something waits for in the database, then claim and begin."""
        await self._serve(tuple(self._fresh), now)  # what was just handed over does not wait for what waits already
        if now < self._count_at:
            return
        store = self._store.everything()
        found = await store.read(lambda s: (s.outbox.pending_count(), s.outbox.oldest(), s.outbox.places()))
        self._waiting = found[0], found[1]
        if not (found[0] or self._sending or self._fresh or self.afloat.owns):
            self.afloat.clear()
        self._count_at = now + timedelta(seconds=LOOK_S)
        now = self._clock.now()  # later than what was handed over meanwhile
        await self._serve([*self._fresh, *(place for place, at in found[2] if at <= now)], now)

    async def _serve(self, due: Iterable[Place], now: datetime) -> None:
        """Decide for these channels what they are told now, claim it and begin."""
        store = self._store.everything()
        wanted = [p for p in dict.fromkeys(due) if self._rests.get(p, now) <= now and self.pacing.free(p) > 0][:PLACES]
        if not wanted:
            return
        self._fresh.difference_update(wanted)
        peeks = await store.read(lambda s: [(place, s.outbox.peek(place, now)) for place in wanted])
        decisions = [(place, await self._decide(place, waiting, now)) for place, waiting in peeks]
        chosen = [(p, d) for p, d in decisions if d.single or d.gather or d.digest]
        if not chosen:
            return
        claimed = await store.write(lambda s: [(p, d, self._claim(s, p, d, now)) for p, d in chosen])
        for place, decision, rows in claimed:
            fresh, settled = self.afloat.fresh(rows)
            if settled:
                await self._store.settle(settled)
            await self._begin_all(place, fresh, now, gather=decision.gather)

    def _claim(self, s: Session, place: Place, decision: Decision, now: datetime) -> list[OutboxRow]:
        if decision.digest:
            return s.outbox.claim_digest(place, now, LEASE_S, self._name)
        if decision.gather:
            return s.outbox.claim_all(place, now, LEASE_S, self._name)
        return s.outbox.claim(place, now, LEASE_S, decision.single, self._name)

    async def _serve_memory(self, place: Place, queue: Queue, now: datetime) -> None:
        """The same for what waits in memory."""
        if self._rests.get(place, now) > now:
            return
        decision = await self._decide(place, queue.waiting(), now)
        if decision.digest:
            await self._begin_all(place, queue.digest(), now)
        elif decision.gather:
            await self._begin_all(place, queue.all(), now, gather=True)
        else:
            await self._begin_all(place, queue.heads(decision.single), now)

    async def _decide(self, place: Place, waiting: Waiting, now: datetime) -> Decision:
        """What the channel is told now, and a note of when to look again. One that is off is told nothing; what waits for
        one that is gone is dropped where it would be sent."""
        channel = self._watchlist.hearer(*place)
        if channel is None:
            return Decision(single=self.pacing.free(place), digest=waiting.digest == "due")
        if not channel.enabled:
            more = await self.trouble.hold_back(place, channel, now - GIVE_UP)
            self._rests[place] = now if more else now + OFF_LOOK
            return Decision()
        decision = decide(waiting, self.pacing.facts(place, now), now, groups=notifiers.groups(channel.type))
        self._rests.pop(place, None)
        if decision.at is not None:
            self._rests[place] = decision.at
            self._fresh.add(place)
        return decision

    async def _begin_all(self, place: Place, rows: Sequence[OutboxRow], now: datetime, *, gather: bool = False) -> None:
        """Send these, each by itself or all in one."""
        if gather and len(rows) > 1:
            try:
                rows = [await self._gather(place, rows, now)]
            except StoreUnavailable:  # it cannot be kept what a digest carries: some of them leave as they are
                firsts = {row.subject: row for row in sorted(rows, key=lambda row: -row.order)}
                rows = list(firsts.values())[: self.pacing.free(place)]
        for row in rows:
            self._begin(place, row, now)

    async def _gather(self, place: Place, rows: Sequence[OutboxRow], now: datetime) -> OutboxRow:
        """The digest of these, kept with what it carries."""
        storm = self.pacing.storm(place, now)
        name = storm.name if storm is not None else f"{now.timestamp():.3f}"
        earlier = storm.lines if storm is not None and storm.ref is not None else None
        heard = self._watchlist.heard_by(*place)
        make = partial(digests.gather, rows, now, storm=name, base_url=self.one.base_url, earlier=earlier, heard=heard)
        gathered, lines = await asyncio.to_thread(make)  # thousands of lines: the loop has its turns meanwhile
        kept = await self._store.gather(gathered)
        self.afloat.gathered(gathered, spooled=kept == "spooled")
        self.pacing.opened(place, now, sum(map(opens, rows)))
        self.pacing.ended(place, now, sum(map(ends, rows)))
        ref = storm.ref if storm is not None else None
        self.pacing.gathered(place, Storm(now, name, gathered.row.key, ref, lines))
        telemetry.digests.inc()
        log.info("delivery.gathered", channel=place[1], messages=len(rows))
        return gathered.row

    def _begin(self, place: Place, row: OutboxRow, now: datetime) -> None:
        if row.key in self._sending:
            return
        self.pacing.begin(place)
        self.pacing.left(place, now)
        if opens(row) and row.attempts == 0:
            self.pacing.opened(place, now)
        task = asyncio.create_task(self.one.send(row), name=f"send {row.key}")
        self._sending[row.key] = task
        task.add_done_callback(lambda _: self._ended(row, place))

    def _ended(self, row: OutboxRow, place: Place) -> None:
        self._sending.pop(row.key, None)
        self.pacing.end(place)
        self._fresh.add(place)
        self._wake.set()
