"""What a server that stood alone brings, on its way into the tables of the primary it joins.

Its workspaces come first, with their monitors paused and nobody in them; then what is over; at last, in one transaction,
its people, channels and rules come, and its monitors run. How far that is and which numbers things have here are notes that
all instances share: after a change of primary it goes on where it was, and a load that comes twice is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy.exc import IntegrityError

from tocsin.core.instance import must_name_its_place
from tocsin.core.monitor import Monitor
from tocsin.errors import Conflict, Invalid, Problem
from tocsin.store import history, images
from tocsin.store.images import Images, Reseal
from tocsin.store.packing import pack_more, seat_of, unpack_more
from tocsin.store.parting import Cursor, Load
from tocsin.store.session import Session
from tocsin.store.shared import HISTORY, shared_tables
from tocsin.store.version import HEAD

_PROGRESS, _WHO, _KEYS = "adopting:progress:", "adopting:who:", "adopting:keys:"
_COUNTED = ("timeline", "outbox", "attempts", "notices", "changes")
"""Their rows get numbers of this database."""
_FREE = ("users", "notes", "workspaces", "locations", "verdicts")
"""They have no column `workspace_id`."""


class Joining(Struct, frozen=True, kw_only=True):
    """Who wants to join with what it has. `adoption` names this attempt: the same one goes on where it was. `people`: all
    addresses; `same`: of those that have an account here too, the ones that the operator says are the same people."""

    instance: str
    name: str
    location: str
    adoption: str
    head: str
    workspaces: dict[str, str]
    people: tuple[str, ...]
    codes: tuple[str, ...] = ()
    same: tuple[str, ...] = ()


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is: the next load's number, and where it begins. `done`: all is here."""

    adoption: str
    next: int = 0
    cursor: Cursor = ()
    done: bool = False


class Keys(Struct, frozen=True, kw_only=True):
    """Numbers of the server that joins, and what they are here. `people`: ids of users who have an account here already."""

    workspaces: dict[str, int]
    of_workspaces: dict[int, int]
    monitors: dict[str, int]
    of_monitors: dict[int, int]
    of_locations: dict[int, int]
    people: dict[str, str]


class Looked(Struct, frozen=True, kw_only=True):
    """What stands in the way, and what will be otherwise than it was."""

    conflicts: tuple[str, ...]
    changes: tuple[str, ...]


def look(s: Session, asked: Joining) -> Looked:
    """What would come of it; nothing is written."""
    known = progress(s, asked.instance)
    mine = _keys(s, asked.instance) if known is not None else None
    conflicts = [*_places(s, asked), *_copies(s, asked, mine)]
    if asked.head != HEAD:
        conflicts.append(
            f"version: expected the tables of this program ({HEAD}), found {asked.head}: bring both servers to one version"
        )
    changes = [] if mine is not None else _renamings(s, asked)
    for email in asked.people:
        if s.accounts.user_by_email(email) is None:
            continue
        if email in asked.same:
            changes.append(
                f"{email} keeps the account and password of the cluster, and comes into the workspaces it is in here"
            )
        else:
            conflicts.append(
                f"{email} has an account in the cluster too: say that it is the same person"
                f" (tocsin join --same-person {email}), or change the address"
            )
    return Looked(conflicts=tuple(conflicts), changes=tuple(changes))


def _places(s: Session, asked: Joining) -> Iterable[str]:
    """Names and locations that another one has, or that mean something else in a cluster."""
    if (wrong := must_name_its_place(asked.location)) is not None:
        yield f"location: {wrong}"
    for one in s.instances.all():
        if one.id != asked.instance and one.name == asked.name:
            yield f"name: expected one that no other instance has, found {asked.name!r}"
        if one.id != asked.instance and one.location == asked.location:
            yield f"location: expected one that no other instance has, found {asked.location!r}"
        if one.location in asked.codes:
            yield f"location: expected a code of its own for each probe, found {one.location!r}, which an instance has"
    whose = "this server" if asked.location in asked.codes else "the cluster"
    if whose == "this server" or s.row("SELECT 1 FROM probes WHERE code = ?", asked.location) is not None:
        yield f"location: expected a code of its own, found {asked.location!r}, which a probe of {whose} has"


