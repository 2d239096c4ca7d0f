"""URLs that jobs call: Healthchecks' /ping/… and Uptime Kuma's /api/push/…, in the forms that existing jobs use.

The token in the URL is the credential: 256 bits that the server made, or what a person chose. A body is kept as the
message, on one line, at most 1,000 characters of it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.shape import Length
from tocsin.core.wording import one_line
from tocsin.errors import Invalid, NotFound, Problem
from tocsin.web.call import Call, Reply, Route

_SAID = 1000


class Rid(Struct, frozen=True, kw_only=True):
    """Which run of the job calls."""

    rid: Annotated[str | None, Length(0, 64)] = None


class KumaQuery(Struct, frozen=True, kw_only=True):
    """What Uptime Kuma's push URL takes."""

    status: Annotated[str | None, Length(0, 20)] = None
    msg: Annotated[str | None, Length(0, 2000)] = None
    ping: Annotated[str | None, Length(0, 40)] = None


async def _called(call: Call, status: str, **more: Any) -> None:
    await call.parts.corridor.push_call(call.path["token"], status, **more)


def _message(call: Call) -> str:
    """What the job says, on one line: it goes into messages, pages and logs."""
    return one_line(call.raw[: 4 * _SAID].decode("utf-8", "replace"), _SAID)


async def _ping(call: Call) -> Reply:
    await _called(call, "up", message=_message(call), run_id=call.query.rid or "")
    return _ok()


async def _ping_said(call: Call) -> Reply:
    word = call.path["word"]
    status = {"start": "start", "fail": "down", "log": "log"}.get(word)
    message = _message(call)
    if status is None:
        if not word.isdecimal() or not word.isascii() or int(word[:4]) > 255 or len(word) > 3:
            raise NotFound("expected /start, /fail, /log or an exit code from 0 to 255")
        status = "up" if int(word) == 0 else "down"
        if status == "down":
            message = f"exit code {int(word)}" + (f": {message}" if message else "")
    await _called(call, status, message=message, run_id=call.query.rid or "")
    return _ok()


async def _kuma(call: Call) -> Reply:
    wanted: KumaQuery = call.query
    ping_ms: float | None = None
    if wanted.ping:
        try:
            ping_ms = float(wanted.ping)
        except ValueError:
            ping_ms = math.nan
        if not 0 <= ping_ms <= 86_400_000:
            raise Invalid(Problem("ping", "milliseconds", repr(wanted.ping)))
    status = (wanted.status or "up").lower()
    if status not in ("up", "down"):
        raise Invalid(Problem("status", "up or down", repr(wanted.status)))
    message = one_line(wanted.msg or "", _SAID)
    await _called(call, status, message="" if message == "OK" else message, ping_ms=ping_ms)
    return Reply(data={"ok": True})


def _ok() -> Reply:
    return Reply(content=b"OK", media_type="text/plain; charset=utf-8")


def _routes() -> list[Route]:
    made: list[Route] = []
    for method in ("GET", "POST"):
        made += [
            Route(
                method=method, path="/ping/{token}", run=_ping, permission="public", query=Rid, kind="open", loose=True,
                tag="push", summary="A job succeeded", max_body=100_000,
            ),
            Route(
                method=method, path="/ping/{token}/{word}", run=_ping_said, permission="public", query=Rid, kind="open",
                loose=True, tag="push", summary="A job started, failed, logs, or ended with an exit code",
                max_body=100_000,
            ),
            Route(
                method=method, path="/api/push/{token}", run=_kuma, permission="public", query=KumaQuery, kind="open",
                loose=True, tag="push", summary="A push monitor's call", max_body=100_000,
            ),
        ]  # fmt: skip
    return made


ROUTES = _routes()
