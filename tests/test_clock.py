from __future__ import annotations

from datetime import UTC, datetime

from tocsin.clock import SystemClock, new_id


def test_now_is_aware_and_now() -> None:
    clock = SystemClock()
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC


async def test_sleep_takes_its_time() -> None:
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - start >= 0.009


def test_ids_are_unique_opaque_and_sort_by_time() -> None:
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(len(i) == 20 and i.isalnum() and i == i.lower() for i in made)
    assert made[0][:9] <= made[-1][:9]