def _copies(s: Session, asked: Joining, mine: Keys | None) -> Iterable[str]:
    for id, name in asked.workspaces.items():
        if s.accounts.workspace(id) is not None and (mine is None or id not in mine.workspaces):
            yield f"workspace {name!r} is in the cluster already: this server's data is a copy of it"


def _renamings(s: Session, asked: Joining) -> list[str]:
    taken = {one.name for one in s.accounts.workspaces()}
    return [
        f"workspace {name!r} will be called {_named(name, asked.name, taken)!r}: the cluster has one of that name"
        for name in asked.workspaces.values()
        if name in taken
    ]


def _named(name: str, instance: str, taken: Iterable[str]) -> str:
    return f"{name} ({instance})" if name in taken else name


def progress(s: Session, instance: str) -> Progress | None:
    """How far that server's data is, None when nothing was begun."""
    found = s.notes.get(_PROGRESS + instance)
    return None if found is None else msgspec.convert(found, Progress)


def begin(s: Session, asked: Joining) -> Progress:
    """How far it is; from the beginning, when it was not begun, or as another attempt, of which nothing is left then.
    Conflict with all that stands in the way."""
    if found := look(s, asked).conflicts:
        raise Conflict("; ".join(found))
    known = progress(s, asked.instance)
    if known is not None and known.adoption == asked.adoption:
        return known
    if known is not None:
        abandon(s, asked.instance)
    fresh = Progress(adoption=asked.adoption)
    _note(s, asked.instance, fresh)
    s.notes.set(_WHO + asked.instance, msgspec.to_builtins(asked))
    return fresh


def abandon(s: Session, instance: str) -> None:
    """Take away what came of a server that did not finish. Conflict when it did."""
    known, keys = progress(s, instance), _keys(s, instance)
    if known is not None and known.done:
        raise Conflict("the data of this server was taken in before: it belongs to the cluster")
    if keys is not None:
        for id in keys.monitors:
            s.monitors.delete(id)
        for id in keys.workspaces:
            s.run("DELETE FROM workspaces WHERE id = ?", id)
            s.run("DELETE FROM changes WHERE workspace_id = ?", id)
            s.run("DELETE FROM notes WHERE name IN (?, ?)", f"preferences:{id}", f"first_rule:{id}")
    s.run("DELETE FROM notes WHERE name IN (?, ?, ?)", *(kind + instance for kind in (_PROGRESS, _WHO, _KEYS)))


def take(s: Session, instance: str, load: Load, reseal: Reseal) -> Progress:
    """Keep one load: how far it is then. One that is here already is nothing. Conflict when it is another's turn, or a row
    stands in the way; Invalid when a row belongs to no workspace of this server."""
    known, who = progress(s, instance), s.notes.get(_WHO + instance)
    if known is None or who is None or known.adoption != load.adoption:
        raise Conflict("expected an attempt that was begun here, found another one: begin again")
    if load.number < known.next:
        return known
    if load.number > known.next or known.done:
        raise Conflict(f"expected load {known.next}, found {load.number}")
    asked = msgspec.convert(who, Joining)
    try:
        if load.number == 0:
            _take_names(s, asked, load, reseal)
        else:
            keys = _keys(s, instance)
            assert keys is not None
            _Taking(s, asked, keys, reseal).take(load)
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise Invalid(Problem("load", "rows as a server wrote them", str(error)[:200])) from error
    except IntegrityError as error:
        raise Conflict(f"load {load.number} does not fit here: {str(error.orig).splitlines()[0]}") from error
    after = msgspec.structs.replace(known, next=load.number + 1, cursor=load.cursor, done=load.last)
    _note(s, instance, after)
    return after


