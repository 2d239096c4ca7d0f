"""Output of plugins: the examples of the guidelines, odd ones from the wild, and nonsense."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.perfdata import read_output


def test_one_line() -> None:
    out = read_output("DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n")
    assert out.text == "DISK OK - free space: / 3326 MB (56%);"
    assert out.more == ""
    assert out.figures == (
        {"label": "/", "value": 2643.0, "unit": "MB", "warn": "5948", "crit": "5958", "min": "0", "max": "5968"},
    )


def test_many_lines_with_two_places_of_figures() -> None:
    out = read_output(
        "DISK OK - free space | /=2643MB;5948;5958;0;5968\n"
        "/ 15272 MB (77%);\n/boot 68 MB (69%);\n/var/log 819 MB (84%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404\n"
    )
    assert out.text == "DISK OK - free space"
    assert out.more.splitlines()[0] == "/ 15272 MB (77%);"
    assert [f["label"] for f in out.figures] == ["/", "/boot", "/home"]


@pytest.mark.parametrize(
    ("perfdata", "figures"),
    [
        ("'C: used'=12.5%;~:80;@90", [{"label": "C: used", "value": 12.5, "unit": "%", "warn": "~:80", "crit": "@90"}]),
        ("'it''s'=1", [{"label": "it's", "value": 1.0}]),
        ("a=U b=-.5e3s;;;0;", [{"label": "a", "value": None}, {"label": "b", "value": -500.0, "unit": "s", "min": "0"}]),
        ("junk a=1 b= c=x d=2", [{"label": "a", "value": 1.0}, {"label": "d", "value": 2.0}]),
        ("a=1e999", [{"label": "a", "value": None}]),
        ("'open=1 b=2", [{"label": "b", "value": 2.0}]),
        ("", []),
    ],
)  # fmt: skip
def test_figures(perfdata: str, figures: list[object]) -> None:
    assert list(read_output(f"OK | {perfdata}").figures) == figures


def test_only_so_many_are_kept_and_nonsense_costs_no_time() -> None:
    assert len(read_output("OK | " + " ".join(f"a{i}=1" for i in range(500)), 50).figures) == 50
    began = time.perf_counter()
    for nonsense in ("'", "''''' ", "a=", "x ", "=;", "'a'=1;;;;;;", "\n|"):
        read_output("|" + nonsense * 30_000)
    assert time.perf_counter() - began < 5


@given(st.text(alphabet="ab'=;|U1. %\n-\x00é", max_size=200))
def test_any_text_gives_figures_that_can_be_kept(text: str) -> None:
    out = read_output(text)
    assert all(isinstance(f["label"], str) and f["label"] for f in out.figures)
    assert all(f["value"] is None or isinstance(f["value"], float) for f in out.figures)
