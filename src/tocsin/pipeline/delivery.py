"""Outbox → notifiers: claim with a lease, send, record. One message is told once.

Messages of one channel and subject leave in order; channels do not wait for each other. A crash between send and record
sends again with the same key. While the database cannot be used, the messages that intake handed over are sent from
memory under the same keys, and what came of them goes to the spool.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tocsin import notifiers, telemetry
from tocsin.clock import Clock, new_id, rest
from tocsin.core.alert import Channel, Message, OutboxRow, test_message
from tocsin.errors import DeliveryFailed, NotFound, StoreUnavailable
from tocsin.net import Net
from tocsin.pipeline.links import Links
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.pulse import Pulse
from tocsin.pipeline.watchlist import Watchlist
from tocsin.secret import Secret
from tocsin.store import Session, Store
from tocsin.store.batch import OutboxOutcome

log = telemetry.logger("tocsin.delivery")

LEASE_S = 60.0
SEND_LIMIT_S = 20.0
STOP_S = SEND_LIMIT_S + 2.0
"""How long a stop waits for what is being sent and recorded."""
LOOK_S = 1.0
"""Looks at the outbox at least so often while something waits there."""
IDLE_LOOK_S = 15.0
SILENT_S = 60.0
"""Longer than this no look may fail or take."""
CLAIM = 200
PER_CHANNEL = 4
"""Messages to one channel at once; the others that were claimed wait their turn."""
HELD = 2000
"""With so many waiting their turn no more are claimed."""
LATE_S = 60.0
GIVE_UP = timedelta(hours=24)
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
LONGEST_ASKED_S = 3600.0
REMEMBERED = 10_000


class Delivery:
    """Sends what the outbox intends."""

    def __init__(
        self, store: Store, watchlist: Watchlist, live: Live, net: Net, clock: Clock, *, smtp_url: Secret | None
    ) -> None:
        self._store, self._watchlist, self._live = store, watchlist, live
        self._net, self._clock, self._smtp_url = net, clock, smtp_url
        self.base_url, self.links = "", Links("", b"")
        self._name = new_id()
        self._known: OrderedDict[str, OutboxRow] = OrderedDict()
        self._own: set[str] = set()
        self._done: OrderedDict[str, OutboxOutcome] = OrderedDict()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._busy: Counter[tuple[str, str]] = Counter()
        self._turns: dict[tuple[str, str], deque[OutboxRow]] = {}
        self._held: set[str] = set()
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
        """Begin nothing more; let what is being sent end and be recorded. What is cut off is sent again after the next
        start, so the grace is as long as a send may take."""
        await self.hold()
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=grace_s)
        for task in tuple(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def nudge(self) -> None:
        """Look at the outbox now."""
        self._wake.set()

    def handed(self, rows: Sequence[OutboxRow], spooled: bool) -> None:
        """Intake committed these rows (to the database, or to the spool)."""
        if not rows:
            return
        for row in rows:
            self._known[row.key] = row
            if spooled:
                self._own.add(row.key)
        while len(self._known) > REMEMBERED:
            self._own.discard(self._known.popitem(last=False)[0])
        self.nudge()

    async def test(self, channel: Channel) -> dict[str, Any]:
        """Send a test message now: {ok, detail, took_ms}. Nothing is stored."""
        message = test_message(channel, self._clock.now(), base_url=self.base_url)
        ok, detail, took_ms, _ = await self._attempt(channel, message)
        return {"ok": ok, "detail": detail, "took_ms": took_ms}

    # The loop -------------------------------------------------------------------------------------------------------
    async def _deliver(self) -> None:
        if self._store.alone:  # nobody else sends: what a killed sender held need not wait for its lease
            try:
                await self._store.everything().write(lambda s: s.outbox.release())
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

    async def _rest(self, seconds: float) -> None:
        """Until somebody nudges, or so many seconds have passed."""
        self._resting = True
        try:
            await rest(self._clock, seconds, self._wake)
        finally:
            self._resting = False

    async def _look(self) -> float:
        """Start what is due; how long to rest."""
        now = self._clock.now()
        try:
            rows = [] if self._store.breaker.state == "open" else await self._claim(now)
            away = self._store.breaker.state == "open"
        except StoreUnavailable:
            rows, away = [], True
        for row in (*rows, *self._due_in_memory(now, everything=away)):
            self._begin(row)
        if away:
            self._waiting = len(self._known), min((row.created_at for row in self._known.values()), default=None)
        waiting, oldest = self._waiting
        telemetry.outbox_pending.set(waiting)
        telemetry.outbox_age.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        return 0.0 if len(rows) >= CLAIM else LOOK_S if waiting else IDLE_LOOK_S

    async def _claim(self, now: datetime) -> list[OutboxRow]:
        """Due rows of the database that are not already known to be done."""
        store = self._store.everything()
        if len(self._held) >= HELD:
            return []
        if now >= self._count_at:  # many messages make many looks, and the figures need not be that fresh
            self._waiting = await store.read(lambda s: (s.outbox.pending_count(), s.outbox.oldest()))
            self._count_at = now + timedelta(seconds=LOOK_S)
        next_at = await store.read(lambda s: s.outbox.next_at())
        if not _anything_due(next_at, now):
            return []
        rows = await store.write(lambda s: s.outbox.claim(now, LEASE_S, CLAIM, self._name))
        settled = [self._done[row.key] for row in rows if row.key in self._done]
        if settled:
            await self._store.settle(settled)
        fresh = [row for row in rows if row.key not in self._done and row.key not in self._own]
        for row in fresh:
            self._known[row.key] = row
        return fresh

    def _due_in_memory(self, now: datetime, *, everything: bool) -> list[OutboxRow]:
        """Due rows of memory that the database does not have yet (or all, when it is away), the first of each channel
        and subject only."""
        if not everything and not self._own:
            return []
        heads: dict[tuple[str, str, str], OutboxRow] = {}
        for row in self._known.values():
            place = (row.workspace_id, row.channel_id, row.subject)
            head = heads.get(place)
            if head is None or row.order < head.order:
                heads[place] = row
        return [row for row in heads.values() if row.next_at <= now and (everything or row.key in self._own)]

    def _begin(self, row: OutboxRow) -> None:
        if row.key in self._sending or row.key in self._held:
            return
        place = (row.workspace_id, row.channel_id)
        if self._busy[place] >= PER_CHANNEL:
            self._turns.setdefault(place, deque()).append(row)
            self._held.add(row.key)
            return
        self._busy[place] += 1
        task = asyncio.create_task(self._send(row), name=f"send {row.key}")
        self._sending[row.key] = task
        task.add_done_callback(lambda _: self._ended(row, place))

    def _ended(self, row: OutboxRow, place: tuple[str, str]) -> None:
        self._sending.pop(row.key, None)
        self._busy[place] -= 1
        turns = self._turns.get(place)
        while turns and not self._stopping:
            following = turns.popleft()
            self._held.discard(following.key)
            if following.lease_until is None or following.lease_until > self._clock.now() + timedelta(
                seconds=SEND_LIMIT_S
            ):
                self._begin(following)
                break
        if not turns:
            self._turns.pop(place, None)
        if not self._busy[place]:
            del self._busy[place]
        self.nudge()

    # One row --------------------------------------------------------------------------------------------------------
    async def _send(self, row: OutboxRow) -> None:
        channel = self._watchlist.telling(row.workspace_id).hearer(row.channel_id)
        if channel is None:
            await self._settle(row, state="dropped", error="the channel is gone", sent=False)
            return
        now = self._clock.now()
        if not channel.enabled:
            await self._put_off(row, now, f"the channel is disabled: {channel.disabled_reason or 'by hand'}")
            return
        late_s = (now - row.created_at).total_seconds()
        message = replace(row.message, late_s=round(late_s, 1)) if late_s > LATE_S else row.message
        ok, detail, took_ms, failure = await self._attempt(channel, self.links.onto(row, message))
        outcome = "sent" if ok else "permanent" if failure is not None and failure.permanent else "failed"
        telemetry.notifications.labels(channel.type, outcome).inc()
        if ok:
            telemetry.delivery_seconds.labels(channel.type).observe(max(0.0, late_s + took_ms / 1000))
            await self._settle(row, state="sent", ok=True, took_ms=took_ms)
        elif outcome == "permanent" and self._watchlist.channel(row.workspace_id, row.channel_id) == channel:
            await self._settle(row, state="failed", error=detail, took_ms=took_ms)
            await self._disable(channel, detail)
        else:
            await self._again(row, detail, took_ms, failure)

    async def _attempt(self, channel: Channel, message: Message) -> tuple[bool, str, float, DeliveryFailed | None]:
        """Whether it was delivered, what was said, how long it took, and the failure."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        failure: DeliveryFailed | None = None
        detail = ""
        try:
            receipt = await notifiers.send(
                channel, message, self._net, smtp_url=self._smtp_url, deadline_s=SEND_LIMIT_S
            )
            detail = receipt.detail
        except DeliveryFailed as error:
            failure, detail = error, str(error)
        took_ms = round((loop.time() - begun) * 1000, 3)
        return failure is None, detail, took_ms, failure

    async def _again(self, row: OutboxRow, error: str, took_ms: float, failure: DeliveryFailed | None) -> None:
        now = self._clock.now()
        wait_s = backoff_s(row.key, row.attempts)
        if failure is not None and failure.retry_after_s is not None:
            wait_s = max(wait_s, min(failure.retry_after_s, LONGEST_ASKED_S))
        if now + timedelta(seconds=wait_s) - row.created_at > GIVE_UP:
            await self._settle(row, state="failed", error=f"given up after 24 hours: {error}", took_ms=took_ms)
            return
        await self._settle(row, state="pending", error=error, took_ms=took_ms, next_at=now + timedelta(seconds=wait_s))

    async def _put_off(self, row: OutboxRow, now: datetime, why: str) -> None:
        if now - row.created_at > GIVE_UP:
            await self._settle(row, state="failed", error=why, sent=False)
        else:
            later = now + timedelta(seconds=LONGEST_WAIT_S)
            await self._settle(row, state="pending", error=why, sent=False, next_at=later)

    async def _settle(self, row: OutboxRow, **outcome: Any) -> None:
        """Record what came of it, at once, in memory first."""
        done = OutboxOutcome(key=row.key, workspace_id=row.workspace_id, at=self._clock.now(), **outcome)
        if done.state == "pending":
            attempts = row.attempts + int(done.sent)
            known = replace(row, attempts=attempts, next_at=done.next_at or row.next_at, last_error=done.error)
            self._known[row.key] = known
        else:
            self._known.pop(row.key, None)
            self._own.discard(row.key)
            self._done[row.key] = done
            while len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
        try:
            await self._store.settle([done])
        except StoreUnavailable:
            log.exception("delivery.outcome_not_recorded", key=row.key, state=done.state)
        data = {"key": row.key, "channel": row.channel_id, "incident": row.incident_id, "error": done.error}
        if done.sent:
            kind = "notification.sent" if done.ok else "notification.failed"
            self._live.publish(row.workspace_id, event(kind, done.at, row.monitor_id, **data))

    async def _disable(self, used: Channel, reason: str) -> None:
        """Permanent trouble: stop using the channel, and say so. Not when it was changed or deleted meanwhile: the
        trouble was that of what it had been."""
        now = self._clock.now()

        def switch_off(s: Session) -> bool:
            stored = s.channels.get(used.id)
            if stored != used:
                return False
            s.channels.replace(replace(stored, enabled=False, disabled_reason=reason, updated_at=now))
            return True

        try:
            disabled = await self._store.of(used.workspace_id).write(switch_off)
            await self._watchlist.load_telling(used.workspace_id)
        except NotFound:
            disabled = False
        except StoreUnavailable:
            log.exception("delivery.channel_not_disabled", channel=used.id)
            disabled = False
        if not disabled:
            return
        log.error("delivery.channel_disabled", channel=used.id, reason=reason)
        gone = event("channel.disabled", now, channel=used.id, name=used.name, reason=reason)
        self._live.publish(used.workspace_id, gone)


def backoff_s(key: str, attempts: int) -> float:
    """How long to wait after so many failed attempts before this one: 1 s doubled each time up to 5 min, with jitter
    that is a hash of the key (so that a test can know it)."""
    span = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts, 20))
    share = int.from_bytes(hashlib.blake2b(f"{key}\n{attempts}".encode(), digest_size=4).digest()) / 2**32
    return span * (0.75 + 0.25 * share)


def _anything_due(next_at: datetime | None, now: datetime) -> bool:
    return next_at is not None and next_at <= now
