"""A channel's own words: what they may say, and what they can never do."""

from __future__ import annotations

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_message
from tocsin.core.alert import Event, Item, Template
from tocsin.core.template import FIELDS, check, render, samples
from tocsin.errors import Invalid


def made(text: str, **message: object) -> str:
    return render(Template(text=text), a_message(**message))[1]


def test_every_field_is_there_for_every_event() -> None:
    assert [m.event for m in samples()] == list(get_args(Event))
    every = Template(title="{{ title }}", text="\n".join(f"{name}: {{{{ {name} }}}}" for name in FIELDS))
    check(every)
    opened = render(every, samples()[0])[1]
    for line in (
        "monitor.name: Shop",
        "incident.severity: critical",
        "lasted: 14 min 8 s",
        "at: 2026-03-01 12:14:08 UTC",
    ):
        assert line in opened.splitlines()


def test_conditions_loops_and_filters_work() -> None:
    text = "{% if event == 'incident.resolved' %}over{% else %}{{ reason|upper }}{% endif %}"
    assert made(text, reason="refused") == "REFUSED"
    assert made(text, event="incident.resolved") == "over"
    items = (Item(title="Shop", severity="down"), Item(title="Search", severity="down"))
    assert made("{% for i in items %}\n- {{ i.title }}\n{% endfor %}", items=items) == "- Shop\n- Search"


def test_what_is_left_empty_is_ours() -> None:
    message = a_message(title="T", text="X", monitor=None, incident=None)
    assert render(Template(title="!", text=" "), message) == ("!", "X")
    assert render(Template(text="{{ monitor.name }}{{ incident.id }}?"), message) == ("T", "?")


def test_names_are_data_and_no_template() -> None:
    message = a_message(title="<b>{{ key }}</b> & {% for %}", text="*x*")
    assert render(Template(title="{{ title }}", text="{{ text }}"), message) == (message.title, message.text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ nme }}", "found nme"),
        ("a\n{{ monitor.nme }} {{ titel }}", "found monitor.nme, titel"),
        ("{{ monitor.__class__ }}", "found monitor.__class__"),
        ("{{ items[99].title }}", "a field that is not there"),
        ("{% for", "expected a template that can be read, found unexpected end of input"),
        ("a\n{% if %}", "found line 2: "),
        ("{{ title.upper() }}", "no method named upper"),
        ("{{ lipsum() }}", "lipsum is unknown"),
        ("{% include '/etc/passwd' %}", "non-existing template"),
        ("{% extends 'x' %}", "does not exist"),
        ("{% import 'x' as y %}", "non-existing template"),
        ("{{ debug() }}", "debug is unknown"),
        ("{% for a in range(1000) %}{% for b in range(1000) %}.{% endfor %}{% endfor %}", "goes on and on"),
        (
            "{% set n = namespace(x='xxxx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "goes on and on",
        ),
        ("{{ 'x' * 1000000000 }}", "goes on and on"),
        ("{{ '%1000000000d'|format(1) }}", "goes on and on"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit"),
        ("{{ " + "(" * 3900 + "1", "recursion limit"),
        ("{{ 'x' * 20000 }}", "at most 16,384 characters, found 20,000"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(text: str, said: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Invalid) as refused:
        check(Template(text=text))
    assert said in str(refused.value)
    assert {p.field for p in refused.value.problems} == {"template.text"}
    assert time.monotonic() - begun < 10


def test_both_parts_are_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check(Template(title="{{ a }}", text="{{ b }}"))
    assert [p.field for p in refused.value.problems] == ["template.title", "template.text"]


@given(st.text(max_size=300) | st.text("{}%#- \n|()[]'\".~+*abcitemsforndlx0123", max_size=300))
def test_whatever_is_typed_is_words_or_one_clear_refusal(text: str) -> None:
    try:
        title, body = render(Template(title=text, text=text), samples()[0])
    except Invalid:
        return
    assert "\n" not in title
    assert len(body) <= 16_384
