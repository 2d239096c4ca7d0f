"""URLs that jobs call: Healthchecks' /ping/… and Uptime Kuma's /api/push/…, in the forms that existing jobs use.

The token in the URL is the credential: 256 bits that the server made, or a random UUID that an admin brought from
elsewhere. A body is the message, on one line, at most 1,000 characters of it; its first 10,000 bytes are kept.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.shape import Help, Length
from tocsin.core.wording import one_line
from tocsin.errors import Invalid, NotFound, Problem
from tocsin.web.call import Call, Reply, Route
from tocsin.web.problem import Refused

_SAID = 1000
_BODY = 10_000
_MOST = 1 << 20
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_DAY_MS = 86_400_000.0
_SAYS_MORE = {"ping-body-limit": str(_BODY), "access-control-allow-origin": "*"}
"""What clients of Healthchecks ask for: how much of a body is kept; pages may call, too."""


class Rid(Struct, frozen=True, kw_only=True):
    """Which run of the job calls."""

    rid: Annotated[str | None, Length(0, 64), Help("a UUID")] = None


class KumaQuery(Struct, frozen=True, kw_only=True):
    """What Uptime Kuma's push URL takes."""

    status: Annotated[str | None, Length(0, 20)] = None
    msg: Annotated[str | None, Length(0, 2000)] = None
    ping: Annotated[str | None, Length(0, 40)] = None


async def _called(call: Call, status: str, **more: Any) -> None:
    await call.parts.corridor.push_call(call.path["token"], status, **more)


async def _pinged(call: Call, status: str, code: str = "") -> Reply:
    """Take in a call of Healthchecks' kind, with what the job says in its body."""
    rid: str = call.query.rid or ""
    if rid and _UUID.fullmatch(rid) is None:
        raise Refused(400, "rid: expected a UUID")
    text = call.raw[:_BODY].decode("utf-8", "replace")
    message = one_line(text, _SAID)
    if code:
        message = f"exit code {code}" + (f": {message}" if message else "")
    body = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text.replace("\r\n", "\n")).strip()
    await _called(call, status, message=message, body=body, run_id=rid.lower())
    return Reply(content=b"OK", media_type="text/plain; charset=utf-8", headers=dict(_SAYS_MORE))


async def _ping(call: Call) -> Reply:
    return await _pinged(call, "up")


async def _ping_said(call: Call) -> Reply:
    word = call.path["word"]
    status = {"start": "start", "fail": "down", "log": "log"}.get(word)
    if status is not None:
        return await _pinged(call, status)
    if not word.isdecimal() or not word.isascii() or len(word) > 3 or int(word) > 255:
        raise NotFound("expected /start, /fail, /log or an exit code from 0 to 255")
    return await _pinged(call, "down", str(int(word))) if int(word) else await _pinged(call, "up")


async def _kuma(call: Call) -> Reply:
    wanted: KumaQuery = call.query
    given = _NUMBER.match(wanted.ping or "")
    ping_ms = min(float(given[0]), _DAY_MS) if given is not None else None  # what is no number says nothing, as there
    status = (wanted.status or "up").lower()
    if status not in ("up", "down"):
        raise Invalid(Problem("status", "up or down", repr(wanted.status)))
    message = one_line(wanted.msg or "", _SAID)
    await _called(call, status, message="" if message == "OK" else message, ping_ms=ping_ms)
    return Reply(data={"ok": True})


def _routes() -> list[Route]:
    made: list[Route] = []
    for method in ("GET", "POST"):
        made += [
            Route(
                method=method, path="/ping/{token}", run=_ping, permission="public", query=Rid, kind="open", loose=True,
                tag="push", summary="A job succeeded", max_body=_MOST,
            ),
            Route(
                method=method, path="/ping/{token}/{word}", run=_ping_said, permission="public", query=Rid, kind="open",
                loose=True, tag="push", summary="A job started, failed, logs, or ended with an exit code",
                max_body=_MOST,
            ),
            Route(
                method=method, path="/api/push/{token}", run=_kuma, permission="public", query=KumaQuery, kind="open",
                loose=True, tag="push", summary="A push monitor's call", max_body=_MOST,
            ),
        ]  # fmt: skip
    return made


ROUTES = _routes()
