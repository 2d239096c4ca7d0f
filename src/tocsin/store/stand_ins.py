"""Messages that one channel is told in place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tocsin.core.alert import OutboxRow
from tocsin.core.digest import fallback_key
from tocsin.core.result import micros
from tocsin.core.storm import CANARY, DIGEST
from tocsin.store.outbox import COLUMNS, NEVER, Place, event_of, row_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_STUCK = (
    "(p.attempts >= ? OR {p} OR EXISTS (SELECT 1 FROM digest_rows d JOIN outbox g ON g.workspace_id = d.workspace_id "
    "AND g.key = d.digest WHERE d.workspace_id = p.workspace_id AND d.key = p.key AND g.state = 'pending' AND "
    "(g.attempts >= ? OR {g})))"
)
_BEHIND = (
    "EXISTS (SELECT 1 FROM outbox p WHERE p.state = 'pending' AND p.workspace_id = o.workspace_id AND p.channel_id = "
    "o.channel_id AND p.subject = o.subject AND (p.rank < o.rank OR (p.rank = o.rank AND p.n <= o.n)) AND {stuck})"
)
_HEARS = (
    "EXISTS (SELECT 1 FROM outbox f WHERE f.workspace_id = o.workspace_id AND f.incident_id = o.incident_id AND "
    "f.channel_id = ? AND f.subject = o.subject AND f.rank = o.rank)"
)


class Stuck(Struct, frozen=True):
    """Which messages their channel does not take: those that failed so often, and those with these keys."""

    tries: int
    keys: tuple[str, ...] = ()


class StandIns:
    """What a channel that stands in has heard, and has not."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def lend(self, row: OutboxRow) -> bool:
        """Intend a message for a channel that stands in; False when it has it, or hears of the same by itself."""
        s = self._s
        s.own(row.workspace_id)
        heard = row.incident_id is not None and s.row(
            "SELECT 1 FROM outbox WHERE workspace_id = ? AND incident_id = ? AND channel_id = ? AND subject = ? AND "
            "rank = ?",
            row.workspace_id, row.incident_id, row.channel_id, row.subject, row.order,
        )  # fmt: skip
        return not heard and s.outbox.add(row)

    def lacking(self, place: Place, to: str, at: Stuck, limit: int) -> list[OutboxRow]:
        """What waits for a channel at a message that it does not take, or behind it (of the same subject), and what the
        channel `to` has not heard of: of each subject in order."""
        s = self._s
        (own, keys), (digest, _) = s.among_texts("p.key", at.keys), s.among_texts("g.key", at.keys)
        stuck = _STUCK.format(p=own, g=digest)
        behind = _BEHIND.format(stuck=stuck)
        values = (at.tries, keys, at.tries, keys)
        rows = s.rows(
            f"SELECT {COLUMNS} FROM outbox o WHERE o.workspace_id = ? AND o.channel_id = ? AND o.state = 'pending' AND "
            f"o.subject NOT IN (?, ?) AND {behind} AND NOT {_HEARS} AND (o.next_at < ? OR NOT EXISTS (SELECT 1 FROM "
            "digest_rows d WHERE d.workspace_id = o.workspace_id AND d.key = o.key) OR EXISTS (SELECT 1 FROM outbox p "
            f"WHERE p.workspace_id = o.workspace_id AND p.key = o.key AND {stuck})) "
            "ORDER BY o.subject, o.rank, o.n LIMIT ?",
            s.own(place[0]), place[1], DIGEST, CANARY, *values, to, micros(NEVER), *values, limit,
        )  # fmt: skip
        return [row_of(row) for row in rows]

    def heard(self, end: OutboxRow, to: str) -> bool:
        """Whether the channel `to` was told, in place of this one's, of what ends here, and of no end since."""
        s, values = self._s, (end.workspace_id, end.incident_id)
        s.own(end.workspace_id)
        known = {
            row[0]
            for row in s.rows(
                "SELECT key FROM outbox WHERE workspace_id = ? AND incident_id = ? AND channel_id = ?", *values, to
            )
        }
        ours = s.rows(
            "SELECT key, message FROM outbox WHERE workspace_id = ? AND incident_id = ? AND channel_id = ? AND rank <= ? "
            "ORDER BY rank DESC, n DESC",
            *values, end.channel_id, end.order,
        )  # fmt: skip
        last = next((event_of(message) for key, message in ours if fallback_key(key, to) in known), None)
        return last not in (None, "incident.resolved")
