"""What the store knows of monitors when their judgement is taken up again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from tocsin.core.consensus import AHEAD, LocationState, Verdict, fold
from tocsin.core.incident import Incident
from tocsin.core.monitor import Monitor
from tocsin.store import Session
from tocsin.store.voices import Span, Voice, reasons, voices

TALLY = 90
"""So many of the latest slots are kept as letters."""
FOLDED = 30
"""So many results of each location are enough to know how it votes."""


_Newest = dict[tuple[str, str], tuple[datetime, int]]


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
    newest |= _set_right(s, monitors, newest)
    states = [(id, state) for id, state in s.states.all() if id in wanted]
    return Known(
        monitors=monitors,
        states=_folded(s, monitors, states, newest)
        if folds
        else [(id, _moved(state, newest.get((id, state.location)), s.now)) for id, state in states],
        verdicts=s.verdicts.open_all(),
        incidents=s.incidents.latest_of([f"monitor:{id}" for id in ids]),
        tallies=s.results.recent(ids, TALLY),
    )


def _set_right(s: Session, monitors: list[Monitor], newest: _Newest) -> _Newest:
    """Where the newest result is dated later than now, by a clock that has been set right: the one that came last."""
    fresh = {m.id: timedelta(seconds=2 * m.interval_s + float(m.timeout_s)) for m in monitors}
    ahead = {spot: fresh[spot[0]] for spot, (at, _) in newest.items() if at > s.now + AHEAD}
    return s.results.came_last(ahead, s.now + AHEAD) if ahead else {}


def _moved(state: LocationState, newest: tuple[datetime, int] | None, now: datetime) -> LocationState:
    """The state as of the newest result. States are stored when a vote or suspicion changes: later results only moved
    it, as long as it was this instance that judged them."""
    if newest is None:
        return state
    dated_ahead = state.at is not None and state.at > now + AHEAD >= newest[0]
    if state.at is not None and newest <= (state.at, state.attempt) and not dated_ahead:
        return state
    return replace(state, at=newest[0], attempt=newest[1])


def _folded(
    s: Session, monitors: list[Monitor], states: list[tuple[str, LocationState]],
    newest: _Newest,
) -> list[tuple[str, LocationState]]:  # fmt: skip
    """What every seat says by its latest results, also those that have no state here."""
    known = {(id, state.location): state for id, state in states}
    whys: dict[tuple[str, str], Voice] = {}
    for monitor, said in _said(s, monitors, newest):
        seats: dict[str, list[Voice]] = {}
        for one in said:
            if one.status != "invalid":
                seats.setdefault(one.seat, []).append(one)
        for seat, some in seats.items():
            before = known.get((monitor.id, seat))
            begun = LocationState(location=seat, doing=None if before is None else before.doing)
            state, why = _fold(monitor, begun, some)
            if state.at is None:
                continue
            known[monitor.id, seat] = state
            if why is not None:
                whys[monitor.id, seat] = why
    for spot, error in zip(whys, reasons(s, [(id, why) for (id, _), why in whys.items()]), strict=True):
        known[spot] = replace(known[spot], reason=error)
    return [(id, state) for (id, _), state in known.items()]


def _said(s: Session, monitors: list[Monitor], newest: _Newest) -> Iterator[tuple[Monitor, list[Voice]]]:
    """What each monitor's locations said lately, oldest first. Those whose clock is ahead are read in a span of their own;
    what one said by such a clock is left out when it has been set right."""
    last: dict[str, tuple[list[datetime], list[datetime]]] = {}
    for (id, _), (at, _) in newest.items():
        last.setdefault(id, ([], []))[at > s.now + AHEAD].append(at)
    parts = [(m, some) for m in monitors if m.id in last for some in last[m.id] if some]
    spans = [_span(m, max(some), len(some)) for m, some in parts]
    ahead: dict[str, list[Voice]] = {}
    for (monitor, some), said in zip(parts, voices(s, spans), strict=True):
        if not last[monitor.id][1]:
            yield monitor, said
            continue
        kept = [one for one in said if one.at <= newest.get((monitor.id, one.location), (one.at, 0))[0]]
        before = ahead.setdefault(monitor.id, [])
        before += [one for one in kept if not before or one.at > before[-1].at]
        if some is last[monitor.id][1]:
            yield monitor, before


def _span(monitor: Monitor, last: datetime, places: int) -> Span:
    """The latest results until then, as many as folding takes."""
    each = FOLDED + monitor.failure_threshold + monitor.recovery_threshold + monitor.degraded_threshold
    end = last + timedelta(microseconds=1)
    return Span(monitor.id, end - timedelta(seconds=each * monitor.interval_s), end, each * places)


def _fold(monitor: Monitor, state: LocationState, said: Sequence[Voice]) -> tuple[LocationState, Voice | None]:
    """The state of a seat after these, and which of them names its reason. Of several in a row that say what the vote
    says only the last is folded: of the others nothing but their number is kept."""
    why: Voice | None = None
    steady = 0
    for one, after in zip(said, (*said[1:], None), strict=True):
        stand_in = None if one.location == one.seat else one.location
        if after is not None and _steady(state, one, stand_in, after):
            steady += 1
            continue
        before = _counted(state, steady) if steady else state
        state, steady = fold(before, monitor, one.status, one.at, one.attempt, one.error, stand_in), 0
        if state.reason is not before.reason:
            why = None if state.reason is None else one
    return state, why


def _steady(state: LocationState, one: Voice, stand_in: str | None, after: Voice) -> bool:
    """Whether this says what the vote says, and the next one does, too, from the same place."""
    same = one.status == after.status == state.vote and one.location == after.location
    if not same or stand_in != state.stand_in or state.at is None:
        return False
    return (state.at, state.attempt) < (one.at, one.attempt) < (after.at, after.attempt)


def _counted(state: LocationState, more: int) -> LocationState:
    """So many more said what the vote says."""
    if state.vote == "up":
        return replace(state, ups=state.ups + more)
    return (
        replace(state, downs=state.downs + more)
        if state.vote == "down"
        else replace(state, degradeds=state.degradeds + more)
    )
