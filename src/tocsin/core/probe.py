"""Locations of a workspace's own: each is a named place whose checks a probe runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.finding import Finding, Standing, Terms, of_location
from tocsin.core.wording import LOST, listed, moment, span

Mode = Literal["push", "pull"]
LOCAL = "local"
"""This instance's own location, whatever it is called: always there, and no code of another one."""
SUBJECT = "probe:"
"""What the incident of a lost location is about, before its code."""
CHECKED_EVERY_S = 30.0
MISSES = 2
"""So many misses in a row make a location lost."""
JOIN_S = 15 * 60
"""So long a join token can be used."""
DAYS_A_MONTH = 30


class Probe(Struct, frozen=True, kw_only=True):
    """A location and the probe that runs its checks: one thing.

    `code` is what monitors name, unique in its workspace. `mode` push: we call the probe at `endpoint_url` with the newest
    of `keys` (an older one is tried while it is being replaced); pull: the probe calls us, and `keys` is empty. `pin`: the
    SHA-256 fingerprint its certificate must have, where no authority vouches for it. `cost`: what a thousand checks from
    there cost, in whatever unit the workspace counts."""

    id: str
    workspace_id: str
    code: str
    name: str
    mode: Mode
    endpoint_url: str | None = None
    keys: tuple[str, ...] = ()
    pin: str | None = None
    enabled: bool = True
    latitude: float | None = None
    longitude: float | None = None
    cost: float = 0.0
    created_at: datetime
    updated_at: datetime
    version: int = 1


class Suggestion(Struct, frozen=True, kw_only=True):
    """A location that many have: what to call it, where it is, and what it is likely to cost. A small server there for 5
    (3.50 in Europe) a month that makes ten checks a second gives the cost of a thousand."""

    code: str
    name: str
    latitude: float
    longitude: float
    cost: float


SUGGESTIONS = (
    Suggestion(code="us-east", name="US East", latitude=39.0, longitude=-77.5, cost=0.0002),
    Suggestion(code="us-west", name="US West", latitude=37.5, longitude=-122.0, cost=0.0002),
    Suggestion(code="europe", name="Europe", latitude=50.1, longitude=8.7, cost=0.00014),
    Suggestion(code="asia", name="Asia", latitude=1.35, longitude=103.8, cost=0.0002),
)


def usual_place(code: str) -> tuple[float, float] | None:
    """Where a location of that code usually is, or None."""
    return next(((s.latitude, s.longitude) for s in SUGGESTIONS if s.code == code), None)


class Sign(Struct, frozen=True, kw_only=True):
    """What a probe said of itself when it was last heard."""

    latency_ms: float | None = None
    version: str | None = None
    trouble: str | None = None
    """What its own self-test found wrong, or None."""
    busy: int | None = None
    """How many checks it runs now."""
    newest_key: bool = True
    """Whether it takes the newest key that we have for it."""


class Health(Struct, frozen=True, kw_only=True):
    """How a probe is. `state`: new until it was first heard or missed (and while it may join yet), well, missing (once),
    lost. `since`: when that began; `heard_at`, `looked_at`: when it was last heard and last looked for. `why` it was
    missed last."""

    state: Literal["new", "well", "missing", "lost"] = "new"
    since: datetime | None = None
    heard_at: datetime | None = None
    looked_at: datetime | None = None
    misses: int = 0
    why: str = ""
    refused: bool = False
    sign: Sign = Sign()


def heard(before: Health, sign: Sign, now: datetime) -> Health:
    """Its health after it answered."""
    since = before.since if before.state == "well" else now
    return Health(state="well", since=since, heard_at=now, looked_at=now, sign=sign)


def missed(before: Health, why: str, now: datetime, *, refused: bool = False) -> Health:
    """Its health after it did not answer (`refused`: it answered, and does not take us)."""
    misses = before.misses + 1
    state = "lost" if misses >= MISSES else "missing"
    since = before.since if before.state == state else now
    return replace(before, state=state, since=since, looked_at=now, misses=misses, why=why, refused=refused)


def awaited(before: Health, until: datetime, now: datetime) -> Health:
    """Its health while it has never joined, and its join token is good until then: it is waited for, and not lost."""
    why = f"it has not joined yet; its join token is good until {moment(until)}"
    return replace(before, state="new", since=before.since or now, looked_at=now, misses=0, why=why)


def stand_in(assigned: Sequence[str], lost: Collection[str], home: str) -> str | None:
    """In whose seat this instance votes for a while: that of the first lost location of these, and of no other, for nobody
    has two votes. None when no one is lost, or when it has a seat of its own."""
    if home in assigned:
        return None
    return next((place for place in assigned if place in lost), None)


def lost_terms(workspace_id: str, code: str) -> Terms:
    """How the incident of a lost location behaves: one for each, told to the default channels."""
    return Terms(subject=f"{SUBJECT}{code}", workspace_id=workspace_id)


def lost_finding(enabled: bool | None, health: Health, watches: Sequence[str], now: datetime) -> Finding:
    """What the health of a probe (or of another instance) means for its location: trouble when it is lost, over when it is
    heard or gone (`enabled` None). `watches`: the names of the monitors that are checked from there."""
    if not enabled:
        return _finding("over", "the location was removed" if enabled is None else "the location was switched off")
    if health.state == "lost":
        since = health.heard_at
        silent = f"not heard for {span((now - since).total_seconds())}" if since is not None else _NOT_YET
        names = f"; it watches {listed(tuple(watches))}" if watches else "; no monitor is checked from it"
        return _finding("trouble", f"{silent} ({health.why or 'no answer'}){names}", watches)
    if health.state == "well":
        return _finding("over", "it is heard again")
    return _finding("open", health.why or "it has not been looked at yet")


def month_of(interval_s: float) -> int:
    """How many checks a location makes of a monitor in a month."""
    return round(timedelta(days=DAYS_A_MONTH).total_seconds() / interval_s)


_NOT_YET = "not heard since this server looks for it"
"""A server that has just come into office, or was started anew, knows nothing of before."""


def _finding(standing: Standing, reason: str, watches: Sequence[str] = ()) -> Finding:
    return of_location(standing, reason, LOST, data={"monitors": list(watches[:100])} if watches else None)
