"""How the server is: /health, /health/ready and /metrics."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tocsin import __version__
from tocsin.cluster import watch
from tocsin.telemetry import REGISTRY
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Health(Struct, frozen=True, kw_only=True):
    """How the server is; `problems` says in words what is not well."""

    status: str
    version: str
    problems: list[str]


def no_part(parts: Parts) -> str | None:
    """Why this server takes no part any more in the cluster it belonged to; None where it does, or stands alone."""
    return None if parts.cluster is None else watch.no_part(parts.cluster)


def _cluster_problem(parts: Parts) -> str | None:
    """What is not well with this server as one of several, in words."""
    if parts.cluster is None:
        return None
    return no_part(parts) or watch.leaderless(parts.cluster)


def problems(parts: Parts) -> list[str]:
    """What is not well, in words; empty when all is."""
    why = _cluster_problem(parts)
    return own_problems(parts) + ([] if why is None else [why])


def own_problems(parts: Parts) -> list[str]:
    """What is not well with this server by itself: without how it stands among several, which every page says already."""
    state = parts.corridor.status()
    found: list[str] = []
    if state.get("started_at") is None:
        found.append("monitoring has not started")
    found += state.get("stalled", [])
    if parts.store.breaker.state != "closed":
        found.append("the database does not answer; results are kept on disk")
    if parts.corridor.self_test.trouble is not None:
        found.append(f"failures are not judged: {parts.corridor.self_test.trouble}")
    if state.get("holding", False):
        found.append("checks wait until results can be written")
    if state.get("loop_lag_ms", 0) > 500:
        found.append("the server is overloaded")
    return found


async def _health(call: Call) -> Reply:
    found = problems(call.parts)
    return Reply(data=Health(status="degraded" if found else "ok", version=__version__, problems=found))


async def _ready(call: Call) -> Reply:
    found = problems(call.parts)
    state = call.parts.corridor.status()
    stalled = not state.get("running", False) or bool(state.get("stalled"))
    cluster = call.parts.cluster
    outside = cluster is not None and (no_part(call.parts) is not None or not watch.has_settled(cluster))
    not_ready = call.parts.store.breaker.state == "open" or stalled or outside
    data = {"status": "not_ready" if not_ready else "ready", "problems": found}
    return Reply(data=data, status=503 if not_ready else 200)


async def _metrics(call: Call) -> Reply:
    return Reply(content=await asyncio.to_thread(generate_latest, REGISTRY), media_type=CONTENT_TYPE_LATEST)


ROUTES = [
    Route(
        method="GET", path="/health", run=_health, permission="public", kind="open", answer=Health, loose=True,
        tag="server", summary="How the server is; 200 also when something is not well",
    ),
    Route(
        method="GET", path="/health/ready", run=_ready, permission="public", kind="open", loose=True, tag="server",
        summary="Whether the server can take work: 200 or 503",
    ),
    Route(
        method="GET", path="/metrics", run=_metrics, permission="metrics", kind="open", loose=True, tag="server",
        summary="Metrics in Prometheus' text form",
    ),
]  # fmt: skip
