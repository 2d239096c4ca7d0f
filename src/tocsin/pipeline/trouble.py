"""When a channel does not take its messages: it is switched off, its fallback is told, and the workspace is told why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from tocsin import notifiers, telemetry
from tocsin.clock import Clock
from tocsin.core.alert import Channel, OutboxRow
from tocsin.core.digest import as_fallback
from tocsin.core.notice import Notice, NoticeKind
from tocsin.core.storm import CANARY, DIGEST
from tocsin.core.wording import one_line
from tocsin.errors import NotFound, StoreUnavailable
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Session, Store
from tocsin.store.batch import Batch
from tocsin.store.outbox import Place

log = telemetry.logger("tocsin.delivery")

HELD_AT_ONCE = 500


class Trouble:
    """What is done about channels that fail. `handed` takes rows that were committed."""

    def __init__(
        self,
        store: Store,
        watchlist: Watchlist,
        live: Live,
        clock: Clock,
        handed: Callable[[Sequence[OutboxRow], bool], None],
    ) -> None:
        self._store, self._watchlist, self._live, self._clock, self._handed = store, watchlist, live, clock, handed

    async def disable(self, used: Channel, reason: str) -> None:
        """Permanent trouble: stop using the channel, and say so. Not when it was changed or deleted meanwhile: the
        trouble was that of what it had been."""
        now = self._clock.now()
        told = _notice(used, "channel.disabled", now, f"{_named(used)} was switched off for good: {reason}")

        def switch_off(s: Session) -> bool:
            stored = s.channels.get(used.id)
            if stored != used:
                return False
            s.channels.replace(replace(stored, enabled=False, disabled_reason=reason, updated_at=now))
            s.notices.put(told)
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
        self._publish(told)

    async def tell_fallback(self, row: OutboxRow, used: Channel, why: str) -> str:
        """Give the message to the channel's fallback too, once; what to add to the log ("" when nobody stands in)."""
        to = self._fallback(used)
        if to is None or row.subject == CANARY:
            return ""
        rows = await self._carried(row) if row.subject == DIGEST and notifiers.groups(to.type) else [row]
        now = self._clock.now()
        if not await self._intend([as_fallback(one, used.name, to.id, why, now) for one in rows]):
            return ""
        text = f"{_named(used)} did not take a message ({why}); {_named(to)} was told instead"
        await self.say(used, "channel.fallback", text)
        return f"; {_named(to)} is told too"

    async def tell_end(self, row: OutboxRow, used: Channel) -> None:
        """The channel took the end of an incident: a fallback that heard of its beginning hears of its end."""
        to = self._fallback(used)
        if to is None or row.incident_id is None or row.message.event != "incident.resolved":
            return
        now = self._clock.now()

        def heard(s: Session, to_id: str = to.id) -> bool:
            told = [d.row for d in s.outbox.list(incident=row.incident_id, limit=500)[0]]
            keys = {one.key for one in told if one.channel_id == to_id}
            ours = [one for one in told if one.channel_id == used.id]
            return any(as_fallback(one, used.name, to_id, "", now).key in keys for one in ours)

        try:
            wanted = await self._store.of(row.workspace_id).read(heard)
        except StoreUnavailable:
            return
        if wanted:
            await self._intend([as_fallback(row, used.name, to.id, "what came before", now)])

    async def hold_back(self, place: Place, off: Channel, before: datetime) -> bool:
        """Note in the log of messages that their channel is off, and hand them to its fallback when trouble switched it
        off; whether there may be more. Those intended before then are given up."""
        now, note = self._clock.now(), f"the channel is disabled: {off.disabled_reason or 'by hand'}"
        to = None if off.disabled_reason is None else self._fallback(off)
        made: list[OutboxRow] = []

        def note_it(s: Session) -> int:
            made.clear()
            held = s.outbox.hold_back(place, note, before, HELD_AT_ONCE)
            wanted = [row for row in held if row.subject != CANARY and row.created_at >= before] if to else []
            instead = [as_fallback(row, off.name, to.id, note, now) for row in wanted] if to else []
            made.extend(row for row in instead if s.outbox.add(row))
            return len(held)

        try:
            held = await self._store.of(place[0]).write(note_it)
        except StoreUnavailable:
            return False
        self._handed(made, False)
        return held >= HELD_AT_ONCE

    async def given_up(self, channel: Channel, error: str) -> None:
        """A message was not delivered for a day."""
        await self.say(channel, "channel.given_up", f"{_named(channel)} lost messages after 24 hours of tries: {error}")

    async def canary_failed(self, channel: Channel, error: str) -> None:
        """A channel's test on a schedule did not arrive."""
        telemetry.canaries.labels(channel.type, "failed").inc()
        await self.say(channel, "channel.canary", f"The canary of {_named(channel)} did not arrive: {error}")

    async def canary_passed(self, channel: Channel, seconds: float) -> None:
        """It arrived: what was said of an earlier one is over."""
        telemetry.canaries.labels(channel.type, "arrived").inc()
        telemetry.canary_seconds.labels(channel.type).observe(seconds)
        mark = f"channel.canary:{channel.id}"
        try:
            workspace = self._store.of(channel.workspace_id)
            if any(n.mark == mark for n in await workspace.read(lambda s: s.notices.list())):
                await workspace.write(lambda s: s.notices.clear(channel.workspace_id, mark))
        except StoreUnavailable:
            log.exception("delivery.notice_not_cleared", channel=channel.id)

    async def say(self, channel: Channel, kind: NoticeKind, text: str) -> None:
        """Keep a notice about a channel."""
        told = _notice(channel, kind, self._clock.now(), text)
        try:
            await self._store.of(channel.workspace_id).write(lambda s: s.notices.put(told))
        except (StoreUnavailable, NotFound):
            log.exception("delivery.notice_not_kept", channel=channel.id, kind=kind)
            return
        self._publish(told)

    def _publish(self, told: Notice) -> None:
        said = event("notice", told.at, channel=told.channel_id, kind=told.kind, text=told.text)
        self._live.publish(told.workspace_id, said)

    def _fallback(self, used: Channel) -> Channel | None:
        to = None if used.fallback is None else self._watchlist.channel(used.workspace_id, used.fallback)
        return to if to is not None and to.enabled and to.id != used.id else None

    async def _carried(self, digest: OutboxRow) -> list[OutboxRow]:
        try:
            return await self._store.of(digest.workspace_id).read(lambda s: s.outbox.carried(digest)) or [digest]
        except StoreUnavailable:
            return [digest]

    async def _intend(self, rows: Sequence[OutboxRow]) -> bool:
        """Commit rows; whether that could be done."""
        try:
            kept = await self._store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
        except StoreUnavailable:
            log.exception("delivery.fallback_not_told", channel=rows[0].channel_id)
            return False
        self._handed(rows, kept == "spooled")
        return True


def _notice(channel: Channel, kind: NoticeKind, now: datetime, text: str) -> Notice:
    return Notice(
        workspace_id=channel.workspace_id, mark=f"{kind}:{channel.id}", kind=kind, at=now,
        text=one_line(text, 400), channel_id=channel.id,
    )  # fmt: skip


def _named(channel: Channel) -> str:
    return one_line(channel.name, 80)
