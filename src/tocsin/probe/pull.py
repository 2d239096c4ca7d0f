"""The probe's calling end: one WebSocket to the server, over which orders come and results go.

When it breaks, the servers' addresses are tried in turn. A check that was running meanwhile goes on, and its result waits.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import Clock, new_id
from tocsin.core.plain import as_map, loads
from tocsin.errors import Invalid, PeerLost
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.channel import Channel, Closed, NotOpened, open_channel
from tocsin.probe.buffer import Buffer
from tocsin.probe.enrol import Enrolled
from tocsin.probe.wire import (
    MAX_MESSAGE,
    Health,
    Heartbeat,
    Hello,
    Job,
    KeyKept,
    Moved,
    NewKey,
    RawResult,
    Refused,
    Taken,
    Welcome,
    read_execute,
    read_to_probe,
)
from tocsin.probe.work import Busy, Worker

log = telemetry.logger("tocsin.pull")

PATH = "/probe/api/link"
WELCOME_S = 10.0
FIRST_S, LONGEST_S = 1.0, 30.0
UNWANTED_S = 60.0
"""So long it waits after it was told that it is not known, or that another link took its place."""
_REPLACED = 4000


class Unwanted(PeerLost):
    """The server does not know this probe, or has another link of it."""


class Pull:
    """Keeps a link to one of the servers, for as long as `run` runs. `save` puts on disk what has changed of the enrolment
    before it counts."""

    def __init__(
        self, net: Net, worker: Worker, clock: Clock, enrolled: Enrolled, save: Callable[[Enrolled], None]
    ) -> None:
        self._net, self._worker, self._clock, self._save = net, worker, clock, save
        self.enrolled = enrolled
        self.buffer = Buffer()
        self.linked_to: str | None = None
        self._boot = new_id()
        self._channel: Channel | None = None
        self._since: float | None = None
        self._beat_s = 10.0
        self._jobs: set[asyncio.Task[None]] = set()

    def health(self) -> Health:
        """How this probe is, its buffer included."""
        return self._worker.health(buffered=len(self.buffer), dropped=self.buffer.dropped)

    async def run(self) -> None:
        """Hold a link, for ever: a broken one is made anew, at the next server when the one is gone. A round over all
        addresses without a link is one failure; the pause after it grows until a link has held."""
        rounds, led = 0, set[str]()
        turn = [*self.enrolled.urls]
        while True:
            if not turn:
                rounds += 1
                await self._clock.sleep(self._pause_s(rounds))
                turn, led = [*self.enrolled.urls], set[str]()
                continue
            url, self._since = turn.pop(0), None
            try:
                await self._link(url)
            except NotOpened as refused:
                if self._held():
                    rounds, turn, led = 0, self._others(url), set[str]()
                turn = self._after(refused, url, turn, led)
            except Unwanted as unwanted:
                log.warning("pull.not_wanted", server=url, reason=str(unwanted))
                await self._clock.sleep(UNWANTED_S)
            except PeerLost as lost:
                log.warning("pull.link_lost", server=url, reason=str(lost))
                if self._held():
                    rounds, turn, led = 0, [url, *self._others(url)], set[str]()
            except Exception:
                telemetry.faults.labels("pull").inc()
                log.exception("pull.failed", server=url)  # a fault of ours: a probe without a link is of no use

    def _held(self) -> bool:
        """Whether the link that just ended had held for long."""
        return self._since is not None and self._clock.monotonic() - self._since > LONGEST_S

    def _others(self, url: str) -> list[str]:
        return [u for u in self.enrolled.urls if u != url]

    async def stop(self) -> None:
        """Hang up, after the results that are there were sent."""
        channel = self._channel
        if channel is not None:
            with suppress(PeerLost, TimeoutError):
                async with asyncio.timeout(2):
                    await channel.close(1001, "this probe stops")
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def _after(self, refused: NotOpened, url: str, turn: list[str], led: set[str]) -> list[str]:
        """Which servers to try next, after one that answered with no link: the primary that it names, once a round."""
        if refused.status == 409:
            primary = _primary_of(refused.body)
            if primary in self.enrolled.urls and primary != url and primary not in led:
                led.add(primary)
                log.info("pull.redirected", server=url, primary=primary)
                return [primary, *(u for u in turn if u != primary)]
            if not primary or primary in self.enrolled.urls:  # what a change of primary looks like from here
                why = f"it follows {primary}, which was tried already" if primary else "it knows of no primary just now"
                log.warning("pull.no_primary_yet", server=url, reason=why)
                return turn
        reason = "it does not know our key" if refused.status == 401 else str(refused)
        log.error("pull.refused", server=url, status=refused.status, reason=reason)
        return turn

    def _pause_s(self, rounds: int) -> float:
        """Longer and longer (1, 1, 2, 4 s …), and not the same for all probes of a server that was gone."""
        share = 0.5 + self._share(rounds) / 2
        return min(LONGEST_S, FIRST_S * 2 ** min(max(rounds - 2, 0), 10)) * share

    def _share(self, turn: int) -> float:
        """A number from 0 to 1 that is this probe's own."""
        return hashlib.sha256(f"{self.enrolled.probe_id}:{turn}".encode()).digest()[0] / 255

    # --- a link -----------------------------------------------------------------------------------------------------

    async def _link(self, url: str) -> None:
        """One link, until it ends; raises PeerLost then."""
        place = urls.parse(url.rstrip("/") + PATH)
        headers = [("Authorization", f"Bearer {self.enrolled.key}")]
        channel = await open_channel(self._net, place, headers, max_size=MAX_MESSAGE)
        try:
            await channel.send(msgspec.json.encode(Hello(self.health(), boot=self._boot)))
            async with asyncio.timeout(WELCOME_S):
                self._welcomed(read_to_probe(await channel.receive()), url)
            self._channel = channel
            telemetry.probe_linked.set(1)
            await self._both_ways(channel)
        except Closed as closed:
            if closed.code == _REPLACED:
                raise Unwanted(str(closed)) from None
            raise
        except (Invalid, TimeoutError) as error:
            raise PeerLost(f"what answers at {url} is no server of ours: {error}") from None
        finally:
            self._channel, self.linked_to = None, None
            telemetry.probe_linked.set(0)
            channel.abort()

    async def _both_ways(self, channel: Channel) -> None:
        beating = asyncio.create_task(self._beat(channel), name="heartbeat")
        try:
            for job_id, answer in self.buffer.waiting():
                await self._give(channel, job_id, answer)
            while True:
                text = await channel.receive()
                try:
                    message = read_to_probe(text)
                except Invalid as error:  # a newer server says more than we know
                    log.debug("pull.unknown_message", error=str(error))
                    continue
                await self._told(message, channel)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    def _welcomed(self, message: Any, url: str) -> None:
        if not isinstance(message, Welcome):
            raise PeerLost(f"{url} does not welcome us")
        self._beat_s = min(60.0, max(1.0, message.heartbeatS))
        self._worker.region = message.location or self._worker.region
        known = tuple(u for u in message.urls if _is_url(u))[:20] or self.enrolled.urls
        if (known, message.location) != (self.enrolled.urls, self.enrolled.location):
            self._keep(replace(self.enrolled, urls=known, location=message.location or self.enrolled.location))
        self.linked_to, self._since = url, self._clock.monotonic()
        log.info("pull.linked", server=url, location=self._worker.region)

    def _keep(self, enrolled: Enrolled) -> bool:
        try:
            self._save(enrolled)
        except OSError:
            log.exception("pull.not_kept")
            return False
        self.enrolled = enrolled
        return True

    async def _beat(self, channel: Channel) -> None:
        await self._clock.sleep(self._beat_s * self._share(0))  # not all probes at once, after a server's start
        while True:
            await self._clock.sleep(self._beat_s)
            try:
                await channel.send(msgspec.json.encode(Heartbeat(self.health())))
            except PeerLost:
                return  # who reads will find out

    async def _told(self, message: Any, channel: Channel) -> None:
        match message:
            case Job():
                self._start(self._carry_out(message))
            case Taken():
                for job_id in message.jobIds:
                    self.buffer.taken(job_id)
            case NewKey():
                if message.key and self._keep(replace(self.enrolled, key=message.key)):
                    log.info("pull.key_renewed")
                    await channel.send(msgspec.json.encode(KeyKept()))
            case Moved():
                raise NotOpened("another server leads", 409, msgspec.json.encode({"primary": message.primary}))
            case _:
                return

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work, name="ordered")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _carry_out(self, message: Job) -> None:
        """Run it, keep its result until it is taken, and give it over whichever link there is by then."""
        job_id = str(message.job.get("jobId", ""))[:100]
        try:
            job = read_execute(message.job)
            answer = await self._worker.do(job)
        except Invalid as error:
            await self._say(Refused(job_id, "order", str(error)[:1000]))
            return
        except Busy as busy:
            await self._say(Refused(job_id, "busy", str(busy)))
            return
        self.buffer.keep(job.jobId, answer)
        if self._channel is not None:
            with suppress(PeerLost):
                await self._give(self._channel, job.jobId, answer)

    async def _give(self, channel: Channel, job_id: str, answer: bytes) -> None:
        await channel.send(msgspec.json.encode(RawResult(Raw(answer), round(self.buffer.age_ms(job_id), 1))))

    async def _say(self, message: Any) -> None:
        if self._channel is not None:
            with suppress(PeerLost):
                await self._channel.send(msgspec.json.encode(message))


def _primary_of(body: bytes) -> str:
    try:
        said = as_map(loads(body[:16_384])) or {}
    except Invalid:
        return ""
    return str(said.get("primary") or "").rstrip("/")


def _is_url(text: str) -> bool:
    try:
        urls.parse(text)
    except ValueError:
        return False
    return True
