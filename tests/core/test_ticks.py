"""What all locations saw at one tick, held together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import START, a_monitor
from tocsin.core.schedule import slot_at_or_before
from tocsin.core.ticks import Look, ticks


def looks(slot: datetime, text: str) -> list[Look]:
    """ "a+10 b- c? d~20": a up in 10 ms, b down, c invalid, d degraded in 20 ms."""
    names = {"+": "up", "-": "down", "?": "invalid", "~": "degraded"}
    return [
        Look(
            at=slot, attempt=0, location=word[0], seat=word[0], status=names[word[1]],  # type: ignore[arg-type]
            total_ms=float(word[2:]) if word[2:] else None,
        )
        for word in text.split()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "quorum", "consensus", "figures"),
    [
        ("a+10 b+20 c+30", "majority", "UP", (3, 3, 20.0, 10.0, 30.0)),
        ("a+10 b+20 c-99", "majority", "PARTIAL", (3, 2, 15.0, 10.0, 20.0)),
        ("a- b- c+30", "majority", "DOWN", (3, 1, 30.0, 30.0, 30.0)),
        ("a- b+20 c+30", "any", "DOWN", (3, 2, 25.0, 20.0, 30.0)),
        ("a- b- c+30", "all", "PARTIAL", (3, 1, 30.0, 30.0, 30.0)),
        ("a- b- c+30", 2, "DOWN", (3, 1, 30.0, 30.0, 30.0)),
        ("a~20 b+10", "majority", "UP", (2, 2, 15.0, 10.0, 20.0)),
        ("a- b?", "majority", "UNKNOWN", (2, 0, None, None, None)),
        ("a? b? c?", "majority", "UNKNOWN", (3, 0, None, None, None)),
        ("a-", "majority", "DOWN", (1, 0, None, None, None)),
    ],
)
def test_a_tick_says_how_many_how_quick_and_what_together(
    seen: str, quorum: Any, consensus: str, figures: tuple[Any, ...]
) -> None:
    monitor = a_monitor(quorum=quorum)
    slot = slot_at_or_before(monitor.id, monitor.interval_s, START)
    (tick,) = ticks(monitor, looks(slot, seen))
    assert (tick.at, tick.consensus) == (slot, consensus)
    assert (tick.total, tick.successful, tick.avg_ms, tick.min_ms, tick.max_ms) == figures


def test_the_last_look_of_each_seat_counts_and_a_stand_in_has_its_seat() -> None:
    monitor = a_monitor()
    slot = slot_at_or_before(monitor.id, monitor.interval_s, START)
    after = slot + timedelta(seconds=7)
    stood_in = Look(at=slot, attempt=0, location="local", seat="c", status="up", total_ms=5.0)
    again = Look(at=slot, attempt=1, location="a", seat="a", status="up", total_ms=7.0)
    asked = Look(at=after, attempt=0, location="b", seat="b", status="down", total_ms=None)
    older = looks(slot - timedelta(seconds=60), "a+1 b+1")
    found = ticks(monitor, [*looks(slot, "a- b+9"), stood_in, again, asked, *older])
    assert [tick.at for tick in found] == [slot, slot - timedelta(seconds=60)]
    assert [(look.seat, look.location, look.status) for look in found[0].looks] == [
        ("a", "a", "up"), ("b", "b", "down"), ("c", "local", "up"),
    ]  # fmt: skip
    assert found[0].consensus == "PARTIAL"
