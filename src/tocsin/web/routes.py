"""Every URL, and the one place that knows the web framework: `application` turns routes into an ASGI app.

Litestar finds the route and its path parameters, nothing more; what a request means is web/answer.py's to say.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, cast

from litestar import HttpMethod, Litestar, Request, Response, WebSocket, route, websocket
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPRequestEvent, HTTPScope, Receive, Scope, Send

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.telemetry import logger
from tocsin.web import live, openapi, pages
from tocsin.web.answer import Asked, answer, failed
from tocsin.web.api import ROUTES as API
from tocsin.web.call import Route
from tocsin.web.health import ROUTES as HEALTH
from tocsin.web.parts import Parts
from tocsin.web.problem import Refused
from tocsin.web.push import ROUTES as PUSH
from tocsin.web.wire import packed

log = logger(__name__)
_DESCRIBED: list[Route] = [*API, *HEALTH, *PUSH]
ROUTES: list[Route] = [*_DESCRIBED, *openapi.routes(_DESCRIBED), *pages.ROUTES]

_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"))
_PARAMETER = re.compile(r"\{([a-z_]+)\}")


def application(parts: Parts) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI app that answers every URL of a server built of these parts."""
    routed = Litestar(
        [*(_routed(parts, r) for r in ROUTES), _live(parts)],
        openapi_config=None,
        logging_config=None,
        exception_handlers=cast("Any", {Exception: _not_routed(parts)}),
        request_max_body_size=None,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _measured(routed, scope, receive, send)
        else:
            await routed(scope, receive, send)

    return app


async def _measured(routed: Litestar, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Pass a request on; count it by its route (never by its URL), and give its answer an id."""
    began, status, request_id = perf_counter(), [0], new_id()

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            status[0] = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
        await send(message)

    try:
        await routed(scope, receive, sending)
    finally:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        path = cast("dict[str, Any]", scope).get("tocsin.route", "unmatched")
        telemetry.http_requests.labels(method, path, str(status[0])).inc()
        telemetry.http_seconds.labels(method, path).observe(perf_counter() - began)


def _routed(parts: Parts, declared: Route) -> Any:
    """The framework's handler of one route."""

    async def run(request: Request[Any, Any, Any]) -> ASGIApp:
        cast("dict[str, Any]", request.scope)["tocsin.route"] = declared.path
        asked = _asked(request.scope, request.receive, cast("Mapping[str, str]", request.path_params))
        reply = await answer(parts, declared, asked)
        return _sender(parts, reply, asked)

    run.__name__ = f"{declared.method} {declared.path}"
    methods = [HttpMethod.GET, HttpMethod.HEAD] if declared.method == "GET" else [HttpMethod(declared.method)]
    return route(_PARAMETER.sub(r"{\1:str}", declared.path), http_method=methods, status_code=200)(run)


def _not_routed(parts: Parts) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """What is said of URLs and methods that do not exist, and of errors of the framework itself."""

    def say(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        asked = _asked(request.scope, request.receive, {})
        if isinstance(error, HTTPException) and error.status_code < 500:
            headers = {"allow": error.headers["allow"]} if error.headers and "allow" in error.headers else {}
            words = {404: "there is nothing at this URL", 405: "this URL does not take that method"}
            error = Refused(
                error.status_code, words.get(error.status_code, "this request cannot be read"), headers=headers
            )
        status, headers_, body = packed(failed(parts, None, asked, error), asked.method, asked.headers, secure=False)
        return Response(body, status_code=status, headers={k.decode(): v.decode("latin-1") for k, v in headers_})

    return say


def _sender(parts: Parts, reply: Any, asked: Asked) -> ASGIApp:
    secure = asked.scheme == "https" or parts.settings.base_url.startswith("https:")
    status, headers, body = packed(reply, asked.method, asked.headers, secure=secure)

    async def sender(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return sender


def _asked(scope: HTTPScope, receive: Receive, path: Mapping[str, str]) -> Asked:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    client = scope["client"]
    return Asked(
        method=scope["method"], url_path=scope["path"], path=path, query=scope["query_string"], headers=headers,
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
            event = cast("HTTPRequestEvent", await receive())
            if event["type"] != "http.request":
                raise Refused(400, "the connection ended within the body")
            chunks.append(event["body"])
            size += len(event["body"])
            if size > most:
                raise Refused(413, f"the body is larger than {most} bytes")
            if not event["more_body"]:
                return b"".join(chunks)

    return body


def _live(parts: Parts) -> Any:
    @websocket("/api/v1/live")
    async def run(socket: WebSocket[Any, Any, Any]) -> None:
        asked = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in socket.scope["headers"]}
        client = socket.scope["client"]
        await live.serve(
            parts, asked, socket.scope["query_string"], client[0] if client else "",
            cast("Any", socket.receive), cast("Any", socket.send),
        )  # fmt: skip

    return run
