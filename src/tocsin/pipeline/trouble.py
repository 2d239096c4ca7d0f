"""When a channel does not take its messages: it is switched off, its fallback is told, and the workspace is told why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.alert import Channel, OutboxRow
from tocsin.core.digest import as_fallback
from tocsin.core.notice import Notice, NoticeKind
from tocsin.core.refusal import REFUSALS, REFUSED_FOR, Refusals, again
from tocsin.core.storm import CANARY, DIGEST
from tocsin.core.wording import one_line, span
from tocsin.errors import NotFound, StoreUnavailable
from tocsin.pipeline.afloat import Afloat
from tocsin.pipeline.live import Live, event
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Session, Store
from tocsin.store.batch import Batch
from tocsin.store.outbox import Place
from tocsin.store.stand_ins import Stuck

log = telemetry.logger("tocsin.delivery")

HELD_AT_ONCE = 500
TRIES = 5
"""After so many failed attempts the channel's fallback is told too, and a canary is given up."""
SLOW_S = 5.0
"""A try that fails after so long is one that hung; two of them in a row are enough."""


class Trouble:
    """What is done about channels that fail. `afloat` is what is known of messages in memory, `handed` takes rows that
    were committed."""

    def __init__(
        self,
        store: Store,
        watchlist: Watchlist,
        live: Live,
        clock: Clock,
        afloat: Afloat,
        handed: Callable[[Sequence[OutboxRow], bool], None],
    ) -> None:
        self._store, self._watchlist, self._live, self._clock = store, watchlist, live, clock
        self._afloat, self._handed = afloat, handed
        self.forget()

    def forget(self) -> None:
        """Know nothing of how channels were lately, as at the beginning: what fails is counted anew."""
        self._refused: dict[str, Refusals] = {}
        self._slow: set[str] = set()
        self._helped: set[str] = set()

    def done(self, key: str) -> None:
        """Nothing more is tried with that message."""
        self._refused.pop(key, None)
        self._slow.discard(key)
        self._helped.discard(key)

    def refused(self, used: Channel, now: datetime) -> Refusals:
        """The channel refused one more message, with none that it took in between: how often by now."""
        return self.refused_one(used.id, used, now)

    def refused_one(self, key: str, used: Channel, now: datetime) -> Refusals:
        """The channel refused that message once more: how often by now."""
        found = self._refused[key] = again(self._refused.get(key), used.updated_at, now)
        return found

    async def took(self, used: Channel) -> None:
        """The channel took a message: what it refused before was no end."""
        if self._refused.pop(used.id, None) is not None:
            await self._clear(used, "channel.refused")

    def needs_help(self, key: str, tries: int, took_ms: float) -> bool:
        """Whether the fallback is told now of a message that failed again: after so many tries, or when two in a row took
        long, which so many would too."""
        slow = took_ms >= SLOW_S * 1000
        twice = slow and key in self._slow
        (self._slow.add if slow else self._slow.discard)(key)
        return key not in self._helped and (twice or tries == TRIES)

    def stuck(self, key: str, tries: int) -> bool:
        """Whether what waits behind a message goes to the fallback."""
        return key in self._helped or tries >= TRIES

    async def say_refused(self, used: Channel, reason: str, also: str) -> None:
        """The first refusal: what will come of it."""
        text = f"{_named(used)} refused a message: {one_line(reason, 150)}{also}. It is asked again; "
        ends = (
            f"after {REFUSALS} refusals in a row, over {span(REFUSED_FOR.total_seconds())} or more, it is switched off"
        )
        await self.say(used, "channel.refused", text + ends)

    async def lost(self, used: Channel, reason: str) -> None:
        """A message will not be taken, and the channel is not switched off for that."""
        await self.say(used, "channel.given_up", f"{_named(used)} did not get a message: {reason}")

    async def disable(self, used: Channel, reason: str, refusals: Refusals, also: str = "") -> None:
        """Permanent trouble: stop using the channel, and say so, with what is done instead, in the place of what was said
        of it before. Not when it was changed or deleted meanwhile: the trouble was that of what it had been."""
        now = self._clock.now()
        often = f"{refusals.count} refusals in {span((now - refusals.since).total_seconds())}"
        text = f"{_named(used)} was switched off after {often}: {one_line(reason, 150)}{also}. "
        mend = "A test message that it takes, or a change of it, switches it on again"
        told = _notice(used, "channel.disabled", now, text + mend)

        def switch_off(s: Session) -> bool:
            stored = s.channels.get(used.id)
            if stored != used:
                return False
            s.channels.replace(replace(stored, enabled=False, disabled_reason=reason, updated_at=now))
            for kind in ("channel.fallback", "channel.canary", "channel.refused"):
                s.notices.clear(used.workspace_id, f"{kind}:{used.id}")
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

    async def tell_fallback(self, row: OutboxRow, used: Channel, why: str, *, aloud: bool = True) -> str:
        """Give the message to the channel's fallback too, once, with a notice where it is `aloud`; what to add to the log
        ("" when nobody stands in)."""
        to = self._fallback(used)
        if to is None or row.subject == CANARY:
            return ""
        self._helped.add(row.key)
        now, rows = self._clock.now(), await self._carried(row)
        lent = await self._lend([as_fallback(one, used.name, to.id, why, now) for one in rows])
        if lent is None:
            return ""
        if aloud:
            instead = "was told instead" if lent else "knows it already"
            text = f"{_named(used)} did not take a message ({why}); {_named(to)} {instead}"
            await self.say(used, "channel.fallback", text)
        return f"; {_named(to)} {'is told too' if lent else 'knows it already'}"

    async def follow(self, place: Place) -> None:
        """What waits behind messages that a channel has failed to take TRIES times goes to its fallback too, in order,
        each once; and so do those, if they have not yet."""
        used = self._watchlist.channel(*place)
        to = self._fallback(used) if used is not None and used.enabled else None
        if used is None or to is None:
            return
        now, more = self._clock.now(), True
        while more:
            rows = await self._lacking(place, to.id)
            copies = [as_fallback(row, used.name, to.id, self._why(row), now) for row in rows]
            more = bool(copies and await self._lend(copies)) and len(rows) >= HELD_AT_ONCE

    async def _lacking(self, place: Place, to: str) -> list[OutboxRow]:
        """What a channel is stuck with and the other one lacks; what the database does not know, memory does."""
        rows: list[OutboxRow] = []
        away = self._store.breaker.state != "closed" or self._afloat.owns
        try:
            lacking = self._store.of(place[0]).read(
                lambda s: s.stand_ins.lacking(place, to, self._stuck(), HELD_AT_ONCE)
            )
            rows = await lacking
        except StoreUnavailable:
            away = True
        return [*rows, *self._afloat.lacking(place, self._stuck())] if away else rows

    def _stuck(self) -> Stuck:
        return Stuck(TRIES, tuple(self._helped))

    def _why(self, row: OutboxRow) -> str:
        """Why a message goes to the fallback; empty when it is for what came before it."""
        return f"{row.attempts} tries: {row.last_error}" if self.stuck(row.key, row.attempts) and row.last_error else ""

    async def tell_end(self, row: OutboxRow, used: Channel) -> None:
        """The channel took the end of an incident (by itself, or in a digest): a fallback that heard of its beginning hears
        of its end."""
        to = self._fallback(used)
        if to is None or (row.subject != DIGEST and row.message.event != "incident.resolved"):
            return
        now = self._clock.now()
        ends = [one for one in await self._carried(row) if one.message.event == "incident.resolved"]

        def heard(s: Session, to_id: str = to.id) -> list[OutboxRow]:
            return [end for end in ends if s.stand_ins.heard(end, to_id)]

        try:
            wanted = await self._store.of(row.workspace_id).read(heard) if ends else []
        except StoreUnavailable:
            return
        await self._lend([as_fallback(end, used.name, to.id, "", now) for end in wanted])

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
            each = [one for row in wanted for one in _parts(s, row)]
            instead = [as_fallback(row, off.name, to.id, note, now) for row in each] if to else []
            made.extend(row for row in instead if s.stand_ins.lend(row))
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
        await self._clear(channel, "channel.canary")

    async def say(self, channel: Channel, kind: NoticeKind, text: str) -> None:
        """Keep a notice about a channel."""
        told = _notice(channel, kind, self._clock.now(), text)
        try:
            await self._store.of(channel.workspace_id).write(lambda s: s.notices.put(told))
        except (StoreUnavailable, NotFound):
            log.exception("delivery.notice_not_kept", channel=channel.id, kind=kind)
            return
        self._publish(told)

    async def _clear(self, channel: Channel, kind: NoticeKind) -> None:
        mark = f"{kind}:{channel.id}"
        try:
            workspace = self._store.of(channel.workspace_id)
            if any(n.mark == mark for n in await workspace.read(lambda s: s.notices.list())):
                await workspace.write(lambda s: s.notices.clear(channel.workspace_id, mark))
        except StoreUnavailable:
            log.exception("delivery.notice_not_cleared", channel=channel.id)

    def _publish(self, told: Notice) -> None:
        said = event("notice", told.at, channel=told.channel_id, kind=told.kind, text=told.text)
        self._live.publish(told.workspace_id, said)

    def _fallback(self, used: Channel) -> Channel | None:
        to = None if used.fallback is None else self._watchlist.channel(used.workspace_id, used.fallback)
        return to if to is not None and to.enabled and to.id != used.id else None

    async def _carried(self, row: OutboxRow) -> list[OutboxRow]:
        """What a digest carries; any other message is itself."""
        if row.subject != DIGEST:
            return [row]
        try:
            return await self._store.of(row.workspace_id).read(lambda s: _parts(s, row))
        except StoreUnavailable:
            return self._afloat.parts(row)

    async def _lend(self, rows: Sequence[OutboxRow]) -> list[OutboxRow] | None:
        """Commit messages for a channel that stands in, but for those it has or hears of by itself; which they are. None
        when that cannot be done."""
        wanted = self._afloat.new(rows)
        if not wanted:
            return []
        try:
            lend = partial(_lend, wanted)
            made, spooled = await self._store.of(wanted[0].workspace_id).write(lend), False
        except StoreUnavailable:
            try:
                batch = Batch(id=wanted[0].key, outbox=tuple(wanted))
                made, spooled = wanted, await self._store.commit(batch) == "spooled"
            except StoreUnavailable:
                log.exception("delivery.fallback_not_told", channel=wanted[0].channel_id)
                return None
        self._handed(made, spooled)
        return made


def _notice(channel: Channel, kind: NoticeKind, now: datetime, text: str) -> Notice:
    return Notice(
        workspace_id=channel.workspace_id, mark=f"{kind}:{channel.id}", kind=kind, at=now,
        text=one_line(text, 400), channel_id=channel.id,
    )  # fmt: skip


def _parts(s: Session, row: OutboxRow) -> list[OutboxRow]:
    """What a digest carries, else the message itself."""
    return (s.outbox.carried(row) if row.subject == DIGEST else []) or [row]


def _lend(rows: Sequence[OutboxRow], s: Session) -> list[OutboxRow]:
    return [row for row in rows if s.stand_ins.lend(row)]


def _named(channel: Channel) -> str:
    return one_line(channel.name, 80)
