"""A probe's own server: POST /execute, GET /health, GET /metrics. A bare ASGI function, no web framework.

Who may speak with it is decided in this order: address, rate, TLS, key. Each refusal says why, in problem+json, and is
counted.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.limits import Attempts, Buckets, TooMany, address_name, client_address
from tocsin.core.plain import loads
from tocsin.errors import Invalid, SettingsError
from tocsin.probe.wire import Health, read_execute
from tocsin.probe.work import Busy, Worker, keys_fit
from tocsin.secret import Secret

log = telemetry.logger("tocsin.probe")

MOST_BODY = 1 << 20
BODY_S = 20.0
WRONG_KEYS_PER_MINUTE = 20
SHOWN = (
    "tocsin_probe_requests_total", "tocsin_probe_jobs_total", "tocsin_probe_linked", "tocsin_probe_buffered",
    "tocsin_probe_dropped_total", "tocsin_checks_invalid_total", "tocsin_self_test_failed",
    "tocsin_event_loop_lag_seconds", "tocsin_event_loop_lag_max_seconds",
)  # fmt: skip
"""What /metrics shows of what this program could count."""
_ROUTES = {"/execute": "POST", "/health": "GET", "/metrics": "GET"}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def read_allow(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas between; empty: everybody. Raises SettingsError naming the one that is none."""
    found: list[Network] = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise SettingsError(
                f"TOCSIN_PROBE_ALLOW: expected addresses or networks such as 192.0.2.7 or 10.0.0.0/8, found {word!r}"
            ) from None
    return tuple(found)


def read_keys(given: Secret | None) -> tuple[str, ...]:
    """The one or two keys of a setting. Raises SettingsError."""
    keys = tuple(filter(None, (k.strip() for k in (given.reveal() if given else "").split(","))))
    if len(keys) > 2:
        raise SettingsError(
            f"TOCSIN_PROBE_KEY: expected one key, or two while one takes the place of the other, found {len(keys)}"
        )
    if any(len(key) < 16 or not key.isascii() or not key.isprintable() for key in keys):
        raise SettingsError(
            "TOCSIN_PROBE_KEY: expected keys of at least 16 printable ASCII characters, found a shorter or other one"
        )
    return keys


@dataclass(kw_only=True)
class Guard:
    """Who may speak with a probe. `plain` lets other machines use HTTP without TLS (a proxy in front speaks it)."""

    keys: tuple[str, ...]
    allow: tuple[Network, ...] = ()
    trusted_proxies: int = 0
    per_minute: int = 3000
    plain: bool = False
    metrics_token: Secret | None = None
    buckets: Buckets = field(init=False)
    wrong: Attempts = field(init=False)

    def __post_init__(self) -> None:
        self.buckets, self.wrong = Buckets(self.per_minute), Attempts(WRONG_KEYS_PER_MINUTE)


