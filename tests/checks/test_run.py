from __future__ import annotations

import asyncio
import logging
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import hostile
from hostile import serving
from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.monitor import Assertion
from tocsin.core.result import CheckError, Observation, Outcome, Timing, outcome_json
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, NotFound
from tocsin.net import Net

Behaviour = Callable[[Net], Awaitable[Observation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that behaves as the test says.

    More lines that are no label."""

    host: str = "h"
    port: int = 7
    behave: Behaviour | None = None


async def check(target: Target, net: Net) -> Observation:
    assert target.behave is not None
    return await target.behave(net)


@pytest.fixture(autouse=True)
def odd_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module: Any = types.ModuleType("odd_kind")
    module.Target, module.check = Target, check
    monkeypatch.setitem(sys.modules, "odd_kind", module)
    monkeypatch.setitem(checks.REGISTRY, "odd", "odd_kind")
    checks.kind.cache_clear()
    yield
    checks.kind.cache_clear()


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


async def run(net: Net, behave: Behaviour, timeout_s: float = 2, *assertions: Assertion) -> Outcome:
    order = checks.Order("odd", Target(behave=behave), timeout_s, assertions, "here")
    return await checks.run(order, net, SystemClock())


def raising(error: Exception) -> Behaviour:
    async def behave(net: Net) -> Observation:
        raise error

    return behave


def seeing(seen: Observation) -> Behaviour:
    async def behave(net: Net) -> Observation:
        return seen

    return behave


async def test_what_was_seen_is_up_with_a_total(net: Net) -> None:
    outcome = await run(net, seeing(Observation(timing=Timing(connect=1.0), facts={"a": 1})))
    assert (outcome.type, outcome.target, outcome.status, outcome.error) == ("odd", "h:7", "up", None)
    assert outcome.location == "here"
    assert outcome.seen.timing.connect == 1.0
    assert (outcome.seen.timing.total or 0) > 0
    assert outcome_json(outcome)["facts"] == {"a": 1}


async def test_a_total_that_the_check_measured_itself_stays(net: Net) -> None:
    assert (await run(net, seeing(Observation(timing=Timing(total=77.0))))).seen.timing.total == 77.0


async def test_check_failed_is_down_with_what_was_seen(net: Net) -> None:
    seen = Observation(status_code=99, timing=Timing(total=5.0))
    outcome = await run(net, raising(CheckFailed("protocol", "odd answer", phase="ttfb", observation=seen)))
    assert outcome.status == "down"
    assert outcome.error == CheckError("protocol", "odd answer", "ttfb")
    assert outcome.seen is seen


async def test_an_unheard_of_error_type_is_unknown(net: Net) -> None:
    outcome = await run(net, raising(CheckFailed("gremlins", "x")))
    assert outcome.error == CheckError("unknown", "x", None)


async def test_refused_addresses_are_no_evidence_and_say_so(net: Net) -> None:
    outcome = await run(net, raising(EgressRefused("10.0.0.1 is private")))
    assert outcome.status == "invalid"
    assert outcome.error == CheckError("network", "refused: 10.0.0.1 is private", None)


async def test_check_invalid_is_invalid(net: Net) -> None:
    outcome = await run(net, raising(CheckInvalid("no resolver")))
    assert (outcome.status, outcome.error) == ("invalid", CheckError("unknown", "no resolver", None))


@pytest.mark.parametrize(
    "error", [KeyError("x"), ZeroDivisionError(), OSError("odd"), TimeoutError(), RecursionError()]
)
async def test_a_fault_of_ours_is_invalid_and_logged(
    net: Net, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        outcome = await run(net, raising(error))
    assert outcome.status == "invalid"
    assert outcome.error is not None
    assert outcome.error.type == "unknown"
    assert type(error).__name__ not in outcome.error.message


async def test_a_bad_assertion_is_a_fault_of_ours(net: Net) -> None:
    odd = Assertion(type="no_such_type", op="?", value=1)
    assert (await run(net, seeing(Observation()), 2, odd)).status == "invalid"


async def test_the_timeout_ends_a_check_that_hangs(net: Net) -> None:
    async def behave(net: Net) -> Observation:
        await asyncio.Event().wait()
        raise AssertionError

    outcome = await run(net, behave, 0.1)
    assert outcome.status == "down"
    assert outcome.error == CheckError("timeout", "no result within 0.1 s", None)
    assert 100 <= (outcome.seen.timing.total or 0) <= 600


@pytest.mark.parametrize("phase", ["connect", "ttfb", "transfer", "tls"])
async def test_a_timeout_names_the_phase_and_keeps_what_was_seen(net: Net, phase: str) -> None:
    async def behave(net: Net) -> Observation:
        from tocsin.net import TlsWish

        async with net.connect("127.0.0.1", port) as connection:
            if phase == "tls":
                await connection.start_tls(TlsWish(server_name="x"))
            await connection.write(b"GET / HTTP/1.1\r\n\r\n")
            await connection.read_until(b"\r\n\r\n")
        raise AssertionError

    async def script(talk: hostile.Talk) -> None:
        if phase == "transfer":
            await talk.send(b"HTTP/1.1 200")
        await talk.over.wait()

    if phase == "connect":
        with hostile.silent_port() as port:
            outcome = await run(net, behave, 0.3)
    else:
        async with serving(script, read=False) as server:
            port = server.port
            outcome = await run(net, behave, 0.3)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.type, outcome.error.phase) == ("down", "timeout", phase)
    assert outcome.seen.ip == "127.0.0.1"
    assert (outcome.seen.timing.connect is None) == (phase == "connect")


async def test_being_cancelled_is_passed_on(net: Net) -> None:
    started = asyncio.Event()

    async def behave(net: Net) -> Observation:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(run(net, behave, 30))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_missed_assertion_is_down_or_degraded(net: Net) -> None:
    seen = seeing(Observation(status_code=200, timing=Timing(total=50.0)))
    slow = Assertion(type="response_time_ms", op="lt", value=10, on_fail="degrade")
    wrong = Assertion(type="status_code", op="in", value=["500"])
    fine = Assertion(type="status_code", op="in", value=["200-299"])
    degraded = await run(net, seen, 2, fine, slow)
    assert (degraded.status, [a.ok for a in degraded.assertions]) == ("degraded", [True, False])
    assert degraded.error is not None
    assert degraded.error.type == "assertion"
    down = await run(net, seen, 2, slow, wrong)
    assert (down.status, [a.ok for a in down.assertions]) == ("down", [False, False])
    assert down.error is not None
    assert "status code" in down.error.message


async def test_a_limit_of_the_kind_itself_degrades(net: Net) -> None:
    loss = CheckError("network", "40 % lost")
    outcome = await run(net, seeing(Observation(degraded=loss)))
    assert (outcome.status, outcome.error) == ("degraded", loss)


def test_the_registry_knows_its_kinds() -> None:
    assert checks.names()[:2] == ["http", "tcp"]
    kind = checks.kind("odd")
    assert (kind.name, kind.label, kind.target) == ("odd", "Something that behaves as the test says", Target)
    assert checks.kind("http").defaults[0].type == "status_code"
    with pytest.raises(NotFound, match="no check type 'carrier_pigeon'"):
        checks.kind("carrier_pigeon")


def test_targets_are_shown_in_one_line() -> None:
    assert checks.show("odd", Target(host="a.example", port=5)) == "a.example:5"
    assert checks.show("odd", Target(host="::1", port=5)) == "[::1]:5"
