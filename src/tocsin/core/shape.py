"""The strict reader of outside data: from plain data to our dataclasses and structs, or one Problem a wrong field.

A type is described by its annotations and the marks in them, for example

    port: Annotated[int, Range(1, 65535), Help("the port to connect to")]
    password: Annotated[str | None, Hidden, Length(0, 1024)] = None

The same description gives JSON Schema (`schema`), forms and command-line options (`fields`). Nothing is converted: "5"
is no number, true is no number, 5.0 is no whole number. A type's own `__post_init__` may raise Invalid for what its
fields say about each other; the paths in it are relative to the object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sized
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from tocsin.core.form import FieldShape, dump, fields, hide, keep_hidden, like, schema
from tocsin.core.marks import (
    HIDDEN_TEXT,
    MAX_NAME,
    MAX_TEXT,
    Choice,
    Example,
    Front,
    Help,
    Hidden,
    Holds,
    Length,
    Long,
    Name,
    Node,
    Pattern,
    Private,
    Range,
    node_of,
)  # fmt: skip
from tocsin.core.plain import (
    CLEAN_SAYS,
    LARGEST,
    MAX_PROBLEMS,
    SMALLEST,
    as_list,
    as_map,
    check_plain,
    found,
    join,
    loads,
    sound,
)  # fmt: skip
from tocsin.errors import Invalid, Problem

__all__ = [
    "Choice", "Example", "FieldShape", "Front", "Help", "Hidden", "Holds", "Length", "Long", "Name", "Pattern", "Private",
    "Range", "dump", "fields", "hide", "keep_hidden", "loads", "read",
    "read_stored", "schema",
]  # fmt: skip

T = TypeVar("T")


def read(type_: type[T] | Any, data: object, *, where: str = "") -> T:
    """An instance of `type_` made of plain data; `where` is the path that fields in problems start with.

    Raises Invalid with one Problem for each wrong, missing or unknown field (at most 100)."""
    problems: list[Problem] = []
    value = _read(node_of(type_), data, where, problems)
    if problems:
        raise Invalid(*problems[:MAX_PROBLEMS])
    return cast("T", value)


class _Stored(list[Problem]):
    """What makes stored data unreadable; what only breaks a rule is taken as it is, and stands in `rules`."""

    def __init__(self) -> None:
        super().__init__()
        self.rules: list[Problem] = []


def read_stored(type_: type[T] | Any, data: object) -> tuple[T, list[Problem]]:
    """(an instance made of data that was good when it was stored, which rules it breaks by now). A limit, a pattern, a
    field that is no more or what fields say about each other do not undo it. Raises Invalid when no instance can be made:
    a field is missing or of another kind."""
    problems = _Stored()
    value = _read(node_of(type_), data, "", problems)
    if problems:
        raise Invalid(*problems[:MAX_PROBLEMS])
    return cast("T", value), problems.rules[:MAX_PROBLEMS]


def _problem(node: Node, data: object, where: str, expected: str = "") -> Problem:
    says = (expected or node.says) + (" or null" if node.optional else "")
    return Problem(where, says, HIDDEN_TEXT if node.marks.hidden else found(data))


def _wrong(node: Node, data: object, where: str, problems: list[Problem], expected: str = "") -> None:
    if len(problems) < MAX_PROBLEMS:
        problems.append(_problem(node, data, where, expected))


def _breaks(problem: Problem, data: T, problems: list[Problem]) -> T | None:
    """A rule is broken: what is stored is taken all the same."""
    if isinstance(problems, _Stored):
        problems.rules.append(problem)
        return data
    if len(problems) < MAX_PROBLEMS:
        problems.append(problem)
    return None


def _read(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    if data is None and node.optional:
        return None
    return _READERS[node.kind](node, data, where, problems)


def _text(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    m = node.marks
    if type(data) is not str:
        return _wrong(node, data, where, problems)
    if len(data) > (most := m.max_length or MAX_TEXT):
        return _breaks(Problem(where, f"at most {most} characters", f"{len(data)} characters"), data, problems)
    if len(data) < m.min_length:
        return _breaks(_problem(node, data, where), data, problems)
    if not sound(data):
        return _wrong(node, data, where, problems, CLEAN_SAYS)
    if m.regex is not None and not m.regex.fullmatch(data):
        says = m.says or f"text like {m.regex.pattern}"
        return _breaks(_problem(node, data, where, says), data, problems)
    if m.test is not None and not m.test(data):
        return _breaks(_problem(node, data, where, m.says), data, problems)
    if m.hidden and data == HIDDEN_TEXT:
        return _wrong(node, data, where, problems, "the secret itself")
    return data


def _number(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    m = node.marks
    whole = node.kind == "integer"
    if type(data) is not int and (whole or type(data) is not float or not math.isfinite(data)):
        return _wrong(node, data, where, problems)
    value = data
    if type(value) is int and not SMALLEST <= value <= LARGEST:
        return _wrong(node, data, where, problems, node.says + " of at most 63 bits")
    if (m.low is not None and value < m.low) or (m.high is not None and value > m.high):
        return _breaks(_problem(node, data, where), value, problems)
    return value


def _boolean(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    return data if type(data) is bool else _wrong(node, data, where, problems)


def _null(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    return None if data is None else _wrong(node, data, where, problems)


def _choice(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    for choice in node.marks.choices:
        if choice == data and type(choice) is type(data):
            return choice
    return _wrong(node, data, where, problems)


def _time(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    if type(data) is str and len(data) <= 40 and data[4:5] == "-":
        try:
            at = datetime.fromisoformat(data)
            return at.astimezone(UTC) if at.tzinfo is not None else _wrong(node, data, where, problems)
        except (ValueError, OverflowError):
            pass
    return _wrong(node, data, where, problems)


def _list(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    items = as_list(data)
    if items is None:
        return _wrong(node, data, where, problems)
    if not _fits(node, items) and _breaks(_problem(node, data, where), items, problems) is None:
        return None
    item = cast("Node", node.item)
    return node.cls([_read(item, x, f"{where}[{i}]", problems) for i, x in enumerate(items)])


def _fits(node: Node, data: Sized) -> bool:
    m = node.marks
    return m.min_length <= len(data) and (m.max_length is None or len(data) <= m.max_length)


def _tuple(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    items = as_list(data)
    if items is None or len(items) != len(node.options):
        return _wrong(node, data, where, problems)
    pairs = enumerate(zip(node.options, items, strict=True))
    return tuple(_read(option, x, f"{where}[{i}]", problems) for i, (option, x) in pairs)


def _map(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    entries = as_map(data)
    if entries is None:
        return _wrong(node, data, where, problems)
    if not _fits(node, entries) and _breaks(_problem(node, data, where), entries, problems) is None:
        return None
    item = cast("Node", node.item)
    made: dict[str, Any] = {}
    for key, value in entries.items():
        if type(key) is not str or len(key) > MAX_NAME or not sound(key):
            problems.append(Problem(where, f"keys of at most {MAX_NAME} characters, no control characters", found(key)))
        else:
            made[key] = _read(item, value, join(where, key), problems)
    return made


def _any(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    check_plain(data, where, problems, hidden=node.marks.hidden)
    return data


def _object(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    given, before = as_map(data), len(problems)
    if given is None:
        return _wrong(node, data, where, problems)
    values: dict[str, Any] = {}
    for key in [key for key in given if key not in node.by_name][:MAX_PROBLEMS]:
        _breaks(_unknown(node, key, where), key, problems)
    for member in node.members:
        if member.name in given:
            values[member.attribute] = _read(member.node, given[member.name], join(where, member.name), problems)
        elif member.required:
            problems.append(Problem(join(where, member.name), member.node.says, "nothing"))
    if len(problems) > before:
        return None
    try:
        return node.cls(**values)
    except Invalid as error:
        made = _unruled(node.cls, values) if isinstance(problems, _Stored) else None
        for p in error.problems:
            field = f"{where}.{p.field}" if where and p.field else where or p.field
            taken = _breaks(Problem(field, p.expected, p.found), made, problems)
            made = None if taken is None else made
        if made is None and len(problems) == before:
            problems += error.problems
        return made


def _unruled(cls: Any, values: dict[str, Any]) -> Any:
    """An instance of a dataclass whose fields break a rule of it; None for anything else."""
    if not is_dataclass(cls):
        return None
    made = object.__new__(cast("type[Any]", cls))
    for field in dataclass_fields(cls):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        object.__setattr__(made, field.name, values.get(field.name, default))
    return made


def _unknown(node: Node, key: object, where: str) -> Problem:
    if not isinstance(key, str):
        return Problem(where, "names that are text", found(key))
    from difflib import get_close_matches

    near = get_close_matches(key[:MAX_NAME], list(node.by_name), 1)
    if near:
        return Problem(join(where, key), f"a known field (did you mean {near[0]}?)", found(key))
    names = list(node.by_name)
    return Problem(
        join(where, key),
        f"one of the fields {', '.join(names)}" if 0 < len(names) <= 12 else "a known field",
        found(key),
    )


def _choose(node: Node, data: object, where: str, problems: list[Problem]) -> Any:
    for option in node.options:
        tried: list[Problem] = []
        value = _read(option, data, where, tried)
        if not tried:
            return value
    near = like(node, data)
    return _wrong(node, data, where, problems) if near is None else _read(near, data, where, problems)


_READERS: dict[str, Callable[[Node, object, str, list[Problem]], Any]] = {
    "text": _text, "integer": _number, "number": _number, "boolean": _boolean, "null": _null, "choice": _choice,
    "time": _time, "list": _list,"tuple": _tuple, "map": _map, "object": _object, "union": _choose, "any": _any,
}  # fmt: skip
