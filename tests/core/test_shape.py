"""The strict reader: what it takes, what it refuses, and that it always says which field."""

# ruff: noqa: E501, PT017

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType

from tocsin.core import shape
from tocsin.core.plain import quiet_url
from tocsin.core.shape import (
    Help,
    Hidden,
    Length,
    Name,
    Pattern,
    Private,
    Range,
    dump,
    fields,
    hide,
    keep_hidden,
    loads,
    read,
    schema,
)  # fmt: skip
from tocsin.errors import Invalid, Problem
from tocsin.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to send."""

    send: str = ""
    wait_s: Annotated[int | float, Range(0, 10)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place to look at."""

    host: Annotated[str, Pattern(r"[a-z.]+", "a host name"), Help("where")]
    port: Annotated[int, Range(1, 65535)] = 80
    mode: Literal["fast", "slow"] = "fast"
    password: Annotated[str | None, Hidden] = None
    headers: Annotated[dict[str, str], Hidden] = field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Length(0, 3)] = ()
    quorum: Literal["majority", "any"] | int = "majority"
    low: int = 0
    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.low > self.port:
            raise Invalid(Problem("low", "at most the port", str(self.low)))


class Change(Struct, kw_only=True):
    name: Name | UnsetType = UNSET
    target: Target | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    data: Any = None


def problems(type_: Any, data: object, where: str = "") -> dict[str, tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        read(type_, data, where=where)
    return {p.field: (p.expected, p.found) for p in caught.value.problems}


def test_a_whole_object_with_defaults_and_nested_ones():
    data = {
        "host": "a.example",
        "steps": [{"send": "x", "wait_s": 0.5}, {}],
        "quorum": 2,
        "at": "2026-01-02T03:04:05+01:00",
    }
    target = read(Target, data)
    assert target == Target(
        host="a.example",
        steps=(Step(send="x", wait_s=0.5), Step()),
        quorum=2,
        at=datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
    )


def test_every_wrong_field_is_named_at_once():
    data = {
        "host": "A B",
        "port": True,
        "mode": "quick",
        "steps": [{"send": 1, "wait_s": 11}],
        "quorum": 1.5,
        "hots": 1,
        "low": "5",
    }
    assert problems(Target, data, "target") == {
        "target.host": ("a host name", '"A B"'),
        "target.port": ("a whole number from 1 to 65535", "true"),
        "target.mode": ("fast or slow", '"quick"'),
        "target.steps[0].send": ("text", "1"),
        "target.steps[0].wait_s": ("a number from 0 to 10", "11"),
        "target.quorum": ("majority or any or a whole number", "1.5"),
        "target.hots": ("a known field (did you mean host?)", '"hots"'),
        "target.low": ("a whole number", '"5"'),
    }


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, "5"), (int, True), (int, 5.0), (int, 2**63), (int, -(2**63) - 1), (int, None),
        (float, "1"), (float, float("nan")), (float, float("inf")), (float, False),
        (bool, 1), (bool, "true"), (str, 5), (str, b"x"), (str, "a\ud800"), (str, "x" * 65_537), (str | None, 0),
        (Literal[1, 2], True), (Literal["a"], "A"), (list[int], "12"), (list[int], {}), (dict[str, int], []),
        (dict[str, int], {1: 1}), (dict[str, int], {"k" * 201: 1}), (tuple[int, str], [1]), (datetime, "2026-01-02T03:04:05"),
        (datetime, "yesterday"), (datetime, 1), (Any, {"a": float("nan")}), (Any, {1: 2}), (Any, object()), (Name, ""), (Name, "  "),
        (Name, "n" * 201), (Annotated[list[int], Length(1, 2)], []), (Annotated[list[int], Length(1, 2)], [1, 2, 3]),
    ],
)  # fmt: skip
def test_nothing_is_converted(type_: Any, value: object):
    assert problems(type_, value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, -(2**63)), (int | float, 1), (int | float, 1.5), (float, 3), (str, "\U0001f514"), (str | None, None), (list[int], []),
        (dict[str, list[int]], {"a": [1]}), (tuple[int, str], [1, "a"]), (Any, {"a": [None, True, 1.5]}), (list[str] | str, "x"),
    ],
)  # fmt: skip
def test_what_fits_is_taken_as_it_is(type_: Any, value: Any):
    taken = read(type_, value)
    assert (list(taken) if isinstance(taken, tuple) else taken) == value


def test_absent_is_not_null():
    assert read(Change, {}) == Change()
    assert read(Change, {"paused": False}).paused is False
    assert problems(Change, {"paused": None}) == {"paused": ("true or false", "null")}


def test_a_missing_field_and_a_wrong_whole():
    assert problems(Target, {}) == {"host": ("a host name", "nothing")}
    assert problems(Target, []) == {"": ("an object", "[]")}


def test_a_rule_over_several_fields_speaks_of_its_field():
    assert problems(Change, {"target": {"host": "a", "port": 1, "low": 2}}) == {"target.low": ("at most the port", "2")}


