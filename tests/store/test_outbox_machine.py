"""The outbox against a simple model of it, by whatever sequence of steps a machine finds."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import ALICE, START, FakeClock, a_channel, an_outbox_row
from tables import with_tables
from tocsin.core.account import User, Workspace
from tocsin.core.alert import OutboxRow
from tocsin.core.digest import Gathered, gather
from tocsin.core.storm import DIGEST
from tocsin.store import Store
from tocsin.store.batch import Batch, OutboxOutcome

T = TypeVar("T")
PLACE = ("ws", "c")
LEASE_S = 30
SUBJECTS = ("a", "b")


@dataclass(frozen=True)
class Kept:
    """What the model knows of a message."""

    row: OutboxRow
    state: str = "pending"
    due: float = 0
    held_until: float = -1
    digest: str | None = None


class Outbox(RuleBasedStateMachine):
    """Intends, claims, gathers, settles, crashes, forgets, and replays what was done before."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.known: dict[str, Kept] = {}
        self.done: list[Batch | Gathered | OutboxOutcome] = []
        self.in_hand: list[OutboxRow] = []
        self.gathered: list[OutboxRow] = []
        self.count = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @property
    def now(self) -> float:
        return (self.clock.now() - START).total_seconds()

    @initialize()
    def open(self) -> None:
        self.store = self.run(self._opened())
        user = User(id="alice", email=ALICE, password_hash="x", created_at=START)
        place = Workspace(id="ws", name="Example", created_at=START)
        self.run(self.store.everything().write(lambda s: s.accounts.create_first(user, place)))
        self.run(self.store.of("ws").write(lambda s: s.channels.add(a_channel(id="c"))))

    async def _opened(self) -> Store:
        folder = Path(self.folder.name)
        return await Store.open(
            f"sqlite:///{with_tables(folder / 't.db')}",
            clock=self.clock,
            sealing_key=b"k" * 32,
            spool_dir=folder / "spool",
        )

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()

    # Steps ----------------------------------------------------------------------------------------------------------
    @rule(subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=4))
    def intend(self, subjects: list[str]) -> None:
        rows: list[OutboxRow] = []
        for subject in subjects:
            self.count += 1
            now = self.clock.now()
            rows.append(an_outbox_row(subject=subject, order=self.count, created_at=now, next_at=now))
        batch = Batch(id=str(self.count), outbox=tuple(rows))
        self.run(self.store.commit(batch))
        self.done.append(batch)
        self.known |= {row.key: Kept(row, due=self.now) for row in rows}

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        found = self._claim(lambda s: s.outbox.claim(PLACE, self.clock.now(), LEASE_S, limit, "me"))
        free = [k for k in self._heads() if k.row.subject != DIGEST]
        assert [r.key for r in found] == [k.row.key for k in free[:limit]]
        self._take(found)

    @precondition(lambda self: any(kept.row.subject == DIGEST for kept in self.known.values()))
    @rule()
    def claim_digest(self) -> None:
        found = self._claim(lambda s: s.outbox.claim_digest(PLACE, self.clock.now(), LEASE_S, "me"))
        assert [r.key for r in found] == [k.row.key for k in self._heads() if k.row.subject == DIGEST][:1]
        self._take(found)

    @precondition(lambda self: not self.gathered)
    @rule()
    def claim_all(self) -> None:
        found = self._claim(lambda s: s.outbox.claim_all(PLACE, self.clock.now(), LEASE_S, "me"))
        assert [r.key for r in found] == [k.row.key for k in self._whole()]
        self._take(found)
        self.in_hand = [r for r in self.in_hand if r.key not in {f.key for f in found}]
        self.gathered = found

    @precondition(lambda self: self.gathered)
    @rule()
    def gather(self) -> None:
        digest, _ = gather(self.gathered, self.clock.now(), storm="s")
        self.run(self.store.gather(digest))
        self.done.append(digest)
        self.known[digest.row.key] = Kept(digest.row, due=self.now)
        for key in digest.keys:
            self.known[key] = replace(self.known[key], digest=digest.row.key, held_until=-1)
        self.gathered = []

    @precondition(lambda self: self.in_hand)
    @rule(state=st.sampled_from(["sent", "failed", "dropped"]), again=st.booleans(), pick=st.integers(0, 9))
    def settle(self, state: Any, again: bool, pick: int) -> None:
        row = self.in_hand.pop(pick % len(self.in_hand))
        wait = self.clock.now() + timedelta(seconds=7)
        done = OutboxOutcome(
            key=row.key, workspace_id="ws", state="pending" if again else state, at=self.clock.now(),
            next_at=wait if again else None, error="500" if again else None,
        )  # fmt: skip
        self.run(self.store.settle([done]))
        self.done.append(done)
        kept = self.known[row.key]
        if kept.state != "pending":
            return
        if again:
            self.known[row.key] = replace(kept, due=self.now + 7, held_until=-1)
            return
        self.known[row.key] = replace(kept, state=state, held_until=-1)
        for key, other in self.known.items():
            if other.digest == row.key and other.state == "pending":
                self.known[key] = replace(other, state=state)

    @rule(seconds=st.sampled_from([1, 1, 8, 40]))
    def wait(self, seconds: int) -> None:
        self.clock.jump(seconds)
        self.gathered = [r for r in self.gathered if self.known[r.key].held_until > self.now]
        self.in_hand = [r for r in self.in_hand if self.known[r.key].held_until > self.now]

    @rule()
    def crash(self) -> None:
        """Everything in hand is lost with the process; the next one lets go of its leases."""
        self.run(self.store.close())
        self.store = self.run(self._opened())
        self.run(self.store.everything().write(lambda s: s.outbox.release()))
        self.in_hand, self.gathered = [], []
        self.known = {key: replace(kept, held_until=-1) for key, kept in self.known.items()}

    @precondition(lambda self: self.done)
    @rule(pick=st.integers(0, 99))
    def replay(self, pick: int) -> None:
        """What was kept is kept again, as a spool is after a crash: nothing changes (but what was forgotten)."""
        again = self.done[pick % len(self.done)]
        if isinstance(again, Batch) and all(row.key in self.known for row in again.outbox):
            self.run(self.store.commit(again))
        elif isinstance(again, Gathered) and {again.row.key, *again.keys} <= self.known.keys():
            self.run(self.store.gather(again))
        elif isinstance(again, OutboxOutcome) and again.key in self.known and again.state != "pending":
            self.run(self.store.settle([again]))

    @precondition(lambda self: any(kept.state != "pending" for kept in self.known.values()))
    @rule()
    def forget(self) -> None:
        before = self.clock.now() - timedelta(seconds=60)
        gone = self.run(self.store.everything().write(lambda s: s.outbox.expire(before)))
        left = {row[0] for row in self._rows()}
        assert gone == len(self.known) - len(left)
        assert all(self.known[key].state != "pending" for key in self.known.keys() - left)
        self.known = {key: kept for key, kept in self.known.items() if key in left}

    # What holds after every step ------------------------------------------------------------------------------------
    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        assert {row[0]: row[1] for row in self._rows()} == {key: kept.state for key, kept in self.known.items()}
        pending = self.run(self.store.everything().read(lambda s: s.outbox.pending_count()))
        assert pending == sum(kept.state == "pending" for kept in self.known.values())

    @invariant()
    def what_a_digest_carries_shares_its_end(self) -> None:
        for kept in self.known.values():
            if kept.digest in self.known:
                assert kept.state == self.known[kept.digest or ""].state

    # The model ------------------------------------------------------------------------------------------------------
    def _pending(self) -> list[Kept]:
        return [kept for kept in self.known.values() if kept.state == "pending"]

    def _free(self, kept: Kept) -> bool:
        return kept.digest is None and kept.due <= self.now and kept.held_until <= self.now

    def _before(self, kept: Kept) -> list[Kept]:
        return [k for k in self._pending() if k.row.subject == kept.row.subject and k.row.order < kept.row.order]

    def _heads(self) -> list[Kept]:
        return [k for k in self._pending() if self._free(k) and not self._before(k)]

    def _whole(self) -> list[Kept]:
        return [
            k
            for k in self._pending()
            if k.row.subject != DIGEST and self._free(k) and all(map(self._free, self._before(k)))
        ]

    def _claim(self, work: Any) -> list[OutboxRow]:
        return self.run(self.store.everything().write(work))

    def _take(self, rows: list[OutboxRow]) -> None:
        for row in rows:
            self.known[row.key] = replace(self.known[row.key], held_until=self.now + LEASE_S)
        self.in_hand.extend(rows)

    def _rows(self) -> list[tuple[Any, ...]]:
        return self.run(
            self.store.everything().read(lambda s: [tuple(r) for r in s.rows("SELECT key, state FROM outbox")])
        )


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
