"""One source that is looked at: at its time, never twice at once, less often while it fails, and at once when it asks."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from builders import FakeClock, until
from tocsin import collectors
from tocsin.agent.loop import LONGEST_PAUSE_S, Look
from tocsin.agent.monitors import Monitor
from tocsin.collectors import Facility, Kind
from tocsin.core.sample import Reading, series
from tocsin.errors import CheckFailed
from tocsin.net import Net


@dataclass(frozen=True)
class Options:
    """None."""


class Source:
    """Gives what the test says, when it says so."""

    made: ClassVar[list[Source]] = []

    def __init__(self, options: Options, facility: Facility) -> None:
        self.facility = facility
        self.answers: asyncio.Queue[Reading | Exception] = asyncio.Queue()
        self.running = self.most = self.looks = 0
        self.closed = False
        Source.made.append(self)

    async def collect(self) -> Reading:
        self.looks += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = await self.answers.get()
        finally:
            self.running -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    Source.made.clear()
    kind = Kind("toy", Options, Source, (), 10.0, "Toy", "")
    monkeypatch.setattr(collectors, "kind", lambda name: kind)


async def looking(clock: FakeClock) -> tuple[Look, list[Reading]]:
    took: list[Reading] = []

    async def keep(_: Monitor, reading: Reading) -> float:
        took.append(reading)
        return reading.values.get("again_s", math.inf)

    look = Look(Monitor(id="toy", type="toy", every_s=10.0, options=Options()), Net(), clock, "host", keep)
    look.start()
    await until(lambda: bool(Source.made) and Source.made[0].looks == 1)
    return look, took


@pytest.mark.usefixtures("source")
async def test_it_looks_each_interval_and_at_once_when_asked() -> None:
    clock = FakeClock()
    look, took = await looking(clock)
    (one,) = Source.made
    one.facility.wake()  # during a look: another follows, not a second beside it
    one.answers.put_nowait(Reading(values={"a": 1.0}))
    await until(lambda: one.looks == 2)
    one.answers.put_nowait(Reading(values={"a": 2.0}))
    await until(lambda: len(took) == 2)
    await clock.advance(10.0)
    await until(lambda: one.looks == 3)
    one.answers.put_nowait(Reading())
    await until(lambda: len(took) == 3)
    look.wake()
    await until(lambda: one.looks == 4)
    await look.stop()
    assert (one.most, one.closed) == (1, True)


@pytest.mark.usefixtures("source")
async def test_it_looks_sooner_where_that_decides_something() -> None:
    clock = FakeClock()
    look, took = await looking(clock)
    (one,) = Source.made
    one.answers.put_nowait(Reading(values={"again_s": 0.5}))
    await until(lambda: len(took) == 1)
    await clock.advance(0.5)
    await until(lambda: one.looks == 2)
    await look.stop()


@pytest.mark.usefixtures("source")
async def test_what_fails_is_asked_less_often_and_no_more_so_when_it_is_well() -> None:
    clock = FakeClock()
    look, took = await looking(clock)
    (one,) = Source.made

    async def pause() -> float:
        """How long it waits after the look that is under way."""
        began, looks = clock.monotonic(), one.looks
        while one.looks == looks:
            await clock.advance(1.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        return clock.monotonic() - began

    pauses: list[float] = []
    for i in range(9):
        one.answers.put_nowait(RuntimeError("broken") if i % 2 else CheckFailed("network", "gone"))
        await until(lambda i=i: len(took) == i + 1)
        pauses.append(await pause())
    assert max(pauses[:3]) <= 11
    assert pauses[4] >= 30
    assert max(pauses) <= LONGEST_PAUSE_S + 2
    assert {reading.trouble for reading in took} == {"gone", "failed inside: RuntimeError"}
    one.answers.put_nowait(Reading(values={"a": 1.0}))
    await until(lambda: len(took) == 10)
    assert await pause() <= 11
    await look.stop()


@pytest.mark.usefixtures("source")
async def test_what_is_no_number_is_left_out_and_said() -> None:
    look, took = await looking(FakeClock())
    values: dict[str, Any] = {"a": 1.0, "b": float("nan"), series("c", of="x"): float("inf"), "d": True}
    Source.made[0].answers.put_nowait(Reading(values=values))
    await until(lambda: bool(took))
    assert took[0].values == {"a": 1.0}
    assert took[0].trouble == "no number: b, c{of=x}, d"
    await look.stop()


@pytest.mark.usefixtures("source")
async def test_a_reading_that_is_not_taken_ends_nothing() -> None:
    clock, calls = FakeClock(), 0

    async def refuse(_: Monitor, reading: Reading) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("no room")

    look = Look(Monitor(id="toy", type="toy", every_s=10.0, options=Options()), Net(), clock, "host", refuse)
    look.start()
    for turn in (1, 2):
        await until(lambda turn=turn: bool(Source.made) and Source.made[0].looks == turn)
        Source.made[0].answers.put_nowait(Reading())
        await until(lambda turn=turn: calls == turn)
        await clock.advance(10.0)
    await look.stop()
