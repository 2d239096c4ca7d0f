"""Every URL, and `application`, which makes an ASGI app of them.

Finds the route (web/table.py) and speaks ASGI, nothing more; what a request means is web/answer.py's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import perf_counter
from typing import Any

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.probe.join import LINK_PATH
from tocsin.web import agent_door, install, live, openapi, pages, probe_door, site
from tocsin.web.answer import Asked, answer, failed
from tocsin.web.api import ROUTES as API
from tocsin.web.call import Reply, Route
from tocsin.web.health import ROUTES as HEALTH
from tocsin.web.monitoring import ROUTES as MONITORING
from tocsin.web.parts import Parts
from tocsin.web.problem import Refused
from tocsin.web.push import ROUTES as PUSH
from tocsin.web.site_stats import ROUTES as SITE_STATS
from tocsin.web.table import Table
from tocsin.web.wire import packed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_DESCRIBED: list[Route] = [
    *API,
    *HEALTH,
    *MONITORING,
    *SITE_STATS,
    *PUSH,
    *probe_door.ROUTES,
    *agent_door.ROUTES,
    *install.ROUTES,
]
ROUTES: list[Route] = [*_DESCRIBED, *openapi.routes(_DESCRIBED), *pages.ROUTES]
LIVE = "/api/v1/live"

_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"))


def application(parts: Parts) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI app that answers every URL of a server built of these parts."""
    table = Table(ROUTES)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _http(parts, table, scope, receive, send)
        elif scope["type"] == "websocket":
            await _websocket(parts, scope, receive, send)

    return app


async def _http(parts: Parts, table: Table, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request, give the answer an id, and count it by its route (never by its URL)."""
    began, status, path = perf_counter(), 0, "unmatched"
    asked = _asked(scope, receive)
    try:
        try:
            route, values = table.find(asked.method, asked.url_path)
        except Refused as error:
            reply = _not_found(parts, asked, error)
        else:
            path = route.path
            reply = await answer(parts, route, asked, values)
        secure = site.is_secure(parts, asked.scheme, asked.headers)
        status, headers, body = packed(reply, asked.method, asked.headers, secure=secure)
        headers.append((b"x-request-id", new_id().encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
    finally:
        method = asked.method if asked.method in _METHODS else "OTHER"
        telemetry.http_requests.labels(method, path, str(status)).inc()
        telemetry.http_seconds.labels(method, path).observe(perf_counter() - began)


def _not_found(parts: Parts, asked: Asked, error: Refused) -> Reply:
    """What is said of URLs and methods that do not exist, and to who asks which methods do."""
    if asked.method == "OPTIONS" and error.status == 405:
        return Reply(status=204, headers=error.headers)
    return failed(parts, None, asked, error)


async def _websocket(parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope["client"]
    peer = client[0] if client else ""
    if scope["path"] == LINK_PATH and parts.links is not None:
        await probe_door.link(parts, headers, peer, receive, send)
        return
    if scope["path"] != LIVE:
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008, "reason": "there is nothing at this URL"})
        return
    asked = live.Asked(headers, scope["query_string"], peer, scope["scheme"])
    await live.serve(parts, asked, receive, send)


def _asked(scope: Scope, receive: Receive) -> Asked:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    client = scope["client"]
    return Asked(
        method=scope["method"], url_path=scope["path"], query=scope["query_string"], headers=headers,
        peer=client[0] if client else "", scheme=scope["scheme"], body=_body(receive, headers),
    )  # fmt: skip


def _body(receive: Receive, headers: Mapping[str, str]) -> Callable[[int], Awaitable[bytes]]:
    async def body(most: int) -> bytes:
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > most:
            raise Refused(413, f"the body is larger than {most} bytes")
        chunks: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] != "http.request":
                raise Refused(400, "the connection ended within the body")
            chunks.append(event["body"])
            size += len(event["body"])
            if size > most:
                raise Refused(413, f"the body is larger than {most} bytes")
            if not event["more_body"]:
                return b"".join(chunks)

    return body
