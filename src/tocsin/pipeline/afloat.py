"""Messages in memory: what intake handed over and what was claimed, so that they can be sent while the database is away,
and so that nothing is sent again that is known to be done."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from tocsin.core.alert import OutboxRow
from tocsin.core.digest import Gathered
from tocsin.core.storm import CANARY, DIGEST, FULL, Waiting, ends, gathers, opens
from tocsin.store.batch import OutboxOutcome
from tocsin.store.outbox import Place
from tocsin.store.stand_ins import Stuck

REMEMBERED = 10_000


class Queue:
    """What waits in memory for one channel: of each subject what could be sent now, in order."""

    def __init__(self, subjects: list[list[OutboxRow]], *, held: bool) -> None:
        self._subjects, self._held = [rows for rows in subjects if rows], held

    def waiting(self) -> Waiting:
        """The facts of it."""
        rows = self.all()
        alone = sum(queue[0].subject == CANARY for queue in self._subjects)
        digest = any(queue[0].subject == DIGEST for queue in self._subjects)
        return Waiting(
            count=min(len(rows), FULL), openings=sum(map(opens, rows)), ends=sum(map(ends, rows)), alone=alone,
            oldest=min((row.created_at for row in rows), default=None),
            digest="due" if digest else "held" if self._held else None,
        )  # fmt: skip

    def heads(self, limit: int) -> list[OutboxRow]:
        """The first of each subject, digests left aside."""
        return [queue[0] for queue in self._subjects if queue[0].subject != DIGEST][:limit]

    def digest(self) -> list[OutboxRow]:
        """The digest that is due, if there is one."""
        return [queue[0] for queue in self._subjects if queue[0].subject == DIGEST]

    def all(self) -> list[OutboxRow]:
        """What a digest may gather."""
        rows = [row for queue in self._subjects for row in queue if gathers(row)]
        return sorted(rows, key=lambda row: (row.created_at, row.order))[:FULL]


class Afloat:
    """Rows by key until they are done, and what came of them. `own`: the database does not have them yet."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, OutboxRow] = OrderedDict()
        self._own: set[str] = set()
        self._carried: dict[str, str] = {}
        self._carries: dict[str, tuple[str, ...]] = {}
        self._done: OrderedDict[str, OutboxOutcome] = OrderedDict()

    def forget(self) -> None:
        """Know of nothing any more, as at the beginning (whoever holds on to this one sees that too)."""
        self.__init__()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def owns(self) -> bool:
        """Whether the database lacks any."""
        return bool(self._own)

    def oldest(self) -> datetime | None:
        """When the one that has waited longest was intended."""
        return min((row.created_at for row in self._known.values()), default=None)

    def clear(self) -> None:
        """Let go of everything that is not done: the database has nothing that waits."""
        for key in tuple(self._known):
            self._forget(key)

    def hand(self, rows: Sequence[OutboxRow], *, spooled: bool) -> None:
        """Remember rows; `spooled`: they are on the disk, not in the database."""
        for row in rows:
            self._known[row.key] = row
            if spooled:
                self._own.add(row.key)
        while len(self._known) > REMEMBERED:
            self._forget(next(iter(self._known)))

    def lacking(self, place: Place, at: Stuck) -> list[OutboxRow]:
        """What waits for a channel at a message that it does not take, or behind it, of each subject in order."""
        found: list[OutboxRow] = []
        stuck: set[str] = set()

        def taken(row: OutboxRow | None) -> bool:
            return row is None or (row.attempts < at.tries and row.key not in at.keys)

        for row in sorted(self._known.values(), key=lambda row: row.order):
            if (row.workspace_id, row.channel_id) != place or not gathers(row):
                continue
            digest = self._known.get(self._carried.get(row.key, ""))
            if not (taken(row) and taken(digest)):
                stuck.add(row.subject)
            if row.subject in stuck and (digest is None or not taken(digest)):
                found.append(row)
        return found

    def parts(self, digest: OutboxRow) -> list[OutboxRow]:
        """What a digest carries, as far as it is known; else the digest itself."""
        known = (self._known.get(key) for key in self._carries.get(digest.key, ()))
        return [row for row in known if row is not None] or [digest]

    def new(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Those of which nothing is known: neither of them nor of the same message for the same channel by another key."""
        told = {(r.workspace_id, r.channel_id, r.incident_id, r.subject, r.order) for r in self._known.values()}
        known = self._known.keys() | self._done.keys()
        return [
            row
            for row in rows
            if row.key not in known
            and (
                row.incident_id is None
                or (row.workspace_id, row.channel_id, row.incident_id, row.subject, row.order) not in told
            )
        ]

    def fresh(self, claimed: Iterable[OutboxRow]) -> tuple[list[OutboxRow], list[OutboxOutcome]]:
        """(what of the claimed is to be sent, what came of those that are done already). Those that memory sends by itself
        are in neither."""
        rows = list(claimed)
        settled = [self._done[row.key] for row in rows if row.key in self._done]
        wanted = [r for r in rows if r.key not in self._done and r.key not in self._own and r.key not in self._carried]
        self.hand(wanted, spooled=False)
        return wanted, settled

    def gathered(self, digest: Gathered, *, spooled: bool) -> None:
        """A digest carries these from now on."""
        self.hand([digest.row], spooled=spooled)
        self._carries[digest.row.key] = digest.keys
        for key in digest.keys:
            if key in self._known:
                self._carried[key] = digest.row.key

    def settled(self, row: OutboxRow, done: OutboxOutcome) -> None:
        """What came of a row: as it is now when it is to be tried again, else done, with all it carries."""
        if done.state == "pending":
            self._known[row.key] = row
            return
        for key in self._carries.get(row.key, ()):
            if key in self._own:
                self._keep_done(key, done)
            self._forget(key)
        self._keep_done(row.key, done)
        self._forget(row.key)

    def queues(self, ready: Callable[[OutboxRow], bool], *, everything: bool) -> dict[Place, Queue]:
        """What could be sent from memory, by channel: all that is known, or only what the database does not have."""
        if not everything and not self._own:
            return {}
        subjects: dict[tuple[Place, str], list[OutboxRow]] = {}
        held: set[Place] = set()
        for row in sorted(self._known.values(), key=lambda row: row.order):
            place = row.workspace_id, row.channel_id
            if row.subject == DIGEST:
                held.add(place)
            subjects.setdefault((place, row.subject), []).append(row)
        found: dict[Place, list[list[OutboxRow]]] = {}
        for (place, _), rows in subjects.items():
            stop = next((n for n, row in enumerate(rows) if not self._may(row, ready, everything)), len(rows))
            if stop:
                found.setdefault(place, []).append(rows[:stop])
        return {place: Queue(queues, held=place in held) for place, queues in found.items()}

    def _may(self, row: OutboxRow, ready: Callable[[OutboxRow], bool], everything: bool) -> bool:
        return row.key not in self._carried and (everything or row.key in self._own) and ready(row)

    def _keep_done(self, key: str, done: OutboxOutcome) -> None:
        self._done[key] = done
        while len(self._done) > REMEMBERED:
            self._done.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        self._own.discard(key)
        self._carried.pop(key, None)
        self._carries.pop(key, None)
