"""What an assertion may say: its types, operators and values, and what is wrong with one that cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from tocsin.core.monitor import Assertion
from tocsin.core.pattern import check_pattern
from tocsin.core.plain import as_list, found
from tocsin.core.shape import read
from tocsin.errors import Invalid, Problem

MAX_ASSERTIONS = 50
MAX_TEXT = 4096

_TEXT_OPS = ("contains", "not_contains", "matches", "not_matches", "eq")
_ORDER_OPS = ("lt", "lte", "gt", "gte")
OPS: dict[str, tuple[str, ...]] = {
    "status_code": ("in",),
    "body": _TEXT_OPS,
    "header": _TEXT_OPS,
    "json_path": ("eq", "ne", *_ORDER_OPS, "contains", "matches"),
    "json_schema": ("valid",),
    "response_time_ms": _ORDER_OPS,
    "body_bytes": _ORDER_OPS,
    "certificate_days": _ORDER_OPS,
    "dns_answer": ("eq", "contains"),
}
STATUS_2XX = (Assertion(type="status_code", op="in", value=["200-299"]),)


def entries(value: Any) -> list[Any]:
    """The single entries of a status code value: a list, one code, or text with commas."""
    items = as_list(value)
    split: list[Any] = []
    for item in [value] if items is None else items:
        split += [part.strip() for part in item.split(",")] if isinstance(item, str) else [item]
    return split


def range_of(entry: Any) -> tuple[int, int] | None:
    """The status codes of one entry (200, "200", "200-299", "2xx"), or None when it is none."""
    if isinstance(entry, int) and not isinstance(entry, bool):
        return (entry, entry) if 100 <= entry <= 599 else None
    if not isinstance(entry, str) or not entry.isascii():
        return None
    if len(entry) == 3 and entry[0].isdigit() and entry[1:].lower() == "xx":
        return (int(entry[0]) * 100, int(entry[0]) * 100 + 99) if entry[0] in "12345" else None
    low, dash, high = entry.partition("-")
    if not (low.isdigit() and len(low) == 3 and (not dash or (high.isdigit() and len(high) == 3))):
        return None
    pair = (int(low), int(high or low))
    return pair if 100 <= pair[0] <= pair[1] <= 599 else None


def is_number(value: Any) -> bool:
    """Whether it is a number as JSON knows it (true is none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_assertions(
    data: object, *, offered: Sequence[str] = tuple(OPS), check_type: str = "", where: str = "assertions"
) -> tuple[Assertion, ...]:
    """Assertions from plain data, fit to be judged. Raises Invalid with one Problem for each thing wrong: unknown type,
    an op or value that the type does not have, a pattern, path or schema that cannot be used, a type that is not among
    those `offered` by the check type."""
    if not isinstance(data, (list, tuple)):
        raise Invalid(Problem(where, "a list of assertions", found(data)))
    items = cast("Sequence[Any]", data)
    if len(items) > MAX_ASSERTIONS:
        raise Invalid(Problem(where, f"at most {MAX_ASSERTIONS} assertions", str(len(items))))
    made: list[Assertion] = []
    problems: list[Problem] = []
    for i, item in enumerate(items):
        place = f"{where}[{i}]"
        try:
            assertion = item if isinstance(item, Assertion) else read(Assertion, item, where=place)
        except Invalid as error:
            problems += error.problems
            continue
        wrong = _problems(assertion, place)
        if not wrong and assertion.type not in offered:
            can = f"what a {check_type} check can meet: {', '.join(offered)}"
            wrong = [Problem(f"{place}.type", can, found(assertion.type))]
        problems += wrong
        made.append(assertion)
    if problems:
        raise Invalid(*problems)
    return tuple(made)


def _problems(a: Assertion, where: str) -> list[Problem]:
    if a.type not in OPS:
        return [Problem(f"{where}.type", "one of " + ", ".join(OPS), found(a.type))]
    if a.op not in OPS[a.type]:
        return [Problem(f"{where}.op", " or ".join(OPS[a.type]), found(a.op))]
    problems: list[Problem] = []
    if a.type == "header":
        problems += _name_problems(a.name, f"{where}.name")
    elif a.name is not None:
        problems.append(Problem(f"{where}.name", f"no name for {a.type}", found(a.name)))
    if a.type == "json_path":
        from tocsin.core.json_query import check_path

        problems += check_path(a.path, f"{where}.path")
    elif a.path is not None:
        problems.append(Problem(f"{where}.path", f"no path for {a.type}", found(a.path)))
    return problems + _value_problems(a, f"{where}.value")


def _name_problems(name: str | None, where: str) -> list[Problem]:
    good = (
        name is not None
        and 0 < len(name) <= 200
        and name.isascii()
        and name.isprintable()
        and not set(name) & set(" :")
    )
    return [] if good else [Problem(where, "a header's name", "nothing" if name is None else found(name))]


def _value_problems(a: Assertion, where: str) -> list[Problem]:
    value = a.value
    if a.op in ("matches", "not_matches"):
        return check_pattern(value, where)
    match a.type:
        case "status_code":
            codes = entries(value)
            expected = 'status codes from 100 to 599 such as 301, "200-299" or "2xx"'
            if not 0 < len(codes) <= 50:
                return [Problem(where, expected, found(value))]
            return [Problem(where, expected, found(e)) for e in codes if range_of(e) is None][:1]
        case "body" | "header":
            good = isinstance(value, str) and len(value) <= MAX_TEXT and (value or a.op == "eq")
            return [] if good else [Problem(where, f"text of 1 to {MAX_TEXT} characters", found(value))]
        case "json_schema":
            from tocsin.core.json_query import check_schema

            return check_schema(value, where)
        case "json_path":
            if a.op in _ORDER_OPS and not (is_number(value) or isinstance(value, str)):
                return [Problem(where, "a number or text", found(value))]
            return []
        case "dns_answer":
            answers = as_list(value)
            given = [value] if answers is None else answers
            good = 0 < len(given) <= 50 and all(isinstance(e, str) and 0 < len(e) <= MAX_TEXT for e in given)
            return [] if good else [Problem(where, "an answer or a list of answers, as text", found(value))]
        case _:
            return [] if is_number(value) and value >= 0 else [Problem(where, "a number, at least 0", found(value))]
