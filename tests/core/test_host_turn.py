"""When a thing that only has to last turns."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from tocsin.core.host_rule import HostRule, OnService
from tocsin.core.host_turn import Standing, judge, turns_in_s
from tocsin.core.sample import Reading, Service

AT = datetime(2026, 1, 1, tzinfo=UTC)
RULE = HostRule(id="r", name="r", condition=OnService(kind="unit"), for_s=30, recovery_s=5)


def test_a_turn_says_since_when_it_holds() -> None:
    standings: dict[str, Standing] = {}
    found: list[tuple[str, float | None]] = []
    for now, ok in ((0, True), (10, False), (25, False), (40, False), (50, True), (57, True)):
        reading = Reading(services=(Service(kind="unit", name="a", state="x", ok=ok),))
        at = AT + timedelta(seconds=now)
        for standing, finding in judge(RULE, "systemd", reading, standings, now, at):
            standings[standing.what] = standing
            if finding is not None and finding.since is not None:
                found.append((finding.turn, (finding.since - AT).total_seconds()))
    assert found == [("opened", 10), ("resolved", 50)]


def test_a_look_is_wanted_when_a_time_is_over() -> None:
    standings: dict[str, Standing] = {}

    def looks(ok: bool | None, now: float) -> tuple[list[str], float]:
        reading = Reading(services=(Service(kind="unit", name="a", state="x", ok=ok),))
        turns: list[str] = []
        for standing, finding in judge(RULE, "systemd", reading, standings, now, AT):
            standings[standing.what] = standing
            turns += [] if finding is None else [finding.turn]
        return turns, turns_in_s(RULE, "systemd", standings, now)

    assert looks(True, 0) == ([], math.inf)
    assert looks(False, 10) == ([], 30)
    assert turns_in_s(RULE, "another", standings, 10) == math.inf
    assert looks(False, 25) == ([], 15)
    assert looks(None, 45) == ([], math.inf)  # due, and not seen: no reason to look again and again
    assert looks(False, 46) == (["opened"], math.inf)
    assert looks(True, 50) == ([], 5)
    assert looks(True, 55) == (["resolved"], math.inf)
