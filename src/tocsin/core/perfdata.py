"""What a Nagios plugin prints, taken apart: its text, and performance data by the Monitoring Plugins guidelines."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_MOST_TEXT = 16_384  # of perfdata that is looked at
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
# 'label'=value[unit];[warn];[crit];[min];[max]; a label in quotes may hold anything, a quote as two.
_ITEM = re.compile(
    rf"\s*(?:'(?P<quoted>(?:[^']|''){{1,200}})'|(?P<plain>[^\s='|]+))=(?P<value>{_NUMBER}|U)(?P<unit>[^\s;\d|']*)(?P<rest>(?:;[^\s;]*)*)"
)


@dataclass(frozen=True, slots=True)
class PluginOutput:
    """The first line, the lines below it, and the figures: each label, value and unit, and warn, crit, min, max where
    they were given (ranges as text, as the plugin wrote them)."""

    text: str
    more: str
    figures: tuple[dict[str, Any], ...]


def read_output(printed: str, most: int = 50) -> PluginOutput:
    """The parts of what was printed. Perfdata that is none is left out; of the rest at most `most` figures are kept."""
    first, _, below = printed.strip().partition("\n")
    text, _, perfdata = first.partition("|")
    more, _, rest = below.partition("|")
    return PluginOutput(text.strip(), more.strip(), _figures(f"{perfdata} {rest}"[:_MOST_TEXT], most))


def _figures(perfdata: str, most: int) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    at = 0
    while len(found) < most:
        item = _ITEM.match(perfdata, at)
        if item is None:
            at = _next_word(perfdata, at)
            if at < 0:
                break
            continue
        at = item.end()
        found.append(_figure(item))
    return tuple(found)


def _next_word(text: str, at: int) -> int:
    """Where the next word begins, -1 when there is none: what is wrong costs one item, not the others."""
    start = re.compile(r"\s*\S+\s+").match(text, at)
    return start.end() if start is not None else -1


def _figure(item: re.Match[str]) -> dict[str, Any]:
    quoted, plain = item["quoted"], item["plain"]
    label = quoted.replace("''", "'") if quoted is not None else plain
    value = None if item["value"] == "U" else float(item["value"])
    figure: dict[str, Any] = {"label": label[:100], "value": value if value is None or math.isfinite(value) else None}
    if item["unit"]:
        figure["unit"] = item["unit"][:20]
    bounds = item["rest"].split(";")[1:5]
    figure |= {name: bound[:40] for name, bound in zip(("warn", "crit", "min", "max"), bounds, strict=False) if bound}
    return figure