def test_a_hidden_value_is_never_shown():
    data = {"host": "a", "password": ["hunter2"], "headers": {"Authorization": 7, "hunter2key": "ok"}}
    with pytest.raises(Invalid) as caught:
        read(Target, data)
    assert "hunter2" not in str(caught.value)
    assert problems(Target, {"host": "a", "password": "***"}) == {"password": ("the secret itself or null", "***")}


def test_hidden_values_are_masked_and_kept():
    old = {"host": "a", "password": "p", "headers": {"a": "1", "b": ""}}
    shown = hide(Target, old)
    assert shown == {"host": "a", "password": "***", "headers": {"a": "***", "b": ""}}
    assert keep_hidden(Target, shown, old) == old
    assert keep_hidden(Target, {"headers": {"new": "***"}}, old) == {"headers": {"new": "***"}}


def test_many_problems_are_capped():
    with pytest.raises(Invalid) as caught:
        read(list[int], ["x"] * 5000)
    assert len(caught.value.problems) == 100


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ('{"a":1,"b":2,"a":3}', "a", "twice"), ('{"x":{"k k":1,"k k":1}}', '["k k"]', "twice"), ("[NaN]", "[0]", "NaN"),
        ("[-Infinity]", "[0]", "Infinity"), ("1e999", "", "1e999"), ("9223372036854775808", "", "9223372036854775808"),
        ("1" * 5000, "", "111"), ('["\\ud800"]', "[0]", "\\ud800"), ('["a\\u0000b"]', "[0]", "\\u0000"), ('{"a": "\\u001b[2J"}', "a", "\\u001b"),
        ('{"a\\u0007": 1}', "", "\\u0007"), ("[" * 33 + "]" * 33, "[0]" * 32, "more"),
        ("[" * 100_000, "", "more"), (b'"\xff"', "", "position 1"), ("", "", "nothing"), ("[1,]", "", "line 1"), ("1 2", "", "line 1"),
        ("\ufeff{}", "", "line 1"), ('"' + "x" * (1 << 20) + '"', "", "bytes"), ('"a\nb"', "", "line 1"), ("'a'", "", "line 1"),
    ],
)  # fmt: skip
def test_json_that_is_refused(text: str | bytes, field: str, says: str):
    with pytest.raises(Invalid) as caught:
        loads(text)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert says in problem.found
    assert len(problem.found) < 120


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\r\n"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31m", "\x7f", "bell\a"])
def test_control_characters_are_refused_wherever_text_stands(text: str):
    for data in ({"host": "a", "headers": {"x": text}}, {"host": "a", "password": text}, {"host": "a", "headers": {text: "x"}},
                 {"host": "a", "steps": [{"send": text}]}):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            read(Target, data)
        assert text not in str(refused.value)
    assert read(Target, {"host": "a", "password": "line one\n\tline two\r\n"}).password


