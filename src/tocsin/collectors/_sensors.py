"""Temperatures, from /sys/class/hwmon and, where there are none, /sys/class/thermal."""

from __future__ import annotations

import re
from pathlib import Path

from tocsin.core.sample import series

MOST_SENSORS = 64
_INPUT = re.compile(r"temp[0-9]{1,3}_input")


def temperatures(root: str = "") -> dict[str, float]:
    """The series of all sensors: degrees Celsius, and how much of their critical temperature that is. May take long: some
    sensors sit behind a slow bus."""
    made: dict[str, float] = {}
    for chip in sorted(Path(f"{root}/sys/class/hwmon").glob("hwmon*")):
        name = _text(chip / "name") or chip.name
        for found in sorted(p for p in chip.glob("temp*_input") if _INPUT.fullmatch(p.name)):
            stem = found.name.removesuffix("_input")
            label = _text(chip / f"{stem}_label") or stem
            made |= _one(f"{name} {label}", _degrees(found), _degrees(chip / f"{stem}_crit"), made)
    if not made:
        for zone in sorted(Path(f"{root}/sys/class/thermal").glob("thermal_zone*")):
            made |= _one(f"{_text(zone / 'type')} {zone.name}".strip(), _degrees(zone / "temp"), None, made)
    return made


def _one(sensor: str, celsius: float | None, critical: float | None, known: dict[str, float]) -> dict[str, float]:
    if celsius is None or not -100 < celsius < 300 or len(known) >= 2 * MOST_SENSORS:
        return {}
    name, number = sensor[:100], 2
    while series("temperature.celsius", sensor=name) in known:
        name, number = f"{sensor[:96]} {number}", number + 1
    made = {series("temperature.celsius", sensor=name): celsius}
    if critical is not None and 40 <= critical < 300:
        made[series("temperature.limit_percent", sensor=name)] = 100 * celsius / critical
    return made


def _text(path: Path) -> str:
    try:
        text = path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return "".join(c for c in text if c.isascii() and c.isprintable() and c not in "{},=%")[:50]


def _degrees(path: Path) -> float | None:
    text = _text(path)
    return int(text) / 1000 if re.fullmatch(r"-?[0-9]{1,9}", text) else None
