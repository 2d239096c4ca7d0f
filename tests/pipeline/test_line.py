"""Who waits for which results."""

from __future__ import annotations

import asyncio

import pytest

from builders import a_result, at
from tocsin.pipeline.line import Line


async def begun(line: Line, count: int) -> asyncio.Task[None]:
    """Somebody hands over so many results and waits for them."""
    first = line.join([a_result(at=at(n)) for n in range(count)])
    task = asyncio.create_task(line.wait(first))
    await asyncio.sleep(0)
    return task


async def test_each_waits_for_its_own_results_only() -> None:
    line = Line()
    one, two = await begun(line, 3), await begun(line, 2)
    assert len(line.take(3)) == 3
    line.passed(3)
    await one
    assert not two.done()
    line.take(10)
    line.passed(2)
    await two
    await line.wait(0)


async def test_a_failure_is_told_to_those_it_concerns() -> None:
    line = Line()
    one = await begun(line, 2)
    taken = line.take(10)
    two = await begun(line, 2)
    line.fail(OSError("disk full"), line.done, line.done + len(taken))
    assert line.put_back(taken, 100) == 0
    with pytest.raises(OSError, match="disk full"):
        await one
    assert not two.done()
    assert len(line.take(10)) == 4
    line.passed(4)
    await two


async def test_the_oldest_are_dropped_when_there_are_too_many() -> None:
    line = Line()
    line.join([a_result(at=at(n)) for n in range(4)])
    taken = line.take(2)
    assert line.put_back(taken, 3) == 1
    assert [r.scheduled_at for r in line.take(10)] == [at(1), at(2), at(3)]
