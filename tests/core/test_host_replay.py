"""A rule on hosts over the past, judged as an agent would have."""

from __future__ import annotations

from tocsin.core.host_replay import replay
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.sample import Reading, Service

UNITS = HostRule(id="r", name="r", condition=OnService(kind="unit"), for_s=60, recovery_s=30)


def unit(ok: bool) -> Reading:
    return Reading(services=(Service(kind="unit", name="a", state="active" if ok else "failed", ok=ok),))


def test_what_lasts_between_two_looks_is_told_when_it_has_lasted() -> None:
    told, firing = replay(UNITS, {"unit/a": [(0, unit(True)), (100, unit(False)), (1000, unit(True))]}, 5000)
    assert [(one.at.timestamp(), one.turn) for one in told] == [(160, "opened"), (1030, "resolved")]
    assert firing == set()


def test_it_fires_at_the_end_when_nothing_ended_it() -> None:
    assert replay(UNITS, {"unit/a": [(100, unit(False))]}, 159) == ([], set())
    assert replay(UNITS, {"unit/a": [(100, unit(False))]}, 160)[1] == {"unit/a"}


def test_what_is_gone_is_over() -> None:
    told, _ = replay(UNITS, {"unit/a": [(100, unit(False)), (500, Reading())]}, 5000)
    assert [one.turn for one in told] == ["opened", "resolved"]


def test_series_are_judged_each_by_itself() -> None:
    rule = HostRule(id="r", name="r", condition=OnSample(metric="cpu", above=90, clear=80))
    looks = {name: [(at, Reading(values={name: v})) for at, v in seen] for name, seen in (
        ("cpu{n=1}", [(0.0, 95.0), (60.0, 85.0), (120.0, 70.0)]), ("cpu{n=2}", [(0.0, 85.0), (60.0, 91.0)]),
    )}  # fmt: skip
    told, firing = replay(rule, looks, 200)
    assert [(one.what, one.turn) for one in told] == [
        ("cpu{n=1}", "opened"), ("cpu{n=2}", "opened"), ("cpu{n=1}", "resolved"),
    ]  # fmt: skip
    assert firing == {"cpu{n=2}"}
