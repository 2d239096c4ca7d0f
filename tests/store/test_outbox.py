"""Digests, channels that are off, and what waits for whom, on both databases."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from builders import a_channel, a_message, an_outbox_row, at
from tocsin.core.alert import OutboxRow
from tocsin.core.digest import Gathered, gather
from tocsin.core.storm import CANARY, DIGEST, Waiting
from tocsin.store import Store
from tocsin.store.batch import Batch, OutboxOutcome

PLACE = ("ws", "c")


async def intend(store: Store, *subjects: str, **more: Any) -> list[OutboxRow]:
    """Messages for channel `c`, one of each subject, the second of a subject after the first."""
    rows = [
        an_outbox_row(**({"subject": s, "order": subjects[:n].count(s) + 1} | more)) for n, s in enumerate(subjects)
    ]
    await store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
    return rows


async def with_channel(store: Store) -> None:
    await store.of("ws").write(lambda s: s.channels.add(a_channel(id="c")))


async def claim_all(store: Store, seconds: float) -> list[str]:
    rows = await store.everything().write(lambda s: s.outbox.claim_all(PLACE, at(seconds), 30, "me"))
    return [row.key for row in rows]


async def claim(store: Store, seconds: float, limit: int = 50) -> list[str]:
    rows = await store.everything().write(lambda s: s.outbox.claim(PLACE, at(seconds), 30, limit, "me"))
    return [row.key for row in rows]


async def claim_digest(store: Store, seconds: float) -> list[str]:
    rows = await store.everything().write(lambda s: s.outbox.claim_digest(PLACE, at(seconds), 30, "me"))
    return [row.key for row in rows]


async def peek(store: Store, seconds: float) -> Waiting:
    return await store.everything().read(lambda s: s.outbox.peek(PLACE, at(seconds)))


def made(rows: list[OutboxRow], seconds: float) -> Gathered:
    return gather(rows, at(seconds), storm="s")[0]


async def states(store: Store, rows: list[OutboxRow]) -> list[tuple[str, str | None]]:
    found = [await store.of("ws").read(lambda s, key=row.key: s.outbox.get(key)) for row in rows]
    return [(row.state, row.digest) for row in found if row is not None]


def outcome(key: str, state: Any, seconds: float, **more: Any) -> OutboxOutcome:
    return OutboxOutcome(key=key, workspace_id="ws", state=state, at=at(seconds), **more)


async def test_what_waits_is_counted_by_what_it_is(store: Store) -> None:
    await with_channel(store)
    assert await peek(store, 0) == Waiting()
    await intend(store, "a", "a", "b", next_at=at(1))
    await intend(store, "d", message=a_message(event="incident.reminder"), next_at=at(1), created_at=at(1))
    await intend(store, CANARY, message=a_message(event="test"), next_at=at(1))
    await intend(store, DIGEST, message=a_message(event="digest"), next_at=at(5))
    await intend(store, "later", next_at=at(9))
    assert await peek(store, 0) == Waiting(digest="held")
    assert await peek(store, 1) == Waiting(count=4, openings=3, oldest=at(0), alone=1, digest="held")
    assert (await peek(store, 5)).digest == "due"
    await claim_digest(store, 5)
    assert (await peek(store, 6)).digest == "held"
    await intend(store, *[f"m{n}" for n in range(40)])
    assert (await peek(store, 6)).count >= 40


async def test_a_digest_takes_whole_subjects_and_shares_its_end_with_what_it_carries(store: Store) -> None:
    await with_channel(store)
    rows = await intend(store, "a", "b", "a", "canary")
    (stuck,) = await intend(store, "late", next_at=at(60))
    await intend(store, "late", order=2)
    assert await claim_all(store, 1) == [row.key for row in rows], "what comes after a message that was put off stays"
    assert await claim_all(store, 2) == [], "it is held"
    digest = made(rows, 3)
    for _ in range(2):
        await store.gather(digest)
    assert await states(store, rows) == [("pending", digest.row.key)] * 4
    assert await claim(store, 40) == [], "carried: its lease is over, and still nobody gets it"
    (after,) = await intend(store, "a", order=9)
    assert await claim(store, 41) == [], "what comes later waits for the digest"
    assert await claim_digest(store, 42) == [digest.row.key]
    await store.settle([outcome(digest.row.key, "pending", 43, error="500", next_at=at(50))])
    assert await states(store, [digest.row, *rows]) == [("pending", None)] + [("pending", digest.row.key)] * 4
    assert await claim_digest(store, 49) == []
    assert await claim_digest(store, 50) == [digest.row.key]
    await store.settle([outcome(digest.row.key, "sent", 51, ok=True, took_ms=5)])
    assert await states(store, rows) == [("sent", digest.row.key)] * 4
    assert await claim(store, 52) == [after.key]
    log = {d.row.key: d for d in (await store.of("ws").read(lambda s: s.outbox.list()))[0]}
    assert [(a.ok, a.error) for a in log[rows[0].key].attempts] == [(False, "500"), (True, None)]
    assert log[stuck.key].attempts == ()
    assert [r.key for r in await store.of("ws").read(lambda s: s.outbox.carried(digest.row))] == list(digest.keys)


async def test_the_digest_of_a_killed_sender_can_be_had_again_with_what_it_carries(store: Store) -> None:
    await with_channel(store)
    rows = await intend(store, "a", "b")
    await claim_all(store, 1)
    await store.everything().write(lambda s: s.outbox.release())
    assert await claim_all(store, 2) == [row.key for row in rows], "killed before it was kept: nothing is lost"
    digest = made(rows, 3)
    await store.gather(digest)
    await claim_digest(store, 4)
    await store.everything().write(lambda s: s.outbox.release())
    (again,) = await store.everything().write(lambda s: s.outbox.claim_digest(PLACE, at(5), 30, "me"))
    assert (again.key, again.message) == (digest.row.key, digest.row.message)
    assert await claim_all(store, 6) == []


async def test_a_digest_for_a_channel_that_is_gone_is_not_kept(store: Store) -> None:
    await with_channel(store)
    rows = await intend(store, "a", "b")
    digest = made(rows, 3)
    await store.of("ws").write(lambda s: s.channels.delete("c"))
    await store.gather(digest)
    assert await store.of("ws").read(lambda s: s.outbox.get(digest.row.key)) is None
    assert [state for state, _ in await states(store, rows)] == ["dropped", "dropped"]


async def test_messages_of_a_channel_that_is_off_say_so_once_and_are_given_up_in_time(store: Store) -> None:
    await with_channel(store)
    rows = await intend(store, "a", "b", "d")
    ws = store.of("ws")

    async def hold(note: str, before: float, limit: int = 10) -> list[str]:
        held = await ws.write(lambda s: s.outbox.hold_back(PLACE, note, at(before), limit))
        return [row.key for row in held]

    assert await hold("off", -1, 2) == [rows[0].key, rows[1].key]
    assert await hold("off", -1) == [rows[2].key]
    assert await hold("off", -1) == []
    assert await hold("off", 1) == []
    assert [state for state, _ in await states(store, rows)] == ["failed"] * 3


async def test_the_latest_name_of_a_message_on_the_other_side_is_kept_for_its_incident(store: Store) -> None:
    await with_channel(store)
    first, second = await intend(store, "a", "a", incident_id="i1")
    ws = store.of("ws")
    assert await ws.read(lambda s: s.outbox.earlier_ref(second)) is None
    await store.settle([outcome(first.key, "sent", 1, ok=True, ref="1.23")])
    assert await ws.read(lambda s: s.outbox.earlier_ref(second)) == "1.23"
    await store.settle([outcome(second.key, "sent", 2, ok=True, ref="4.56")])
    assert await ws.read(lambda s: s.outbox.earlier_ref(second)) == "4.56"
    assert await ws.read(lambda s: s.outbox.earlier_ref(replace(second, incident_id="i2"))) is None
    assert await ws.read(lambda s: s.outbox.left_since(at(1.5))) == [(PLACE, at(2), "incident.opened")]
    await ws.write(lambda s: s.outbox.expire(at(9)))
    assert await ws.read(lambda s: s.outbox.earlier_ref(second)) is None


async def test_a_message_may_go_to_a_member_and_to_nobody_else(store: Store) -> None:
    members, strangers = (
        await intend(store, "a", channel_id="person:alice"),
        await intend(store, "a", channel_id="person:charlie"),
    )
    assert [state for state, _ in await states(store, members)] == ["pending"]
    assert await states(store, strangers) == []