class Refusal(Exception):
    """The request is not carried out. `cause` is what it is counted as."""

    def __init__(self, status: int, cause: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.cause, self.detail, self.more = status, cause, detail, more
        self.headers: dict[str, str] = {}


@dataclass(frozen=True)
class Asked:
    """A request: who asks, by which door, for what."""

    method: str
    path: str
    headers: Mapping[str, str]
    peer: str
    client: str
    secure: bool


class Api:
    """The ASGI function. `health` says how the probe is."""

    def __init__(self, worker: Worker, guard: Guard, clock: Clock, health: Callable[[], Health] | None = None) -> None:
        self._worker, self._guard, self._clock = worker, guard, clock
        self._health = health or worker.health

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = self._asked(scope)
        try:
            status, kind, body = await self._answer(asked, receive)
            headers: dict[str, str] = {}
            cause = "ok"
        except Refusal as refusal:
            status, cause, headers = refusal.status, refusal.cause, refusal.headers
            kind, body = "application/problem+json", _problem(refusal)
            log.info("probe.refused", cause=cause, peer=asked.peer, path=asked.path[:80])
        except TimeoutError:
            status, cause, headers = 408, "body", {"connection": "close"}
            kind, body = "application/problem+json", _problem(Refusal(408, "body", "the body did not come in time"))
        telemetry.probe_requests.labels(cause).inc()
        await _send(send, status, kind, body, headers)

    def _asked(self, scope: Any) -> Asked:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        peer = (scope.get("client") or ("", 0))[0]
        client = client_address(peer, headers, self._guard.trusted_proxies)
        return Asked(scope["method"], scope["path"], headers, peer, client, scope.get("scheme") == "https")

    async def _answer(self, asked: Asked, receive: Receive) -> tuple[int, str, bytes]:
        if asked.path not in _ROUTES:
            raise Refusal(404, "not_found", f"expected {', '.join(_ROUTES)}, found another path")
        self._admit(asked)
        if asked.method not in (_ROUTES[asked.path], "HEAD" if _ROUTES[asked.path] == "GET" else ""):
            refusal = Refusal(405, "method", f"expected {_ROUTES[asked.path]}, found {asked.method[:20]}")
            refusal.headers["allow"] = _ROUTES[asked.path]
            raise refusal
        if asked.path == "/health":
            return 200, "application/json", self._seen_health(asked)
        self._authenticate(asked)
        if asked.path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", metrics()
        return 200, "application/json", await self._execute(asked, receive)

    # --- who may ----------------------------------------------------------------------------------------------------

    def _admit(self, asked: Asked) -> None:
        """Address, rate and TLS, in this order."""
        guard = self._guard
        local = _is_loopback(asked.peer) and asked.client == asked.peer
        if guard.allow and not (local and asked.path == "/health") and not _is_in(asked.client, guard.allow):
            raise Refusal(403, "address", "this address may not speak with this probe (TOCSIN_PROBE_ALLOW)")
        try:
            guard.buckets.take(address_name(asked.client), self._clock.monotonic())
        except TooMany as error:
            raise _later("rate", error) from None
        if not asked.secure and not guard.plain and not local:
            raise Refusal(403, "plain", "this probe is asked over TLS only: use https://")

    def _authenticate(self, asked: Asked) -> None:
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        given = given.strip()
        if scheme.lower() == "bearer" and given:
            if keys_fit(self._guard.keys, given):
                return
            token = self._guard.metrics_token
            if asked.path == "/metrics" and token is not None and token.same(given):
                return
            try:
                self._guard.wrong.count(address_name(asked.client), self._clock.monotonic())
            except TooMany as error:
                raise _later("wrong_key", error) from None
        refusal = Refusal(
            401, "wrong_key" if given else "no_key", "expected Authorization: Bearer with a key of this probe"
        )
        refusal.headers["www-authenticate"] = "Bearer"
        raise refusal

    def _seen_health(self, asked: Asked) -> bytes:
        """All of it for who has a key, else that there is a probe, and whether it is well."""
        health = self._health()
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        if not given:
            return msgspec.json.encode({"status": health.status})
        if scheme.lower() != "bearer" or not keys_fit(self._guard.keys, given.strip()):
            self._authenticate(asked)
        return msgspec.json.encode(health)

    # --- what is done -----------------------------------------------------------------------------------------------

    async def _execute(self, asked: Asked, receive: Receive) -> bytes:
        try:
            job = read_execute(loads(await _body(asked, receive), max_bytes=MOST_BODY))
            return await self._worker.do(job)
        except Invalid as error:
            unknown = any(p.field == "monitorType" for p in error.problems)
            raise Refusal(
                422 if error.problems[0].field else 400,
                "unknown_type" if unknown else "order",
                "the order cannot be carried out" if error.problems[0].field else str(error),
                errors=[{"field": p.field, "expected": p.expected, "found": p.found} for p in error.problems],
            ) from None
        except Busy as busy:
            refusal = Refusal(503, "busy", str(busy))
            refusal.headers["retry-after"] = "1"
            raise refusal from None


async def _body(asked: Asked, receive: Receive) -> bytes:
    """The body, at most MOST_BODY bytes of it, whole."""
    announced = asked.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:12]) > MOST_BODY:
        raise _too_large()
    if asked.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "encoding", "expected a body as it is, found a content-encoding")
    parts, size = list[bytes](), 0
    async with asyncio.timeout(BODY_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "truncated", "the body ended in the middle")
            part = message.get("body", b"")
            size += len(part)
            if size > MOST_BODY:
                raise _too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


def _too_large() -> Refusal:
    refusal = Refusal(413, "too_large", f"expected a body of at most {MOST_BODY} bytes, found a longer one")
    refusal.headers["connection"] = "close"
    return refusal


def _later(cause: str, error: TooMany) -> Refusal:
    refusal = Refusal(429, cause, error.detail)
    refusal.headers["retry-after"] = str(max(1, round(error.retry_after_s + 0.5)))
    return refusal


def _problem(refusal: Refusal) -> bytes:
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "detail": refusal.detail,
        }
        | {"errors": []}
        | refusal.more
    )


async def _send(send: Send, status: int, kind: str, body: bytes, more: Mapping[str, str]) -> None:
    headers = {"content-type": kind, "content-length": str(len(body)), "cache-control": "no-store", **more}
    pairs = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def metrics() -> bytes:
    """What a probe counts, as Prometheus reads it."""
    from prometheus_client import generate_latest

    return generate_latest(telemetry.REGISTRY.restricted_registry(list(SHOWN)))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in networks)
