"""Figures on paper: prints them, keeps them in bench/out/*.json, and writes docs/figures.md from those."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent / "out"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "figures.md"


@dataclass(frozen=True)
class Figure:
    """One measured value against its bound; `met` None where there is nothing to meet."""

    what: str
    value: float
    unit: str
    bound: str = ""
    met: bool | None = None


def at_most(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be larger than its bound."""
    return Figure(what, value, unit, f"≤ {bound:g}", value <= bound)


def at_least(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be smaller than its bound."""
    return Figure(what, value, unit, f"≥ {bound:g}", value >= bound)


def plain(what: str, value: float, unit: str) -> Figure:
    """A figure without a bound."""
    return Figure(what, value, unit)


def shown(value: float) -> str:
    """Three digits that matter, or the whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def machine() -> dict[str, str]:
    """What it was measured on, without names or paths."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": str(os.cpu_count()),
        "processor": model[1].strip() if model else platform.machine(),
        "memory": f"{int(memory[1]) / 1e6:.0f} GB" if memory else "?",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def record(script: str, how: str, figures: list[Figure]) -> list[Figure]:
    """Print the figures and keep them. `how` says in one line what was done."""
    print(f"\n{script}: {how}")
    for f in figures:
        verdict = {None: "", True: "met", False: "MISSED"}[f.met]
        print(f"  {f.what:<58} {shown(f.value):>10} {f.unit:<12} {f.bound:<10} {verdict}")
    OUT.mkdir(exist_ok=True)
    kept = {
        "script": script, "how": how, "at": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine(),
        "figures": [asdict(f) for f in figures],
    }  # fmt: skip
    (OUT / f"{script}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False))
    return figures


def write_page() -> None:
    """Put every kept measurement into docs/figures.md; sections of others that were not measured here stay."""
    kept = [json.loads(path.read_text()) for path in sorted(OUT.glob("*.json"))]
    if not kept:
        return
    here = kept[-1]["machine"]
    head = "\n".join([
        "# Figures",
        "",
        "Measured with `make bench` (longer with `BENCH_MINUTES`), each against a real `tocsin serve` in a process of its own and a target on",
        f"loopback, on one machine with {here['cores']} cores ({here['processor']}), {here['memory']} memory, Linux {here['kernel']}, Python"
        f" {here['python']}.",
        "The target and what drives the load share the cores with the server. Your machine will differ; the scripts are in `bench/`.",
    ])  # fmt: skip
    sections = _sections(PAGE.read_text(encoding="utf-8") if PAGE.exists() else "")
    sections |= {one["script"]: _section(one) for one in kept}
    PAGE.write_text("\n\n".join([head, *(text for _, text in sorted(sections.items()))]) + "\n", encoding="utf-8")


def _sections(page: str) -> dict[str, str]:
    """The sections that are on the page, by their script."""
    parts = re.split(r"^## (\w+)\n", page, flags=re.M)[1:]
    return {name: f"## {name}\n{text}".rstrip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _section(one: dict[str, Any]) -> str:
    """One measurement as it stands on the page."""
    lines = [f"## {one['script']}", "", f"{one['how']} ({one['at']})", ""]
    lines += ["| figure | measured | bound | |", "|---|---|---|---|"]
    for f in one["figures"]:
        verdict = {None: "", True: "met", False: "**missed**"}[f["met"]]
        lines.append(f"| {f['what']} | {shown(f['value'])} {f['unit']} | {f['bound']} | {verdict} |")
    return "\n".join(lines)
