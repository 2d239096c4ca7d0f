"""Turns on their way to people: handed over to the server, or told by the agent itself when it gives no receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from tocsin import notifiers, telemetry
from tocsin.agent.client import Refused, Servers, pause_s
from tocsin.agent.disk import Disk, Hand
from tocsin.agent.identity import Identity
from tocsin.agent.ledger import Ledger, write
from tocsin.agent.quiet import Quiet
from tocsin.agent.wire import FINDINGS, Findings, Receipt
from tocsin.clock import Clock, rest
from tocsin.core import handover
from tocsin.core.alert import Channel, Message
from tocsin.core.backoff import backoff_s
from tocsin.core.handover import GIVE_UP_S, RECEIPT_S, Key, Turn
from tocsin.core.host_words import Speaker, digest_of, message_of, note_of
from tocsin.core.plain import clip
from tocsin.errors import DeliveryFailed, PeerLost
from tocsin.net import Net
from tocsin.secret import Secret

log = telemetry.logger("tocsin.agent.alerts")

HAND_OVER_S = 8.0
"""How long the server may take; shorter than the time after which the agent tells by itself."""
SHORTEST_S = 1.0
DEADLINE_S = 10.0
MOST_AT_ONCE = 200
MOST_ALONE = 5
"""More turns than that at once are one message."""
LONGEST_PAUSE_S = 5.0
"""Turns are urgent: a server that was away is asked again so soon."""
SLOW_S = 300.0


class Way:
    """How often one channel was tried for one turn."""

    __slots__ = ("attempts", "began", "next_at")

    def __init__(self, now: float) -> None:
        self.attempts, self.began, self.next_at = 0, now, now


class Alerts:
    """Brings each turn to somebody. `identity` and `name` say whose turns they are, `quiet` when nothing is told."""

    def __init__(self, hand: Hand, disk: Disk, ledger: Ledger, servers: Servers, net: Net, clock: Clock) -> None:
        self._hand, self._disk, self.ledger, self._servers, self._net, self._clock = (
            hand, disk, ledger, servers, net, clock,
        )  # fmt: skip
        self.identity: Identity | None = None
        self.name = ""
        self.quiet = Quiet(clock)
        self.channels: dict[str, Channel] = {}
        self.smtp_url: Secret | None = None
        self.troubles: dict[str, str] = {}
        self._ways: dict[tuple[Key, str], Way] = {}
        self._busy: dict[Key, asyncio.Task[None]] = {}
        self._handing: set[Key] = set()
        self._wake_hand, self._wake_tell = asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Something turned, or the server is back."""
        self._wake_hand.set()
        self._wake_tell.set()

    async def save(self) -> None:
        """Put on disk what has changed."""
        what = self.ledger.to_write(self._disk.incarnation)
        if what is None:
            return
        wrong = await self._hand.do(write, self._disk, what)
        if wrong:
            self.ledger.not_written(what, wrong)
        else:
            self.ledger.trouble = ""

    # --- handing over -----------------------------------------------------------------------------------------------

    async def hand_over(self) -> None:
        """Give turns to the server as long as it runs, until it is cancelled."""
        failures = 0
        while True:
            wait = 3600.0
            try:
                while await self._give():
                    failures = 0
                failures = 0
            except PeerLost as lost:
                failures += 1
                wait = self._wait_s(lost, failures)
            except Exception:
                telemetry.faults.labels("agent").inc()
                log.exception("agent.handing_over_failed")
                wait = LONGEST_PAUSE_S
            self._wake_hand.clear()
            await rest(self._clock, wait, self._wake_hand)

    def _wait_s(self, lost: PeerLost, failures: int) -> float:
        pause = pause_s(self._servers.name, failures, LONGEST_PAUSE_S)
        if isinstance(lost, Refused):
            slow = pause_s(self._servers.name, 10, SLOW_S) if lost.cause == "key" else 0.0
            return max(pause, slow, lost.retry_after_s or 0.0)
        return pause

    async def _give(self) -> bool:
        """Hand over what there is; whether there may be more. Raises PeerLost."""
        turns, limit_s = self._to_give()
        if not turns:
            return False
        self._handing = {turn.key for turn in turns}
        try:
            await self.save()  # a number is never given out that a restart would give out again
            said = Findings(
                incarnation=self._disk.incarnation, life=self._disk.life, findings=[turn.finding for turn in turns]
            )  # fmt: skip
            async with asyncio.timeout(limit_s):
                receipt = await self._servers.ask("POST", FINDINGS, said, Receipt, timeout_s=self._share(limit_s))
        except TimeoutError:
            raise PeerLost(f"no receipt within {limit_s:g} s") from None
        finally:
            self._handing = set()
            self._wake_tell.set()
        self._servers.learn(receipt.urls)
        for turn in turns[: max(0, receipt.taken)]:
            self._filed(turn)
        await self.save()
        if receipt.taken <= 0:
            raise PeerLost("the server took none of the turns")
        return True

    def _to_give(self) -> tuple[list[Turn], float]:
        """What to hand over now, and how long that may take: nothing is under way any more when the agent begins to tell it
        by itself."""
        if self.identity is None:
            return [], HAND_OVER_S
        now, limit_s = self._clock.monotonic(), HAND_OVER_S
        turns = handover.to_hand_over(self.ledger.turns, self.channels, self._busy, now)
        untold = handover.untold(self.ledger.turns, quiet=self.quiet.holds)
        for at, turn in enumerate(turns):
            if at >= MOST_AT_ONCE:
                return turns[:at], limit_s
            if turn.told or turn.own or turn.key in untold or not self._open(turn):
                continue
            left = turn.born + RECEIPT_S - now
            if left < SHORTEST_S:
                return turns[:at], limit_s
            limit_s = min(limit_s, left)
        return turns, limit_s

    def _share(self, limit_s: float) -> float:
        """How long each of the servers may take."""
        return max(SHORTEST_S, limit_s / max(1, len(self._servers.urls)))

    def _filed(self, given: Turn) -> None:
        """The server has it as it was given. What the agent has come to tell meanwhile, it is given once more."""
        now = self.ledger.turn(given.key)
        if now is not None and now.finding == given.finding:
            self.ledger.receipted(given.key)
            self._settle(given.key)

    def _settle(self, key: Key) -> None:
        turn = self.ledger.turn(key)
        if turn is not None and handover.is_done(turn, self.ledger.turns, self.channels):
            self.ledger.remove(key)
            self._ways = {way: tried for way, tried in self._ways.items() if way[0] != key}

    # --- telling ----------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell what the server gave no receipt for, until it is cancelled."""
        while True:
            self._wake_tell.clear()
            now = self._clock.monotonic()
            try:
                for key in [turn.key for turn in self.ledger.turns if turn.filed]:
                    self._settle(key)
                self._begin_to_tell(now)
                await self.save()
            except Exception:
                telemetry.faults.labels("agent").inc()
                log.exception("agent.telling_failed")
            if not self.ledger.turns:
                await self._wake_tell.wait()
            else:
                await rest(self._clock, self._until_next(now), self._wake_tell)

    def _open(self, turn: Turn) -> tuple[str, ...]:
        return handover.open_to(turn, self.ledger.turns, self.channels)

    def _until_next(self, now: float) -> float:
        waits = [5.0]
        due = handover.next_due(self.ledger.turns, now)
        waits += [] if due is None else [due]
        waits += [way.next_at - now for way in self._ways.values() if way.next_at > now]
        return max(0.05, min(waits))

    def _way(self, key: Key, channel: str, now: float) -> Way:
        return self._ways.setdefault((key, channel), Way(now))

    def _begin_to_tell(self, now: float) -> None:
        """Begin to tell what is due, all of it together: many at once are told in one message."""
        handing = {turn.key for turn in self.ledger.turns if turn.key in self._handing and not turn.told}
        under_way = self._busy.keys() | handing  # what was told holds nothing back while it is handed over
        due: dict[str, list[Turn]] = {}
        quiet = self.quiet.holds
        if quiet:
            self._hold_back()
        turns = handover.to_tell(self.ledger.turns, self.channels, under_way, now, quiet=quiet)[:MOST_AT_ONCE]
        for turn in turns:
            for id in self._open(turn):
                if self._way(turn.key, id, now).next_at <= now:
                    due.setdefault(id, []).append(turn)
        keys = {turn.key for told in due.values() for turn in told}
        if keys:
            task = asyncio.create_task(self._tell(due, keys), name="telling")
            self._busy |= dict.fromkeys(keys, task)

    def _hold_back(self) -> None:
        """Tell nothing, for now, of what the agent has not taken upon itself."""
        for turn in self.ledger.turns:
            if turn.opens and not (turn.finding.held or turn.own or turn.settled):
                self.ledger.change(turn.key, handover.held_back)

    def drop(self) -> None:
        """The host was switched off: nobody is to hear of what waits."""
        for turn in self.ledger.turns:
            self.ledger.remove(turn.key)
        self._ways.clear()
        self.wake()

    async def _tell(self, due: Mapping[str, Sequence[Turn]], keys: Collection[Key]) -> None:
        """Tell these turns through these channels, each once."""
        try:
            for key in keys:
                self.ledger.change(key, handover.taken_up)
            await self.save()
            await asyncio.gather(*(self._through(id, turns) for id, turns in due.items()))
            for key in keys:
                self.ledger.change(key, handover.tried)
            await self.save()
        finally:
            for key in keys:
                self._busy.pop(key, None)
                self._settle(key)
            self._wake_hand.set()
            self._wake_tell.set()

    async def _through(self, channel_id: str, turns: Sequence[Turn]) -> None:
        """Tell them through one channel: each by itself, or all in one message when they are many."""
        channel = self.channels.get(channel_id)
        if channel is None:
            return
        messages = [self._message(turn, channel_id) for turn in turns]
        if len(turns) > MOST_ALONE and not notifiers.groups(channel.type):
            await self._send(channel, digest_of(messages, self.name, self._clock.now()), turns)
            return
        for turn, message in zip(turns, messages, strict=True):
            await self._send(channel, message, (turn,))

    async def _send(self, channel: Channel, message: Message, turns: Sequence[Turn]) -> None:
        ways = [self._way(turn.key, channel.id, self._clock.monotonic()) for turn in turns]
        for way in ways:
            way.attempts += 1
        try:
            await notifiers.send(channel, message, self._net, smtp_url=self.smtp_url, deadline_s=DEADLINE_S)
        except DeliveryFailed as failure:
            for turn, way in zip(turns, ways, strict=True):
                self._not_sent(turn.key, channel.id, way, failure)
            return
        at = self._clock.now()
        self.troubles.pop(channel.id, None)
        for turn in turns:
            self.ledger.change(turn.key, lambda one: handover.told(one, channel.id, at))
        await self.save()
        log.info("agent.told", title=message.title, turns=len(turns), channel=channel.name)

    def _message(self, turn: Turn, channel_id: str) -> Message:
        identity, urls = self.identity, self._servers.urls
        known = ("", "") if identity is None else (identity.server_uuid, identity.workspace_id)
        page = f"{self._servers.at or urls[0]}/hosts/{known[0]}" if identity is not None and urls else ""
        by = Speaker(self.name, *known, self._disk.incarnation, page)
        return message_of(turn.finding, channel_id, by, note_of(turn))

    def _not_sent(self, key: Key, channel_id: str, way: Way, failure: DeliveryFailed) -> None:
        now = self._clock.monotonic()
        self.troubles[channel_id] = clip(f"not told: {failure}", 200)
        log.warning("agent.not_told", channel=channel_id, reason=str(failure), attempt=way.attempts)
        if failure.permanent or now - way.began > GIVE_UP_S:
            self.ledger.change(key, lambda one: handover.failed(one, channel_id))
            return
        way.next_at = now + max(backoff_s(f"{key}{channel_id}", way.attempts), failure.retry_after_s or 0.0)

    async def stop(self) -> None:
        """Let what is being told come to its end for a moment, and write down how it went."""
        if self._busy:
            await asyncio.wait(list(self._busy.values()), timeout=3.0)
        await self.save()
