"""What collectors that ask a server share: numbers and texts out of its answer, and what is said of one that is away."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tocsin.core.plain import clip, without_control
from tocsin.core.sample import MAX_SERIES, Reading, Service, series
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused
from tocsin.net import Net

if TYPE_CHECKING:
    from tocsin.core.result import Observation
    from tocsin.net.http import Login

MOST_LABEL = 60
_AWAY = (CheckFailed, OSError)
"""What a server that is not well makes; CheckInvalid and EgressRefused are troubles of our own."""


def number(value: object) -> float | None:
    """The value when it is a number that can be kept, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) and abs(value) < 1e18 else None
    except OverflowError:
        return None


def word(value: object, most: int = 100) -> str:
    """The value when it is text, short and fit to be shown; else nothing."""
    return clip(without_control(value).strip(), most) if isinstance(value, str) else ""


def labelled(made: dict[str, float], metric: str, value: object, **labels: str) -> None:
    """Add a series, when the value is a number."""
    figure = number(value)
    if figure is None:
        return
    cut = {name: text[:MOST_LABEL] for name, text in labels.items()}
    try:
        made[series(metric, **cut)] = figure
    except ValueError:  # labels of letters that take much room
        made[series(metric, **{name: text[: MAX_SERIES // 20] for name, text in cut.items()})] = figure


async def asked(
    kind: str,
    name: str,
    timeout_s: float,
    look: Callable[[], Awaitable[Reading]],
    facts: Mapping[str, Any] | None = None,
) -> Reading:
    """What looking gave; of a server that does not answer as it should, that it is so, as a service that is not well: a
    rule fires for it, and the reading's trouble says why nothing else is known."""
    try:
        async with asyncio.timeout(timeout_s):
            return await look()
    except TimeoutError:
        why = f"no answer within {timeout_s:g} s"
    except (CheckInvalid, EgressRefused):
        raise
    except _AWAY as error:
        why = clip(str(error) or type(error).__name__, 300)
    away = Service(kind=kind, name=name[:200], state="not answering", ok=False, detail=why, facts=dict(facts or {}))
    return Reading(services=(away,), trouble=clip(f"{name}: {why}", 400))


def moment(value: object) -> datetime | None:
    """The time that a text says by RFC 3339, None for none and for the years that stand for never."""
    if not isinstance(value, str) or not 19 <= len(value) <= 40:
        return None
    try:
        read = datetime.fromisoformat(value)
        read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return read if 1971 < read.year < 9000 else None


def find_socket(path: str) -> None:
    """Return when there is a socket that we may open. CheckFailed when nobody made one, CheckInvalid when it is not for
    us."""
    if not os.path.exists(path):
        raise CheckFailed("connection_refused", f"there is no socket {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CheckInvalid(f"the user that the agent runs as may not open {path} (is it in the group of the socket?)")


def read_json(body: bytes, what: str) -> Any:
    """The value that an answer is. CheckFailed when it is none: what programs printed is in it, control characters too, so
    nothing of it is shown before it went through `word`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        why = "another answer" if body else "nothing"
        raise CheckFailed("protocol", f"expected {what} as JSON, found {why}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How a server is asked over HTTP: where it is, and what every request to it has."""

    base: str
    socket: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    login: Login | None = None
    verify_tls: bool = True
    ca: str | None = None
    timeout_s: float = 5.0

    async def get(self, net: Net, path: str, *, max_body: int = 4 << 20) -> Observation:
        """What it answers, whatever the status. Raises CheckFailed, CheckInvalid, EgressRefused."""
        from tocsin.net.http import HttpRequest  # libcurl, for those who use it

        request = HttpRequest(
            url=self.base.rstrip("/") + path, headers=self.headers, login=self.login, follow_redirects=False,
            verify_tls=self.verify_tls, ca_file=self.ca, unix_socket=self.socket, timeout_s=self.timeout_s,
            max_body=max_body,
        )  # fmt: skip
        return await net.http.fetch(request)

    async def body(self, net: Net, path: str, *, max_body: int = 4 << 20) -> bytes:
        """The body of a 200. CheckFailed for every other status, and for more than `max_body` bytes."""
        seen = await self.get(net, path, max_body=max_body)
        where = path.partition("?")[0]
        if seen.status_code in (401, 403):
            raise CheckFailed("protocol", f"{where} is refused with status {seen.status_code}: who asks may not see it")
        if seen.status_code != 200:
            raise CheckFailed("protocol", f"{where} answered with status {seen.status_code}")
        if seen.truncated:
            raise CheckFailed("protocol", f"{where} answered with more than {max_body} bytes")
        return seen.body
