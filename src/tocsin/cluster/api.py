"""The called end of the sync API, on a port of its own: a bare ASGI function. Every route says who may call it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tocsin import telemetry
from tocsin.cluster import watch, wire
from tocsin.cluster.peers import BOOT, EPOCH
from tocsin.cluster.proof import Claims
from tocsin.core.instance import Certificate
from tocsin.core.limits import Attempts, TooMany
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, Outcast, StoreUnavailable
from tocsin.net.gate import CLIENT_CERTIFICATE
from tocsin.net.mutual import read_shown

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

log = telemetry.logger("tocsin.cluster")

BODY_S = 30.0
WRONG_PER_MINUTE = 30
STRANGERS_PER_MINUTE = 60
Who = Literal["anyone", "member", "joining", "sync", "report", "results"]
"""Who may call a route: anyone; who shows a token that a member signed, or that it signed for a server that joins; who shows
one that was given out for this."""


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request, already let in. `rest` are the words of the path after the route's; `certificate` (DER) is what the
    caller showed when it opened the connection, and an authority of ours vouches for."""

    headers: Mapping[str, str]
    body: bytes
    rest: tuple[str, ...]
    claims: Claims | None
    client: str
    certificate: bytes | None = None

    def shown(self) -> Certificate | None:
        """That certificate, read."""
        return None if self.certificate is None else Certificate(**msgspec.structs.asdict(read_shown(self.certificate)))

    @property
    def who(self) -> str:
        assert self.claims is not None
        return self.claims.instance