@pytest.mark.parametrize("text", ["two\nlines", "tab\there", "a\u2028b", "\u202eevil", "a\x85b", " \u00a0 "])
def test_a_name_is_one_printable_line(text: str):
    with pytest.raises(Invalid):
        read(Name, text)
    assert read(Name, "Shop – Köln 👩‍🔧") == "Shop – Köln 👩‍🔧"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Something with private parts."""

    url: Annotated[str, Private]
    body: Annotated[str | None, Private] = None
    key: Annotated[str, Hidden] = ""
    more: Annotated[dict[str, str], Private] = field(default_factory=dict)


def test_private_values_are_hidden_only_when_asked_for():
    data = {"url": "https://x/a?key=s3cret", "body": "pw=1", "key": "k", "more": {"a": "b"}}
    assert hide(Page, data) == data | {"key": "***"}
    assert hide(Page, data, private=True) == {
        "url": "https://x/a?key=…",
        "body": "***",
        "key": "***",
        "more": {"a": "***"},
    }
    assert hide(Page, {"url": "https://x/", "body": None}, private=True) == {"url": "https://x/", "body": None}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/p/q", "https://a.example/p/q"), ("https://a/?k=1&l=&m", "https://a/?k=…&l=…&…"),
        ("https://u:p@a/x?y=a=b#f", "https://a/x?y=…"), ("http://a?tok@en", "http://a?…"), ("not a url?x=1", "not a url?x=…"),
        ("https://a/x@y", "https://a/x@y"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_the_values_of_its_query(url: str, shown: str):
    assert quiet_url(url) == shown


@given(JSON)
def test_loads_reads_what_json_wrote(value: Any):
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value
    assert read(Any, value) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE+-.truefalsn\\u \ud800', max_size=40))
def test_loads_either_reads_or_refuses(source: bytes | str):
    try:
        value = loads(source)
    except Invalid as error:
        assert error.problems
    else:
        assert read(Any, value) == value


LOOSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["host", "port", "mode", "steps", "send", "name", "target", "headers", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(LOOSE)
def test_any_data_gives_an_object_or_problems_inside_it(data: Any):
    for type_ in (Target, Change):
        try:
            value = read(type_, data)
        except Invalid as error:
            assert error.problems
            assert all(p.expected and p.found and len(p.found) < 140 for p in error.problems)
        else:
            assert read(type_, dump(value)) == value


@given(st.text(alphabet="abc.", min_size=1, max_size=9), st.integers(1, 65535), st.sampled_from(["fast", "slow"]))
def test_dump_and_read_are_inverse(host: str, port: int, mode: Any):
    target = Target(
        host=host, port=port, mode=mode, at=datetime(2026, 5, 6, 7, 8, 9, 123000, tzinfo=UTC), steps=(Step(),)
    )
    assert read(Target, json.loads(json.dumps(dump(target)))) == target


def test_dump_leaves_out_what_is_absent_and_never_shows_a_secret():
    assert dump(Change(name="x")) == {"name": "x", "data": None}
    assert dump({"s": Secret("hunter2"), "t": (1, 2)}) == {"s": "***", "t": [1, 2]}


def test_the_schema_says_the_same():
    made = schema(Change)
    assert made["additionalProperties"] is False
    target = made["properties"]["target"]
    assert target["description"] == "A place to look at."
    assert target["required"] == ["host"]
    assert target["properties"]["port"] == {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80}
    assert target["properties"]["password"] == {
        "type": ["string", "null"],
        "maxLength": 65536,
        "writeOnly": True,
        "default": None,
    }
    assert target["properties"]["host"]["pattern"] == "^(?:[a-z.]+)$"
    assert target["properties"]["quorum"]["anyOf"] == [{"enum": ["majority", "any"]}, {"type": "integer"}]
    json.dumps(made, allow_nan=False)


@given(LOOSE)
def test_what_the_reader_takes_its_schema_takes_too(data: Any):
    import jsonschema_rs

    try:
        read(Target, data)
    except Invalid:
        return
    assert jsonschema_rs.is_valid(schema(Target), data)


def test_fields_are_what_forms_need():
    by_name = {f.name: f for f in fields(Target)}
    assert [f.name for f in fields(Target)][:3] == ["host", "port", "mode"]
    assert (by_name["host"].required, by_name["host"].help, by_name["host"].expected) == (True, "where", "a host name")
    assert (by_name["port"].kind, by_name["port"].default, by_name["port"].marks.high) == ("integer", 80, 65535)
    assert by_name["mode"].marks.choices == ("fast", "slow")
    assert by_name["password"].marks.hidden
    assert by_name["headers"].kind == "map"
    steps = by_name["steps"]
    assert steps.item is not None
    assert [m.name for m in steps.item.members] == ["send", "wait_s"]


def test_a_type_that_outside_data_cannot_have_is_a_mistake_of_ours():
    with pytest.raises(TypeError):
        read(set[int], [])


def test_a_number_that_is_none_is_named_by_its_place():
    with pytest.raises(Invalid) as refused:
        loads('{"interval_s": NaN, "timeout_s": 1e999, "deep": [{"a": 99999999999999999999999}]}')
    assert [(p.field, p.found) for p in refused.value.problems] == [
        ("interval_s", "NaN"), ("timeout_s", "1e999"), ("deep[0].a", "99999999999999999999999"),
    ]  # fmt: skip


def test_what_is_too_long_is_told_its_limit():
    with pytest.raises(Invalid) as refused:
        read(Annotated[str, Length(1, 200)], "x" * 201, where="name")
    assert str(refused.value) == "name: expected at most 200 characters, found 201 characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: Annotated[str, Length(1, 3), Pattern("[a-z]+", "small letters")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something that was stored before its rules were as they are."""

    port: Annotated[int, Range(1, 10)] = 1
    names: Annotated[list[str], Length(0, 1)] = field(default_factory=list[str])
    part: Part | None = None
    one: str = ""
    other: str = ""

    def __post_init__(self) -> None:
        if self.one and self.other:
            raise Invalid(Problem("other", "either one or other", "both"))


@pytest.mark.parametrize(
    ("data", "made", "fields"),
    [
        ({"port": 5}, Kept(port=5), []),
        ({"port": 50}, ("port", 50), ["port"]),
        ({"names": ["a", "b"]}, ("names", ["a", "b"]), ["names"]),
        ({"part": {"name": "LONG"}}, ("part", Part), ["part.name"]),
        ({"old": 1}, Kept(), ["old"]),
        ({"one": "1", "other": "2", "port": 11}, ("other", "2"), ["port", "other"]),
    ],
)
def test_what_is_stored_is_taken_though_it_breaks_a_rule_by_now(data: Any, made: Any, fields: list[str]) -> None:
    value, rules = shape.read_stored(Kept, data)
    assert [problem.field for problem in rules] == fields
    if isinstance(made, Kept):
        assert value == made
    elif made[1] is Part:
        assert value.part is not None
        assert value.part.name == "LONG"
    else:
        assert getattr(value, made[0]) == made[1]
    if fields:
        with pytest.raises(Invalid):
            shape.read(Kept, data)


@pytest.mark.parametrize("data", [{"port": "5"}, {"names": "a"}, {"part": {}}, {"one": None}, 7])
def test_what_is_of_another_kind_cannot_be_taken(data: Any) -> None:
    with pytest.raises(Invalid):
        shape.read_stored(Kept, data)
