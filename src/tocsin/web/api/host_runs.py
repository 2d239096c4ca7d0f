"""Whoever says to be a host's agent, where there are several: when each was heard, from where, and which of them counts."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from tocsin.core.host import LIFE_PREFIX, TWIN_SILENT_S, Host, Speaker
from tocsin.core.result import iso
from tocsin.pipeline.hosts import HostNow

Counts = Literal["counts", "in doubt", "refused"]


class AgentRun(Struct, frozen=True, kw_only=True):
    """An agent that says it is the host. `id` is what `release` takes; `heard_first`, `heard_last`: null when it was not
    heard since the server's start; `standing`: it counts, is refused until somebody decides, or was decided against."""

    id: str
    standing: Counts
    heard_first: str | None
    heard_last: str | None
    address: str
    machine: str


def counting(now: HostNow) -> str:
    """The name of the agent that counts, as `release` takes it."""
    others = (*now.host.quarantined, *now.host.refused)
    by_run = any(id.startswith(LIFE_PREFIX) for id in others)
    return now.lives.life if by_run and now.lives.life else now.host.incarnation


def speaker(now: HostNow, id: str) -> Speaker | None:
    """What was heard of it last."""
    found = [one for one in now.speakers.values() if id and id in (one.incarnation, one.life)]
    return max(found, key=lambda one: one.last, default=None)


def runs(now: HostNow, tick: float) -> list[tuple[str, Counts, Speaker | None]]:
    """(id, standing, what was heard of it) of each, the one that counts first; empty where there is no other. Who was
    decided against is shown while it still speaks."""
    host: Host = now.host
    found: list[tuple[str, Counts, Speaker | None]] = [(id, "in doubt", speaker(now, id)) for id in host.quarantined]
    for id in host.refused:
        known = speaker(now, id)
        if known is not None and tick - known.last < TWIN_SILENT_S:
            found.append((id, "refused", known))
    return [(counting(now), "counts", speaker(now, counting(now))), *found] if found else []


def runs_json(now: HostNow, tick: float) -> list[dict[str, Any]]:
    """The same as JSON data."""
    return [
        {
            "id": id, "standing": standing, "heard_first": iso(None if known is None else known.first_at),
            "heard_last": iso(None if known is None else known.last_at), "address": "" if known is None else known.address,
            "machine": "" if known is None else known.machine,
        }
        for id, standing, known in runs(now, tick)
    ]  # fmt: skip
