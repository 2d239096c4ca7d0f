"""The server's end of push mode: a probe that listens is asked by HTTP, over connections that stay open."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from tocsin import telemetry
from tocsin.checks import Order
from tocsin.clock import Clock, new_id
from tocsin.core.plain import as_map, clip, loads
from tocsin.core.result import Outcome
from tocsin.errors import Invalid, PeerLost
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.kept import Kept, OtherCertificate, Reply
from tocsin.probe.enrol import pin_of
from tocsin.probe.orders import GRACE_S, NotOurs, Orders, not_understood, outcome_of
from tocsin.probe.wire import MAX_MESSAGE, Health, read_answer, read_health
from tocsin.secret import Secret

__all__ = ["NotOurs", "Push", "fingerprint", "health", "location"]

HEALTH_S = 5.0
_SPENT = {429: "it has been asked too often", 503: "it is busy", 403: "it does not let us in"}


class Push:
    """A probe that is asked, as a location. It keeps connections open: one of these for each probe."""

    def __init__(self, url: urls.Url, key: Secret, pin: str | None, net: Net, clock: Clock) -> None:
        self._url, self._key, self._clock = url, key, clock
        self._kept = Kept(net, url, pin=pin, most_body=MAX_MESSAGE)
        self._orders = Orders()

    async def __call__(self, order: Order) -> Outcome:
        """What came of the order. Raises PeerLost when the probe cannot be asked."""
        began = asyncio.get_running_loop().time()
        job_id = new_id()
        try:
            reply = await self._ask("POST", "/execute", self._orders.write(order, job_id), order.timeout_s + GRACE_S)
            outcome = self._outcome(reply, order, job_id)
        except PeerLost as lost:
            telemetry.probe_lost.labels("push", lost.cause if isinstance(lost, NotOurs) else "lost").inc()
            raise
        telemetry.probe_asked_seconds.labels("push").observe(asyncio.get_running_loop().time() - began)
        return outcome

    async def health(self) -> Health:
        """How the probe says it is. Raises PeerLost."""
        reply = await self._ask("GET", "/health", b"", HEALTH_S)
        if reply.status != 200:
            raise self._refusal(reply)
        try:
            return read_health(reply.body)
        except Invalid:
            raise NotOurs(f"what answers at {self._url} is no probe", "no_probe") from None

    def close(self) -> None:
        """Hang up."""
        self._kept.close()

    async def _ask(self, method: str, path: str, body: bytes, timeout_s: float) -> Reply:
        headers = [("Authorization", f"Bearer {self._key.reveal()}")]
        if body:
            headers.append(("Content-Type", "application/json"))
        try:
            return await self._kept.ask(method, path, headers, body, timeout_s=timeout_s)
        except OtherCertificate as other:
            raise NotOurs(str(other), "certificate") from None

    def _outcome(self, reply: Reply, order: Order, job_id: str) -> Outcome:
        at = self._clock.now()
        if reply.status in (400, 413, 415, 422):
            return not_understood(order, _detail(reply), at)
        if reply.status != 200:
            raise self._refusal(reply)
        try:
            answer = read_answer(reply.body)
            if answer.jobId != job_id:
                raise PeerLost(f"the probe at {self._url.authority} answered for another job")
            return outcome_of(answer, order, at)
        except Invalid as error:
            raise NotOurs(f"what answers at {self._url} is no probe: {clip(str(error), 200)}", "no_probe") from None

    def _refusal(self, reply: Reply) -> PeerLost:
        if reply.status == 401:
            return NotOurs(f"the probe at {self._url.authority} does not take our key", "key")
        if reply.status in _SPENT:
            return PeerLost(f"the probe at {self._url.authority} refused: {_SPENT[reply.status]} ({_detail(reply)})")
        return NotOurs(f"what answers at {self._url} is no probe: it said {reply.status}", "no_probe")


def location(probe_url: str, key: Secret, pin: str | None, net: Net, clock: Clock, *, plain: bool = False) -> Push:
    """A probe that listens at this URL, as a location. `pin` is the SHA-256 of its certificate (None: the usual authorities
    count), `plain` lets us ask another machine without TLS. Raises Invalid."""
    return Push(_place(probe_url, plain=plain), key, None if pin is None else pin_of(pin), net, clock)


async def health(
    probe_url: str, key: Secret, pin: str | None, net: Net, clock: Clock, *, plain: bool = False
) -> Health:
    """How the probe at this URL is, asked once. Raises PeerLost, or Invalid for the URL or pin."""
    asked = location(probe_url, key, pin, net, clock, plain=plain)
    try:
        return await asked.health()
    finally:
        asked.close()


async def fingerprint(probe_url: str, net: Net) -> str | None:
    """The SHA-256 of the certificate that is shown at this URL now, to be pinned; None when it speaks no TLS. Nothing secret
    is said. Raises PeerLost, or Invalid for the URL."""
    asked = Kept(net, _place(probe_url, plain=True), pin="")
    try:
        await asked.ask("GET", "/health", timeout_s=HEALTH_S)
    except OtherCertificate:
        pass
    finally:
        asked.close()
    return asked.fingerprint


def _place(text: str, *, plain: bool) -> urls.Url:
    from tocsin.errors import Problem

    try:
        url = urls.parse(text)
    except ValueError as error:
        raise Invalid(Problem("endpoint_url", "an https:// URL of a probe", f"one that {error}")) from None
    if url.scheme == "http" and not plain and not _is_this_machine(url.host):
        expected = "https://: without TLS the secrets in targets could be read on the way"
        raise Invalid(Problem("endpoint_url", expected, clip(text, 100)))
    return url


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _detail(reply: Reply) -> str:
    """What a refusal says, in one line."""
    try:
        said: Any = as_map(loads(reply.body[:65_536])) or {}
    except Invalid:
        return f"status {reply.status}"
    wrong = [w for w in map(as_map, said.get("errors") or ()) if w][:3] if isinstance(said.get("errors"), list) else []
    words = "; ".join(f"{w.get('field')}: expected {w.get('expected')}, found {w.get('found')}" for w in wrong)
    return clip(words or str(said.get("detail") or f"status {reply.status}"), 300)
