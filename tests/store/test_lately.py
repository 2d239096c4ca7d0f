"""How channels took their latest messages, on both databases."""

from __future__ import annotations

from builders import an_outbox_row, at
from store.test_outbox import intend, outcome, with_channel
from tocsin.store import Store
from tocsin.store.batch import Batch
from tocsin.store.lately import Lately, lately


async def _now(store: Store) -> Lately | None:
    return (await store.of("ws").read(lately)).get("c")


async def test_a_channel_takes_messages_or_not_by_its_latest_ones(store: Store) -> None:
    await with_channel(store)
    assert await _now(store) is None
    rows = await intend(store, "a", "b", "c", "d")
    assert await _now(store) is None  # nothing was tried yet
    first = [outcome(rows[0].key, "sent", 10), outcome(rows[1].key, "failed", 20, error="401")]
    await store.everything().write(lambda s: s.outbox.settle(first))
    found = await _now(store)
    assert found is not None
    assert (found.well, found.count, found.error) == (False, 1, "401")
    waiting = [
        outcome(rows[2].key, "pending", 30, error="refused", next_at=at(60)),
        outcome(rows[3].key, "dropped", 30),
    ]
    await store.everything().write(lambda s: s.outbox.settle(waiting))
    found = await _now(store)
    assert found is not None
    assert (found.well, found.count, found.error) == (False, 2, "refused")
    await store.everything().write(lambda s: s.outbox.settle([outcome(rows[2].key, "sent", 70)]))
    assert await _now(store) == Lately(well=True, count=1, since=at(70))
    assert await store.of("other").read(lately) == {}
    await store.commit(Batch(id="more", outbox=(an_outbox_row(subject="e", order=1),)))
    assert await _now(store) == Lately(well=True, count=1, since=at(70))
