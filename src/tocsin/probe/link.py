"""The server's end of pull mode: probes that have called, each with one WebSocket, by the seat they stand for.

A seat outlives its link. What was ordered is ordered again when the probe calls anew: it runs a job once however often it is
told. What it answers when nobody waits any more is handed to `late`, and acknowledged when that has kept it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from tocsin import checks, telemetry
from tocsin.checks import Order
from tocsin.clock import Clock, new_id
from tocsin.core.boots import Boots
from tocsin.core.plain import clip
from tocsin.core.result import Outcome
from tocsin.errors import Invalid, PeerLost
from tocsin.location import Location
from tocsin.probe.answer import sound
from tocsin.probe.orders import GRACE_S, Orders, not_understood, outcome_of
from tocsin.probe.session import GONE, MOVED, REPLACED, LinkState, Receive, Send, Session
from tocsin.probe.wire import (
    FromProbe,
    Health,
    Heartbeat,
    Hello,
    KeyKept,
    Late,
    Linked,
    Moved,
    NewKey,
    RawJob,
    Refused,
    Result,
    Welcome,
    read_from_probe,
    tidy_health,
)
from tocsin.secret import Secret

log = telemetry.logger("tocsin.link")

RELINK_S = 5.0
"""So long after its link broke an order waits for a new one, before the probe counts as gone."""
HELLO_S, SILENT_S, KEY_S = 10.0, 35.0, 10.0
MOST_UNREADABLE = 100
MOST_LATE = 100
TOLD_S = 600.0
"""That a probe runs twice is told so often at most."""
TWICE = "this probe runs twice: its data folder is a copy. End this process, or join with a data folder of its own"
ANSWERED = 2000


@dataclass(slots=True)
class _Waiting:
    """An order that waits for its answer."""

    order: Order
    text: bytes
    answer: asyncio.Future[Outcome]


@dataclass(slots=True)
class _Seat:
    """A seat: its link, and what goes on whether it has one or not."""

    session: Session | None = None
    lost_at: float | None = None
    last: LinkState | None = None
    waiting: dict[str, _Waiting] = field(default_factory=dict[str, _Waiting])
    answered: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    linked: asyncio.Event = field(default_factory=asyncio.Event)
    orders: Orders = field(default_factory=Orders)

    def closed(self, job_id: str) -> None:
        """This job has its answer: another one for it is passed over."""
        self.answered[job_id] = None
        if len(self.answered) > ANSWERED:
            self.answered.popitem(last=False)


async def _nobody(late: Late) -> None:
    log.warning("link.late_result_dropped", location=late.who[1], monitor=late.monitor_id)


async def _not_told(who: Linked, address: str) -> None:
    """Nobody hears of it."""


class Links:
    """Every probe that has called, by its seat. `late` is handed results that nobody waits for any more, and returns when
    they are safe; `changed` hears of each seat that is linked or not any more, `twice` of one that two processes call for,
    and from where the one called that is not listened to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seats: dict[Linked, _Seat] = {}
        self.late: Callable[[Late], Awaitable[None]] = _nobody
        self.changed: Callable[[Linked], None] = lambda who: None
        self.twice: Callable[[Linked, str], Awaitable[None]] = _not_told
        self._boots, self._told = Boots(RELINK_S, SILENT_S), dict[Linked, float]()

    # --- for the server ---------------------------------------------------------------------------------------------

    def location(self, who: Linked) -> Location:
        """The seat as a location. It raises PeerLost: at once when there is no link, else when no answer came in time."""

        async def ask(order: Order) -> Outcome:
            return await self._ask(who, order)

        return ask

    def linked(self, who: Linked) -> LinkState | None:
        """Its link, None when it has none now."""
        seat = self._seats.get(who)
        return None if seat is None or seat.session is None else self.last(who)

    def last(self, who: Linked) -> LinkState | None:
        """The link it has, or had last; None when it never called."""
        seat = self._seats.get(who)
        if seat is None or seat.last is None:
            return None
        state = seat.last if seat.session is None else seat.session.state
        return replace(state, waiting=len(seat.waiting))

    async def end(self, who: Linked, reason: str) -> None:
        """Hang up: the probe was deleted or disabled, or has another key."""
        seat = self._seats.get(who)
        if seat is not None and seat.session is not None:
            await seat.session.close(GONE, reason)

    async def renew(self, who: Linked, key: Secret) -> bool:
        """Hand it a new key; True once it has kept it on its disk, False when it has no link, or did not say so in time."""
        seat = self._seats.get(who)
        if seat is None or (session := seat.session) is None:
            return False
        session.key_kept.clear()
        try:
            async with asyncio.timeout(KEY_S):
                await session.say(NewKey(key.reveal()))
                await session.key_kept.wait()
        except (OSError, TimeoutError):
            return False
        return True

    async def moved(self, primary: str, urls: Sequence[str] = ()) -> None:
        """Another server leads now: tell every probe, and hang up."""
        sessions = [seat.session for seat in self._seats.values() if seat.session is not None]
        await asyncio.gather(*(self._move(session, primary, urls) for session in sessions))

    async def _move(self, session: Session, primary: str, urls: Sequence[str]) -> None:
        try:
            await session.say(Moved(primary, tuple(urls)))
        except (OSError, TimeoutError) as error:
            log.debug("link.gone", error=str(error))
        await session.close(MOVED, "another server leads")

    # --- an order ---------------------------------------------------------------------------------------------------

    async def _ask(self, who: Linked, order: Order) -> Outcome:
        seat = self._seats.setdefault(who, _Seat())
        began = time.monotonic()
        if seat.session is None and (seat.lost_at is None or began - seat.lost_at > RELINK_S):
            telemetry.probe_lost.labels("pull", "unlinked").inc()
            raise PeerLost(f"the probe of {who[1]} has no link to this server")
        job_id = new_id()
        waiting = _Waiting(order, seat.orders.write(order, job_id), asyncio.get_running_loop().create_future())
        seat.waiting[job_id] = waiting
        try:
            async with asyncio.timeout(order.timeout_s + GRACE_S):
                await self._hand_over(seat, waiting)
                outcome = await waiting.answer
        except PeerLost:
            telemetry.probe_lost.labels("pull", "refused").inc()
            raise
        except TimeoutError:
            telemetry.probe_lost.labels("pull", "lost").inc()
            why = "has no link any more" if seat.session is None else "did not answer in time"
            raise PeerLost(f"the probe of {who[1]} {why}") from None
        finally:
            del seat.waiting[job_id]
        telemetry.probe_asked_seconds.labels("pull").observe(time.monotonic() - began)
        return outcome

    async def _hand_over(self, seat: _Seat, waiting: _Waiting) -> None:
        """Send the order, now or as soon as the probe has called again: then it is sent with all others that wait."""
        session = seat.session
        if session is None:
            async with asyncio.timeout(RELINK_S):
                await seat.linked.wait()
            return
        try:
            await session.say(RawJob(Raw(waiting.text)))
        except OSError as error:  # it will be told when it calls again
            log.debug("link.gone", error=str(error))

    # --- a link -----------------------------------------------------------------------------------------------------

    async def serve(self, receive: Receive, send: Send, who: Linked, *, urls: Sequence[str], address: str = "") -> None:
        """Speak with a probe whose key was looked at, until its link ends. `receive` has given websocket.connect."""
        await send({"type": "websocket.accept"})
        session = await self._greet(receive, send, who, urls, address)
        if session is None:
            return
        if self._is_twin(who, session):
            await session.close(REPLACED, TWICE)
            await self._tell_twice(who, address)
            return
        seat = self._seats.setdefault(who, _Seat())
        if (before := seat.session) is not None:
            await before.close(REPLACED, "another link of this probe took its place")
        else:
            telemetry.probe_links.inc()
        seat.session, seat.last = session, session.state
        seat.linked.set()
        log.info("link.up", location=who[1], workspace=who[0], version=session.state.version, address=address)
        self.changed(who)
        try:
            for waiting in list(seat.waiting.values()):
                await session.say(RawJob(Raw(waiting.text)))
            await self._listen(receive, who, seat, session)
        except (OSError, TimeoutError) as error:
            await session.close(1001, "silent for too long")
            log.debug("link.gone", error=str(error))
        finally:
            self._unlink(who, seat, session)

    def _is_twin(self, who: Linked, session: Session) -> bool:
        return session.boot != "" and self._boots.is_twin(f"{who[0]} {who[1]}", session.boot, time.monotonic())

    async def _tell_twice(self, who: Linked, address: str) -> None:
        now = time.monotonic()
        if now - self._told.get(who, -TOLD_S) >= TOLD_S:
            self._told[who] = now
            log.warning("link.twice", location=who[1], workspace=who[0], address=address)
            await self.twice(who, address)

    def _unlink(self, who: Linked, seat: _Seat, session: Session) -> None:
        for task in session.late:
            task.cancel()
        if seat.session is not session:
            return
        seat.session, seat.last, seat.lost_at = None, session.state, time.monotonic()
        seat.linked.clear()
        telemetry.probe_links.dec()
        log.info("link.down", location=who[1], workspace=who[0])
        self.changed(who)

    async def _greet(
        self, receive: Receive, send: Send, who: Linked, urls: Sequence[str], address: str
    ) -> Session | None:
        try:
            async with asyncio.timeout(HELLO_S):
                message = await receive()
            hello = read_from_probe(_text(message)) if message["type"] == "websocket.receive" else None
        except (Invalid, TimeoutError):
            hello = None
        now = self._clock.now()
        health = tidy_health(hello.health) if isinstance(hello, Hello) else Health()
        boot = clip(hello.boot, 40) if isinstance(hello, Hello) else ""
        session = Session(send, LinkState(since=now, heard_at=now, address=address, health=health), boot)
        try:
            if isinstance(hello, Hello):
                await session.say(Welcome(who[1], tuple(urls)))
                return session
        except (OSError, TimeoutError) as error:
            log.debug("link.gone", error=str(error))
            return None
        telemetry.probe_messages_refused.labels("hello").inc()
        await session.close(1002, "expected hello")
        return None

    async def _listen(self, receive: Receive, who: Linked, seat: _Seat, session: Session) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SILENT_S) as silence:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return
                silence.reschedule(loop.time() + SILENT_S)
                try:
                    said = read_from_probe(_text(message))
                except Invalid as error:
                    session.unreadable += 1
                    telemetry.probe_messages_refused.labels("unreadable").inc()
                    log.warning("link.unreadable", location=who[1], error=str(error)[:200])
                    if session.unreadable >= MOST_UNREADABLE:
                        await session.close(1007, "too much that cannot be read")
                        return
                    continue
                session.state = replace(session.state, heard_at=self._clock.now())
                if seat.session is session:
                    self._is_twin(who, session)  # it is heard: a twin has to wait
                await self._heard(said, who, seat, session)

    async def _heard(self, said: FromProbe, who: Linked, seat: _Seat, session: Session) -> None:
        match said:
            case Result():
                await self._result(said, who, seat, session)
            case Refused():
                self._refused(said, seat)
            case Heartbeat() | Hello():
                session.state = replace(session.state, health=tidy_health(said.health))
            case KeyKept():
                session.key_kept.set()

    def _refused(self, said: Refused, seat: _Seat) -> None:
        waiting = seat.waiting.get(said.jobId)
        if waiting is None or waiting.answer.done():
            return
        if said.kind == "busy":
            waiting.answer.set_exception(PeerLost(f"the probe refused: {clip(said.message, 200)}"))
        else:
            waiting.answer.set_result(not_understood(waiting.order, said.message, self._clock.now()))

    async def _result(self, said: Result, who: Linked, seat: _Seat, session: Session) -> None:
        job_id, at = said.answer.jobId, self._clock.now()
        waiting = seat.waiting.get(job_id)
        try:
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_result(outcome_of(said.answer, waiting.order, at, said.ageMs))
                seat.closed(job_id)
            elif waiting is None and job_id not in seat.answered:
                late = _late(said, who, at)
                while len(session.late) >= MOST_LATE:
                    await asyncio.wait(session.late, return_when=asyncio.FIRST_COMPLETED)
                task = asyncio.create_task(self._keep(late, job_id, seat, session), name="link-late")
                session.late.add(task)
                task.add_done_callback(session.late.discard)
                return
        except Invalid as error:
            telemetry.probe_messages_refused.labels("result").inc()
            log.warning("link.result_refused", location=who[1], error=str(error)[:200])
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_exception(PeerLost(f"the probe's answer cannot be used: {clip(str(error), 200)}"))
        session.took(job_id)

    async def _keep(self, late: Late, job_id: str, seat: _Seat, session: Session) -> None:
        telemetry.probe_late.inc()
        try:
            await self.late(late)
        except Exception:
            telemetry.faults.labels("link").inc()
            log.exception("link.late_result_not_kept", location=late.who[1])  # not acknowledged: it will come again
            return
        seat.closed(job_id)
        session.took(job_id)


def _text(message: Any) -> str | bytes:
    return message.get("text") or message.get("bytes") or ""


def _late(said: Result, who: Linked, at: datetime) -> Late:
    """A result that nobody waits for. Raises Invalid when it does not say what it is of."""
    from tocsin.errors import Problem

    answer = said.answer
    outcome = sound(answer, at, said.ageMs)
    if not answer.monitorId or answer.scheduledAt is None or answer.scheduledAt.tzinfo is None:
        raise Invalid(Problem("monitorId", "which check of which monitor it is of", "nothing"))
    if outcome.type not in checks.names():
        raise Invalid(Problem("outcome.type", "a check type", clip(outcome.type, 40)))
    return Late(
        who=who,
        monitor_id=clip(str(answer.monitorId), 100),
        scheduled_at=answer.scheduledAt,
        attempt=max(0, min(answer.attempt, 1000)),
        outcome=replace(outcome, location=who[1], target=clip(outcome.target, 500)),
    )
