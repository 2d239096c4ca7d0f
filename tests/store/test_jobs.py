"""Who is written together with whom: a few rows never wait for many that came after them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from builders import until
from store.conftest import Opener
from tocsin import telemetry
from tocsin.store.jobs import FEW_ROWS, GROUP_ROWS, Job, take_group


def groups(*jobs: int | str) -> list[list[int]]:
    """The rows of each group; "alone" stands for long work of one row."""
    loop = asyncio.new_event_loop()
    try:
        line = deque(
            Job(
                lambda connection, undo: None,
                1 if job == "alone" else int(job),
                loop,
                loop.create_future(),
                job == "alone",
            )
            for job in jobs
        )
        found: list[list[int]] = []
        while line:
            found.append([job.rows for job in take_group(line)])
        return found
    finally:
        loop.close()


def commits() -> float:
    return telemetry.REGISTRY.get_sample_value("tocsin_store_commits_total") or 0.0


@pytest.mark.parametrize(
    ("jobs", "together"),
    [
        ((1, 1, 1), [[1, 1, 1]]),
        ((1, 1, 250), [[1, 1], [250]]),
        ((250, 1, 1), [[250, 1, 1]]),
        ((1, 250, 1, 250), [[1], [250, 1, 250]]),
        ((250, 1, "alone", 1, 250), [[250, 1], [1], [1], [250]]),
        ((GROUP_ROWS, 1), [[GROUP_ROWS], [1]]),
        ((GROUP_ROWS * 2, 1), [[GROUP_ROWS * 2], [1]]),
        ((1,) * (FEW_ROWS + 1) + (250,), [[1] * (FEW_ROWS + 1) + [250]]),
    ],
)
def test_groups(jobs: tuple[Any, ...], together: list[list[int]]) -> None:
    assert groups(*jobs) == together


async def test_a_change_is_durable_before_many_rows_that_came_later_begin(tmp_path: Path, open_store: Opener) -> None:
    """The first holds SQLite's writer while the others come: one of one row, one of many."""
    store = await open_store(f"sqlite:///{tmp_path}/tocsin.db")
    begun, go_on, before = threading.Event(), threading.Event(), list[Any]()

    def hold(_: Any) -> None:
        begun.set()
        go_on.wait(30)

    held = asyncio.create_task(store.write(hold, None, "tocsin"))
    await until(begun.is_set)
    waiting = store.backlog
    small = asyncio.create_task(store.write(lambda s: s.notes.set("small", True), None, "tocsin"))
    await until(lambda: store.backlog == waiting + 1)
    committed = commits()
    many = asyncio.create_task(store.write(lambda s: before.append(commits() - committed), None, "tocsin", 500))
    await until(lambda: store.backlog == waiting + 501)
    go_on.set()
    await asyncio.gather(held, small, many)
    assert before == [2]  # the one that held the writer, and the small one
