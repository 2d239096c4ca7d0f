"""Where a monitor is checked from: the choice in its form, what it costs a month, and what two locations mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin.core.consensus import needed
from tocsin.core.plain import as_list
from tocsin.core.probe import LOCAL, month_of
from tocsin.web.api import locations as known
from tocsin.web.call import Call
from tocsin.web.pages import form, view, words
from tocsin.web.pages.locations import money, state

QUORUMS = {"any": "any fails", "majority": "most fail", "all": "all fail"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One location to choose: how it is, and what this monitor costs from there a month."""

    code: str
    name: str
    st: str
    word: str
    latency_ms: float | None
    chosen: bool
    month: str


def shown(call: Call, data: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    """What the form's part needs."""
    rows = known.visible(call.parts, call.who)
    wanted = _chosen(data, call.parts.corridor.watchlist.home)
    checks = month_of(_interval(data))
    choices = [
        Choice(
            row["code"], row["name"], *state(row), row["latency_ms"], row["code"] in wanted,
            money(checks * row["cost"] / 1000),
        )
        for row in rows
    ]  # fmt: skip
    there = {row["code"] for row in rows}
    choices += [
        Choice(code, code, "nodata", "Not there any more", None, True, "") for code in wanted if code not in there
    ]
    quorum = data.get("quorum", "majority")
    return {
        "choices": choices,
        "several": call.parts.cluster is not None,
        "everywhere": data.get("monitoring_type") == "global",
        "quorums": QUORUMS,
        "quorum": quorum if quorum in QUORUMS else "number",
        "quorum_k": "" if quorum in QUORUMS else quorum,
        "checks_a_month": checks,
        "place_errors": [
            text for path, text in errors.items() if path.startswith(("locations", "quorum", "monitoring"))
        ],
    }


def read_back(call: Call) -> dict[str, Any]:
    """What the form said of it; nothing where it had no such part."""
    if view.first(call, "where_shown") == "":
        return {}
    quorum: Any = view.first(call, "quorum", "majority")
    if quorum == "number":
        quorum = form.number(view.first(call, "quorum_k"))
    everywhere = view.first(call, "monitoring_type") == "global"
    chosen = list(dict.fromkeys(view.every(call, "locations"))) if everywhere else []
    return {
        "monitoring_type": "global" if everywhere else "local", "locations": chosen,
        "quorum": quorum if everywhere else "majority",
    }  # fmt: skip


def sentences(call: Call, data: Mapping[str, Any]) -> list[str]:
    """What it costs a month, and a warning where two locations need each other."""
    home = call.parts.corridor.watchlist.home
    chosen = _chosen(data, home)
    if data.get("monitoring_type") != "global" or data.get("type") == "push" or not chosen:
        return []
    costs = {row["code"]: row["cost"] for row in known.visible(call.parts, call.who)}
    checks = month_of(_interval(data))
    total = sum(checks * costs.get(code, 0.0) / 1000 for code in chosen)
    said = [f"That is {checks * len(chosen):,} checks a month" + (f", {money(total)} in all." if total else ".")]
    return said + warnings(chosen, data.get("quorum", "majority"))


def warnings(chosen: Sequence[str], quorum: Any) -> list[str]:
    """What these locations and this quorum mean that a reader may not expect."""
    if len(chosen) == 1:
        return ["One location alone cannot tell its own trouble from the target's: choose three."]
    k = needed(quorum if quorum in QUORUMS or isinstance(quorum, int) else "majority", len(chosen))
    if len(chosen) == 2 and k == 2:
        return [
            "With two locations both must say down, and both must be heard: one that is cut off leaves no verdict. "
            "Choose three."
        ]
    return []


def _chosen(data: Mapping[str, Any], home: str) -> list[str]:
    names = [str(code) for code in as_list(data.get("locations")) or ()]
    return [home if code == LOCAL else code for code in names]


def _interval(data: Mapping[str, Any]) -> float:
    value = data.get("interval_s")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 60.0


def badge(codes: Sequence[str], home: str) -> str:
    """Where it is checked from, in a few words: "global, 4 locations", or nothing for one that is checked from here."""
    return "" if list(codes) == [home] else f"global, {words.count(len(codes), 'location')}"
