"""A location's look at itself: before its failures count it knows that its resolver, route and clock are well.

Nothing is sent while all is well: it looks when a check failed in a way that could be our own fault, at most every few
seconds, once for all that fail together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from tocsin import checks, telemetry
from tocsin.checks import Order
from tocsin.clock import Clock
from tocsin.core import shape
from tocsin.core.monitor import Assertion
from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Outcome
from tocsin.core.self_test import Looks, doubt, needs_looks
from tocsin.errors import Invalid, Problem

log = telemetry.logger("tocsin.self_test")

Run = Callable[[Order], Awaitable[Outcome]]

KEEP_S = 5.0
"""How long what was found counts."""
TIMEOUT_S = 3.0
_ANY_ANSWER = (Assertion(type="status_code", op="in", value=["100-599"]),)
_ROUTES = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))
_DEAD = ("timeout", "connection_refused", "network")


def read_anchors(text: str) -> list[Order]:
    """The checks of places that should always answer: https://…, tcp://HOST:PORT, ping://HOST or dns://SERVER/NAME, with
    commas between. Raises Invalid, naming the one that is none."""
    return [_anchor(word.strip()) for word in text.split(",") if word.strip()]


def _anchor(text: str) -> Order:
    parts = urlsplit(text)
    try:
        type_, target = {
            "http": ("http", {"url": text, "follow_redirects": False}),
            "https": ("http", {"url": text, "follow_redirects": False}),
            "tcp": ("tcp", {"host": parts.hostname or "", "port": parts.port or 0}),
            "ping": ("ping", {"host": parts.hostname or "", "count": 1}),
            "dns": ("dns", {"name": parts.path.strip("/") or ".", "record_type": "NS", "server": parts.netloc or None}),
        }[parts.scheme]
        read = shape.read(checks.kind(type_).target, target, where=text)
    except (KeyError, ValueError):
        raise Invalid(Problem("", "https://…, tcp://HOST:PORT, ping://HOST or dns://SERVER/NAME", clip(text))) from None
    return Order(type_, read, TIMEOUT_S, _ANY_ANSWER if type_ == "http" else (), "local")


class SelfTest:
    """Runs a location's checks and doubts their failures. `trouble` is what the latest look found, None when all is
    well."""

    def __init__(self, run: Run, anchors: Sequence[Order], clock: Clock) -> None:
        self._run, self._anchors, self._clock = run, anchors, clock
        self._looking: asyncio.Task[Looks] | None = None
        self._at = 0.0
        self.trouble: str | None = None

    async def __call__(self, order: Order) -> Outcome:
        """The outcome of a check, invalid when its failure may be ours."""
        outcome = await self._run(order)
        error = outcome.error
        if outcome.status != "down" or error is None:
            if self.trouble is not None:
                self._begin()  # it may be over by now
            return outcome
        if not needs_looks(error, outcome.seen.ip, anchors=bool(self._anchors)):
            return outcome
        why = doubt(error, await self._looks())
        if why is None:
            return outcome
        if why != self.trouble:
            self._tell(why)
        telemetry.checks_invalid.labels("self_test").inc()
        return replace(outcome, status="invalid", error=CheckError("unknown", f"not judged: {why}", error.phase))

    def _tell(self, why: str | None) -> None:
        self.trouble = why
        telemetry.self_test_failed.set(0 if why is None else 1)
        if why is None:
            log.info("self_test.well")
        else:
            log.error("self_test.failed", reason=why)

    async def _looks(self) -> Looks:
        """What was found within the last seconds; one look serves all that ask meanwhile."""
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[Looks]:
        task = self._looking
        if task is None or (task.done() and self._clock.monotonic() - self._at > KEEP_S):
            task = self._looking = asyncio.create_task(self._look(), name="self-test")
        return task

    async def _look(self) -> Looks:
        root = checks.kind("dns").target(name=".", record_type="NS")
        resolver, *answers = await asyncio.gather(
            self._run(Order("dns", root, TIMEOUT_S)), *(self._run(anchor) for anchor in self._anchors)
        )
        self._at = self._clock.monotonic()
        judged = [a for a in answers if a.status != "invalid"]
        offsets = [off for a in answers if (off := _clock_off(a)) is not None]
        found = Looks(
            resolver=_resolver_trouble(resolver),
            route=await asyncio.to_thread(_route_trouble),
            anchors=len(judged),
            failed=sum(a.status == "down" for a in judged),
            clock_off_s=sorted(offsets)[len(offsets) // 2] if offsets else None,
        )
        if self.trouble is not None and found.well:
            self._tell(None)
        return found


def _resolver_trouble(outcome: Outcome) -> str | None:
    """What is wrong with the resolver that this machine uses; whatever it answers but "I cannot" shows that it works."""
    error = outcome.error
    if outcome.status != "down" or error is None:
        return None
    if error.type in _DEAD or outcome.seen.facts.get("rcode") == "SERVFAIL":
        return error.message
    return None


def _route_trouble() -> str | None:
    """Whether this machine has no way to anywhere but itself."""
    try:
        four, six = (path.read_text().splitlines() if path.exists() else [] for path in _ROUTES)
    except OSError:
        return None  # it cannot be told here
    if not any(path.exists() for path in _ROUTES):
        return None
    ways = [line for line in four[1:] if not line.startswith("lo\t")] + [
        line for line in six if not line.endswith(" lo")
    ]
    return None if ways else "it has no route to any other machine"


def _clock_off(outcome: Outcome) -> float | None:
    """By how many seconds our clock is ahead of an anchor's, which says the time in its Date header."""
    said = next((value for name, value in outcome.seen.headers if name == "date"), None)
    if said is None:
        return None
    try:
        theirs: datetime = parsedate_to_datetime(said)
        return (outcome.started_at - theirs).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
