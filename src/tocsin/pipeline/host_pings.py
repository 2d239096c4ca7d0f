"""Whether hosts answer from outside: each of their addresses is tried once a minute, as a hint beside their silence."""

from __future__ import annotations

import asyncio

from tocsin import checks, telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core import shape
from tocsin.core.result import Outcome
from tocsin.core.wording import one_line
from tocsin.errors import Invalid, Problem
from tocsin.location import Location
from tocsin.pipeline.hosts import HostNow, Hosts

log = telemetry.logger("tocsin.host_pings")

EVERY_S = 60.0
AT_ONCE = 20
"""So many hosts are tried at once."""
_TIMEOUT_S = 5.0
_EXPECTED = "ping:HOST or tcp:HOST:PORT"


def order_of(address: str, where: str = "") -> Order:
    """The check of an address of a host. Raises Invalid when it is none."""
    type_, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if type_ == "ping":
        target = {"host": rest, "count": 1}
    elif type_ == "tcp" and port.isascii() and port.isdecimal() and len(port) < 6:
        target = {"host": host, "port": int(port)}
    else:
        raise Invalid(Problem(where, _EXPECTED, repr(one_line(address, 80))))
    try:
        return Order(type_, shape.read(checks.kind(type_).target, target), _TIMEOUT_S)
    except Invalid as error:
        raise Invalid(Problem(where, f"{_EXPECTED} ({error})", repr(one_line(address, 80)))) from None


async def _nowhere(order: Order) -> Outcome:
    raise RuntimeError("nobody said how to look")


class HostPings:
    """Looks at hosts from outside. `run` runs a check from here."""

    def __init__(self, hosts: Hosts, clock: Clock) -> None:
        self._hosts, self._clock = hosts, clock
        self.run: Location = _nowhere
        self._next: dict[str, float] = {}
        self._trying: dict[str, asyncio.Task[None]] = {}

    def look(self) -> None:
        """Begin with those that are due."""
        tick = self._clock.monotonic()
        for now in self._hosts:
            id = now.host.id
            if not (now.host.addresses and now.host.enabled) or len(self._trying) >= AT_ONCE:
                continue
            if id in self._trying or tick < self._next.get(id, 0.0):
                continue
            self._next[id] = tick + EVERY_S
            task = self._trying[id] = asyncio.create_task(self._try(now), name="ping a host")
            task.add_done_callback(lambda _, id=id: self._trying.pop(id, None))

    async def stop(self) -> None:
        """End looking."""
        tasks = tuple(self._trying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _try(self, now: HostNow) -> None:
        said: list[str] = []
        answered: bool | None = None
        for address in now.host.addresses:
            try:
                outcome = await self.run(order_of(address))
            except Exception:
                telemetry.faults.labels("host_pings").inc()
                log.exception("host_pings.fault", host=now.host.id)
                continue
            if outcome.status == "invalid":
                continue
            if outcome.status != "down":
                answered, said = True, [f"{address} answers"]
                break
            answered = False
            said.append(f"{address}: {one_line(outcome.error.message if outcome.error else 'no answer', 100)}")
        changed = now.outside != answered
        now.outside, now.outside_words, now.outside_at = answered, "; ".join(said), self._clock.now()
        if changed:
            self._hosts.tell("host.changed", now.host)
