"""Why a verdict is what it is, now and at any moment since: its votes, its rule, and the same answer computed again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.consensus import Verdict, Vote, recompute
from tocsin.core.result import iso
from tocsin.core.shape import Help
from tocsin.errors import Invalid, Problem
from tocsin.web.api.monitors import error_json, location_json, present, watched
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Moment(Struct, frozen=True, kw_only=True):
    """When."""

    at: Annotated[datetime | None, Help("a moment of the past; left out: now")] = None


def explain(parts: Parts, who: Principal, monitor_id: str) -> dict[str, Any]:
    """The votes behind the present verdict, the rule, and the verdict computed from them once more. Of a paused monitor
    the verdict is unknown, and `stored` is the last one it had."""
    w = watched(parts, who, monitor_id)
    stored = w.verdict
    computed, hush = parts.corridor.explain(w)
    return {
        "monitor_id": monitor_id,
        "verdict": present(w),
        "paused": w.monitor.paused,
        "held_back": None if hush is None else {"kind": hush.kind, "why": hush.why, "until": iso(hush.until)},
        "stored": verdict_json(stored) if stored else None,
        "now": verdict_json(computed),
        "recomputed": recompute(stored) if stored else None,
        "locations_state": [location_json(place, w.states.get(place)) for place in w.assigned],
    }


async def explain_past(parts: Parts, who: Principal, monitor_id: str, at: datetime, now: datetime) -> dict[str, Any]:
    """The same of the verdict that held at `at`, as it was stored when it began; `ended`: until when it held. Raises
    Invalid for a moment that has not come."""
    watched(parts, who, monitor_id)
    if at > now:
        raise Invalid(Problem("at", "a time that has passed", iso(at) or ""))
    found = await parts.store.of(who.workspace_id).read(lambda s: s.verdicts.at(monitor_id, at))
    stored, ended = found if found is not None else (None, None)
    return {
        "monitor_id": monitor_id,
        "at": iso(at),
        "verdict": stored.value if stored else "unknown",
        "stored": verdict_json(stored) if stored else None,
        "ended": iso(ended),
        "recomputed": recompute(stored) if stored else None,
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict with its evidence, as JSON data."""
    return {
        "value": verdict.value, "pending": verdict.pending, "maintenance": verdict.maintenance,
        "at": iso(verdict.at), "since": iso(verdict.since),
        "reason": verdict.reason, "error": error_json(verdict.error),
        "rule": {
            "assigned": verdict.n, "quorum": verdict.quorum, "needed": verdict.k, "fresh": verdict.f, "down": verdict.d,
            "up": verdict.u, "min_fresh": verdict.min_fresh, "fresh_s": verdict.fresh_s,
        },
        "votes": [vote_json(v) for v in verdict.votes],
    }  # fmt: skip


def vote_json(vote: Vote) -> dict[str, Any]:
    """One vote as JSON data."""
    return {
        "location": vote.location, "vote": vote.vote, "at": iso(vote.at),
        "age_s": None if vote.age_s is None else round(vote.age_s, 3), "fresh": vote.fresh,
        "quarantined": vote.quarantined, "failure_domain": vote.failure_domain, "reason": error_json(vote.reason),
        "stand_in": vote.stand_in,
    }  # fmt: skip


async def _why(call: Call) -> Reply:
    wanted: Moment = call.query
    if wanted.at is None:
        return Reply(data=explain(call.parts, call.who, call.path["id"]))
    return Reply(data=await explain_past(call.parts, call.who, call.path["id"], wanted.at, call.now))


ROUTES = [
    Route(
        method="GET", path="/api/v1/monitors/{id}/explain", run=_why, permission="read", query=Moment, tag="monitors",
        summary="The votes behind the verdict, now or at a moment of the past",
    ),
]  # fmt: skip
