"""How this server is: what `tocsin doctor` would ask, as far as it can be seen from inside."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from tocsin import __version__
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view, words


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its state, and what to do when it is not well."""

    st: str
    what: str
    text: str


async def index(call: Call) -> Reply:
    """The page."""
    status = call.parts.corridor.status()
    findings = _findings(call, status)
    bad = sum(f.st in ("down", "slow") for f in findings)
    verdict = "The watch is awake." if not bad else f"{words.count(bad, 'thing needs', 'things need')} a look."
    settings = call.parts.settings
    shown: list[tuple[str, str, str]] = []
    if view.frame(call).is_admin:
        shown = [(f"TOCSIN_{k}", _plain(settings.values[k]), s) for k, s in settings.sources.items() if s != "default"]
    return view.page(
        call,
        "system.html",
        section="system",
        status_=status,
        findings=findings,
        verdict=verdict,
        shown=shown,
        facts=_facts(call, status),
    )


def _plain(value: Any) -> str:
    return str(value)


def _findings(call: Call, status: dict[str, Any]) -> list[Finding]:
    store, lag = status["store"], status["loop_lag_ms"]
    made = [
        Finding("ok", "Checks", "running")
        if status["running"]
        else Finding("down", "Checks", "not running: restart the server"),
        Finding("ok", "Database", "answers")
        if store["breaker"] == "closed"
        else Finding("down", "Database", "does not answer; results are kept on disk until it is back"),
        Finding("ok" if store["backlog"] < 5000 else "slow", "Waiting to be written", f"{store['backlog']:,} rows"),
        Finding(
            "ok" if lag < 250 else "slow",
            "Lag",
            f"{lag:g} ms" + ("" if lag < 250 else ": the machine is short of processor time"),
        ),
    ]
    dropped = status["intake"]["dropped"]
    if dropped:
        made.append(
            Finding("down", "Results dropped", f"{dropped:,}: too many at once; raise intervals or use a faster disk")
        )
    if status["slots_missed"]:
        made.append(
            Finding(
                "slow", "Checks left out", f"{status['slots_missed']:,}: the last one was still running, or we were not"
            )
        )
    try:
        usage = shutil.disk_usage(call.parts.settings.data_dir)
        free = usage.free / max(1, usage.total)
        made.append(Finding("ok" if free > 0.05 else "down", "Disk", f"{usage.free / 1e9:,.1f} GB free, {free:.0%}"))
    except OSError as error:
        made.append(Finding("slow", "Disk", f"cannot be looked at: {error.strerror}"))
    return made


def _facts(call: Call, status: dict[str, Any]) -> list[tuple[str, str]]:
    settings = call.parts.settings
    return [
        ("Version", __version__),
        ("Running for", words.span(status["uptime_s"])),
        ("Location", str(settings["LOCATION"])),
        ("Monitors", f"{status['active']:,} checked, {status['paused']:,} paused"),
        ("Checks now", f"{status['checks_running']:,} running, {status['checks_waiting']:,} waiting"),
        ("Single results kept", words.count(settings["RETENTION_DAYS"], "day")),
        (
            "Whom checks may contact",
            "public addresses only" if settings["EGRESS"] == "public" else "public, private and loopback addresses",
        ),
    ]


ROUTES = [
    Route(
        method="GET",
        path="/settings/system",
        run=index,
        permission="read",
        summary="How this server is",
        kind="page",
        tag="pages",
    )
]
