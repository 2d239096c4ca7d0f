"""Parsers of maintenance windows: recurrence rules, and what is typed in their form."""

# ruff: noqa: E501

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.core.maintenance import Window, ends_at, occurrences
from tocsin.core.recurrence import check_rrule
from tocsin.core.scope import Scope
from tocsin.errors import Invalid
from tocsin.web.pages import depends, maintenance, window_words

START = datetime(2026, 2, 28, 1, 30, tzinfo=UTC)
_CALLED = {"1": "Router", "2": "A or B", "3": "Line (3)"}


def _recurrence(data: bytes) -> None:
    rule = text(data)
    check_rrule(rule, START.replace(tzinfo=None))
    window = Window(
        id="w", workspace_id="ws", name="W", scope=Scope(everything=True), starts_at=START, duration_s=3600, rrule=rule,
        created_at=START, updated_at=START,
    )  # fmt: skip
    begins = [begin for begin, _ in occurrences(window, START - timedelta(seconds=1), 3)]
    assert begins == sorted(set(begins))
    assert all(ends_at(window, begin) is not None for begin in begins)
    assert window_words.often(window)


def _typed(data: bytes) -> None:
    words = text(data)
    zone, _, time = words.partition("\n")
    moment = maintenance.moment(time, zone)
    assert moment is None or moment.tzinfo is not None
    how, _, rule, _ = window_words.parts(words)
    assert how != "own" or rule == words


def _parents(data: bytes) -> None:
    parents = depends.read_back(text(data), _CALLED)
    assert depends.read_back(depends.shown(parents, _CALLED), _CALLED) == parents or "or" in text(data).casefold()


PARSERS = (
    Parser(
        name="recurrences", files=("core/recurrence.py", "web/pages/window_words.py"), read=_recurrence, allowed=(Invalid,),
        examples=given(
            "FREQ=WEEKLY;BYDAY=SA,SU;UNTIL=20271231", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=5", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
            "FREQ=DAILY;INTERVAL=7;UNTIL=20270101T120000Z", "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;WKST=SU",
        ),
    ),
    Parser(
        name="window forms", files=("web/pages/maintenance.py", "web/pages/window_words.py"), read=_typed,
        examples=given("Europe/Berlin\n2026-03-29T02:30", "UTC\n2026-03-29T02:30:00+05:00", "FREQ=WEEKLY;BYDAY=MO;UNTIL=20260101"),
    ),
    Parser(name="parents by name", files=("web/pages/depends.py",), read=_parents, examples=given("router\nA or B\nLine (3) or Router\nnobody")),
)  # fmt: skip
