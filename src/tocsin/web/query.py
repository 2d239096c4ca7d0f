"""Query strings, read as strictly as bodies: unknown, doubled and ill-formed parameters are refused, each by name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from tocsin.core.plain import CLEAN_SAYS, found, sound, without_control
from tocsin.core.shape import FieldShape, fields, read
from tocsin.errors import Invalid, Problem

_WHOLE, _NUMBER = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_MOST, _MOST_LISTED = 50, 500
"""So many parameters, where one may be given again and again more."""


@lru_cache(maxsize=256)
def _fields(type_: Any) -> dict[str, FieldShape]:
    return {f.name: f for f in fields(type_)}


def pairs(raw: bytes, *, most: int = _MOST, where: str = "") -> list[tuple[str, str]]:
    """The name and value pairs of a query string or a form, in order; raises Invalid when it is not one, or when there
    are control characters in it."""
    given = _split(raw, most, where)
    problems = [
        Problem(name[:80] if sound(name) else where, CLEAN_SAYS, found(value if sound(name) else name))
        for name, value in given
        if not (sound(name) and sound(value))
    ]
    if problems:
        raise Invalid(*problems[:10])
    return given


def _split(raw: bytes, most: int, where: str) -> list[tuple[str, str]]:
    try:
        text = raw.decode("utf-8")
        return parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=most)
    except ValueError:
        raise Invalid(Problem(where, f"at most {most} URL-encoded UTF-8 fields", "something else")) from None


def read_query(type_: Any, raw: bytes, *, loose: bool = False) -> Any:
    """An instance of `type_` from a query string. A parameter left empty counts as left out.

    `loose`: unknown parameters are passed over, and control characters become spaces (a job's call is not to be lost
    over its message). A field that is a list has every value that its parameter is given."""
    known = _fields(type_) if type_ is not None else {}
    listed = {name for name, shape in known.items() if shape.kind == "list"}
    most = _MOST_LISTED if listed else _MOST
    given = [] if not raw else _cleaned(raw, most) if loose else pairs(raw, most=most)
    data: dict[str, Any] = {name: [text for n, text in given if n == name and text] for name in listed}
    for name, text in given:
        shape = known.get(name)
        if name in listed or (shape is None and loose):
            continue
        if name in data and not loose:
            raise Invalid(Problem(name[:80], "one value", "several"))
        if text != "" or shape is None:
            data[name] = text if shape is None else _plain(shape, text)
    if type_ is None:
        if data:
            raise Invalid(*(Problem(name[:80], "no query parameter", repr(text[:40])) for name, text in given[:10]))
        return None
    return read(type_, data)


def _cleaned(raw: bytes, most: int) -> list[tuple[str, str]]:
    return [(name, without_control(value)) for name, value in _split(raw, most, "")]


def _plain(shape: FieldShape, text: str) -> Any:
    if shape.kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if shape.kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if shape.kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if shape.kind == "time":
        return text.replace(" ", "+")  # a "+" that nobody escaped
    return text
