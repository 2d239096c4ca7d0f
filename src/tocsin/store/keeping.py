"""What is kept together or not at all, in the database or on the spool: a batch, a digest, or outcomes of deliveries."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin import telemetry
from tocsin.core.alert import OutboxRow
from tocsin.core.digest import Gathered
from tocsin.store.batch import Batch, OutboxOutcome
from tocsin.store.session import Session

log = telemetry.logger("tocsin.store")


class Keepable(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of them."""

    batch: Batch | None = None
    outcomes: tuple[OutboxOutcome, ...] = ()
    digest: Gathered | None = None

    @property
    def by(self) -> str:
        return "tocsin" if self.batch is None else self.batch.by

    @property
    def shared(self) -> bool:
        """Whether it changes what all instances of a cluster share."""
        batch = self.batch
        decided = batch is not None and bool(batch.verdicts or batch.incidents or batch.outbox)
        return decided or bool(self.outcomes) or self.digest is not None

    @property
    def own(self) -> Keepable | None:
        """The part of it that is the instance's own: what was seen, without what was decided."""
        if self.batch is None or not (self.batch.results or self.batch.states):
            return None
        return Keepable(batch=msgspec.structs.replace(self.batch, verdicts=(), incidents=(), outbox=()))


def keep(s: Session, record: Keepable) -> None:
    """Write it; twice is the same as once."""
    batch = record.batch
    if batch is not None:
        s.results.add(batch.results)
        s.states.save(batch.states)
        s.verdicts.save(batch.verdicts)
        for change in batch.incidents:
            s.incidents.save(change)
        _intend(s, batch.outbox)
    if record.digest is not None:
        s.outbox.gather(record.digest)
    s.outbox.settle(record.outcomes)


def _intend(s: Session, rows: Sequence[OutboxRow]) -> None:
    """Intend to send these. That another message has the key of one must not be: this one is not told, which is said. (The
    same message again is one.)"""
    for row in rows:
        if s.outbox.add(row) or row.incident_id is None:
            continue
        known = s.outbox.get(row.key)
        if known is not None and (known.incident_id, known.message.at) != (row.incident_id, row.message.at):
            telemetry.messages_dropped.inc()
            about = {"subject": row.subject, "incident": row.incident_id, "channel": row.channel_id}
            log.warning("outbox.key_repeated", key=row.key, message=row.message.event, **about)


def without_bodies(record: Keepable) -> Keepable:
    """It as the spool may hold it: what assertions read of a response is never kept."""
    if record.batch is None:
        return record
    replace = msgspec.structs.replace
    bare = tuple(
        replace(r, outcome=replace(r.outcome, seen=replace(r.outcome.seen, body=b""))) if r.outcome.seen.body else r
        for r in record.batch.results
    )
    return replace(record, batch=replace(record.batch, results=bare))
