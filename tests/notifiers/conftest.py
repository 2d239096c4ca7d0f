"""What the notifiers' tests share: the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tocsin.net import Net


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as way:
        yield way
