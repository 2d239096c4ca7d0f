"""Values taken out of an answer: where they are, and what is said when they are not there."""

# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from tocsin.core.capture import Capture, take
from tocsin.core.result import Observation
from tocsin.core.shape import read
from tocsin.errors import Invalid

SEEN = Observation(
    body=b'{"token": "abc", "n": 12, "f": 1.5, "b": true, "none": null, "o": {"a": 1}, "l": [{"id": 7}, {"id": 8}]}',
    headers=(("set-cookie", "a=1; Path=/"), ("set-cookie", "sid=x9; Path=/"), ("location", "/next")),
)


@pytest.mark.parametrize(
    ("capture", "value"),
    [
        ({"json_path": "$.token"}, "abc"), ({"json_path": "$.n"}, "12"), ({"json_path": "$.f"}, "1.5"), ({"json_path": "$.b"}, "true"),
        ({"json_path": "$.l[?@.id == 8].id"}, "8"), ({"header": "Location"}, "/next"), ({"header": "set-cookie", "regex": "sid=(\\w+)"}, "x9"),
        ({"regex": '"token": "([^"]+)"'}, "abc"), ({"regex": '"n": \\d+'}, '"n": 12'),
    ],
)  # fmt: skip
def test_a_value_that_is_there(capture: dict[str, Any], value: str) -> None:
    assert take({"x": read(Capture, capture)}, SEEN) == ({"x": value}, None)


@pytest.mark.parametrize(
    ("capture", "says"),
    [
        ({"json_path": "$.no"}, "found nothing"), ({"json_path": "$.none"}, "found null"), ({"json_path": "$.o"}, "found an object"),
        ({"header": "x"}, "found no such header"), ({"header": "location", "regex": "z"}, "found no match"), ({"regex": "z(z)"}, "found no match"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_there(capture: dict[str, Any], says: str) -> None:
    taken, failure = take({"ok": Capture(json_path="$.token"), "x": read(Capture, capture)}, SEEN)
    assert taken == {"ok": "abc"}
    assert failure is not None
    assert failure.type == "assertion"
    assert failure.message.startswith("x: expected a value")
    assert says in failure.message


def test_what_is_too_long_deep_or_dear_is_no_value() -> None:
    long = Observation(body=b'{"a": "' + b"x" * 5000 + b'"}')
    assert "5000 characters" in str(take({"x": Capture(json_path="$.a")}, long)[1])
    assert "xxx" not in str(take({"x": Capture(json_path="$.a")}, long)[1])
    deep = Observation(body=b"[" * 100_000)
    assert "nested too deep" in str(take({"x": Capture(json_path="$.a")}, deep)[1])
    wide = Observation(body=b"[" + b"0," * 60_000 + b"0]")
    assert "more than" in str(take({"x": Capture(json_path="$[*]")}, wide)[1])
    dear = Capture(regex="(?:a?){300}(b)")
    assert take({"x": dear}, Observation(body=b"a" * 1_000_000))[1] is not None


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "c"), ({"json_path": "$.a", "header": "b"}, "c.json_path"), ({"json_path": "$["}, "c.json_path"), ({"regex": "(?=a)"}, "c.regex"),
        ({"regex": "(a{1,500}){1,500}"}, "c.regex"),
    ],
)  # fmt: skip
def test_captures_that_are_refused(data: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Capture, data, where="c")
    assert [p.field for p in caught.value.problems] == [field]
