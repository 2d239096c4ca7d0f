"""States, verdicts, incidents, the outbox, and the door they pass."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError

from builders import a_channel, a_result, a_state, a_verdict, an_incident, an_outbox_row, at
from store.conftest import Opener, keep_monitor
from tocsin import telemetry
from tocsin.core.incident import Entry
from tocsin.core.uptime import Interval
from tocsin.errors import Conflict, NotFound
from tocsin.store import Store
from tocsin.store.batch import Batch, IncidentChange, OutboxOutcome, StateChange, VerdictChange

replace = msgspec.structs.replace


def verdict(monitor: Any, value: Any, seconds: float) -> VerdictChange:
    return VerdictChange(workspace_id="ws", monitor_id=monitor.id, verdict=a_verdict(value, at=at(seconds)))


async def test_states_take_the_place_of_the_ones_before(store: Store) -> None:
    monitor = await keep_monitor(store)
    for vote in ("up", "down"):
        change = StateChange(workspace_id="ws", monitor_id=monitor.id, state=a_state(vote, location="eu"))
        await store.commit(Batch(id="b", states=(change,)))
    assert await store.everything().read(lambda s: s.states.all()) == [(monitor.id, a_state("down", location="eu"))]


async def test_verdicts_are_intervals_whatever_order_they_arrive_in(store: Store) -> None:
    monitor = await keep_monitor(store)
    for value, seconds in (("up", 0), ("down", 600), ("partial", 300), ("partial", 300), ("up", 900)):
        await store.commit(Batch(id="b", verdicts=(verdict(monitor, value, seconds),)))
    await store.commit(Batch(id="r", results=(a_result(monitor=monitor, at=at(960)),)))
    ws = store.of("ws")
    found = await ws.read(lambda s: s.verdicts.intervals(monitor.id, at(-1), at(5000)))
    assert found == [
        Interval(value="up", start=at(0), end=at(300)),
        Interval(value="partial", start=at(300), end=at(600)),
        Interval(value="down", start=at(600), end=at(900)),
        Interval(value="up", start=at(900), end=None, fresh_until=at(960 + 130)),
    ]
    assert [i.value for i in await ws.read(lambda s: s.verdicts.intervals(monitor.id, at(300), at(600)))] == ["partial"]
    other = await keep_monitor(store)
    for first, last in ((-1, 5000), (300, 600), (350, 360), (950, 960), (-9, 0)):
        start, end = at(first), at(last)
        alone = await ws.read(lambda s, a=start, b=end: s.verdicts.intervals(monitor.id, a, b))
        among = await ws.read(lambda s, a=start, b=end: s.verdicts.intervals_of([monitor.id, other.id, "no"], a, b))
        assert among == {monitor.id: alone, other.id: []}
    for first, last, values in ((-9, 5000, "udpu"), (350, 650, "pd"), (600, 601, "d"), (950, 990, "u"), (-9, 0, "")):
        held = await ws.read(lambda s, a=at(first), b=at(last): s.verdicts.between(monitor.id, a, b))
        assert sorted(v.value[0] for v in held) == sorted(values)
        assert held == sorted(held, key=lambda v: v.at)
    current = a_verdict("up", at=at(900))
    assert await store.everything().read(lambda s: s.verdicts.open_all()) == {monitor.id: current}
    history = await ws.read(lambda s: s.verdicts.history(monitor.id, 2))
    assert [v.value for v in history] == ["up", "down"]


async def test_one_subject_has_one_open_incident(store: Store) -> None:
    monitor = await keep_monitor(store)
    first = an_incident(monitor)
    await store.commit(Batch(id="b", incidents=(IncidentChange(incident=first, opens=True),)))
    with pytest.raises(Conflict):
        await store.commit(Batch(id="c", incidents=(IncidentChange(incident=an_incident(monitor), opens=True),)))
    elsewhere = an_incident(workspace_id="elsewhere", subject=first.subject)
    await store.commit(Batch(id="d", incidents=(IncidentChange(incident=elsewhere, opens=True),)))
    resolved = replace(first, resolved_at=at(60), transition=2)
    await store.commit(Batch(id="e", incidents=(IncidentChange(incident=resolved),)))
    second = an_incident(monitor, transition=3, opened_at=at(120))
    await store.commit(Batch(id="f", incidents=(IncidentChange(incident=second, opens=True),)))
    ws = store.of("ws")
    assert await ws.read(lambda s: s.incidents.list(open=True)[0]) == [second]
    assert await ws.read(lambda s: s.incidents.latest_of([first.subject, "monitor:x"])) == {first.subject: second}
    assert [i.id for i in (await ws.read(lambda s: s.incidents.list()))[0]] == [second.id, first.id]
    assert (await ws.read(lambda s: s.incidents.list(open=False, monitor=monitor.id)))[0] == [resolved]
    page, cursor = await ws.read(lambda s: s.incidents.list(limit=1))
    assert page == [second]
    assert (await ws.read(lambda s: s.incidents.list(limit=1, cursor=cursor))) == ([resolved], None)


@pytest.mark.parametrize("subject", ["monitor:m", "coverage"])
async def test_the_newest_incident_is_the_one_with_the_most_transitions(store: Store, subject: str) -> None:
    async def keep(**more: Any) -> Any:
        incident = an_incident(subject=subject, **more)
        await store.commit(Batch(id="b", incidents=(IncidentChange(incident=incident),)))
        return incident

    async def newest() -> Any:
        found = await store.of("ws").read(
            lambda s: [*s.incidents.latest_of([subject]).values(), *s.incidents.latest_of_others()]
        )
        assert len(found) == (1 if subject.startswith("monitor:") else 2)
        assert found[0] == found[-1]
        return found[0]

    ahead = await keep(opened_at=at(3600), resolved_at=at(3660), transition=4)
    assert await newest() == ahead
    later = await keep(opened_at=at(60), resolved_at=at(90), transition=6)
    assert await newest() == later
    open = await keep(opened_at=at(120), transition=5)
    assert await newest() == replace(open, transition=6), "it is what lasts, and goes on counting"


async def test_a_message_that_has_the_key_of_another_one_is_counted(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    channel = a_channel()
    await store.of("ws").write(lambda s: s.channels.add(channel))
    row = an_outbox_row(channel_id=channel.id, incident_id="i1")
    before = telemetry.messages_dropped._value.get()
    for _ in range(2):
        await store.commit(Batch(id="b", outbox=(row,)))
    assert telemetry.messages_dropped._value.get() == before
    await store.commit(Batch(id="c", outbox=(replace(row, incident_id="i2"),)))
    assert telemetry.messages_dropped._value.get() == before + 1
    assert "outbox.key_repeated" in caplog.text


async def test_a_conflict_takes_the_whole_batch_back_and_nothing_of_others(store: Store) -> None:
    monitor = await keep_monitor(store)
    await store.commit(Batch(id="b", incidents=(IncidentChange(incident=an_incident(monitor), opens=True),)))
    result = a_result(monitor=monitor)
    with pytest.raises(Conflict):
        await store.commit(Batch(id="c", results=(result,), incidents=(IncidentChange(incident=an_incident(monitor)),)))
    assert (await store.of("ws").read(lambda s: s.results.page(monitor.id)))[0] == []
    assert store.breaker.state == "closed"


async def test_committing_a_batch_twice_is_the_same_as_once(store: Store) -> None:
    monitor, channel = await keep_monitor(store), a_channel()
    await store.of("ws").write(lambda s: s.channels.add(channel))
    incident = an_incident(monitor, evidence={"reason": "x"})
    entry = Entry(at=at(1), kind="opened", text="opened")
    batch = Batch(
        id="b", results=(a_result("down", monitor=monitor),), verdicts=(verdict(monitor, "down", 0),),
        states=(StateChange(workspace_id="ws", monitor_id=monitor.id, state=a_state("down")),),
        incidents=(IncidentChange(incident=incident, entries=(entry, replace(entry, kind="notified")), opens=True),),
        outbox=(an_outbox_row(channel_id=channel.id), an_outbox_row(channel_id="gone")),
    )  # fmt: skip
    tables = (
        "results_tail",
        "evidence",
        "states",
        "verdicts",
        "incidents",
        "timeline",
        "subjects",
        "outbox",
        "changes",
    )

    def everything(s: Any) -> dict[str, list[tuple[Any, ...]]]:
        return {table: [tuple(r) for r in s.rows(f"SELECT * FROM {table}")] for table in tables}

    await store.commit(batch)
    once = await store.everything().read(everything)
    assert all(once.values())
    await store.commit(batch)
    assert await store.everything().read(everything) == once
    assert [e.kind for e in await store.of("ws").read(lambda s: s.incidents.timeline(incident.id))] == [
        "opened",
        "notified",
    ]


async def rows_for(store: Store, *orders: tuple[str, int]) -> list[str]:
    channel = a_channel(id="c")
    await store.of("ws").write(lambda s: s.channels.add(channel))
    keys: list[str] = []
    for subject, order in orders:
        row = an_outbox_row(subject=subject, order=order)
        await store.of("ws").write(lambda s, row=row: s.outbox.add(row))
        keys.append(row.key)
    return keys


async def claim(store: Store, seconds: float, limit: int = 10) -> list[str]:
    place = ("ws", "c")
    rows = await store.everything().write(lambda s: s.outbox.claim(place, at(seconds), 30, limit, "me"))
    return [row.key for row in rows]


def outcome(key: str, state: Any, seconds: float, **more: Any) -> OutboxOutcome:
    return OutboxOutcome(key=key, workspace_id="ws", state=state, at=at(seconds), **more)


async def test_messages_of_a_subject_leave_one_after_the_other(store: Store) -> None:
    up, down, other = await rows_for(store, ("a", 2), ("a", 1), ("b", 1))
    assert await claim(store, 0) == [down, other]
    assert await claim(store, 1) == []
    await store.settle([outcome(down, "pending", 2, error="500", next_at=at(10)), outcome(other, "sent", 2, ok=True)])
    assert await claim(store, 5) == []
    assert await store.everything().read(lambda s: s.outbox.places()) == [(("ws", "c"), at(0))]
    assert await claim(store, 10) == [down]
    assert await claim(store, 39) == []
    assert await claim(store, 40) == [down], "the lease is over: its sender died"
    await store.settle([outcome(down, "sent", 41, ok=True, took_ms=12.5)])
    assert await claim(store, 41) == [up]
    ws = store.of("ws")
    assert await ws.read(lambda s: s.outbox.pending_count()) == 1
    assert await ws.read(lambda s: s.outbox.oldest()) == at(0)
    log, cursor = await ws.read(lambda s: s.outbox.list(limit=2))
    assert [d.row.key for d in log] == [other, down]
    assert [(a.ok, a.error, a.took_ms) for a in log[1].attempts] == [(False, "500", 0.0), (True, None, 12.5)]
    assert log[1].row.attempts == 2
    assert [d.row.key for d in (await ws.read(lambda s: s.outbox.list(cursor=cursor)))[0]] == [up]
    assert (await ws.read(lambda s: s.outbox.list(incident="other")))[0] == []


async def test_what_is_settled_stays_settled(store: Store) -> None:
    (key,) = await rows_for(store, ("a", 1))
    done = outcome(key, "sent", 5, ok=True)
    for change in (done, done, outcome(key, "failed", 9, error="late"), outcome("unknown", "sent", 9, ok=True)):
        await store.settle([change])
    row = await store.of("ws").read(lambda s: s.outbox.get(key))
    assert row is not None
    assert (row.state, row.attempts, row.done_at) == ("sent", 1, at(5))
    assert await store.everything().write(lambda s: s.outbox.expire(at(6))) == 1
    assert (await store.of("ws").read(lambda s: s.outbox.list()))[0] == []


async def test_the_door_records_who_changed_what_without_secrets(store: Store) -> None:
    monitor = await keep_monitor(store, target={"url": "http://canary/"})
    bob = store.of("ws", by="bob@example.org")
    await bob.write(lambda s: s.monitors.replace(replace(monitor, name="renamed")))
    await bob.write(lambda s: s.monitors.delete(monitor.id))
    (deleted, changed, created), cursor = await store.of("ws").read(lambda s: s.changes.list(limit=3))
    assert (created.verb, created.noun, created.noun_id, created.by) == ("created", "monitor", monitor.id, "tocsin")
    assert (changed.before, changed.after) == ({"name": monitor.name, "version": 1}, {"name": "renamed", "version": 2})
    assert (deleted.verb, deleted.by, deleted.after) == ("deleted", "bob@example.org", {})
    older, _ = await store.everything().read(lambda s: s.changes.list(cursor=cursor))
    assert {c.noun for c in older} >= {"user", "workspace", "membership"}
    text = repr([deleted, changed, created, *older])
    assert "canary" not in text
    assert "hash of" not in text


async def test_a_write_that_fails_leaves_no_record(store: Store) -> None:
    before = await store.everything().read(lambda s: s.changes.list())
    monitor = await keep_monitor(store)

    def fail(s: Any) -> None:
        s.monitors.delete(monitor.id)
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        await store.of("ws").write(fail)
    after = await store.everything().read(lambda s: s.changes.list())
    assert [c.verb for c in after[0][: len(after[0]) - len(before[0])]] == ["created"]
    assert await store.of("ws").read(lambda s: s.monitors.get(monitor.id)) == monitor


async def test_notes_keep_small_facts(store: Store, url: str, open_store: Opener) -> None:
    await store.everything().write(lambda s: s.notes.set("watermark", {"at": 5}))
    await store.everything().write(lambda s: s.notes.set("watermark", {"at": 6}))
    await store.close()
    again = await open_store(url)
    assert await again.everything().read(lambda s: s.notes.get("watermark")) == {"at": 6}
    assert await again.everything().read(lambda s: s.notes.get("nothing")) is None


async def test_a_reopened_incident_is_not_set_back_by_what_is_older(store: Store) -> None:
    monitor = await keep_monitor(store)
    opened = an_incident(monitor)
    acknowledged = replace(opened, transition=3, acknowledged_by="bob", acknowledged_at=at(9), flips=(at(1), at(2)))
    await store.commit(Batch(id="b", incidents=(IncidentChange(incident=acknowledged, opens=True),)))
    late = Entry(at=at(0), kind="comment", text="written while cut off", by="bob")
    await store.commit(Batch(id="a", incidents=(IncidentChange(incident=opened, entries=(late,)),)))
    ws = store.of("ws")
    assert await ws.read(lambda s: s.incidents.get(opened.id)) == acknowledged
    assert await ws.read(lambda s: s.incidents.timeline(opened.id)) == [late]


async def test_what_is_past_its_retention_is_forgotten(store: Store) -> None:
    monitor = await keep_monitor(store)
    for value, seconds in (("up", 0), ("down", 600), ("up", 900)):
        await store.commit(Batch(id="b", verdicts=(verdict(monitor, value, seconds),)))
    everything = store.everything()
    assert await everything.write(lambda s: s.verdicts.expire(at(700))) == 1
    assert await everything.write(lambda s: s.verdicts.expire(at(99_999))) == 1  # the one that lasts stays
    assert (await store.of("ws").read(lambda s: s.verdicts.open_all())).keys() == {monitor.id}
    kept = len((await everything.read(lambda s: s.changes.list()))[0])
    assert kept > 0
    await store.of("elsewhere").write(lambda s: s.changes.expire(at(10**9)))
    ours = (await store.of("ws").read(lambda s: s.changes.list()))[0]
    assert ours
    await everything.write(lambda s: s.changes.expire(at(10**9)))
    assert (await everything.read(lambda s: s.changes.list()))[0] == []


async def test_what_a_database_refuses_is_no_outage(store: Store) -> None:
    """Text that PostgreSQL cannot hold: the asker is told, the breaker stays closed for everybody else."""
    for _ in range(6):
        for ask in (
            store.of("ws").read(lambda s: s.accounts.user_by_email("a\0b")),
            store.of("ws").write(lambda s: s.channels.add(a_channel(id="c\0", name="c\0"))),
        ):
            with contextlib.suppress(DBAPIError, Conflict):
                await ask
    assert store.breaker.state == "closed"
    assert await store.of("ws").read(lambda s: s.accounts.setup_done())
