"""The lag of our own event loop is noticed, also while it is just ending."""

from __future__ import annotations

import asyncio
import time

import pytest

from builders import until
from tocsin.location import lag
from tocsin.location.lag import LagMeter


async def test_a_quiet_loop_has_no_lag_and_a_stall_is_seen_at_once() -> None:
    meter = LagMeter()
    meter.start()
    try:
        before = meter.now()
        await until(lambda: meter.now() > before + 0.15)
        assert meter.worst_since(before) < 0.2
        start = meter.now()
        time.sleep(0.7)  # noqa: ASYNC251 (the stall is what is tested)
        assert meter.worst_since(start) > 0.5
        await until(lambda: meter.latest_s > 0.5)
        assert meter.worst_since(start) > 0.5
        assert meter.worst_since(meter.now() + 1) < 0.5
    finally:
        await meter.stop()


def test_before_the_start_there_is_no_lag() -> None:
    assert LagMeter().worst_since(0.0) == 0.0


async def test_who_asks_hears_once_of_each_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "STOOD_S", 0.5)
    meter = LagMeter()
    meter.start()
    try:
        first, second = meter.standstills(), meter.standstills()
        await asyncio.sleep(0.2)
        time.sleep(0.9)  # noqa: ASYNC251 (the loop has to stand still)
        assert first(), "also before the meter has woken"
        await until(lambda: meter.latest_s > 0.5)
        assert not first()
        assert second()
    finally:
        await meter.stop()
