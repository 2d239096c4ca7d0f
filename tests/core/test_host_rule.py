"""What a host's rules find in a reading."""

import pytest

from tocsin.core.host_rule import (
    HostCondition,
    HostRule,
    OnSample,
    OnService,
    finding_key,
    look,
    subject_of,
    wrong_limits,
)
from tocsin.core.sample import Reading, Service

NOBODY = frozenset[str]()


def a_rule(condition: HostCondition) -> HostRule:
    return HostRule(id="builtin:system.disk", name="Disk full", condition=condition)


DISK = a_rule(OnSample(metric="disk.used_percent", labels={"mount": "/*"}, above=90, clear=85))


@pytest.mark.parametrize(("value", "fires", "trouble"), [(91, False, True), (90, False, False), (87, False, False),
                                                         (87, True, True), (85, True, False)])  # fmt: skip
def test_a_limit_has_a_way_back(value: float, fires: bool, trouble: bool):
    name = "disk.used_percent{mount=/var}"
    (seen,) = look(DISK, Reading(values={name: value}), frozenset({name}) if fires else NOBODY)
    assert (seen.what, seen.trouble, seen.value) == (name, trouble, value)


def test_each_series_is_judged_by_itself():
    reading = Reading(values={"disk.used_percent{mount=/}": 95, "disk.used_percent{mount=/srv}": 10,
                              "disk.free_bytes{mount=/}": 95, "disk.used_percent": 95})  # fmt: skip
    assert [(s.what, s.trouble) for s in look(DISK, reading, NOBODY)] == [
        ("disk.used_percent{mount=/}", True),
        ("disk.used_percent{mount=/srv}", False),
    ]


def test_a_lower_limit():
    rule = a_rule(OnSample(metric="minio.drives_online", below=4))
    (seen,) = look(rule, Reading(values={"minio.drives_online": 3}), NOBODY)
    assert seen.trouble
    assert seen.words == "3, at least 4 expected"


@pytest.mark.parametrize(("value", "trouble", "words"), [(19, True, "19, at least 20 expected"), (20, False, None),
                                                         (80, False, None), (81, True, "81, limit 80")])  # fmt: skip
@pytest.mark.parametrize("fires", [False, True])
def test_two_limits_are_both_judged(value: float, trouble: bool, words: str | None, fires: bool):
    rule = a_rule(OnSample(metric="room.celsius", above=80, below=20))
    (seen,) = look(rule, Reading(values={"room.celsius": value}), frozenset({"room.celsius"}) if fires else NOBODY)
    assert seen.trouble == trouble
    assert words in (None, seen.words)


@pytest.mark.parametrize(("field", "expected", "limits"), [
    ("clear", "at most above (20)", {"above": 20, "clear": 21}),
    ("clear", "at least below (20)", {"below": 20, "clear": 19}),
    ("clear", "nothing beside two limits", {"above": 80, "below": 20, "clear": 50}),
    ("below", "less than above (20)", {"above": 20, "below": 80}),
    ("", "", {"above": 20, "clear": 20}), ("", "", {"below": 20, "clear": 20}), ("", "", {"above": 80, "below": 20}),
])  # fmt: skip
def test_limits_that_cannot_be_meant_so(field: str, expected: str, limits: dict[str, float]):
    problem = wrong_limits(OnSample(metric="room.celsius", **limits))
    assert (problem.field if problem else "") == field
    assert problem is None or problem.expected.startswith(expected)


def test_services_by_their_state():
    rule = a_rule(OnService(kind="unit", name="nginx*"))
    reading = Reading(
        services=(
            Service(kind="unit", name="nginx.service", state="failed", ok=False, detail="exit code 28"),
            Service(kind="unit", name="nginx-log.service", state="active"),
            Service(kind="unit", name="cron.service", state="failed", ok=False),
        )
    )
    assert [(s.what, s.trouble, s.words) for s in look(rule, reading, NOBODY)] == [
        ("unit/nginx.service", True, "nginx.service is failed: exit code 28"),
        ("unit/nginx-log.service", None, "nginx-log.service is active"),
    ]


def test_what_is_gone_is_over_but_not_what_nobody_could_see():
    firing = frozenset({"disk.used_percent{mount=/mnt}"})
    (gone,) = look(DISK, Reading(), firing)
    assert gone.trouble is False
    (unseen,) = look(DISK, Reading(trouble="timed out"), firing)
    assert unseen.trouble is None


def test_a_new_incarnation_has_keys_of_its_own():
    subject = subject_of("h1", DISK.id, "disk.used_percent{mount=/}")
    first = finding_key("w", "c", subject, "a", 1, "opened")
    assert first == finding_key("w", "c", subject, "a", 1, "opened")
    assert (
        len(
            {
                first,
                finding_key("w", "c", subject, "b", 1, "opened"),
                finding_key("w", "c", subject, "a", 2, "resolved"),
            }
        )
        == 3
    )
