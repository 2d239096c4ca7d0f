"""Which epochs are kept, and why each began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tocsin.core.epoch import ELECTED, FORCED, HANDED, KEPT, Asked, Epoch, Epochs, begun, cause_of, lasted

START = datetime(2026, 1, 1, tzinfo=UTC)


def an_epoch(epoch: int, **more: object) -> Epoch:
    return replace(Epoch(epoch=epoch, id="a", name="a", since=START, cause="elected"), **more)


@pytest.mark.parametrize(
    ("why", "epoch", "cause"),
    [
        (ELECTED, 1, "first"), (ELECTED, 2, "elected"), (HANDED, 2, "handed"), (FORCED, 1003, "forced"),
        (FORCED, 1, "forced"), ("", 4, "elected"),
    ],
)  # fmt: skip
def test_why_an_epoch_began(why: str, epoch: int, cause: str) -> None:
    assert cause_of(why, epoch) == cause


@pytest.mark.parametrize(("cause", "by"), [("handed", "alice"), ("elected", "")])
@pytest.mark.parametrize("clock_off_s", [0, 3600, -3600])
def test_a_hand_over_is_by_whoever_asked_whatever_clocks_say(cause: str, by: str, clock_off_s: int) -> None:
    known = Epochs(past=(an_epoch(1),), asked=Asked(at=START, by="alice"))
    after = begun(known, an_epoch(2, cause=cause, since=START + timedelta(seconds=clock_off_s)))
    assert (after.past[-1].by, after.asked) == (by, None)


def test_how_long_an_epoch_lasted_is_measured_by_one_clock() -> None:
    hour = timedelta(hours=1)
    past = (an_epoch(1), an_epoch(2, since=START + hour, before_s=120.0), an_epoch(3, since=START, before_s=None))
    assert lasted(past) == [120.0, 0.0, None]
    assert lasted(()) == []


def test_an_epoch_is_kept_once_and_the_latest_stay() -> None:
    known = Epochs()
    for number in range(1, KEPT + 10):
        known = begun(known, an_epoch(number))
    assert begun(known, an_epoch(KEPT + 9, name="again")) is known
    assert [one.epoch for one in known.past] == list(range(10, KEPT + 10))
