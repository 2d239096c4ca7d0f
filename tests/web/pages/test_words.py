"""Figures, spans and sentences as people read them."""

from __future__ import annotations

import pytest

from tocsin.web.pages import plain_words, words
from tocsin.web.pages.look import tally


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (3661, "1 h 1 min"), (86_400, "1 day"), (2e5, "2 days")],
)
def test_spans(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, "–"), (1.0, "100"), (0.99999, "99.99"), (0.0, "0.00"), (0.5, "50.00")]
)
def test_uptime_is_never_rounded_up_to_100(share: float | None, text: str) -> None:
    assert words.percent(share) == text


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
    assert "3 times in a row" in said[1]
    assert said[2] == "Tell Ops and Mail."
    assert "30 min" in said[3]
    assert plain_words.sentences(data, "x", [])[2].startswith("Nobody is told")


def test_a_tally_puts_runs_in_one_segment_newest_at_the_right() -> None:
    drawn = str(tally("u" * 88 + "dd"))
    assert '<path class="u" d="M0 12h351"/>' in drawn
    assert '<path class="d" d="M352 12h7"/>' in drawn
    assert "Last 90 checks: 88 up, 2 down" in drawn
    assert len(str(tally("ud" * 200)).split("data-tally=")[1].split('"')[1]) == 90
