"""What the store knows of monitors when their judgement is taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from tocsin.core.consensus import LocationState, Verdict
from tocsin.core.incident import Incident
from tocsin.core.monitor import Monitor
from tocsin.store import Session

TALLY = 90
"""So many of the latest slots are kept as letters."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of some monitors."""

    monitors: list[Monitor]
    states: list[tuple[str, LocationState]]
    verdicts: dict[str, Verdict]
    incidents: dict[str, Incident]
    tallies: dict[str, str]


def read_known(s: Session, monitors: list[Monitor]) -> Known:
    """All of it, of these monitors."""
    ids = [m.id for m in monitors]
    wanted = set(ids)
    newest = {(id, place): (at, attempt) for id, place, at, attempt in s.results.newest() if id in wanted}
    return Known(
        monitors=monitors,
        states=[(id, _moved(state, newest.get((id, state.location)))) for id, state in s.states.all() if id in wanted],
        verdicts=s.verdicts.open_all(),
        incidents=s.incidents.latest_of([f"monitor:{id}" for id in ids]),
        tallies=s.results.recent(ids, TALLY),
    )


def _moved(state: LocationState, newest: tuple[datetime, int] | None) -> LocationState:
    """The state as of the newest result. States are stored when a vote or suspicion changes: later results only moved
    it."""
    if newest is None or (state.at is not None and newest <= (state.at, state.attempt)):
        return state
    return replace(state, at=newest[0], attempt=newest[1])
