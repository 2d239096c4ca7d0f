"""The way of every request: who calls, how often, may they, what do they bring; then the route's own function; then
errors.

Knows routes and calls, nothing of ASGI. `answer` never raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core import limits
from tocsin.core.shape import loads, read
from tocsin.errors import Denied, Invalid, NotFound
from tocsin.telemetry import logger
from tocsin.web import auth, pages, query, site
from tocsin.web.call import Call, Reply, Route
from tocsin.web.problem import Refused, problem, problem_of

if TYPE_CHECKING:
    from tocsin.web.parts import Parts

log = logger(__name__)
_WRITES = ("POST", "PATCH", "PUT", "DELETE")
_BODY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came. `body(most)` gives its bytes, or raises Refused when they are more."""

    method: str
    url_path: str
    query: bytes
    headers: Mapping[str, str]
    peer: str
    scheme: str
    body: Callable[[int], Awaitable[bytes]]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without fields."""


async def answer(parts: Parts, route: Route, asked: Asked, path: Mapping[str, str]) -> Reply:
    """The reply to this request, whatever happens; `path` holds the parameters of its path."""
    now, caller = parts.clock.now(), auth.Caller()
    secure = site.is_secure(parts, asked.scheme, asked.headers)
    client = limits.client_address(asked.peer, asked.headers, parts.settings["TRUSTED_PROXIES"])
    try:
        _check_path(path)
        cookies = _cookies(asked.headers.get("cookie", ""))
        caller = await _caller(parts, route, asked.headers, cookies, client, now, secure=secure)
        _allow(parts, route, asked, caller)
        call = Call(
            parts=parts, principal=caller.principal, now=now, method=asked.method, url_path=asked.url_path,
            client=client, headers=asked.headers, cookies=cookies, path=path, secure=secure,
        )  # fmt: skip
        await _take(route, asked, call)
        reply = await _run(parts, route, call)
    except Exception as error:  # noqa: BLE001 (the edge: every error becomes an answer here, bugs are logged)
        reply = failed(parts, route, asked, error)
    if caller.cookies:
        reply = replace(reply, cookies=(*caller.cookies, *reply.cookies))
    return reply


def _check_path(path: Mapping[str, str]) -> None:
    """Raise NotFound when a parameter holds what no name of ours has: control characters."""
    if not all(value.isprintable() for value in path.values()):
        raise NotFound("there is nothing at this URL")


def failed(parts: Parts, route: Route | None, asked: Asked, error: Exception) -> Reply:
    """The answer to an error: problem+json, or a page for a page."""
    reply = problem_of(error)
    if reply is None:
        log.error("web.bug", route=route.path if route else asked.url_path, exc_info=error)
        reply = problem(500, "something is wrong on our side; the log says what")
    page = route.kind == "page" if route else not asked.url_path.startswith("/api/")
    if not page or "text/html" not in asked.headers.get("accept", "text/html"):
        return reply
    shown = msgspec.json.decode(reply.content or b"{}")
    return pages.error_page(parts, asked.url_path, reply.status, shown, reply.headers)


async def _caller(
    parts: Parts,
    route: Route,
    headers: Mapping[str, str],
    cookies: dict[str, str],
    client: str,
    now: datetime,
    *,
    secure: bool,
) -> auth.Caller:
    """Who calls, counted; on public routes only pages want to know."""
    tick = parts.clock.monotonic()
    caller = auth.Caller()
    if route.permission != "public" or route.kind == "page":
        try:
            caller = await auth.caller_of(parts, headers, cookies, route.permission, now, secure=secure)
        except Denied:
            parts.memory.strangers.take(limits.address_name(client), tick)
            if route.permission != "public":
                raise
    who = caller.principal
    if who is not None:
        parts.memory.requests.take(who.key_id or who.user_id or who.name, tick)
    elif route.kind != "open" or route.tag == "push":
        parts.memory.strangers.take(limits.address_name(client), tick)
    return caller


def _allow(parts: Parts, route: Route, asked: Asked, caller: auth.Caller) -> None:
    auth.allow(caller.principal, route.permission)
    if asked.method in _WRITES and (route.kind == "page" or caller.by_cookie):
        site.check_origin(parts, asked.scheme, asked.headers, by_cookie=caller.by_cookie)


async def _take(route: Route, asked: Asked, call: Call) -> None:
    """Read query and body into the call."""
    if route.query is not None or (route.kind == "api" and not route.loose):
        call.query = query.read_query(route.query, asked.query, loose=route.loose)
    if asked.method not in _WRITES:
        return
    try:
        async with asyncio.timeout(_BODY_S):
            call.raw = await asked.body(route.max_body)
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {_BODY_S:g} s") from None
    media = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    if route.kind == "page":
        if call.raw and media != "application/x-www-form-urlencoded":
            raise Refused(415, "expected Content-Type: application/x-www-form-urlencoded")
        call.form = tuple(query.pairs(call.raw, most=1000))
    elif route.kind == "api":
        _read_body(route, call, media)


def _read_body(route: Route, call: Call, media: str) -> None:
    if call.raw:
        if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
            raise Refused(415, f"expected Content-Type: application/json, found {media[:80] or 'none'}")
        try:
            call.data = loads(call.raw, max_bytes=route.max_body)
        except Invalid as error:
            raise Refused(400, str(error), problems=error.problems) from None
    else:
        call.data = {}
    if route.reads:
        call.body = read(route.body or Nothing, call.data)


async def _run(parts: Parts, route: Route, call: Call) -> Reply:
    key = call.headers.get("idempotency-key")
    if key is None or call.principal is None or call.method not in _WRITES or route.kind != "api":
        return _encoded(await route.run(call))
    who = call.principal

    async def run() -> Reply:
        return _encoded(await route.run(call))

    caller = f"{who.workspace_id} {who.key_id or who.user_id}"
    where = f"{call.method} {call.url_path}"
    return await parts.memory.answers.once(caller, where, key, call.raw, parts.clock.monotonic(), run)


def _encoded(reply: Reply) -> Reply:
    if reply.content is None:
        reply.content = b"" if reply.status == 204 else msgspec.json.encode(reply.data)
    return reply


def _cookies(header: str) -> dict[str, str]:
    """Cookies by name, the first of a name winning; another program's odd cookie on the same host does no harm."""
    cookies: dict[str, str] = {}
    if len(header) <= 16_384:
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            cookies.setdefault(name, value.strip('"'))
    return cookies
