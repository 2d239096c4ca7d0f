"""Hosts in words: figures with their units, what belongs to which tab, the sentence above the list."""

from __future__ import annotations

import pytest

from tocsin import collectors
from tocsin.core.host_rule import OnSample
from tocsin.core.sample import Service
from tocsin.web.pages import host_words


@pytest.mark.parametrize(
    ("name", "amount", "said"),
    [
        ("cpu.used_percent", 94.0, "94 %"),
        ("cpu.used_percent", 0.42, "0.42 %"),
        ("disk.used_bytes{mount=/}", 4.8e9, "4.8 GB"),
        ("disk.used_bytes", 999.6e6, "1 GB"),
        ("disk_io.read_bytes_per_s", 412e3, "412 kB/s"),
        ("x.calls_per_s", 12_400.0, "12,400 /s"),
        ("minio.drive_ms", 12.4, "12 ms"),
        ("postgres.replica_lag_s", 3.5, "3.5 s"),
        ("postgres.replica_lag_s", 90, "1 min 30 s"),
        ("temperature.celsius{sensor=a}", 61.04, "61.0 °C"),
        ("load.1m", 0.9, "0.9"),
        ("load.1m", None, "–"),
    ],
)
def test_figures_have_the_unit_that_their_name_says(name: str, amount: float | None, said: str) -> None:
    assert host_words.plain(name, amount) == said


@pytest.mark.parametrize("name", [name for name in collectors.names() if name != "custom"])
def test_what_a_collector_sees_has_a_tab_of_its_own(name: str) -> None:
    for rule in collectors.kind(name).rules:
        what = rule.condition
        group = (
            host_words.group_of_series(what.metric)
            if isinstance(what, OnSample)
            else host_words.group_of(what.kind, name)
        )
        assert group is not host_words.CUSTOM, rule.id


def test_the_sentence_above_the_list() -> None:
    assert host_words.headline(0, 0, 0, ()) == "No host is watched yet"
    assert host_words.headline(17, 0, 0, ()) == "17 hosts, all as they should be"
    assert host_words.headline(17, 1, 2, ()) == "17 hosts, two with two agents, one silent"
    assert host_words.headline(1, 1, 0, ()) == "1 host, silent"


def test_how_many_are_not_as_they_should_be() -> None:
    good, bad = (Service(kind="unit", name=n, state="x", ok=n == "a") for n in "ab")
    assert host_words.standing([good, bad], "unit") == "2 watched, 1 not as it should be"
    assert host_words.standing([good], "unit") == "1 watched, all as they should be"
