"""One message: sent to its channel, and what came of that recorded, at once and in memory first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.alert import PERSON, Channel, Message, OutboxRow
from tocsin.core.backoff import backoff_s
from tocsin.core.refusal import ASK_AGAIN_S
from tocsin.core.storm import CANARY, DIGEST, ends
from tocsin.errors import DeliveryFailed, StoreUnavailable
from tocsin.net import Net
from tocsin.notifiers import Receipt
from tocsin.pipeline.afloat import Afloat
from tocsin.pipeline.attempt import attempt
from tocsin.pipeline.links import Links
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.pacing import Pacing, Place
from tocsin.pipeline.trouble import TRIES, Trouble
from tocsin.pipeline.watchlist import Watchlist
from tocsin.secret import Secret
from tocsin.store import Store
from tocsin.store.batch import OutboxOutcome

log = telemetry.logger("tocsin.delivery")

SEND_LIMIT_S = 20.0
LATE_S = 60.0
GIVE_UP = timedelta(hours=24)
LONGEST_ASKED_S = 3600.0


@dataclass(slots=True, kw_only=True)
class Sending:
    """What sends one message. `behind` is told of a channel at which something waits behind what it does not take.
    `budget`: how many seconds a message may take that begins now; 0: none may begin (this instance leads no more)."""

    store: Store
    watchlist: Watchlist
    live: Live
    net: Net
    clock: Clock
    smtp_url: Secret | None
    afloat: Afloat
    pacing: Pacing
    trouble: Trouble
    behind: Callable[[Place], None]
    budget: Callable[[], float] = lambda: SEND_LIMIT_S
    base_url: str = ""
    links: Links = field(default_factory=lambda: Links("", b""))

    async def send(self, row: OutboxRow) -> None:
        """Send a message, and record what came of it."""
        channel = self.watchlist.hearer(row.workspace_id, row.channel_id)
        if channel is None:
            await self._settle(row, state="dropped", error="the channel is gone", sent=False)
            return
        late_s = (self.clock.now() - row.created_at).total_seconds()
        message = replace(row.message, late_s=round(late_s, 1)) if late_s > LATE_S else row.message
        earlier = await self._earlier(row)
        if ends(row) and earlier is None and row.attempts == 0:
            self.pacing.ended((row.workspace_id, row.channel_id), self.clock.now())
        receipt, took_ms, failure = await self.attempt(channel, self.links.onto(row, message), earlier)
        outcome = "sent" if failure is None else "permanent" if failure.permanent else "failed"
        telemetry.notifications.labels(channel.type, outcome).inc()
        if failure is None:
            telemetry.delivery_seconds.labels(channel.type).observe(max(0.0, late_s + took_ms / 1000))
            self.pacing.told((row.workspace_id, row.channel_id), row.key, receipt.ref)
            note = receipt.note or None
            await self._settle(row, state="sent", ok=True, error=note, took_ms=took_ms, ref=receipt.ref)
            if row.subject == CANARY:
                await self.trouble.canary_passed(channel, max(0.0, late_s + took_ms / 1000))
            await self.trouble.took(channel)
            await self.trouble.tell_end(row, channel)
        elif failure.permanent and self.watchlist.hearer(row.workspace_id, row.channel_id) == channel:
            await self._refused(row, channel, took_ms, str(failure))
        else:
            await self._again(row, channel, took_ms, failure)

    async def _earlier(self, row: OutboxRow) -> str | None:
        """What the other side calls the message that this one may be put in the place of."""
        if row.subject == DIGEST:
            storm = self.pacing.storm((row.workspace_id, row.channel_id), self.clock.now())
            return storm.ref if storm is not None and storm.key == row.key else None
        if row.message.event != "incident.resolved" or row.incident_id is None:
            return None
        try:
            return await self.store.of(row.workspace_id).read(lambda s: s.outbox.earlier_ref(row))
        except StoreUnavailable:
            return None

    async def attempt(
        self, channel: Channel, message: Message, earlier: str | None = None
    ) -> tuple[Receipt, float, DeliveryFailed | None]:
        """What the other side said, how long it took, and the failure, if it is one."""
        limit_s = min(SEND_LIMIT_S, self.budget() or 1.0)
        return await attempt(channel, message, self.net, self.smtp_url, limit_s, earlier)

    async def _again(self, row: OutboxRow, channel: Channel, took_ms: float, failure: DeliveryFailed) -> None:
        now, error = self.clock.now(), str(failure)
        wait_s = backoff_s(row.key, row.attempts)
        if failure.retry_after_s is not None:
            asked_s = min(failure.retry_after_s, LONGEST_ASKED_S)
            wait_s = max(wait_s, asked_s)
            self.pacing.rests((row.workspace_id, row.channel_id), now + timedelta(seconds=asked_s))
        later = now + timedelta(seconds=wait_s)
        if row.subject == CANARY and row.attempts + 1 >= TRIES:
            await self._settle(row, state="failed", error=error, took_ms=took_ms)
            await self.trouble.canary_failed(channel, error)
        elif later - row.created_at > GIVE_UP:
            await self._settle(row, state="failed", error=f"given up after 24 hours: {error}", took_ms=took_ms)
            await self.trouble.given_up(channel, error)
        else:
            tries = row.attempts + 1
            instead = self.trouble.needs_help(row.key, tries, took_ms)
            words = f"{tries} tries: {error}"
            also = await self.trouble.tell_fallback(row, channel, words) if instead else ""
            await self._settle(row, state="pending", error=error + also, took_ms=took_ms, next_at=later)
            if self.trouble.stuck(row.key, tries):
                self.behind((row.workspace_id, row.channel_id))

    async def _refused(self, row: OutboxRow, channel: Channel, took_ms: float, error: str) -> None:
        """The other side will not take it: neither soon nor, as it says, ever. That is believed when it says so again."""
        if channel.id.startswith(PERSON):
            await self.trouble.lost(channel, error)
            await self._settle(row, state="failed", error=error, took_ms=took_ms)
            return
        now = self.clock.now()
        known, own = self.trouble.refused(channel, now), self.trouble.refused_one(row.key, channel, now)
        also = await self.trouble.tell_fallback(row, channel, error, aloud=False)
        if known.final(now):
            await self.trouble.disable(channel, error, known, also)  # first: nothing more shall leave for it
        elif row.subject == CANARY:
            await self._settle(row, state="failed", error=error, took_ms=took_ms)
            await self.trouble.canary_failed(channel, error)
            return
        elif own.final(now):
            await self._settle(row, state="failed", error=error + also, took_ms=took_ms)
            await self.trouble.lost(channel, error)
            return
        elif known.count == 1:
            await self.trouble.say_refused(channel, error, also)
        used = self.watchlist.hearer(row.workspace_id, row.channel_id)
        off = used is not None and not used.enabled
        later = now if off else now + timedelta(seconds=ASK_AGAIN_S)
        await self._settle(row, state="pending", error=error + also, took_ms=took_ms, next_at=later)
        self.behind((row.workspace_id, row.channel_id))

    async def _settle(self, row: OutboxRow, **outcome: Any) -> None:
        """Record what came of it, at once, in memory first."""
        done = OutboxOutcome(key=row.key, workspace_id=row.workspace_id, at=self.clock.now(), **outcome)
        attempts = row.attempts + int(done.sent)
        known = replace(row, attempts=attempts, next_at=done.next_at or row.next_at, last_error=done.error)
        self.afloat.settled(known, done)
        if done.state != "pending":
            self.trouble.done(row.key)
        try:
            await self.store.settle([done])
        except StoreUnavailable:
            log.exception("delivery.outcome_not_recorded", key=row.key, state=done.state)
        data = {"key": row.key, "channel": row.channel_id, "incident": row.incident_id, "error": done.error}
        if done.sent:
            kind = "notification.sent" if done.ok else "notification.failed"
            self.live.publish(row.workspace_id, event(kind, done.at, row.monitor_id, **data))
