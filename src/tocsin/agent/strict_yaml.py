"""YAML as plain data, and on which line each piece of it stands. Stricter than YAML is.

No aliases, no tags, each key once, texts as keys; what is not true, false, null or a number in decimal digits is text, so
that `no` and `12:30` are what they look like. Limits hold before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from tocsin.core.plain import CLEAN_SAYS, LARGEST, MAX_DEPTH, SMALLEST, clip, found, join, sound
from tocsin.errors import Invalid, Problem

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
_INTEGER = re.compile(r"[-+]?(?:0|[1-9]\d{0,18})")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d{0,29})(?:\.\d{1,30})?(?:[eE][-+]?\d{1,3})?")
_EXPECTED = re.compile(r"expected (.+), but (?:found|got) (.+)")
"""How PyYAML says what it expected."""
_WORDS: dict[str, bool | None] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """The data, and the line (from 1) of each path in it, written as in a Problem."""

    data: Any
    lines: dict[str, int] = field(default_factory=dict[str, int])

    def line(self, path: str) -> int | None:
        """The line where that path stands, or the nearest thing around it that does."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get("")


def loads(source: bytes) -> Document:
    """The one document in a file. Raises Invalid; what is wrong is said with its line."""
    if len(source) > MAX_BYTES:
        raise Invalid(Problem("", f"at most {MAX_BYTES} bytes of YAML", f"{len(source)} bytes"))
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(Problem("", "text in UTF-8", f"a wrong byte at position {error.start}")) from None
    try:
        return _Build().document(iter(cast("Any", yaml).parse(text, Loader=yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1} column {mark.column + 1}" if mark is not None else ""
        said = error.problem or "an error"
        both = _EXPECTED.fullmatch(said)
        wanted, seen = (f"YAML: {both[1]}", both[2]) if both else ("YAML", said.removeprefix("found "))
        raise Invalid(Problem(where, clip(wanted, 160), clip(seen, 160))) from None
    except yaml.YAMLError as error:
        raise Invalid(Problem("", f"YAML: {CLEAN_SAYS}", clip(str(error).splitlines()[0], 160))) from None


class _Build:
    """Builds from the parser's events, a piece after the other."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self._nodes = 0

    def document(self, events: Iterator[Any]) -> Document:
        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _wrong(event, "one document", "a second one")
                data = self._node(next(events), events, "", 0)
        return Document(data, self._lines)

    def _node(self, event: Any, events: Iterator[Any], where: str, depth: int) -> Any:
        self._nodes += 1
        self._lines.setdefault(where, event.start_mark.line + 1)
        if isinstance(event, AliasEvent):
            raise _wrong(event, "the thing itself: aliases are not taken", f"*{clip(str(event.anchor), 40)}")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise _wrong(event, "plain values without tags", clip(str(tag), 60))
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            expected = f"at most {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"at most {MAX_NODES} values"
            raise _wrong(event, expected, "more")
        if isinstance(event, MappingStartEvent):
            return self._mapping(events, where, depth)
        if isinstance(event, SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(inner := next(events), SequenceEndEvent):
                items.append(self._node(inner, events, f"{where}[{len(items)}]", depth + 1))
            return items
        return _scalar(event)

    def _mapping(self, events: Iterator[Any], where: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(key := next(events), MappingEndEvent):
            if not isinstance(key, ScalarEvent) or key.tag not in (None, "!"):
                raise _wrong(key, "a key that is text", "another thing")
            name = key.value
            if not sound(name):
                raise _wrong(key, f"a key in {CLEAN_SAYS}", found(name))
            if name in made:
                raise _wrong(key, "each key once", f"{found(name)} twice")
            path = join(where, name)
            self._lines[path] = key.start_mark.line + 1
            made[name] = self._node(next(events), events, path, depth + 1)
        return made


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or in a block
        if not sound(text):
            raise _wrong(event, CLEAN_SAYS, found(text))
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        value = int(text)
        if not SMALLEST <= value <= LARGEST:
            raise _wrong(event, "a whole number of at most 63 bits", "a larger one")
        return value
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise _wrong(event, "a number that fits a double", clip(text))
        return number
    if not sound(text):
        raise _wrong(event, CLEAN_SAYS, found(text))
    return text


def _wrong(event: Any, expected: str, what: str) -> Invalid:
    mark = event.start_mark
    return Invalid(Problem(f"line {mark.line + 1} column {mark.column + 1}", expected, what))
