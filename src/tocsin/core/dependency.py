"""Dependencies: trouble that is only that of what a monitor depends on is not told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from tocsin.core.consensus import VerdictValue
from tocsin.core.finding import Hush
from tocsin.core.monitor import Groups

LONGEST_S = 120.0
"""No opening waits longer for what a parent says."""


class Seen(Struct, frozen=True, kw_only=True):
    """A monitor as dependencies see it.

    `value` is its verdict (None: never judged), `since` when that began. `answered_at`: of the locations that are heard
    the oldest of their latest results, None when none is heard. `suspect`: a failure was seen, but not enough of them.
    `interval_s` and `timeout_s` say when a next result is due. `groups`: what it depends on.
    """

    id: str
    name: str
    value: VerdictValue | None = None
    since: datetime | None = None
    answered_at: datetime | None = None
    suspect: bool = False
    paused: bool = False
    interval_s: float = 60
    timeout_s: float = 10
    groups: Groups = ()

    @property
    def blind(self) -> bool:
        """Whether nobody knows how it is."""
        return self.paused or self.value in (None, "unknown")

    @property
    def patience(self) -> timedelta:
        """How long its next result is waited for."""
        return timedelta(seconds=min(LONGEST_S, self.interval_s + self.timeout_s))


class Held(Struct, frozen=True, kw_only=True):
    """What holds an opening back, and the ids of the monitors whose next result decides."""

    hush: Hush
    ask: tuple[str, ...] = ()


Look = Callable[[str], Seen | None]
"""The monitor with an id, None when there is none."""


def held_by(child: Seen, look: Look, now: datetime) -> Held | None:
    """What holds the openings of `child` back, None when nothing does.

    A group holds while all of it is down; what is paused or unknown is as what it depends on itself, and not down when
    that is nothing. Trouble waits until each group had a result after it began, at most until that is overdue; and
    when a parent is back, for the child's own next result.
    """
    for group in child.groups:
        if group and all(is_down(id, look, frozenset((child.id,))) for id in group):
            named, (now_is, then_was) = _named(group, look), _verbs(group)
            hush = Hush(kind="dependency", why=f"{named} {now_is} down", by=f"{named}, which {then_was} down")
            return Held(hush=hush)
    if child.value == "up" or child.since is None:
        return None
    waits = [_waits(group, child, child.since, look) for group in child.groups]
    asked = {seen.id: (seen, until) for wait in waits for seen, until in wait if now < until}
    if asked:
        names = " and ".join(f"“{seen.name}”" for seen, _ in asked.values())
        until = max(until for _, until in asked.values())
        hush = Hush(kind="dependency", why=f"waits for what {names} says", until=until)
        return Held(hush=hush, ask=tuple(asked))
    return _just_back(child, child.since, look, now)


def is_down(id: str, look: Look, through: frozenset[str] = frozenset()) -> bool:
    """Whether it is known to be down, or nobody knows and what it depends on is. `through`: what led here."""
    seen = look(id)
    if seen is None or id in through:
        return False
    if not seen.blind:
        return seen.value == "down"
    return any(group and all(is_down(one, look, through | {id}) for one in group) for group in seen.groups)


def circle(id: str, parents: Iterable[str], parents_of: Callable[[str], Iterable[str]]) -> list[str]:
    """The way by which a monitor with these parents would depend on itself, from it to it; empty when there is none."""
    ways, known = [[id, parent] for parent in parents], set[str]()
    while ways:
        way = ways.pop()
        if way[-1] == id:
            return way
        if way[-1] not in known:
            known.add(way[-1])
            ways += [[*way, parent] for parent in parents_of(way[-1])]
    return []


def _waits(
    group: tuple[str, ...], child: Seen, began: datetime, look: Look, through: frozenset[str] = frozenset()
) -> list[tuple[Seen, datetime]]:
    """(who has not answered since then, until when it is waited for). Nobody once one of the group is known to be
    well: it is not down then, whatever the others say."""
    waits: list[tuple[Seen, datetime]] = []
    for seen in filter(None, map(look, group)):
        if seen.id == child.id or seen.id in through:
            continue
        if seen.paused:
            for above in seen.groups:
                waits += _waits(above, child, began, look, through | {seen.id})
            continue
        if not seen.blind and seen.value == "down":
            continue
        late = seen.answered_at is None or seen.answered_at < began
        if not late and not seen.suspect:
            if seen.blind:
                continue
            return []
        waits.append((seen, began + (seen.patience if late else timedelta(seconds=LONGEST_S))))
    return waits


def _just_back(child: Seen, began: datetime, look: Look, now: datetime) -> Held | None:
    """When a parent came back after the trouble began, the child has to be looked at once more."""
    for seen in filter(None, (look(id) for group in child.groups for id in group)):
        if seen.blind or seen.value == "down" or seen.since is None or seen.since < began:
            continue
        until = seen.since + child.patience
        if now < until and (child.answered_at is None or child.answered_at < seen.since):
            why = f"“{seen.name}” is just back, and this is looked at again"
            return Held(hush=Hush(kind="dependency", why=why, until=until), ask=(child.id,))
    return None


def _named(group: tuple[str, ...], look: Look) -> str:
    return " and ".join(f"“{seen.name}”" for seen in map(look, group) if seen is not None)


def _verbs(group: tuple[str, ...]) -> tuple[str, str]:
    return ("is", "was") if len(group) == 1 else ("are", "were")
