"""An instance that is cut off from all others still looks, and tells what it sees, clearly marked as unconfirmed.

Nothing of it is stored: who leads later judges from the results. It tells only of what was well when it was cut off. Whose
beginning it told has an end: by itself when it sees it, or by who leads, once that has confirmed it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock, new_id
from tocsin.core.advance import advance
from tocsin.core.alert import Message, about, rows_for
from tocsin.core.alone import TELLS, together, unconfirmed
from tocsin.core.consensus import Seat, Verdict, decide
from tocsin.core.finding import finding_of
from tocsin.core.incident import Incident
from tocsin.core.maintenance import hush_of
from tocsin.net import Net
from tocsin.pipeline.attempt import attempt
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.watched import Watched
from tocsin.pipeline.watchlist import Watchlist
from tocsin.secret import Secret

log = telemetry.logger("tocsin.alone")

LOOK_S = 1.0
APART_S = 10.0
"""A channel is told at most so often; what comes meanwhile is told together."""
TRIES = 5
SEND_S = 20.0
AT_ONCE = 200

_Waiting = tuple[str, str]


class Alone:
    """Looks while it is on: from `begin` to `rejoin`, and after what it told until that is over; at most to `end`."""

    def __init__(
        self, watchlist: Watchlist, judgement: Judgement, net: Net, clock: Clock, smtp_url: Secret | None
    ) -> None:
        self._watchlist, self._judgement = watchlist, judgement
        self._net, self._clock, self._smtp_url = net, clock, smtp_url
        self._task: asyncio.Task[None] | None = None
        self._instance = self._place = ""
        self._verdicts: dict[str, Verdict] = {}
        self._incidents: dict[str, Incident] = {}
        self._waiting: dict[_Waiting, deque[Message]] = {}
        self._told_at: dict[_Waiting, float] = {}
        self._tries: dict[_Waiting, int] = {}
        self._opened: set[str] = set()
        """The monitors whose beginning was told, and not their end."""
        self._rejoined = False

    @property
    def on(self) -> bool:
        """Whether it is."""
        return self._task is not None and not self._rejoined

    def begin(self, instance: str, place: str) -> None:
        """This instance, which looks from there, is cut off."""
        if not self.on:
            self._instance, self._place, self._rejoined = instance, place, False
            log.warning("alone.begun", instance=instance, place=place)
        if self._task is None:
            self._task = asyncio.create_task(self._look_on(), name="alone")

    def rejoin(self) -> None:
        """Others are there again, or this instance leads: nothing new is told, and of what was told as down the end, unless
        somebody confirms it."""
        if self.on:
            self._rejoined = True
            self._waiting.clear()
            log.warning("alone.ended")

    async def end(self) -> None:
        """Tell nothing any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._clear()

    def _clear(self) -> None:
        if self.on:
            log.warning("alone.ended")
        self._task, self._rejoined = None, False
        for known in (self._verdicts, self._incidents, self._waiting, self._told_at, self._tries, self._opened):
            known.clear()

    async def look(self) -> None:
        """Judge what is seen from here, and send what is due."""
        now = self._clock.now()
        for n, watched in enumerate(self._watchlist):
            try:
                self._judge(watched, now)
            except Exception:
                telemetry.faults.labels("alone").inc()
                log.exception("alone.fault", monitor=watched.monitor.id)
            if n % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        await asyncio.gather(*(self._send(place) for place in tuple(self._waiting)))

    def _judge(self, w: Watched, now: datetime) -> None:
        state, id = w.states.get(self._place), w.monitor.id
        if self._rejoined and not self._still_ours(w):
            self._opened.discard(id)
            return
        if state is None or w.monitor.paused or w.gone or (w.incident is not None and w.incident.open):
            return
        fresh_s = w.monitor.fresh_s()
        verdict = decide([Seat(location=self._place, state=state)], "any", fresh_s, self._verdicts.get(id), now)
        self._verdicts[id] = verdict
        if id not in self._incidents and verdict.value != "down":
            return
        telling = self._watchlist.telling(w.monitor.workspace_id)
        terms = self._judgement.terms(w, telling, now)
        hush = hush_of(telling.windows, w.monitor, now, telling.agenda)
        step = advance(self._incidents.get(id), terms, finding_of(verdict), now, new_id=new_id(), hush=hush)
        if step.incident is None:
            return
        self._incidents[id] = replace(step.incident, name=w.monitor.name)
        told = replace(step, transitions=tuple(t for t in step.transitions if t.what in TELLS))
        for row in rows_for(told, terms, about(w.monitor, verdict, w.shown), telling.hearers, now):
            message = unconfirmed(row.message, self._instance, self._place, cut_off=not self._rejoined)
            self._waiting.setdefault((row.workspace_id, row.channel_id), deque()).append(message)

    def _still_ours(self, w: Watched) -> bool:
        """Whether its end is still this instance's to tell: it told the beginning, and nobody confirmed that."""
        known = self._incidents.get(w.monitor.id)
        if w.monitor.id not in self._opened or known is None or w.monitor.paused or w.gone:
            return False
        confirmed = w.incident is not None and (w.incident.open or w.incident.opened_at >= known.opened_at)
        return not confirmed

    async def _send(self, to: _Waiting) -> None:
        waiting, mono = self._waiting.get(to), self._clock.monotonic()
        channel = self._watchlist.hearer(*to)
        if not waiting or mono - self._told_at.get(to, -APART_S) < APART_S:
            return
        if channel is None or not channel.enabled:
            waiting.clear()
            return
        some = tuple(waiting)
        self._told_at[to] = mono
        _, _, failure = await attempt(channel, together(some), self._net, self._smtp_url, SEND_S, None)
        telemetry.notifications.labels(channel.type, "unconfirmed" if failure is None else "failed").inc()
        self._tries[to] = 0 if failure is None else self._tries.get(to, 0) + 1
        if failure is None or failure.permanent or self._tries[to] >= TRIES:
            for message in some:
                waiting.popleft()
                self._note(message, arrived=failure is None)
        if failure is not None:
            log.warning("alone.not_sent", channel=channel.id, error=str(failure))

    def _note(self, message: Message, *, arrived: bool) -> None:
        """Know whose beginning somebody has heard, and whose end."""
        id = str((message.monitor or {}).get("id"))
        if message.event == "incident.resolved":
            self._opened.discard(id)
        elif arrived:
            self._opened.add(id)

    def _over(self) -> bool:
        """Whether nothing is left to tell of what was told."""
        left = any(self._watchlist.find(id) is not None for id in self._opened)
        return self._rejoined and not left and not any(self._waiting.values())

    async def _look_on(self) -> None:
        while True:
            if self._over():
                self._clear()
                return
            await self._clock.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:
                telemetry.faults.labels("alone").inc()
                log.exception("alone.look_fault")
