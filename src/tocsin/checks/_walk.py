"""One walk through the steps of a transaction: its variables, its time, and what came of each step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace as copy
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tocsin.checks._steps import Step, facts_of, told
from tocsin.core.assertion import STATUS_2XX, judge, verdict_of
from tocsin.core.capture import take
from tocsin.core.header import is_value
from tocsin.core.plain import clip
from tocsin.core.result import ERROR_TYPES, CheckError, Observation, Timing, TlsFacts
from tocsin.core.variables import Veil, authority_of, fill, named
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused
from tocsin.net import Net
from tocsin.net.http import HttpRequest
from tocsin.net.progress import PROGRESS, TOO_BUSY, Progress, progress, timeout_message

GRACE_S = 0.3  # libcurl keeps a step's deadline by itself
CLEANING_SHARE, CLEANING_MOST_S = 0.3, 10.0
"""How much of the time is reserved for the steps that always run."""
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_PHASES = ("dns", "connect", "tls", "ttfb", "transfer")


class Walk:
    """The steps, once. `how` is what all requests have in common."""

    def __init__(self, steps: Sequence[Step], secrets: Mapping[str, str], how: HttpRequest, net: Net) -> None:
        self.steps, self.how, self.net = steps, how, net
        self.values: dict[str, str] = dict(secrets)
        self.veil = Veil(self.values.values())
        self.facts: list[dict[str, Any]] = []
        self.sums: dict[str, float] = {}
        self.degraded: CheckError | None = None
        self.last: Observation | None = None
        self.tls: TlsFacts | None = None
        self.waited_ms = 0.0

    async def go(self) -> Observation:
        """What was seen over all. Raises CheckFailed that names the step and has what was seen, CheckInvalid or
        EgressRefused; in each case after the steps that always run."""
        began = time.perf_counter()
        whole_s = progress().remaining_s()
        steps = list(enumerate(self.steps, 1))
        cleaning = [(n, step) for n, step in steps if step.always]
        reserved_s = min(CLEANING_SHARE * whole_s, CLEANING_MOST_S) if cleaning else 0.0
        stop: CheckFailed | CheckInvalid | EgressRefused | None = None
        for number, step in steps[: len(steps) - len(cleaning)]:
            stop = await self._try(number, step, whole_s - reserved_s - (time.perf_counter() - began))
            if stop is not None:
                break
        last = self.last
        for i, (number, step) in enumerate(cleaning):
            left_s = (whole_s - (time.perf_counter() - began)) / (len(cleaning) - i)
            stop = await self._clean(number, step, left_s, stop)
        self.last = last
        self._veil_again()
        seen = self._seen((time.perf_counter() - began) * 1000)
        if isinstance(stop, CheckFailed):
            raise CheckFailed(stop.type, self.veil.over(stop.message), phase=stop.phase, observation=seen)
        if stop is not None:
            raise type(stop)(self.veil.over(str(stop)))
        return seen

    async def _try(self, number: int, step: Step, left_s: float) -> CheckFailed | CheckInvalid | EgressRefused | None:
        """Run a step within `left_s`; why it cannot go on from there, None when it can. The failure has its words."""
        facts = facts_of(step, number, None)
        self.facts.append(facts)
        try:
            seen = await self._fetch(step, left_s)
            self._record(facts, number, step, seen)
            self._judge(number, step, seen)
        except CheckFailed as failure:
            self._record(facts, number, step, failure.observation)
            message = self.veil.over(failure.message)
            facts["error"] = clip(message, 300)
            return CheckFailed(failure.type, f"{told(step, number)}: {message}", phase=failure.phase)
        except (CheckInvalid, EgressRefused) as fault:
            message = self.veil.over(str(fault))
            facts["error"] = clip(message, 300)
            return type(fault)(f"{told(step, number)}: {message}")
        return None

    async def _clean(
        self, number: int, step: Step, left_s: float, stop: CheckFailed | CheckInvalid | EgressRefused | None
    ) -> CheckFailed | CheckInvalid | EgressRefused | None:
        """Run a step that always runs; what the whole ends with after it."""
        missing = sorted(step.names() - self.values.keys())
        if missing:  # what it would clean up never came to be
            self.facts.append(facts_of(step, number, None) | {"skipped": f"no value for {missing[0]}"})
            return stop
        failed = await self._try(number, step, left_s)
        if failed is None or stop is not None:
            return stop
        if step.on_fail == "down" or not isinstance(failed, CheckFailed):
            return failed
        type_: Any = failed.type if failed.type in ERROR_TYPES else "unknown"
        self._degrade(CheckError(type_, failed.message, failed.phase))
        return None

    def _veil_again(self) -> None:
        """What was said before a later step took a value may hold that value, too."""
        for facts in self.facts:
            if "error" in facts:
                facts["error"] = self.veil.over(facts["error"])
        if self.degraded is not None:
            self.degraded = replace(self.degraded, message=self.veil.over(self.degraded.message))

    def _degrade(self, error: CheckError) -> None:
        """The first thing that is not as it should be counts."""
        self.degraded = self.degraded or error

    def _record(self, facts: dict[str, Any], number: int, step: Step, seen: Observation | None) -> None:
        if seen is None or "ms" in facts:
            return
        facts |= facts_of(step, number, seen)
        for name in _PHASES:
            if (value := getattr(seen.timing, name)) is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
        self.waited_ms += seen.engine_wait_ms
        if named(authority_of(step.url)):  # where it leads is a captured value itself
            seen = replace(seen, ip=None, tls=None)
        self.last = seen
        if seen.tls is not None and seen.tls.not_after is not None:
            ends = None if self.tls is None else self.tls.not_after
            self.tls = seen.tls if ends is None or seen.tls.not_after < ends else self.tls

    def _judge(self, number: int, step: Step, seen: Observation) -> None:
        """Take the values and judge the assertions. Raises CheckFailed. What was taken is hidden before a word is said."""
        taken, missing = take(step.capture, seen)
        for value in taken.values():
            self.veil.add(value)
        given = step.assertions
        if all(a.type != "status_code" for a in given):
            given = (*STATUS_2XX, *given)
        status, error = verdict_of(judge(given, seen, _now(seen.tls)))
        if error is not None:
            if status == "down":
                raise CheckFailed("assertion", error.message)
            self._degrade(CheckError("assertion", f"{told(step, number)}: {self.veil.over(error.message)}"))
        if missing is not None:
            raise missing
        self.values |= taken

    async def _fetch(self, step: Step, left_s: float) -> Observation:
        """The answer to a step, within its own time: no more of it is what one step can take from the others."""
        if left_s <= 0:
            raise CheckFailed("timeout", "no time was left for it")
        request = self._request(step)
        here = Progress()
        here.timeout_s, here.deadline = round(left_s, 1) or left_s, here.loop.time() + left_s
        token = PROGRESS.set(here)
        try:
            async with asyncio.timeout(left_s + GRACE_S):
                return await self.net.http.fetch(request)
        except TimeoutError:
            if here.phase == "dns" and here.lookup is not None and not here.lookup.started:
                raise CheckInvalid("our own resolver was too busy to ask for the name") from None
            if here.held_s() > GRACE_S:
                raise CheckInvalid(TOO_BUSY) from None
            text = timeout_message(here.timeout_s, here.phase)
            raise CheckFailed("timeout", text, phase=here.phase) from None
        except EgressRefused as refused:
            if named(authority_of(step.url)):  # the target's doing
                raise CheckFailed("network", f"refused: {refused}", phase=here.phase) from None
            raise
        finally:
            PROGRESS.reset(token)

    def _request(self, step: Step) -> HttpRequest:
        headers = [(name, fill(value, self.values)) for name, value in step.headers.items()]
        for name, value in headers:
            if not is_value(value):
                text = f"expected values of one line for the header {name}, found control characters"
                raise CheckFailed("protocol", text)
        return copy(
            self.how,
            url=fill(step.url, self.values),
            method=step.method,
            headers=headers,
            body=None if step.body is None else fill(step.body, self.values).encode("utf-8", "replace"),
            follow_redirects=step.follow_redirects,
        )

    def _seen(self, total_ms: float) -> Observation:
        """All of it. Neither body nor headers: captured values may be anywhere in them."""
        last = self.last
        return Observation(
            status_code=None if last is None else last.status_code,
            timing=Timing(**self.sums, total=total_ms),
            ip=None if last is None or self.veil.hides(last.ip) else last.ip,
            tls=self.tls,
            facts={"steps": self.facts},
            degraded=self.degraded,
            engine_wait_ms=self.waited_ms,
        )


def _now(tls: TlsFacts | None) -> datetime:
    """The time by the certificate facts: what has none is judged without the time."""
    if tls is None or tls.not_after is None or tls.days_left is None:
        return _NO_TIME
    return tls.not_after - timedelta(days=tls.days_left)
