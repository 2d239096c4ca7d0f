"""What the store knows of monitors when their judgement is taken up again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from tocsin.core.consensus import LocationState, Verdict, fold
from tocsin.core.incident import Incident
from tocsin.core.monitor import Monitor
from tocsin.core.result import CheckError
from tocsin.store import Session

TALLY = 90
"""So many of the latest slots are kept as letters."""
FOLDED = 30
"""So many results of each location are enough to know how it votes."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of some monitors."""

    monitors: list[Monitor]
    states: list[tuple[str, LocationState]]
    verdicts: dict[str, Verdict]
    incidents: dict[str, Incident]
    tallies: dict[str, str]


def read_known(s: Session, monitors: list[Monitor], *, folds: bool = False) -> Known:
    """All of it, of these monitors. `folds`: somebody else judged until now, so what each location says is folded from
    its results; the states stored here are those of the time when this instance judged."""
    ids = [m.id for m in monitors]
    wanted = set(ids)
    newest = {(id, place): (at, attempt) for id, place, at, attempt in s.results.newest() if id in wanted}
    states = [(id, state) for id, state in s.states.all() if id in wanted]
    return Known(
        monitors=monitors,
        states=_folded(s, monitors, states, newest)
        if folds
        else [(id, _moved(state, newest.get((id, state.location)))) for id, state in states],
        verdicts=s.verdicts.open_all(),
        incidents=s.incidents.latest_of([f"monitor:{id}" for id in ids]),
        tallies=s.results.recent(ids, TALLY),
    )


def _moved(state: LocationState, newest: tuple[datetime, int] | None) -> LocationState:
    """The state as of the newest result. States are stored when a vote or suspicion changes: later results only moved
    it, as long as it was this instance that judged them."""
    if newest is None or (state.at is not None and newest <= (state.at, state.attempt)):
        return state
    return replace(state, at=newest[0], attempt=newest[1])


def _folded(
    s: Session, monitors: list[Monitor], states: list[tuple[str, LocationState]],
    newest: dict[tuple[str, str], tuple[datetime, int]],
) -> list[tuple[str, LocationState]]:  # fmt: skip
    """What every seat says by its latest results, also those that have no state here."""
    known = {(id, state.location): state for id, state in states}
    last: dict[str, list[datetime]] = {}
    for (id, _), (at, _) in newest.items():
        last.setdefault(id, []).append(at)
    for monitor in monitors:
        if ends := last.get(monitor.id):
            for state in _fold(s, monitor, max(ends), len(ends), known):
                known[monitor.id, state.location] = state
    return [(id, state) for (id, _), state in known.items()]


def _fold(
    s: Session, monitor: Monitor, last: datetime, places: int, known: dict[tuple[str, str], LocationState]
) -> Iterable[LocationState]:
    """The state of each seat that has results until then, folded from the latest of them."""
    each = FOLDED + monitor.failure_threshold + monitor.recovery_threshold + monitor.degraded_threshold
    end, span, limit = last + timedelta(microseconds=1), timedelta(seconds=each * monitor.interval_s), each * places
    looks = s.results.looks(monitor.id, end - span, end, limit)
    errors: dict[tuple[datetime, str, int], CheckError | None] = {}
    if any(look.status in ("down", "degraded") for look in looks):
        rows = s.results.statuses(monitor.id, end - span, end, limit)
        errors = {(at, place, attempt): error for at, place, attempt, _, error in rows}
    made: dict[str, LocationState] = {}
    for look in sorted(looks, key=lambda look: (look.at, look.attempt)):
        before = known.get((monitor.id, look.seat))
        state = made.get(look.seat) or LocationState(location=look.seat, doing=None if before is None else before.doing)
        error = errors.get((look.at, look.location, look.attempt))
        stand_in = None if look.location == look.seat else look.location
        made[look.seat] = fold(state, monitor, look.status, look.at, look.attempt, error, stand_in)
    return [state for state in made.values() if state.at is not None]
