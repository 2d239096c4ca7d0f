"""Users' regular expressions, on RE2: linear time, bounded programs, bounded texts, never a backtracking engine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from msgspec import Struct

from tocsin.core.plain import clip, found
from tocsin.errors import Problem

MAX_PATTERN = 1000
MAX_PROGRAM = 5000
MEMORY = 8 << 20
# RE2's slow engine costs up to 5 ns for each instruction and byte; this keeps the worst search under half a second.
MAX_WORK = 100_000_000
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


class Search(Struct, frozen=True):
    """What a search gave: whether the pattern is in the text, and how many bytes of the text were looked at."""

    hit: bool
    looked_at: int


@lru_cache(maxsize=1)
def _engine() -> Any:
    import re2

    return cast("Any", re2)


@lru_cache(maxsize=4096)
def _compiled(pattern: str, captures: bool = False) -> Any:
    re2 = _engine()
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    options.never_capture = not captures
    return re2.compile(pattern.encode(), options)


def search(pattern: str, text: bytes) -> Search:
    """Whether the pattern occurs in the UTF-8 text. One with a large program is looked for in the first part only."""
    if _is_plain(pattern):
        return Search(pattern.encode() in text, len(text))
    compiled = _compiled(pattern)
    part = _part(compiled, text)
    return Search(compiled.search(part) is not None, len(part))


def first_group(pattern: str, text: bytes) -> bytes | None:
    """What the pattern's first group holds where the pattern first occurs in the UTF-8 text (all that it matches, when it
    has no group); None when it does not occur."""
    compiled = _compiled(pattern, True)
    match = compiled.search(_part(compiled, text))
    return None if match is None else cast("bytes | None", match.group(1 if compiled.groups else 0))


def _is_plain(pattern: str) -> bool:
    """Whether it only stands for itself: for such a one no engine is loaded."""
    return pattern.isascii() and pattern.isprintable() and not _SPECIAL.intersection(pattern)


def _part(compiled: Any, text: bytes) -> bytes:
    most = max(4096, MAX_WORK // max(1, compiled.programsize))
    return text if len(text) <= most else text[:most]


def check_pattern(pattern: object, where: str) -> list[Problem]:
    """What is wrong with a user's pattern: nothing, or one problem."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_PATTERN:
        return [Problem(where, f"a regular expression of 1 to {MAX_PATTERN} characters", _shown(pattern))]
    if _is_plain(pattern):
        return []
    try:
        size = _compiled(pattern).programsize
    except (_engine().error, UnicodeEncodeError) as error:
        why = cast("Any", error).args[0] if error.args else ""
        text = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        if "too large" in text:
            return [_too_large(where)]
        return [
            Problem(
                where,
                "a regular expression in RE2 syntax (no lookaround, no backreferences)",
                f"one that has a fault: {clip(text, 100)}",
            )
        ]
    return [] if size <= MAX_PROGRAM else [_too_large(where)]


def _too_large(where: str) -> Problem:
    return Problem(
        where, "a smaller regular expression (repetitions such as {1,500} multiply)", "one that is too large"
    )


def _shown(value: object) -> str:
    return clip(value, 100) if isinstance(value, str) and value else found(value)
