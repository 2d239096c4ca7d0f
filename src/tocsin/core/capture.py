"""Values taken out of an answer, to be used in what is sent next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tocsin.core.plain import clip, found
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Length
from tocsin.core.variables import MAX_VALUE
from tocsin.errors import CheckFailed, Invalid, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Where a value is: json_path, header, or regex (in the body, with header in that)."""

    json_path: Annotated[str | None, Length(1, 500), Help("JSONPath into the body")] = None
    header: Annotated[str | None, Length(1, 200), Help("Name of a header of the answer")] = None
    regex: Annotated[str | None, Length(1, 1000), Help("RE2 expression; its first group is the value")] = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if self.json_path is not None:
            from tocsin.core.json_query import check_path

            problems += check_path(self.json_path, "json_path")
            if self.header is not None or self.regex is not None:
                problems.append(Problem("json_path", "json_path alone, or header or regex", "both"))
        elif self.header is None and self.regex is None:
            problems.append(Problem("", "json_path, header or regex", "none of them"))
        if self.regex is not None:
            from tocsin.core.pattern import check_pattern

            problems += check_pattern(self.regex, "regex")
        if problems:
            raise Invalid(*problems)


def take(captures: Mapping[str, Capture], seen: Observation) -> tuple[dict[str, str], CheckFailed | None]:
    """(the values that are there, by name; the failure that says which one is not, and why). Bounded work, whatever the
    body is."""
    answer, taken, failure = _Answer(seen), dict[str, str](), None
    for name, capture in captures.items():
        value, why = answer.value(capture)
        most = ""
        if value is not None and len(value) > MAX_VALUE:
            value, why, most = None, f"{len(value)} characters", f" of at most {MAX_VALUE} characters"
        if value is not None:
            taken[name] = value
        elif failure is None:
            text = f"{name}: expected a value{most} {_where(capture)}, found {why}"
            failure = CheckFailed("assertion", text)
    return taken, failure


def _where(capture: Capture) -> str:
    if capture.json_path is not None:
        return f"at {clip(capture.json_path)}"
    place = "the body" if capture.header is None else f"the header {clip(capture.header)}"
    return f"in {place}" + ("" if capture.regex is None else f" by {clip(capture.regex)}")


class _Answer:
    """An answer, read as JSON once for all that ask."""

    def __init__(self, seen: Observation) -> None:
        from tocsin.core.assertion import as_utf8

        self._seen, self._text = seen, as_utf8(seen)
        self._json: Any = None
        self._not_json = ""

    def value(self, capture: Capture) -> tuple[str | None, str]:
        """(the value, "") or (None, what was found in its place)."""
        if capture.json_path is not None:
            return self._at(capture.json_path)
        if capture.header is None:
            return _group(capture.regex or "", self._text)
        wanted = capture.header.lower()
        values = [value for name, value in self._seen.headers if name.lower() == wanted]
        if not values:
            return None, "no such header"
        if capture.regex is None:
            return values[0], ""
        tried = [_group(capture.regex, value.encode("utf-8", "replace")) for value in values]
        return next((t for t in tried if t[0] is not None), tried[0])

    def _at(self, path: str) -> tuple[str | None, str]:
        from tocsin.core.json_query import NotJson, TooCostly, read_body, values_at

        try:
            if self._json is None:
                self._json = (read_body(self._text)[0],)
            values = values_at(path, self._json[0])
        except (NotJson, TooCostly) as error:
            return None, str(error)
        if not values:
            return None, "nothing"
        value = values[0]
        if isinstance(value, str):
            return value, ""
        if isinstance(value, (bool, int, float)):
            return msgspec.json.encode(value).decode(), ""
        return None, found(value)


def _group(regex: str, text: bytes) -> tuple[str | None, str]:
    from tocsin.core.pattern import first_group

    group = first_group(regex, text)
    return (None, "no match") if group is None else (group.decode("utf-8", "replace"), "")
