"""Several instances in one process, each with a disk, a corridor and a sync API of its own, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instances import Group


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    made = Group(tmp_path)
    try:
        yield made
    finally:
        await made.stop()
