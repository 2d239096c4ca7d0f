"""Figures, spans and sentences as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import wording
from tocsin.web.pages import plain_words, words
from tocsin.web.pages.headline import standing
from tocsin.web.pages.look import tally


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "1 min"),
        (848, "14 min 8 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (2e5, "2 d 7 h"),
    ],
)
def test_spans_on_pages_are_those_of_messages(seconds: float, text: str) -> None:
    assert words.span(seconds) == wording.span(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, "–"), (1.0, "100"), (0.99999, "99.99"), (0.0, "0.00"), (0.5, "50.00")]
)
def test_uptime_is_never_rounded_up_to_100(share: float | None, text: str) -> None:
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such name", "No such name"), ("timeout", "Timeout"), ("self-signed certificate", "Self-signed certificate"),
        ("example.org: no such name", "example.org: no such name"), ("localhost: refused", "localhost: refused"),
        ("x2 is away", "x2 is away"), ("bob@example.org has it", "bob@example.org has it"), ("", ""),
        ("status code: expected 200", "Status code: expected 200"), ("écoute, s'il te plaît", "Écoute, s'il te plaît"),
    ],
)  # fmt: skip
def test_a_capital_first_but_names_keep_their_letters(said: str, shown: str) -> None:
    assert words.capital(said) == shown


def test_how_many_are_up_is_said_rightly() -> None:
    said = [standing(*pair) for pair in ((1, 3), (2, 3), (0, 1), (1, 1), (0, 2))]
    assert said == [
        "1 of 3 monitors is up.", "2 of 3 monitors are up.", "0 of 1 monitor is up.", "1 of 1 monitor is up.",
        "0 of 2 monitors are up.",
    ]  # fmt: skip


def test_the_form_is_said_back_in_sentences() -> None:
    data = {
        "type": "http", "interval_s": 60, "timeout_s": 10, "retries": 1, "retry_interval_s": 15, "failure_threshold": 3,
        "assertions": [{"type": "response_time_ms", "op": "lt", "value": 800}], "reminder_s": 1800,
    }  # fmt: skip
    said = plain_words.sentences(data, "https://shop.example", ["Ops", "Mail"])
    assert said[0] == (
        "Every 60 s from here, check https://shop.example."
        " Expect that the status is 200 to 299 and the total time under 800 ms."
    )
    assert said[1] == (
        "A first failure is checked again after 15 s, then at its usual times; when 3 in a row have failed, it is down:"
        " about 1 min after the first failure."
    )
    assert said[2] == "Tell Ops and Mail."
    assert "30 min" in said[3]
    assert plain_words.sentences(data, "x", [])[2].startswith("Nobody is told")


@pytest.mark.parametrize(
    ("fails", "retries", "pause", "text"),
    [
        (1, 1, 15, "One failure and it is down."),
        (2, 1, 15, "A first failure is checked again after 15 s; if that fails too, it is down: about 15 s after the"),
        (
            3,
            2,
            15,
            "A first failure is checked again after 15 s, 2 times; if all of them fail too, it is down: about 30 s",
        ),
        (
            3,
            5,
            10,
            "A first failure is checked again after 10 s, 2 times; if all of them fail too, it is down: about 20 s",
        ),
        (4, 1, 15, "when 4 in a row have failed, it is down: about 1 min 15 s after"),
        (2, 0, 15, "When 2 checks in a row have failed, it is down: about 1 min after the first failure."),
        (3, 0, 15, "about 2 min after the first failure."),
    ],
)
def test_when_it_is_down_is_said_for_every_combination(fails: int, retries: int, pause: int, text: str) -> None:
    data = {
        "type": "tcp", "interval_s": 60, "timeout_s": 10, "retries": retries, "retry_interval_s": pause,
        "failure_threshold": fails,
    }  # fmt: skip
    assert text in plain_words.sentences(data, "x", None)[1]


@given(st.integers(1, 12), st.integers(0, 6), st.integers(10, 120), st.integers(1, 60))
def test_the_time_until_it_is_down_is_that_of_the_checks(fails: int, retries: int, interval: int, pause: int) -> None:
    found = plain_words.down_after_s(fails, retries, interval, pause)
    every = sorted(
        slot * interval + again * pause
        for slot in range(fails)
        for again in range(retries + 1)
        if again == 0 or again * pause < interval
    )
    assert found == every[fails - 1]


def test_a_push_monitor_is_down_when_no_call_comes() -> None:
    data = {"type": "push", "target": {"period_s": 3600, "grace_s": 300}, "failure_threshold": 1, "interval_s": 60}
    said = plain_words.sentences(data, "", None)
    assert said[:2] == ["A job should call us every 1 h.", "When no call has come for 1 h 5 min, it is down."]


def test_a_tally_puts_runs_in_one_segment_newest_at_the_right() -> None:
    drawn = str(tally("u" * 88 + "dd"))
    assert '<path class="u" d="M0 12h351"/>' in drawn
    assert '<path class="d" d="M352 12h7"/>' in drawn
    assert "Last 90 checks: 88 up, 2 down" in drawn
    assert len(str(tally("ud" * 200)).split("data-tally=")[1].split('"')[1]) == 90