Run = Callable[["Cluster", Ask], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class SyncRoute:
    """A path of the sync API (`*` stands for one word), what it takes to call it, and what runs. `epoch`: a caller whose
    epoch is over is refused."""

    method: str
    path: str
    who: Who
    run: Run
    most: int = 1 << 20
    epoch: bool = False


class Api:
    """The ASGI function."""

    def __init__(self, cluster: Cluster, routes: tuple[SyncRoute, ...]) -> None:
        self._cluster = cluster
        self._routes = [(tuple(filter(None, route.path.split("/"))), route) for route in routes]
        self._wrong, self._strangers = Attempts(WRONG_PER_MINUTE), Attempts(STRANGERS_PER_MINUTE)

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        headers: dict[str, str] = {}
        try:
            data = await self._answer(scope, receive)
            status = 200 if data is not None else 204
            raw = isinstance(data, bytes)
            kind, body = ("application/octet-stream", data) if raw else ("application/json", wire.write(data))
        except Exception as error:
            status, said, headers = refusal(error)
            if isinstance(error, NotPrimary):
                carrier = self._cluster.carrier
                said |= {"epoch": carrier.node.epoch, "urls": self._cluster.peers.urls(carrier.node.primary)}
            if status == 500:
                log.exception("cluster.api_failed", path=scope["path"][:80])
            kind, body = "application/problem+json", wire.write(said)
        telemetry.sync_requests.labels(str(status)).inc()
        pairs = [("content-type", kind), ("content-length", str(len(body) if status != 204 else 0)), *headers.items()]
        await send(
            {"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in pairs]}
        )
        await send({"type": "http.response.body", "body": body if status != 204 else b"", "more_body": False})

    async def _answer(self, scope: Any, receive: Callable[[], Awaitable[Any]]) -> Any:
        route, rest = self._find(scope["method"], scope["path"])
        if scope.get("scheme") == "http" and not _is_this_machine((scope.get("client") or ("", 0))[0]):
            raise Denied("expected TLS: only this machine itself may speak without")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = (scope.get("client") or ("", 0))[0]
        claims = await self._let_in(route, headers, client)
        if route.epoch:
            self._fence(headers)
        body = await _read(receive, headers, route.most)
        extensions: dict[str, Any] = scope.get("extensions") or {}
        shown: bytes | None = extensions.get(CLIENT_CERTIFICATE)
        ask = Ask(headers=headers, body=body, rest=rest, claims=claims, client=client, certificate=shown)
        return await route.run(self._cluster, ask)

    def _find(self, method: str, path: str) -> tuple[SyncRoute, tuple[str, ...]]:
        words = tuple(filter(None, path.split("/")))
        allowed: list[str] = []
        for pattern, route in self._routes:
            if len(pattern) == len(words) and all(p in ("*", w) for p, w in zip(pattern, words, strict=True)):
                if route.method == method:
                    return route, tuple(w for p, w in zip(pattern, words, strict=True) if p == "*")
                allowed.append(route.method)
        raise NotFound("there is nothing at this URL" if not allowed else f"this URL takes {', '.join(allowed)} only")

    async def _let_in(self, route: SyncRoute, headers: Mapping[str, str], client: str) -> Claims | None:
        now = asyncio.get_running_loop().time()
        if route.who == "anyone":
            if route.method != "GET":
                self._strangers.count(client, now)
            return None
        try:
            if route.who == "joining":
                return self._cluster.registry.signed(headers, adopting=True)
            if route.who != "member":
                return await self._cluster.registry.who(headers, route.who)
            claims = self._cluster.registry.signed(headers)
        except Denied as denied:
            try:
                self._wrong.count(client, now)
            except TooMany:
                self._cluster.registry.refused(
                    "token", f"{client} keeps asking the sync API with wrong tokens: {denied}"
                )
                raise
            raise
        watch.must_be_alone(self._cluster, claims.instance, headers.get(BOOT, ""), client)
        return claims

    def _fence(self, headers: Mapping[str, str]) -> None:
        given = number(headers.get(EPOCH, ""))
        if given is None:
            return
        carrier = self._cluster.carrier
        if (stale := carrier.node.fence(given)) is not None:
            telemetry.stale_epochs.inc()
            raise NotPrimary(f"epoch {given} is over: this is epoch {stale.epoch}", primary=carrier.primary_url())


def refusal(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, problem+json and headers for what went wrong."""
    match error:
        case NotPrimary():
            said = {
                "title": "not the primary",
                "status": 409,
                "detail": str(error),
                "primary": error.primary,
                "epoch": 0,
            }
            return 409, said, {"retry-after": str(int(error.retry_after_s) or 1)}
        case StoreUnavailable():
            return 503, _problem(503, str(error)), {"retry-after": str(int(error.retry_after_s) or 1)}
        case Invalid():
            said = _problem(400, str(error)) | {"errors": [msgspec.to_builtins(p) for p in error.problems]}
            return 400, said, {}
        case Outcast():
            return 403, _problem(403, str(error)) | {"cause": error.cause}, {}
        case Denied():
            return (403 if error.authenticated else 401), _problem(403 if error.authenticated else 401, str(error)), {}
        case NotFound():
            return 404, _problem(404, str(error)), {}
        case Conflict():
            return 409, _problem(409, str(error)), {}
        case TooMany():
            return 429, _problem(429, "too many wrong tokens: wait a minute"), {"retry-after": "60"}
        case TooLarge():
            return 413, _problem(413, str(error)), {"connection": "close"}
        case TimeoutError():
            return 408, _problem(408, "it took too long"), {"connection": "close"}
        case _:
            return 500, _problem(500, "a fault of this instance; its log says more"), {}


def number(text: str) -> int | None:
    """The whole number that these digits are, None when they are something else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class TooLarge(Exception):
    """The body is larger than may be."""


def _problem(status: int, detail: str) -> dict[str, Any]:
    return {"title": {401: "not signed in", 403: "denied"}.get(status, "refused"), "status": status, "detail": detail}


async def _read(receive: Callable[[], Awaitable[Any]], headers: Mapping[str, str], most: int) -> bytes:
    told = number(headers.get("content-length", ""))
    if told is not None and told > most:
        raise TooLarge(f"expected at most {most} bytes, found {told}")
    chunks: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_S):
        while True:
            event = await receive()
            if event["type"] != "http.request":
                raise Invalid()
            chunks.append(event.get("body", b""))
            size += len(chunks[-1])
            if size > most:
                raise TooLarge(f"expected at most {most} bytes, found more")
            if not event.get("more_body"):
                return b"".join(chunks)
