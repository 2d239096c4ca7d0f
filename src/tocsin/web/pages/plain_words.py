"""A monitor's whole set-up as sentences: what the form says back, and what a page says of it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.web.pages import rules, words

_QUORUM = {"majority": "most locations", "any": "any location", "all": "all locations"}


def sentences(data: Mapping[str, Any], shown: str, channels: Sequence[str] | None) -> list[str]:
    """What this monitor does, when it rings and whom it tells. `channels`: names, or None when they are not known."""
    made = [_what(data, shown), _when(data), _whom(data, channels)]
    extra: list[str] = []
    if data.get("reminder_s"):
        extra.append(f"It reminds every {words.every(_number(data['reminder_s']))} while nobody has acknowledged.")
    return [*(s for s in made if s), *extra]


def _what(data: Mapping[str, Any], shown: str) -> str:
    places: Sequence[str] = data.get("locations") or ()
    where = (
        f"from {words.count(len(places), 'location')}"
        if places and data.get("monitoring_type") == "global"
        else "from here"
    )
    if data.get("type") == "push":
        return f"A job should call us every {words.every(_number(data.get('interval_s')))}."
    parts = [rules.sentence(a) for a in data.get("assertions") or ()]
    if data.get("type") == "http" and not any(a.get("type") == "status_code" for a in data.get("assertions") or ()):
        parts.insert(0, "the status is 200 to 299")
    expected = f" Expect that {words.listed(parts)}." if parts else ""
    often, what = words.every(_number(data.get("interval_s"))), shown or data.get("name") or "it"
    return f"Every {often} {where}, check {what}.{expected}"


def _when(data: Mapping[str, Any]) -> str:
    fails, interval = int(_number(data.get("failure_threshold"))), _number(data.get("interval_s"))
    retries, pause = int(_number(data.get("retries"))), _number(data.get("retry_interval_s"))
    again = f", each tried {words.count(retries, 'more time')} after {words.every(pause)}" if retries else ""
    where = ""
    if data.get("monitoring_type") == "global" and len(data.get("locations") or ()) > 1:
        where = f" at {_QUORUM.get(str(data.get('quorum')), str(data.get('quorum')) + ' locations')}"
    notice = max(0, fails - 1) * interval + retries * pause + _number(data.get("timeout_s"))
    row = f"{fails} times in a row" if fails > 1 else "once"
    return f"If it fails {row}{again}{where}, open an incident: at most {words.span(notice)} after the first failure."


def _whom(data: Mapping[str, Any], channels: Sequence[str] | None) -> str:
    if channels is None:
        return ""
    if not channels:
        return "Nobody is told; the incident shows here only."
    again = "" if data.get("notify_on_resolve", True) else " Nobody is told when it is over."
    return f"Tell {words.listed(list(channels))}.{again}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
