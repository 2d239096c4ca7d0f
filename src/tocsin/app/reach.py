"""How the probes of other places are reached: those that listen by calls, those that called us over their links."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tocsin import telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core.probe import Probe, Sign
from tocsin.core.result import Outcome
from tocsin.errors import Invalid, PeerLost
from tocsin.location import Location
from tocsin.net import Net
from tocsin.net.kept import TlsFailed
from tocsin.probe import client
from tocsin.probe.client import NotOurs, Push
from tocsin.probe.link import Links
from tocsin.probe.wire import Health
from tocsin.secret import Secret

log = telemetry.logger("tocsin.app")


class Reaching:
    """The way to every probe. `plain`: probes on other machines may be called without TLS."""

    def __init__(self, net: Net, clock: Clock, links: Links, *, plain: bool = False) -> None:
        self._net, self._clock, self._links, self._plain = net, clock, links, plain
        self._called: dict[str, _Called] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def location(self, probe: Probe) -> Location:
        """What runs its checks; one whose address cannot be read cannot be asked."""
        if probe.mode == "pull":
            return self._links.location((probe.workspace_id, probe.code))
        try:
            made = self._called[probe.id] = self._calling(probe)
        except Invalid as error:
            return _nobody(str(error))
        return made

    async def look(self, probe: Probe) -> Sign:
        """What it says of itself. Raises PeerLost."""
        if probe.mode == "pull":
            state = self._links.linked((probe.workspace_id, probe.code))
            if state is None:
                known = self._links.last((probe.workspace_id, probe.code))
                raise PeerLost("it has not called yet" if known is None else "its link is broken")
            return _sign(state.health, None)
        called = self._called.get(probe.id)
        if called is None:
            raise PeerLost("its address cannot be read")
        began = time.perf_counter()
        health, newest = await called.health()
        return _sign(health, (time.perf_counter() - began) * 1000, newest=newest)

    async def prove(self, probe: Probe, *, ask: bool) -> None:
        """Return when it may be called so, and (`ask`) answers as a probe of ours. Raises Invalid or PeerLost."""
        trial = self._calling(probe)
        try:
            if ask:
                await trial.health()
        except TlsFailed as failed:
            raise await self._unvouched(probe, failed) from None
        finally:
            trial.close()

    async def _unvouched(self, probe: Probe, failed: TlsFailed) -> PeerLost:
        """Why TLS with it failed: where that is its certificate, with the fingerprint to pin."""
        try:
            shown = None if probe.pin is not None else await client.fingerprint(probe.endpoint_url or "", self._net)
        except PeerLost:
            shown = None
        if shown is None:
            return failed
        words = f"{failed}; if the probe printed the SHA-256 {shown}, pin that"
        return NotOurs(words, "certificate")

    def forget(self, probe: Probe) -> None:
        """Hang up."""
        if (called := self._called.pop(probe.id, None)) is not None:
            called.close()
        if probe.mode == "pull":
            who = probe.workspace_id, probe.code
            task = asyncio.create_task(self._links.end(who, "this location was changed or removed"), name="end a link")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def close(self) -> None:
        """Hang up with all that we call."""
        for called in self._called.values():
            called.close()

    def _calling(self, probe: Probe) -> _Called:
        url = probe.endpoint_url or ""
        keys = probe.keys or ("",)
        return _Called(
            [client.location(url, Secret(k), probe.pin, self._net, self._clock, plain=self._plain) for k in keys]
        )


class _Called:
    """A probe that we call, with its newest key; with the one before while it does not take that yet."""

    def __init__(self, ways: Sequence[Push]) -> None:
        self._ways = ways

    async def __call__(self, order: Order) -> Outcome:
        for older, way in reversed(list(enumerate(reversed(self._ways)))):
            try:
                return await way(order)
            except NotOurs as error:
                if error.cause != "key" or not older:
                    raise
        raise PeerLost("there is no key for it")

    async def health(self) -> tuple[Health, bool]:
        """(how it is, whether it takes the newest key)."""
        for older, way in reversed(list(enumerate(reversed(self._ways)))):
            try:
                return await way.health(), way is self._ways[0]
            except NotOurs as error:
                if error.cause != "key" or not older:
                    raise
        raise PeerLost("there is no key for it")

    def close(self) -> None:
        """Hang up."""
        for way in self._ways:
            way.close()


def _sign(health: Health, latency_ms: float | None, *, newest: bool = True) -> Sign:
    return Sign(
        latency_ms=None if latency_ms is None else round(latency_ms, 1), version=health.version or None,
        trouble=health.trouble, busy=health.inFlight, newest_key=newest,
    )  # fmt: skip


def _nobody(why: str) -> Location:
    async def ask(order: Order) -> Outcome:
        raise PeerLost(why)

    return ask
