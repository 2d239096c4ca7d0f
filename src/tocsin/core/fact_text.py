"""What a check saw, beyond times and status, as names and texts for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.core.plain import as_list, as_map, clip

_FACTS = {
    "ttl_s": "TTL", "oid": "OID", "rcode": "response code", "kex": "key exchange", "fcp_ms": "first paint",
    "lcp_ms": "largest paint", "cls": "layout shift", "ttfb_ms": "first byte", "oom_killed": "killed for want of memory",
    "avg_ms": "average", "min_ms": "fastest", "max_ms": "slowest", "jitter_ms": "jitter",
    "loss_percent": "loss",
}  # fmt: skip
_UNITS = {"_s": " s", "_percent": " %", "_bytes": " bytes"}


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A name and a text for each fact; a row each for a list of objects ("step 1", "step 2" for steps)."""
    return [row for name, value in facts.items() for row in _rows(name, value)]


def ms(value: float) -> str:
    """Milliseconds with their unit; seconds from ten thousand on."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def _rows(name: str, value: Any) -> list[tuple[str, str]]:
    """A fact's row; a row each for a list of objects ("step 1", "step 2" for steps)."""
    entries = [as_map(item) for item in as_list(value) or ()]
    if not entries or None in entries:
        return [(_label(name, value), _plain(name, value))]
    one = name.removesuffix("s").replace("_", " ")
    return [(f"{one} {n}", _entry(entry or {})) for n, entry in enumerate(entries, 1)]


def _entry(entry: dict[Any, Any]) -> str:
    """An object on one line: its name, then what it says, without what stands deeper."""
    said = [str(entry["name"])] if "name" in entry else []
    for key, value in entry.items():
        if key != "name" and value is not None and as_map(value) is None:
            what = "" if key == "ms" else key.replace("_", " ").removesuffix(" ms") + " "
            said.append(what + (ms(value) if key == "ms" else _plain(key, value)))
    return clip(", ".join(said), 300)


def _label(name: str, value: Any) -> str:
    """The name of a fact; its unit stands at the figure."""
    if name in _FACTS:
        return _FACTS[name]
    figure = isinstance(value, (int, float)) and not isinstance(value, bool)
    unit = next((u for u in ("_ms", *_UNITS) if figure and name.endswith(u)), "")
    return name.removesuffix(unit).replace("_", " ")


def _plain(name: str, value: Any) -> str:
    if value is None:
        return "none"
    items = as_list(value)
    if items is not None:
        return clip(", ".join(str(v) for v in items), 300) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_ms") and isinstance(value, (int, float)):
        return ms(value)
    unit = next((text for end, text in _UNITS.items() if name.endswith(end)), "")
    return clip(f"{value:g}" if unit and isinstance(value, float) else str(value), 300) + unit
