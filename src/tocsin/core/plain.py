"""Plain data (what JSON can say): reading it from text without surprises, showing a piece of it briefly and safely."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from typing import Any, cast

from tocsin.errors import Invalid, Problem

MAX_DEPTH = 32
MAX_BYTES = 1 << 20
MAX_PROBLEMS = 100
SMALLEST, LARGEST = -(1 << 63), (1 << 63) - 1
CLEAN_SAYS = "text in valid Unicode, without control characters but tabs and line breaks"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def loads(source: str | bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> Any:
    """Plain data from JSON text. Raises Invalid for anything that is not exactly one JSON value in valid UTF-8, and for
    what parsers elsewhere read in different ways: doubled keys, NaN and Infinity, numbers out of range, lone
    surrogates, control characters in texts, and what is too large or nested too deep."""
    size = len(source) if isinstance(source, bytes) else len(source.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise Invalid(Problem("", f"at most {max_bytes} bytes of JSON", f"{size} bytes"))
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
    except UnicodeDecodeError as error:
        raise Invalid(Problem("", "valid UTF-8", f"a wrong byte at position {error.start}")) from None
    try:
        data = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise Invalid(
            Problem("", "one JSON value", f"an error at {place}: {error.msg}" if text.strip() else "nothing")
        ) from None
    except RecursionError:
        raise Invalid(Problem("", f"at most {max_depth} levels", "more")) from None
    problems: list[Problem] = []
    check_plain(data, "", problems, max_depth)
    if problems:
        raise Invalid(*problems)
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise Invalid(Problem(join("", key), "each key once", f"{found(key)} twice"))
        seen.add(key)
    return made


class _NoNumber:
    """Stands for a number that we do not take, until `check_plain` has said where it is."""

    def __init__(self, expected: str, text: str) -> None:
        self.expected, self.text = expected, clip(text)


def _no_constant(text: str) -> _NoNumber:
    return _NoNumber("a number that JSON has", text)


def _finite(text: str) -> float | _NoNumber:
    value = float(text)
    return _NoNumber("a number that fits a double", text) if math.isinf(value) else value


def _whole(text: str) -> int | _NoNumber:
    if len(text) > 20 or not SMALLEST <= (value := int(text)) <= LARGEST:
        return _NoNumber("a whole number of at most 63 bits", text)
    return value


def check_plain(
    data: object, where: str, problems: list[Problem], depth: int = MAX_DEPTH, *, hidden: bool = False
) -> None:
    """Add a problem for everything in `data` that is not plain data of ours (see `loads`); a container is one level."""

    def wrong(expected: str, shown: str) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(Problem(where, expected, "***" if hidden else shown))

    items, entries = as_list(data), as_map(data)
    if data is None or isinstance(data, bool):
        return
    if isinstance(data, str):
        if not sound(data):
            wrong(CLEAN_SAYS, found(data))
    elif isinstance(data, int):
        if not SMALLEST <= data <= LARGEST:
            wrong("a whole number of at most 63 bits", "a larger one")
    elif isinstance(data, float):
        if not math.isfinite(data):
            wrong("a finite number", str(data))
    elif isinstance(data, _NoNumber):
        wrong(data.expected, data.text)
    elif items is None and entries is None:
        wrong("plain data", type(data).__name__)
    elif depth <= 0:
        wrong(f"at most {MAX_DEPTH} levels", "more")
    elif items is not None:
        for i, item in enumerate(items):
            check_plain(item, f"{where}[{i}]", problems, depth - 1, hidden=hidden)
    elif entries is not None:
        for key, item in entries.items():
            if not isinstance(key, str) or not sound(key):
                wrong("keys that are " + CLEAN_SAYS, found(key))
            else:
                check_plain(item, join(where, key), problems, depth - 1, hidden=hidden)


def as_list(data: object) -> Sequence[Any] | None:
    """The data when it is a list (or tuple), else None."""
    return cast("Sequence[Any]", data) if isinstance(data, (list, tuple)) else None


def as_map(data: object) -> dict[Any, Any] | None:
    """The data when it is an object, else None."""
    return cast("dict[Any, Any]", data) if isinstance(data, dict) else None


def sound(text: str) -> bool:
    """Whether the text can be kept and shown anywhere: no lone surrogate, and of control characters only tabs and line
    breaks (databases refuse NUL, terminals obey ESC)."""
    if text.isascii():
        return text.isprintable() or _CONTROL.search(text) is None
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _CONTROL.search(text) is None


def without_control(text: str) -> str:
    """The text with a space for each control character but tabs and line breaks."""
    return _CONTROL.sub(" ", text)


def join(where: str, name: str) -> str:
    """The path of `name` inside `where`: "target.url", or headers["x y"] for names that are no words."""
    if name.isidentifier() and len(name) <= 60:
        return f"{where}.{name}" if where else name
    return f"{where}[{found(name)}]"


def clip(text: str, most: int = 60) -> str:
    """The text on one line, at most `most` characters, with nothing in it that a terminal or page would obey."""
    short = text if len(text) <= most else text[: most - 1] + "…"
    if short.isascii() and short.isprintable():
        return short
    return "".join(c if c.isprintable() else _escape(c) for c in short)


@functools.lru_cache(4096)
def quiet_url(url: str) -> str:
    """The URL without what may be secret in it: user name and password left out, the values in its query as "…", no
    fragment."""
    before, mark, query = url.partition("#")[0].partition("?")
    scheme, slashes, rest = before.partition("://")
    place, slash, path = rest.partition("/")
    shown = f"{scheme}{slashes}{place.rpartition('@')[2]}{slash}{path}" if slashes else before
    if not mark:
        return shown
    return shown + "?" + "&".join(name + "=…" if equals else "…" for name, equals, _ in map(_pair, query.split("&")))


def _pair(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _escape(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or f"\\u{ord(char):04x}"


def found(value: object) -> str:
    """A short JSON-like rendering of what was found."""
    items, entries = as_list(value), as_map(value)
    if items is not None:
        return f"a list of {len(items)}" if items else "[]"
    if entries is not None:
        return f"an object with {len(entries)} field{'s' if len(entries) != 1 else ''}" if entries else "{}"
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + clip(value.replace('"', '\\"')) + '"'
        case int():
            return str(value) if SMALLEST <= value <= LARGEST else "a huge number"
        case float():
            return str(value)
        case _:
            return type(value).__name__


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[\s\S])")
_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def escaped(text: str) -> bytes | None:
    """The bytes that a text with escapes stands for, None when an escape is unknown."""
    made, at = b"", 0
    for match in _ESCAPE.finditer(text):
        code = match[1]
        byte = bytes([int(code[1:], 16)]) if len(code) == 3 else _ESCAPES.get(code)
        if byte is None:
            return None
        made += text[at : match.start()].encode() + byte
        at = match.end()
    rest = text[at:]
    return None if rest.endswith("\\") else made + rest.encode()