def taken_in(s: Session, instance: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The workspaces and monitors that came with that server."""
    keys = _keys(s, instance)
    return ((), ()) if keys is None else (tuple(keys.workspaces), tuple(keys.monitors))


def _note(s: Session, instance: str, value: Progress) -> None:
    s.notes.set(_PROGRESS + instance, msgspec.to_builtins(value))


def _keys(s: Session, instance: str) -> Keys | None:
    found = s.notes.get(_KEYS + instance)
    return None if found is None else msgspec.convert(found, Keys, strict=False)


# The first load ---------------------------------------------------------------------------------------------------------
def _take_names(s: Session, asked: Joining, load: Load, reseal: Reseal) -> None:
    """Make workspaces, monitors (paused) and locations known here."""
    tables = {one.table: one for one in load.tables}
    workspaces, of_workspaces = _take_workspaces(s, asked, tables["workspaces"])
    people: dict[str, str] = {}
    _keep(
        s, "notes", ("name", "value"), [row for row in tables["notes"].rows if row[0].partition(":")[2] in workspaces]
    )
    of_locations = {key: s.places.location(name) for key, name in tables["locations"].rows}
    monitors: dict[str, int] = {}
    of_monitors: dict[int, int] = {}
    table = shared_tables()["monitors"]
    for row in _named_rows(tables["monitors"]):
        _require(row["workspace_id"], workspaces)
        monitor = msgspec.structs.replace(_monitor(row, asked.location), paused=True)
        sealed = images.sealed_anew(table, tuple(row), tuple(row.values()), reseal)
        new = dict(zip(row, sealed, strict=True)) | {"paused": 1, "data": _data(monitor)}
        old = int(new.pop("key"))
        _keep(s, "monitors", tuple(new), [tuple(new.values())])
        of_monitors[old] = monitors[monitor.id] = s.places.of(monitor.id).monitor
    keys = Keys(
        workspaces=workspaces, of_workspaces=of_workspaces, monitors=monitors, of_monitors=of_monitors,
        of_locations=of_locations, people=people,
    )  # fmt: skip
    s.notes.set(_KEYS + asked.instance, msgspec.to_builtins(keys, str_keys=True))


def _take_workspaces(s: Session, asked: Joining, given: Images) -> tuple[dict[str, int], dict[int, int]]:
    taken = {one.name for one in s.accounts.workspaces()}
    by_id: dict[str, int] = {}
    by_key: dict[int, int] = {}
    for row in _named_rows(given):
        _require(row["id"], asked.workspaces)
        name = _named(row["name"], asked.name, taken)
        _keep(s, "workspaces", ("id", "name", "created_at"), [(row["id"], name, row["created_at"])])
        found = s.row("SELECT key FROM workspaces WHERE id = ?", row["id"])
        assert found is not None
        by_id[row["id"]] = by_key[row["key"]] = int(found[0])
    return by_id, by_key


def _monitor(row: Mapping[str, Any], place: str) -> Monitor:
    """The monitor, checked from where it was checked before: the server that joins."""
    monitor = msgspec.json.decode(row["data"], type=Monitor)
    if monitor.type == "push":
        return monitor
    if monitor.monitoring_type != "global" or not monitor.locations:
        return msgspec.structs.replace(monitor, monitoring_type="global", locations=(place,))
    places = tuple(dict.fromkeys(place if one == "local" else one for one in monitor.locations))
    return msgspec.structs.replace(monitor, locations=places)


def _data(monitor: Monitor) -> str:
    return msgspec.json.encode(monitor).decode()


# The others -------------------------------------------------------------------------------------------------------------
class _Taking:
    """One load on its way in."""

    def __init__(self, s: Session, asked: Joining, keys: Keys, reseal: Reseal) -> None:
        self._s, self._asked, self._keys, self._reseal = s, asked, keys, reseal
        self._people = dict(keys.people)

    def take(self, load: Load) -> None:
        """Keep its rows."""
        shared, seen = history.aside(load.tables)
        for one in shared:
            rows = list(self._rows(one))
            if one.table == "monitors":
                self._run_monitors(rows)
            elif rows:
                _keep(self._s, one.table, tuple(rows[0]), [tuple(row.values()) for row in rows])
        if seen:
            history.bring(self._s, self._asked.adoption, load.number, [self._seen(one) for one in seen])

    def _rows(self, given: Images) -> Iterable[dict[str, Any]]:
        """The rows as they are here."""
        table = shared_tables()[given.table]
        for row in _named_rows(given):
            if given.table == "users" and self._is_here(row):
                continue
            self._require_own(given.table, row)
            sealed = images.sealed_anew(table, tuple(row), tuple(row.values()), self._reseal)
            new = dict(zip(row, sealed, strict=True))
            if given.table == "verdicts":
                new |= self._numbers(new)
            if "user_id" in new:
                new["user_id"] = self._people.get(new["user_id"], new["user_id"])
            if given.table in _COUNTED:
                del new[table.key[0]]
            yield new

    def _is_here(self, row: Mapping[str, Any]) -> bool:
        """Whether this person has an account here, which the operator said is theirs. Conflict when it was not said."""
        known = self._s.accounts.user_by_email(row["email"])
        if known is None:
            return False
        if row["email"] not in self._asked.same:
            raise Conflict(f"{row['email']} has an account in the cluster too: say that it is the same person")
        self._people[row["id"]] = known.id
        return True

    def _require_own(self, table: str, row: Mapping[str, Any]) -> None:
        if table not in _FREE:
            _require(row["workspace_id"], self._keys.workspaces)
        elif table not in ("users", "verdicts"):
            raise Invalid(Problem("load", "rows of what joins", table))

    def _numbers(self, row: Mapping[str, Any]) -> dict[str, int]:
        keys = self._keys
        if row["monitor"] not in keys.of_monitors or row["workspace"] not in keys.of_workspaces:
            raise Invalid(Problem("load", "a monitor of the first load", str(row["monitor"])))
        return {"monitor": keys.of_monitors[row["monitor"]], "workspace": keys.of_workspaces[row["workspace"]]}

    def _run_monitors(self, rows: Sequence[dict[str, Any]]) -> None:
        """The monitors as they were, not paused any more (but those that were)."""
        for row in rows:
            monitor = _monitor(row, self._asked.location)
            known = self._keys.monitors.get(monitor.id)
            if known is None:
                raise Invalid(Problem("load", "a monitor of the first load", monitor.id))
            new = {name: value for name, value in row.items() if name not in ("key", "data", "workspace_id", "id")}
            sets = ", ".join(f"{name} = ?" for name in new)
            where = "workspace_id = ? AND id = ? AND key = ?"
            self._s.run(
                f"UPDATE monitors SET {sets}, data = ? WHERE {where}", *new.values(), _data(monitor), row["workspace_id"],
                monitor.id, known,
            )  # fmt: skip

    def _seen(self, given: Images) -> Images:
        """What was seen, by the numbers of here."""
        if given.table not in history.NUMBERED:
            raise Invalid(Problem("load", "rows of what joins", given.table))
        columns, places = given.columns, self._keys.of_locations
        rows: list[tuple[Any, ...]] = []
        for row in _named_rows(given):
            if row["location"] not in places:
                raise Invalid(Problem("load", "a location of the first load", str(row["location"])))
            new = row | self._numbers(row) | {"location": places[row["location"]]}
            if given.table == "results" and seat_of(row["more"]) is not None:
                lag, (*numbers, seat) = unpack_more(row["more"])
                new["more"] = pack_more(lag, (*numbers, places.get(seat or 0)))
            rows.append(tuple(new.values()))
        assert set(columns) == set(HISTORY[given.table].columns)
        return Images(given.table, columns, tuple(rows))


def _named_rows(given: Images) -> Iterable[dict[str, Any]]:
    return (dict(zip(given.columns, row, strict=True)) for row in given.rows)


def _require(workspace: str, among: Mapping[str, Any]) -> None:
    if workspace not in among:
        raise Invalid(Problem("load", "rows of the workspaces that join", f"one of {workspace!r}"))


def _keep(s: Session, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows in. Of notices and notes, which others write too, what is here already stays."""
    marks = ", ".join("?" for _ in columns)
    more = " ON CONFLICT DO NOTHING" if table in ("notices", "notes") else ""
    s.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}){more}", rows)
