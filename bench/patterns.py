"""40 patterns that are known to bring backtracking engines to a stop, each on a text of 1 MiB made to do so.

Our own search as assertions use it, against Python's `re` in a process of its own that is killed after a second of
processor time."""

from __future__ import annotations

import multiprocessing
import re
import resource
import statistics
import time

from bench.report import Figure, at_most, plain, record
from tocsin.core.pattern import check_pattern, search

SIZE = 1 << 20
LIMIT_S = 1
EVIL: tuple[tuple[str, str, str], ...] = (
    # pattern, what the text repeats, how it ends: so that nearly all of it fits and the whole does not
    (r"^(a+)+$", "a", "!"), (r"^(a|a)*$", "a", "!"), (r"^(a|aa)+$", "a", "!"), (r"^(a*)*$", "a", "!"),
    (r"^([a-zA-Z]+)*$", "a", "!"), (r"^(.*)*x$", "a", "!"), (r"(.*)(.*)(.*)(.*)x", "a", "!"), (r"^(\w+\s?)*$", "word ", "!"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a", "!"), (r"^(\d+)*$", "1", "x"), (r"^(\d|\d\d)*$", "1", "x"), (r"(x+x+)+y", "x", "!"),
    (r"^(([a-zA-Z0-9])([\-.]|[_]+)?([a-zA-Z0-9]+))*@$", "a", "!"), (r"^([\w.-]+)+@([\w-]+\.)+\w+$", "a.", "!"),
    (r"\s+$", " ", "x"), (r"^\s*(.*?)\s*$x", " ", "y"), (r"(\s*,\s*)*$x", " , ", "y"), (r"^(?:\s|\s\s)+$", " ", "x"),
    (r"^(\w+\s*)+>$", "a", "!"), (r"(<!--.*-->)+$", "<!-- ", "!"), (r"^(\\.|[^\"])*\"$", r"\a", "!"),
    (r"('|\"|[^'\"])*!$", "a'", "x"), (r"^(https?://)?([\w.-]+)+(/[\w.-]*)*/?$", "a.", "!"), (r"(/[^/]+)+/?$x", "/a", "y"),
    (r"^(\d{1,3}\.?)+$", "1", "x"), (r"^(0|[1-9]\d*)+$", "1", "x"), (r"^-?\d*(\d+\.)*\d*$", "1", "x"), (r"^(\+?\d+-?)*$", "1", "x"),
    (r"^(?:[a-f0-9]+:?)*$", "af", "x"), (r"([A-Fa-f0-9]+:*)+$x", "a:", "y"), (r"^(?:.*,){12}P", "1,", "x"), (r"(.+)+;$x", "a", "y"),
    (r"^((a|b|ab)*c|(a|ba)*)d$", "ab", "x"), (r"(a?){30}a{30}$x", "a", "y"), (r"^(a+b?)+$", "a", "!"), (r"(\w*)*=$x", "a", "y"),
    (r"^(([^<>()\[\]\\.,;:\s@]+(\.[^<>()\[\]\\.,;:\s@]+)*)|(.+))+@x$", "a", "!"), (r"(\b\w+\b\s*)+:$x", "w ", "y"),
    (r"^([^=]+=[^&]*&?)+$x", "a=b&", "y"), (r"(?:(?:\r\n)?[ \t])+$x", " ", "y"),
)  # fmt: skip


def main() -> list[Figure]:
    """Each pattern five times, after one search that compiles it; then Python's `re`, once."""
    assert len(EVIL) == 40
    ours: list[float] = []
    whole = 0
    for pattern, again, end in EVIL:
        text = _text(again, end)
        assert not check_pattern(pattern, "pattern"), pattern
        found = search(pattern, text)
        assert not found.hit, pattern
        whole += found.looked_at == len(text)
        ours.append(statistics.median(_cpu_ms(pattern, text) for _ in range(5)))
    return record(
        "patterns",
        "processor time of 40 patterns that are known to stop backtracking engines, each searched for in 1 MiB, on RE2 as assertions"
        f" do; Python's `re` is killed after {LIMIT_S} s of processor time",
        [
            at_most("slowest of the 40, median of 5", max(ours), "ms", 50),
            plain("middle one of the 40", statistics.median(ours), "ms"),
            plain("that looked at the whole text", whole, ""),
            plain("that Python's `re` does not end on, of the 40", sum(not _ends(*row) for row in EVIL), ""),
        ],
    )  # fmt: skip


def _text(again: str, end: str) -> bytes:
    return (again * (SIZE // len(again) + 1)).encode()[: SIZE - len(end)] + end.encode()


def _cpu_ms(pattern: str, text: bytes) -> float:
    began = time.process_time()
    search(pattern, text)
    return (time.process_time() - began) * 1000


def _ends(pattern: str, again: str, end: str) -> bool:
    """Whether Python's engine comes to an end within that much processor time: the kernel kills it when that is over."""
    other = multiprocessing.get_context("fork").Process(target=_backtrack, args=(pattern.encode(), _text(again, end)))
    other.start()
    other.join(60)
    if other.is_alive():
        other.kill()
        other.join()
    return other.exitcode == 0


def _backtrack(pattern: bytes, text: bytes) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    re.search(pattern, text)


if __name__ == "__main__":
    main()
