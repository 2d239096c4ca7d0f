"""What an incident has in common with others of its time, and what had changed when it opened. Facts, no guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.incident import Incident
from tocsin.core.plain import as_map
from tocsin.core.wording import listed

Kind = Literal["host", "certificate", "phase", "location", "changed", "alone"]
NEAR = timedelta(minutes=5)
"""Others count that were open then, and opened so long before or after at most."""
_PHASES = {"dns": "name look-up", "connect": "connecting", "tls": "TLS", "ttfb": "waiting for the answer"}


class Trouble(Struct, frozen=True, kw_only=True):
    """An incident as it is compared: `name` and `host` are its monitor's (empty when it is gone), `seats` how many
    locations check it."""

    incident: Incident
    name: str
    host: str = ""
    seats: int = 1


class Hint(Struct, frozen=True, kw_only=True):
    """One thing worth knowing. `incidents`: ids of the others it speaks of."""

    kind: Kind
    text: str
    incidents: tuple[str, ...] = ()


class Related(Struct, frozen=True, kw_only=True):
    """Another incident that shares something with one, and what: "host", "certificate", "phase", "location"."""

    incident: Incident
    name: str
    shares: tuple[Kind, ...]


def hints_of(one: Trouble, others: Sequence[Trouble]) -> list[Hint]:
    """What `one` shares with the others of its time (those that are near it), most telling first; then what was
    different from its last good check."""
    near = [other for other in others if _near(one.incident, other.incident)]
    found = [_shared(kind, of, says, one, near) for kind, of, says in _SHARED]
    host, address, *_ = found
    if host and address and _host(one) == _address(one) and set(address.incidents) <= set(host.incidents):
        found.remove(address)  # a host that is named by its address: said already
    made = [hint for hint in (*found, _location(one, near), *_changed(one.incident)) if hint is not None]
    if not near and one.incident.monitor_id is not None:
        made.append(Hint(kind="alone", text="Nothing else opened within 5 minutes of it."))
    return made


def related_of(hints: Sequence[Hint], others: Sequence[Trouble]) -> list[Related]:
    """The others that these hints speak of: those that share most first, then open ones, then the newest."""
    made: list[Related] = []
    for other in others:
        shares: dict[Kind, None] = {hint.kind: None for hint in hints if other.incident.id in hint.incidents}
        if shares:
            made.append(Related(incident=other.incident, name=other.name, shares=tuple(shares)))
    made.sort(key=lambda found: found.incident.opened_at, reverse=True)
    return sorted(made, key=lambda found: (-len(found.shares), not found.incident.open))


def _near(one: Incident, other: Incident) -> bool:
    if other.id == one.id or other.monitor_id is None or other.monitor_id == one.monitor_id:
        return False
    apart = abs(other.began_at() - one.began_at())
    return apart <= NEAR or (other.began_at() <= one.began_at() and other.open)


def _shared(
    kind: Kind, of: Callable[[Trouble], str], says: Callable[[str, str], str], one: Trouble, near: Sequence[Trouble]
) -> Hint | None:
    mine = of(one)
    same = [other for other in near if mine and of(other) == mine]
    if not same:
        return None
    names = listed(tuple(other.name for other in same))
    return Hint(kind=kind, text=says(mine, names), incidents=tuple(other.incident.id for other in same))


def _host(trouble: Trouble) -> str:
    """Host without its port: what stands on one machine falls with it."""
    return trouble.host.rpartition(":")[0] if trouble.host.rpartition(":")[2].isdigit() else trouble.host.rstrip(":")


def _address(trouble: Trouble) -> str:
    return str(trouble.incident.evidence.get("ip") or "")


def _certificate(trouble: Trouble) -> str:
    return str(_part(trouble.incident.evidence, "tls").get("fingerprint_sha256") or "")


def _phase(trouble: Trouble) -> str:
    error = _part(trouble.incident.evidence, "error")
    phase = str(error.get("phase") or "")
    return _PHASES.get(phase, "")


_Row = tuple[Kind, Callable[[Trouble], str], Callable[[str, str], str]]
_SHARED: tuple[_Row, ...] = (
    ("host", _host, lambda host, names: f"On the same host, {host}: {names}."),
    ("host", _address, lambda ip, names: f"Behind the same address, {ip}: {names}."),
    ("certificate", _certificate, lambda _, names: f"With the same certificate: {names}."),
    ("phase", _phase, lambda phase, names: f"Failing in the same phase, {phase}: {names}."),
)


def _location(one: Trouble, near: Sequence[Trouble]) -> Hint | None:
    """All that can be seen from elsewhere fails from the same single location: it may be the location."""
    seen = [trouble for trouble in (one, *near) if trouble.seats > 1]
    places = {trouble.incident.locations for trouble in seen}
    if len(seen) < 2 or one.seats < 2 or len(places) != 1 or len(one.incident.locations) != 1:
        return None
    text = f"All {len(seen)} of this time fail from {one.incident.locations[0]} only."
    return Hint(kind="location", text=text, incidents=tuple(t.incident.id for t in seen[1:]))


def _changed(incident: Incident) -> list[Hint]:
    kept = incident.evidence
    before = _part(kept, "before")
    if not before:
        return []
    now = {
        "ip": kept.get("ip"),
        "status_code": _part(kept, "response").get("status_code"),
        "fingerprint_sha256": _part(kept, "tls").get("fingerprint_sha256"),
    }
    says = {
        "ip": "Another address answers: {now}, before it was {was}.",
        "status_code": "The answer was {was} before, now it is {now}.",
        "fingerprint_sha256": "Its certificate is another one than before.",
    }
    return [
        Hint(kind="changed", text=text.format(now=now[field], was=before[field]))
        for field, text in says.items()
        if now[field] and before.get(field) and now[field] != before[field]
    ]


def _part(kept: Mapping[str, Any], name: str) -> dict[str, Any]:
    return as_map(kept.get(name)) or {}
