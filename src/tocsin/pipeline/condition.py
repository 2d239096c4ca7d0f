"""How the corridor is, in words and figures."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tocsin.core.result import iso
from tocsin.pipeline.watchlist import open_incidents

if TYPE_CHECKING:
    from tocsin.pipeline.corridor import Corridor


def stalled(corridor: Corridor) -> list[str]:
    """Which loops ended or have not turned for too long, in words; empty when all turn."""
    pulses = (
        corridor.scheduler.pulse,
        corridor.intake.pulse,
        corridor.watchdog.pulse,
        corridor.lookout.pulse,
        corridor.host_watch.pulse,
        corridor.figures.pulse,
        corridor.delivery.pulse,
        corridor.canary.pulse,
        corridor.lag.pulse,
        *corridor.housekeeping.pulses,
    )
    return [trouble for pulse in pulses if pulse is not None and (trouble := pulse.trouble()) is not None]


def status(corridor: Corridor) -> dict[str, Any]:
    """How the corridor is: plain JSON for /monitoring/status. `running`: checks are started; `stalled`: what is
    not done any more, in words."""
    now, admission = corridor.clock.now(), corridor.scheduler.admission
    paused = sum(w.monitor.paused for w in corridor.watchlist)
    return {
        "running": corridor.started_at is not None
        and not corridor.stopped
        and corridor.scheduler.pulse.trouble() is None,
        "stalled": stalled(corridor),
        "started_at": iso(corridor.started_at),
        "uptime_s": 0.0
        if corridor.started_at is None
        else round((now - corridor.started_at) / timedelta(seconds=1), 1),
        "monitors": len(corridor.watchlist),
        "active": len(corridor.watchlist) - paused,
        "paused": paused,
        "open_incidents": open_incidents(corridor.watchlist),
        "checks_running": admission.running,
        "checks_waiting": admission.waiting,
        "slots_missed": corridor.scheduler.missed,
        "gap_s": corridor.scheduler.gap_s,
        "holding": corridor.scheduler.holding,
        "loop_lag_ms": round(corridor.lag.latest_s * 1000, 1),
        "store": {"breaker": corridor.store.breaker.state, "backlog": corridor.store.backlog},
        "intake": {"backlog": corridor.intake.backlog, "dropped": corridor.intake.dropped},
    }
