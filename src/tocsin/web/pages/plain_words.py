"""A monitor's whole set-up as sentences: what the form says back, and what a page says of it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.core import rhythm
from tocsin.core.plain import as_map
from tocsin.web.pages import assertions, words

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
        target = as_map(data.get("target")) or {}
        return f"A job should call us {_rhythm(target)}."
    parts = [assertions.sentence(a) for a in data.get("assertions") or ()]
    if data.get("type") == "http" and not any(a.get("type") == "status_code" for a in data.get("assertions") or ()):
        parts.insert(0, "the status is 200 to 299")
    expected = f" Expect that {words.listed(parts)}." if parts else ""
    often, what = words.every(_number(data.get("interval_s"))), shown or data.get("name") or "it"
    return f"Every {often} {where}, check {what}.{expected}"


def _when(data: Mapping[str, Any]) -> str:
    if data.get("type") == "push":
        return _silent(data)
    fails, retries = max(1, int(_number(data.get("failure_threshold")))), int(_number(data.get("retries")))
    interval, pause = _number(data.get("interval_s")), _number(data.get("retry_interval_s"))
    after = down_after_s(fails, retries, interval, pause)
    again = min(retries, fails - 1) if pause < interval else 0
    if fails == 1:
        made = "One failure and it is down"
    elif again == 0:
        made = (
            f"When {fails} checks in a row have failed, it is down: about {words.span(after)} after the first failure"
        )
    else:
        made = _again(fails, again, pause) + f", it is down: about {words.span(after)} after the first failure"
    return f"{made}{_where(data)}."


def _again(fails: int, again: int, pause: float) -> str:
    """How a first failure is made sure of: attempts count towards the failures in a row."""
    first = f"A first failure is checked again after {words.every(pause)}"
    if again == 1 and fails == 2:
        return f"{first}; if that fails too"
    if again >= fails - 1:
        return f"{first}, {again} times; if all of them fail too"
    often = "" if again == 1 else f", {again} times"
    return f"{first}{often}, then at its usual times; when {fails} in a row have failed"


def down_after_s(fails: int, retries: int, interval_s: float, pause_s: float) -> float:
    """How long after the first failure the last needed one comes, when each check fails at once: every interval begins
    with a check and has its repeats, as far as they fit before the next."""
    times = [0.0]
    fitting = [n * pause_s for n in range(1, min(retries, fails) + 1) if n * pause_s < interval_s]
    rounds = 0
    while len(times) < fails:
        begin = rounds * interval_s
        times += ([begin] if rounds else []) + [begin + late for late in fitting]
        rounds += 1
    return times[fails - 1]


def _rhythm(target: Mapping[str, Any]) -> str:
    """How often a job calls: every so often, or as its schedule says (as it stands while it is not one yet)."""
    schedule, zone = target.get("schedule"), target.get("timezone") or "UTC"
    if not isinstance(schedule, str) or not schedule:
        return f"every {words.every(_number(target.get('period_s')))}"
    said = schedule if rhythm.wrong_with(schedule) else rhythm.explained(schedule)
    return f"{said} ({zone})"


def _silent(data: Mapping[str, Any]) -> str:
    target = as_map(data.get("target")) or {}
    fails, grace = int(_number(data.get("failure_threshold"))), _number(target.get("grace_s"))
    silent = _number(target.get("period_s")) + grace
    row = "" if fails <= 1 else f" {fails} times in a row"
    limit = _number(target.get("max_run_s"))
    run = f" So it is when a run that told its start does not end within {words.span(limit)}." if limit else ""
    if target.get("schedule"):
        late = f"{words.span(grace)} later" if grace else "then"
        return f"When no call has come {late}{row}, it is down.{run}"
    return f"When no call has come for {words.span(silent)}{row}, it is down.{run}" if silent else ""


def _where(data: Mapping[str, Any]) -> str:
    if data.get("monitoring_type") != "global" or len(data.get("locations") or ()) < 2:
        return ""
    said = _QUORUM.get(str(data.get("quorum")), f"{data.get('quorum')} locations")
    return f". An incident opens when {said} {'says' if said == 'any location' else 'say'} so"


def _whom(data: Mapping[str, Any], channels: Sequence[str] | None) -> str:
    if channels is None:
        return ""
    if not channels:
        return "Nobody is told; the incident shows here only."
    again = "" if data.get("notify_on_resolve", True) else " Nobody is told when it is over."
    return f"Tell {words.listed(list(channels))}.{again}"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
