"""Push monitors by schedule, runs that do not end, and what a restart must not forget."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from builders import START
from world import World

TOKEN = "abcdefghijklmnop1234"
A, B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def push(**target: Any) -> dict[str, Any]:
    return {
        "type": "push",
        "failure_threshold": 1,
        "target": {"token": TOKEN, "period_s": 3600, "grace_s": 10, **target},
    }


async def test_a_job_that_misses_its_schedule_is_down(world: World) -> None:
    watched = await world.watch(**push(schedule="1,3 13 * * *", timezone="Europe/Berlin"))  # 12:01 and 12:03 UTC
    await world.go(30, step=5)
    await world.corridor.push_call(TOKEN)  # too early: it counts for nothing but that it came
    await world.go(38, step=1)
    assert watched.verdict.value == "up"
    await world.go(4)
    assert watched.verdict.value == "down"
    assert watched.incident.reason == "no call came in time"
    await world.corridor.push_call(TOKEN)
    assert watched.verdict.value == "up"
    await world.go(110, step=5)
    await world.corridor.push_call(TOKEN)
    await world.go(600, step=60)
    assert watched.verdict.value == "up"


async def test_a_run_that_does_not_end_is_down_with_that_reason(world: World) -> None:
    watched = await world.watch(**push(max_run_s=60))
    await world.corridor.push_call(TOKEN)
    await world.corridor.push_call(TOKEN, "start", run_id=A)
    await world.go(59, step=1)
    assert watched.verdict.value == "up"
    await world.go(3)
    assert watched.verdict.value == "down"
    assert watched.incident.reason == "a run that began at 2026-03-01 12:00:00 UTC has not ended within 1 min"
    await world.go(100, step=5)
    assert watched.tally == b"ud"  # told once
    result = await world.corridor.push_call(TOKEN, run_id=A)
    assert watched.verdict.value == "up"
    assert result.outcome.seen.timing.total == pytest.approx(162_000, abs=1000)


async def test_without_a_limit_of_its_own_a_run_may_take_the_grace_time(world: World) -> None:
    watched = await world.watch(**push())
    await world.corridor.push_call(TOKEN)
    await world.corridor.push_call(TOKEN, "start")
    await world.go(8)
    assert watched.verdict.value == "up"
    await world.go(4)
    assert watched.verdict.value == "down"


async def test_a_run_that_ended_in_time_is_not_told(world: World) -> None:
    watched = await world.watch(**push())
    await world.corridor.push_call(TOKEN, "start", run_id=A)
    await world.go(5)
    await world.corridor.push_call(TOKEN, run_id=A)
    await world.go(60, step=5)
    assert watched.verdict.value == "up"
    assert watched.states["called"].doing is None


async def test_runs_are_measured_each_by_its_id(world: World) -> None:
    await world.watch(**push(max_run_s=600))
    await world.corridor.push_call(TOKEN, "start", run_id=A)
    await world.go(20, step=5)
    await world.corridor.push_call(TOKEN, "start", run_id=B)
    await world.go(10, step=5)
    second = await world.corridor.push_call(TOKEN, run_id=B)
    first = await world.corridor.push_call(TOKEN, run_id=A)
    assert second.outcome.seen.timing.total == pytest.approx(10_000, abs=100)
    assert first.outcome.seen.timing.total == pytest.approx(30_000, abs=100)
    again = await world.corridor.push_call(TOKEN, run_id=A)
    assert again.outcome.seen.timing.total is None


async def test_a_job_that_has_begun_is_not_silent(world: World) -> None:
    watched = await world.watch(**push(period_s=60, max_run_s=300))
    await world.corridor.push_call(TOKEN)
    await world.go(65, step=5)
    await world.corridor.push_call(TOKEN, "start")
    await world.go(200, step=5)
    assert watched.verdict.value == "up"
    await world.corridor.push_call(TOKEN)
    assert watched.tally == b"uu"


async def test_a_job_that_only_ever_begins_is_down(world: World) -> None:
    watched = await world.watch(**push(period_s=60, max_run_s=120))
    await world.corridor.push_call(TOKEN)
    for _ in range(20):
        await world.corridor.push_call(TOKEN, "start")
        await world.go(10, step=5)
    assert watched.verdict.value == "down"


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_a_restart_forgets_no_run(world: World, how: str) -> None:
    await world.watch(**push(period_s=30, grace_s=3600, max_run_s=120))
    await world.corridor.push_call(TOKEN)
    await world.corridor.push_call(TOKEN, "start", run_id=A)
    await world.corridor.push_call(TOKEN, "start", run_id=B)
    await world.corridor.push_call(TOKEN, "log", message="half way")
    await (world.crash() if how == "crash" else world.stop())
    await world.clock.advance(40, step=40)
    await world.start()
    (watched,) = world.corridor.watchlist
    result = await world.corridor.push_call(TOKEN, run_id=B)
    assert result.outcome.seen.timing.total == pytest.approx(40_000, abs=1000)
    assert [line["text"] for line in result.outcome.seen.facts["log"]] == ["half way"]
    assert watched.verdict.value == "up"
    await world.go(115, step=1)
    assert watched.verdict.value == "up"
    await world.go(10, step=1)
    assert watched.verdict.value == "down"
    assert "has not ended within 2 min" in watched.incident.reason


async def test_a_paused_monitors_runs_are_over_when_they_end(world: World) -> None:
    from msgspec.structs import replace

    watched = await world.watch(**push())
    await world.corridor.push_call(TOKEN, "start", run_id=A)
    await world.rewrite(replace(watched.monitor, paused=True))
    assert await world.corridor.push_call(TOKEN, run_id=A) is None
    assert await world.corridor.push_call(TOKEN, "start", run_id=B) is None
    await world.rewrite(replace(watched.monitor, paused=False))
    await world.go(60, step=5)
    assert watched.incident is None


async def test_what_a_job_said_is_kept_without_its_token(world: World) -> None:
    watched = await world.watch(**push())
    await world.corridor.push_call(TOKEN, "log", message=f"calling /ping/{TOKEN}")
    await world.corridor.push_call(TOKEN, "down", message="disk full", body=f"disk full\n{TOKEN}")
    facts = watched.last["called"].outcome.seen.facts
    assert facts == {
        "message": "disk full",
        "body": "disk full\n***",
        "log": [{"at": "2026-03-01T12:00:00.000Z", "text": "calling /ping/***"}],
    }
    assert watched.incident.evidence["response"]["body"] == "disk full\n***"
    await world.go(1)
    await world.corridor.push_call(TOKEN)
    assert watched.last["called"].outcome.seen.facts == {}


async def test_a_schedule_gives_a_restart_time_until_it_wants_a_call(world: World) -> None:
    watched = await world.watch(**push(schedule="0 * * * *", grace_s=60))
    assert watched.settled_at == START + timedelta(hours=1)
    watched = await world.watch(**push(schedule="10 * * * *", grace_s=60, token=TOKEN + "x"))
    assert watched.settled_at == START + timedelta(seconds=660)
