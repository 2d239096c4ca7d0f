"""What one parser of ours is fed with, and what may come of it: the form of the table that `table.py` puts together."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tocsin.core.result import ERROR_TYPES
from tocsin.errors import CheckFailed

LONGEST = 32_768
"""No input is longer. What a parser does with a megabyte has tests of its own."""
MOST_S = 10.0
"""Processor time of one input: far more than any takes, and far less than one that grows with the square would."""
MOST_MEMORY = 512 << 20

Read = Callable[[bytes], object]


def anything(_: object) -> None:
    """Whatever comes is fine, as long as it comes."""


@dataclass(frozen=True, kw_only=True)
class Parser:
    """One parser. `read` gives its value or raises one of `allowed`; `holds` asserts what is promised of the value.
    `files` are those of ours that it reads with, `examples` inputs that it takes."""

    name: str
    files: tuple[str, ...]
    read: Read
    allowed: tuple[type[Exception], ...] = ()
    examples: Callable[[], tuple[bytes, ...]]
    holds: Callable[[Any], None] = anything
    ends: str = ""
    """Where its examples end, for a conversation that only somebody with our secrets or our dice could bring to its end."""
    slow: bool = False
    """It takes milliseconds (a conversation over sockets), so fewer inputs are tried."""


def text(data: bytes) -> str:
    """The input as text."""
    return data.decode("utf-8", "replace")


def feed(parser: Parser, data: bytes) -> str | None:
    """Give it one input; why it was refused, None when it was taken. AssertionError, or what the parser raised, when it
    breaks its promise."""
    began, before = time.process_time(), memory()
    try:
        value = parser.read(data[:LONGEST])
    except parser.allowed as refusal:
        _says_why(refusal)
        return str(refusal)
    finally:
        assert time.process_time() - began < MOST_S, "far too much time for one input"
        assert memory() - before < MOST_MEMORY, "far too much memory for one input"
    parser.holds(value)
    return None


def memory() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _says_why(refusal: Exception) -> None:
    """What is refused is refused in words that can be shown, kept and sent."""
    words = str(refusal)
    words.encode()
    assert len(words) < 60_000
    if isinstance(refusal, CheckFailed):
        assert refusal.type in ERROR_TYPES
        assert words.isprintable(), words
        assert len(words) < 2000
