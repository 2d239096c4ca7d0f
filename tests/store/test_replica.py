"""One log, several databases: what the primary changes in the shared tables is one entry a commit, and comes to be the same
everywhere."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import a_channel, a_monitor, a_result, a_state, a_verdict, an_incident, an_outbox_row, at, records
from store.conftest import furnish
from store.replicas import (
    Courier,
    append,
    catch_up,
    enrol,
    found,
    last_of,
    open_instance,
    replica_of,
    shared_rows,
    sql,
    take_snapshot,
)
from store.test_accounts import a_key, a_session
from tocsin.errors import Conflict, Invalid, NotFound, NotPrimary
from tocsin.store import Store, images
from tocsin.store.batch import Batch, IncidentChange, OutboxOutcome, StateChange, VerdictChange
from tocsin.store.control import Entry, Save
from tocsin.store.images import Oversize, decode

Opening = Callable[[str], Awaitable[Store]]
replace = msgspec.structs.replace


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Opening]:
    opened: list[Store] = []

    async def open_one(name: str) -> Store:
        opened.append(await open_instance(tmp_path, name))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def pair(instance: Opening) -> tuple[Store, Courier, Store]:
    """A primary with two workspaces, its carrier, and a follower that has them too."""
    primary = await instance("one")
    await furnish(primary)
    key, courier = await found(primary)
    follower = await instance("two")
    await enrol(follower, key, primary)
    return primary, courier, follower


def touched(courier: Courier, n: int = -1) -> dict[str, tuple[int, int]]:
    """(rows that are there, rows that are gone) by table of an entry."""
    return {i.table: (len(i.rows), len(i.gone)) for i in decode(courier.entries[n].payload).tables}


async def test_a_commit_is_one_entry_and_the_same_rows_elsewhere(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    monitor = a_monitor(target={"url": "https://user:hunter2@example.org/"}, channels=("c",))

    def work(s: Any) -> None:
        s.channels.add(a_channel(id="c", config={"url": "https://hooks.example/hunter2"}))
        s.monitors.add(monitor)

    await primary.of("ws").write(work)
    assert len(courier.entries) == 1
    assert touched(courier) == {"channels": (1, 0), "monitors": (1, 0), "monitor_channels": (1, 0), "changes": (2, 0)}
    applied = await catch_up(follower, primary)
    assert applied.changed["monitors"] == {("ws", monitor.id)}
    assert shared_rows(follower) == shared_rows(primary)
    assert await follower.of("ws").read(lambda s: s.monitors.get(monitor.id)) == monitor
    for store in (primary, follower):
        logged = repr([decode(row[0]) for row in sql(store, "SELECT payload FROM control_log")])
        assert monitor.id in logged
        assert "hunter2" not in logged


async def test_what_cascades_is_among_what_was_touched(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    ws = primary.of("ws")
    parent, child = a_monitor(channels=("c",)), a_monitor(channels=("c",))
    await ws.write(lambda s: s.channels.add(a_channel(id="c")))
    await ws.write(lambda s: s.monitors.add(parent))
    await ws.write(lambda s: s.monitors.add(replace(child, parents=(parent.id,))))
    await catch_up(follower, primary)
    await primary.everything().write(lambda s: s.run("DELETE FROM workspaces WHERE id = 'ws'"))
    gone = touched(courier)
    assert gone["monitor_parents"] == (0, 1)
    assert gone["monitor_channels"] == (0, 2)
    assert gone["monitors"] == (0, 2)
    assert gone["memberships"] == (0, 1)
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary)
    assert len(sql(follower, "SELECT * FROM monitors_gone")) == 2


async def test_an_instance_that_stands_alone_notes_nothing(instance: Opening, tmp_path: Path) -> None:
    store = await instance("one")
    await furnish(store)
    assert replica_of(store).gear is None
    assert sql(store, "SELECT count(*) FROM control_log") == [(0,)]
    assert await store._database.write(_temp_names) == []  # type: ignore[attr-defined]
    await found(store)
    assert "touched" in await store._database.write(_temp_names, local=True)  # type: ignore[attr-defined]
    await replica_of(store).leave()
    await store.of("ws").write(lambda s: s.monitors.add(a_monitor()))
    assert await store._database.write(_temp_names) == []  # type: ignore[attr-defined]
    assert await replica_of(store).state() is None
    assert sql(store, "SELECT name FROM sqlite_schema WHERE type = 'trigger'") == []


def _temp_names(connection: Any, undo: Any) -> list[str]:
    return [row[0] for row in connection.exec_driver_sql("SELECT name FROM temp.sqlite_schema").fetchall()]


async def test_of_a_group_only_what_stayed_is_captured(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    good, bad = a_monitor(), a_monitor()
    hold = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(s: Any) -> None:
        asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()

    def fails(s: Any) -> None:
        s.monitors.add(bad)
        raise NotFound("on purpose")

    first = asyncio.create_task(primary.everything().write(slow))
    await asyncio.sleep(0.05)
    ws = primary.of("ws")
    both = [asyncio.create_task(ws.write(work)) for work in (lambda s: s.monitors.add(good), fails)]
    await asyncio.sleep(0.05)
    hold.set()
    results = await asyncio.gather(first, *both, return_exceptions=True)
    assert isinstance(results[2], NotFound)
    assert len(courier.entries) == 1
    assert touched(courier)["monitors"] == (1, 0)
    with pytest.raises(NotFound):
        await ws.write(fails)
    assert len(courier.entries) == 1
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary)


async def test_columns_that_stay_at_home_are_not_captured(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    await primary.of("ws").write(lambda s: s.channels.add(a_channel(id="c")))
    await primary.of("ws").write(lambda s: s.api_keys.add(a_key()))
    await primary.commit(Batch(id="b", outbox=(an_outbox_row(channel_id="c"),)))
    count = len(courier.entries)
    held = await primary.everything().write(lambda s: s.outbox.claim(("ws", "c"), at(9), 30.0, 10, "me"))
    await primary.of("ws").write(lambda s: s.api_keys.touch("k1", at(5)))
    assert len(held) == 1
    assert len(courier.entries) == count
    await catch_up(follower, primary)
    await follower.of("ws").write(lambda s: s.api_keys.touch("k1", at(7)))
    revoked = await primary.of("ws").write(lambda s: s.api_keys.revoke("k1", at(6)))
    await catch_up(follower, primary)
    kept = await follower.of("ws").read(lambda s: s.api_keys.get("k1"))
    assert (kept.revoked_at, kept.last_used_at) == (revoked.revoked_at, at(7))
    assert sql(follower, "SELECT lease_until, lease_by FROM outbox") == [(None, None)]
    assert sql(primary, "SELECT lease_by FROM outbox") == [("me",)]


async def test_a_write_is_done_when_a_majority_has_it(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, _ = pair
    monitor = a_monitor()
    await primary.of("ws").write(lambda s: s.monitors.add(monitor))
    await primary.everything().write(lambda s: s.places.location("local"))
    courier.at_once = False
    waiting = asyncio.create_task(primary.of("ws").write(lambda s: s.channels.add(a_channel(id="c"))))
    while len(courier.entries) < 3:
        await asyncio.sleep(0.005)
    # What was only seen does not wait; what could be told of something undecided does.
    assert await primary.commit(Batch(id="b", results=(a_result(monitor=monitor),))) == "stored"
    claim = asyncio.create_task(primary.everything().write(lambda s: s.outbox.places()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert not claim.done()
    courier.settle(courier.entries[-1].index)
    await asyncio.gather(waiting, claim)
    late = asyncio.create_task(primary.of("ws").write(lambda s: s.channels.add(a_channel(id="d"))))
    while len(courier.entries) < 4:
        await asyncio.sleep(0.005)
    courier.settle(courier.upto, lost=True)
    with pytest.raises(NotPrimary) as refused:
        await late
    assert refused.value.in_doubt


async def test_a_follower_refuses_what_is_shared_and_keeps_what_is_its_own(pair: tuple[Store, Courier, Store]) -> None:
    primary, _, follower = pair
    monitor = a_monitor()
    await primary.of("ws").write(lambda s: s.monitors.add(monitor))
    await primary.everything().write(lambda s: s.places.location("local"))
    row = an_outbox_row(channel_id="c")
    await primary.of("ws").write(lambda s: s.channels.add(a_channel(id="c")))
    await primary.commit(Batch(id="o", outbox=(row,)))
    await catch_up(follower, primary)
    await replica_of(follower).follow("https://one.example", 3.0)
    before = shared_rows(follower)
    with pytest.raises(NotPrimary) as refused:
        await follower.of("ws").write(lambda s: s.channels.add(a_channel()))
    assert (refused.value.primary, refused.value.retry_after_s) == ("https://one.example", 3.0)
    m = {"workspace_id": "ws", "monitor_id": monitor.id}
    batch = Batch(
        id="b", results=(a_result("down", monitor=monitor),), states=(StateChange(**m, state=a_state("down")),),
        verdicts=(VerdictChange(**m, verdict=a_verdict("down")),),
        incidents=(IncidentChange(incident=an_incident(monitor), opens=True),),
    )  # fmt: skip
    with pytest.raises(NotPrimary):
        await follower.commit(batch)
    assert await follower.commit(replace(batch, verdicts=(), incidents=())) == "stored"
    with pytest.raises(NotPrimary):
        await follower.settle([OutboxOutcome(key=row.key, workspace_id="ws", state="sent", at=at(1))])
    with pytest.raises(NotPrimary):
        await follower.of("ws").write(lambda s: s.alert_rules.add(records()["alert_rules"]))
    await follower.move_tail()
    page, _ = await follower.of("ws").read(lambda s: s.results.page(monitor.id))
    assert [r.status for r in page] == ["down"]
    assert shared_rows(follower) == before


async def test_who_lost_the_lease_writes_nothing_more(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, _ = pair
    courier.may = False
    with pytest.raises(NotPrimary):
        await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    courier.may = True
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    await replica_of(primary).save(Save(standing=b"voted", epoch=2))
    monitor_rows = len(courier.entries)
    with pytest.raises(NotPrimary):
        await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    with pytest.raises(Conflict, match="expected epoch 2 or later, found 1"):
        await replica_of(primary).lead(1, courier)
    assert len(courier.entries) == monitor_rows


async def test_after_a_start_an_instance_follows_nobody(instance: Opening, pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, _ = pair
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    await primary.close()
    again = await instance("one")
    state = await replica_of(again).state()
    assert state is not None
    assert (state.standing, state.applied, state.last.index) == (b"standing", 1, 1)
    with pytest.raises(NotPrimary):
        await again.of("ws").write(lambda s: s.channels.add(a_channel()))
    await replica_of(again).lead(2, courier)
    await again.of("ws").write(lambda s: s.channels.add(a_channel()))
    assert courier.entries[-1].position.epoch == 2


async def test_own_entries_of_the_carrier_stand_in_the_log_in_order(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    async with replica_of(primary).hold():
        own = Entry(epoch=1, index=3, kind="membership", payload=b"three")
        later = asyncio.create_task(primary.of("ws").write(lambda s: s.channels.add(a_channel())))
        await asyncio.sleep(0.05)
        assert await replica_of(primary).save(Save(standing=b"", epoch=1, entries=(own,))) is False
        assert await replica_of(primary).save(Save(standing=b"", epoch=1, entries=(own,))) is False
        assert not later.done()
    await later
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    assert [e.index for e in courier.entries] == [1, 2, 4, 5]
    applied = await catch_up(follower, primary)
    assert [(e.kind, e.payload) for e in applied.others] == [("membership", b"three")]


async def test_an_uncommitted_tail_is_cut_and_kept_as_a_draft(
    instance: Opening, pair: tuple[Store, Courier, Store]
) -> None:
    old, courier, new = pair
    await old.everything().write(lambda s: s.places.location("local"))
    await catch_up(new, old)
    lost = a_monitor(target={"url": "https://hunter2.example/"})
    await old.of("ws").write(lambda s: s.monitors.add(lost))
    await old.commit(Batch(id="b", results=(a_result(monitor=lost), a_result(monitor=lost, at=at(60)))))
    await replica_of(old).follow()
    await replica_of(new).lead(2, Courier())
    other = a_monitor()
    await new.of("ws").write(lambda s: s.monitors.add(other))
    entries = await replica_of(new).entries(1)
    assert entries[0].index == 2
    assert await append(old, entries, cut=2)
    with pytest.raises(Conflict, match="expected a snapshot"):
        await replica_of(old).apply(2)
    with pytest.raises(Conflict):
        await replica_of(old).snapshot(lambda index: b"")
    with pytest.raises(Conflict):
        await replica_of(old).lead(3, courier)
    await take_snapshot(old, new)
    assert shared_rows(old) == shared_rows(new)
    assert await last_of(old) == 2
    (draft,) = replica_of(old).drafts()
    assert (draft.epoch, draft.first, draft.last) == (1, 2, 2)
    assert draft.tables["monitors"][0]["id"] == lost.id
    assert b"hunter2" not in msgspec.json.encode(draft)
    # The number of the monitor that is not to be is another's now: nothing of what was seen of it is his.
    keys = [sql(store, "SELECT key FROM monitors WHERE id = ?", other.id) for store in (old, new)]
    assert keys[0] == keys[1]
    assert await old.of("ws").read(lambda s: s.results.page(other.id)) == ([], None)
    fresh = a_result(monitor=other, at=at(60))
    await old.commit(Batch(id="c", results=(fresh,)))
    assert len((await old.of("ws").read(lambda s: s.results.page(other.id)))[0]) == 1
    await old.close()
    again = await instance("one")
    assert len((await again.of("ws").read(lambda s: s.results.page(other.id)))[0]) == 1


async def test_a_number_that_nobody_else_knows_may_be_given_out_again(pair: tuple[Store, Courier, Store]) -> None:
    old, _, new = pair
    await old.everything().write(lambda s: s.places.location("local"))
    await catch_up(new, old)
    lost, dropped = a_monitor(), a_monitor()
    for monitor in (lost, dropped):
        await old.of("ws").write(lambda s, monitor=monitor: s.monitors.add(monitor))
        await old.commit(Batch(id="a", results=(a_result(monitor=monitor),)))
        await old.move_tail()
        await old.commit(Batch(id="b", results=(a_result(monitor=monitor, at=at(60)),)))
    await old.of("ws").write(lambda s: s.monitors.delete(dropped.id))
    await replica_of(old).follow()
    await replica_of(new).lead(2, Courier())
    assert await append(old, [], cut=2)
    await take_snapshot(old, new)
    later = [a_monitor(), a_monitor()]
    for monitor in later:
        await new.of("ws").write(lambda s, monitor=monitor: s.monitors.add(monitor))
    await catch_up(old, new)
    for monitor in later:
        assert await old.of("ws").read(lambda s, monitor=monitor: s.results.page(monitor.id)) == ([], None)
        await old.commit(Batch(id="c", results=(a_result(monitor=monitor),)))
    assert await old.everything().write(lambda s: s.results.expire(at(-1))) == 0
    for monitor in later:
        assert len((await old.of("ws").read(lambda s, monitor=monitor: s.results.page(monitor.id)))[0]) == 1


async def test_a_tail_that_was_taken_after_all_is_not_cut(pair: tuple[Store, Courier, Store]) -> None:
    old, _, new = pair
    await old.of("ws").write(lambda s: s.channels.add(a_channel()))
    await catch_up(new, old)
    await replica_of(old).follow()
    assert not await append(old, [], cut=2)
    await replica_of(new).lead(2, Courier())
    await new.of("ws").write(lambda s: s.channels.add(a_channel()))
    await catch_up(old, new)
    assert shared_rows(old) == shared_rows(new)


async def test_a_log_is_shortened_to_what_somebody_still_needs(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    for _ in range(6):
        await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    base = await replica_of(primary).spare(4)
    assert base is not None
    await replica_of(primary).save(Save(standing=b"s", epoch=1, base=base, membership=b"members"))
    assert await replica_of(primary).spare(4) is None
    state = await replica_of(primary).state()
    assert state is not None
    assert (state.base.index, state.last.index, state.membership) == (4, 6, b"members")
    with pytest.raises(Conflict, match="begins after entry 4"):
        await replica_of(primary).entries(0)
    assert [e.index for e in await replica_of(primary).entries(4)] == [5, 6]
    await take_snapshot(follower, primary)
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary)
    assert courier.entries[-1].index == await last_of(follower) == 7


async def test_a_snapshot_keeps_what_is_this_instances_own(pair: tuple[Store, Courier, Store]) -> None:
    primary, _, follower = pair
    monitor = a_monitor()
    await primary.of("ws").write(lambda s: s.monitors.add(monitor))
    await primary.everything().write(lambda s: s.places.location("local"))
    await catch_up(follower, primary)
    await follower.commit(Batch(id="b", results=(a_result(monitor=monitor),)))
    await follower.move_tail()
    await follower.commit(Batch(id="c", results=(a_result(monitor=monitor, at=at(60)),)))
    await follower.of("ws").write(lambda s: s.sessions.add(a_session()))
    gone = a_monitor()
    await primary.of("ws").write(lambda s: s.monitors.add(gone))
    await catch_up(follower, primary)
    await follower.commit(Batch(id="d", results=(a_result(monitor=gone),)))
    await primary.of("ws").write(lambda s: s.monitors.delete(gone.id))
    await take_snapshot(follower, primary)
    assert len((await follower.of("ws").read(lambda s: s.results.page(monitor.id)))[0]) == 2
    assert sql(follower, "SELECT count(*) FROM sessions") == [(1,)]
    assert len(sql(follower, "SELECT * FROM monitors_gone")) == 1
    assert sql(follower, "SELECT seq FROM sqlite_sequence WHERE name = 'monitors'") == [(2,)]
    with pytest.raises(NotFound):
        await follower.of("ws").read(lambda s: s.results.page(gone.id))


async def test_results_follow_their_location_to_its_new_number(
    instance: Opening, pair: tuple[Store, Courier, Store]
) -> None:
    old, _, new = pair
    monitor = a_monitor()
    await old.of("ws").write(lambda s: s.monitors.add(monitor))
    await old.everything().write(lambda s: s.places.location("paris"))
    await catch_up(new, old)
    seen = [
        a_result(monitor=monitor, at=at(60 * n), location=name)
        for n, name in enumerate(("paris", "lyon", "oslo", "bonn"))
    ]
    seen[0] = replace(seen[0], substitute_for="lyon")
    await old.commit(Batch(id="a", results=tuple(seen[:3])))
    await old.move_tail()
    await old.commit(Batch(id="b", results=(seen[3], a_result(monitor=monitor, at=at(600), location="lyon"))))
    await replica_of(old).follow()
    await replica_of(new).lead(2, Courier())
    for name in ("oslo", "lyon"):  # numbers the other way round, and nobody knows of Bonn
        await new.everything().write(lambda s, name=name: s.places.location(name))
    assert await append(old, [], cut=3)
    await take_snapshot(old, new)
    for _ in range(2):
        page, _ = await old.of("ws").read(lambda s: s.results.page(monitor.id))
        assert [(r.at, r.location) for r in reversed(page)] == [
            (at(0), "paris"), (at(60), "lyon"), (at(120), "oslo"), (at(600), "lyon"),
        ]  # fmt: skip
        assert [r.substitute_for for r in reversed(page)] == ["lyon", None, None, None]
        newest = await old.everything().read(lambda s: s.results.newest())
        assert {(location, slot) for _, location, slot, _ in newest} == {
            ("paris", at(0)), ("oslo", at(120)), ("lyon", at(600)),
        }  # fmt: skip
        await old.close()
        old = await instance("one")
    shown = await old.of("ws").read(lambda s: s.rollups.series(monitor.id, at(0), at(3600), 3600, "lyon"))
    assert sum(point.count for point in shown) == 2


async def test_who_is_put_out_is_signed_out_everywhere(pair: tuple[Store, Courier, Store]) -> None:
    primary, _, follower = pair
    await follower.of("ws").write(lambda s: s.sessions.add(a_session()))
    await primary.of("ws").write(lambda s: s.accounts.set_password("alice", "new"))
    await catch_up(follower, primary)
    assert sql(follower, "SELECT count(*) FROM sessions") == [(1,)]
    await primary.everything().write(lambda s: s.run("DELETE FROM memberships WHERE user_id = 'alice'"))
    await catch_up(follower, primary)
    assert sql(follower, "SELECT count(*) FROM sessions") == [(0,)]


async def test_unique_values_that_change_places_arrive(pair: tuple[Store, Courier, Store]) -> None:
    primary, courier, follower = pair
    first = an_incident(opened_at=at(0))
    await primary.commit(Batch(id="a", incidents=(IncidentChange(incident=first, opens=True),)))
    await catch_up(follower, primary)
    done = replace(first, resolved_at=at(5), transition=first.transition + 1)
    second = an_incident(opened_at=at(9), id="a-before-the-first", transition=first.transition + 2)
    await primary.commit(
        Batch(id="b", incidents=(IncidentChange(incident=done), IncidentChange(incident=second, opens=True)))
    )
    assert touched(courier)["incidents"] == (2, 0)
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary)


async def test_only_a_whole_file_is_installed(pair: tuple[Store, Courier, Store], tmp_path: Path) -> None:
    from tocsin.errors import Invalid

    primary, _, follower = pair
    made = await replica_of(primary).snapshot(lambda index: b"members")
    whole = Path(made.path).read_bytes()
    before = shared_rows(follower)
    await primary.of("ws").write(lambda s: s.channels.add(a_channel()))
    path = tmp_path / "broken"
    for n in (0, 5, 18, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(Invalid):
            await replica_of(follower).install(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(Invalid):
        await replica_of(follower).install(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(Invalid):
        await replica_of(follower).install(path)
    assert shared_rows(follower) == before


async def test_a_row_of_a_newer_program_is_refused_in_words(pair: tuple[Store, Courier, Store]) -> None:
    from tocsin.errors import SettingsError
    from tocsin.store.images import Changed, Images

    _, _, follower = pair
    newer = Changed("0099", (Images("channels", ("workspace_id", "id", "mood"), (), ()),))
    payload = b"m" + msgspec.msgpack.encode(newer)
    await append(follower, [Entry(epoch=1, index=1, kind="rows", payload=payload)])
    with pytest.raises(SettingsError, match=r"version 0099.*have mood"):
        await replica_of(follower).apply(1)
    state = await replica_of(follower).state()
    assert state is not None
    assert state.applied == 0


def test_sqlite_can_do_what_this_rests_on() -> None:
    assert sqlite3.sqlite_version_info >= (3, 37)


def a_large_monitor(**more: Any) -> Any:
    return a_monitor(target={"url": "http://a/", "body": os.urandom(6_000).hex()}, **more)


async def test_what_no_entry_could_carry_is_refused_and_nothing_of_it_stays(
    pair: tuple[Store, Courier, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, courier, follower = pair
    monkeypatch.setattr(images, "MOST_PAYLOAD", 5_000)
    before, rows = await last_of(primary), shared_rows(primary)
    with pytest.raises(Invalid, match=r"expected a change of at most 0 MB at once.*found one of 0\.0 MB") as refused:
        await primary.of("ws").write(lambda s: s.monitors.add(a_large_monitor(id="large")))
    assert "make it in smaller parts" in str(refused.value)
    assert (await last_of(primary), shared_rows(primary), courier.entries) == (before, rows, [])
    await primary.of("ws").write(lambda s: s.monitors.add(a_monitor(id="small")))
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary) != rows


async def test_who_is_written_together_with_what_is_too_large_is_written_all_the_same(
    pair: tuple[Store, Courier, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, _, follower = pair
    monkeypatch.setattr(images, "MOST_PAYLOAD", 5_000)
    made = [a_monitor(id="first"), a_large_monitor(id="large"), *(a_monitor(id=f"n{n}") for n in range(5))]
    async with replica_of(primary).hold():  # so that all of them are one group
        writes = [
            asyncio.create_task(primary.of("ws").write(lambda s, one=one: s.monitors.add(one))) for one in made
        ]  # fmt: skip
        await asyncio.sleep(0)
    found = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(one) for one in found if one is not None] == [Oversize]
    assert isinstance(found[1], Oversize)
    kept = await primary.of("ws").read(lambda s: {m.id for m in s.monitors.all()})
    assert kept >= {one.id for one in made} - {"large"}
    assert "large" not in kept
    assert primary.backlog == 0
    await catch_up(follower, primary)
    assert shared_rows(follower) == shared_rows(primary)
