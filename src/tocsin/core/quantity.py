"""Values of series as people read them: with the unit that the name of the metric says, and no more digits than tell
something. Pure."""

from __future__ import annotations

from tocsin.core.wording import span


def quantity(name: str, amount: float) -> tuple[str, str]:
    """("25.6", "%"): a value of a series and its unit, empty where it has none or the figure says it."""
    metric = name.partition("{")[0]
    if metric.endswith("_percent"):
        return number(amount), "%"
    if metric.endswith("_bytes_per_s"):
        figure, unit = sized(amount)
        return figure, f"{unit}/s"
    if metric.endswith("_bytes"):
        return sized(amount)
    if metric.endswith("_per_s"):
        return number(amount), "/s"
    if metric.endswith("_ms"):
        return _milliseconds(amount)
    if metric.endswith("_s"):
        return (span(amount), "") if amount >= 10 else (number(amount), "s")
    return number(amount), "°C" if metric.endswith(".celsius") else ""


def written(name: str, amount: float) -> str:
    """A value of a series as text: "25.6 %"."""
    return " ".join(filter(None, quantity(name, amount)))


def number(amount: float) -> str:
    """At most four digits: "94", "0.4", "12,400"."""
    size = abs(amount)
    if size >= 100 or amount == int(amount):
        return f"{amount:,.0f}"
    return f"{amount:.1f}" if size >= 0.95 else f"{amount:.2f}".rstrip("0").rstrip(".") or "0"


def sized(amount: float) -> tuple[str, str]:
    """("4.8", "GB"): bytes in the unit that keeps the figure short."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if abs(amount) >= 0.995 * 1000**power:
            shown = amount / 1000**power
            return (f"{shown:.0f}" if shown >= 99.95 else f"{shown:.1f}".removesuffix(".0")), unit
    return f"{amount:.0f}", "B"


def _milliseconds(amount: float) -> tuple[str, str]:
    if amount >= 10_000:
        return f"{amount / 1000:.1f}", "s"
    return (f"{amount:.1f}".removesuffix(".0") if amount < 10 else f"{amount:,.0f}"), "ms"
