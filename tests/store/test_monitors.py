"""Monitors, channels, what they name, and how they are sealed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from builders import START, a_channel, a_monitor, a_result, a_state, a_verdict, an_outbox_row
from store.conftest import Opener, furnish, keep_monitor
from tocsin.errors import Conflict, Invalid, NotFound, SettingsError
from tocsin.store import Store
from tocsin.store.batch import Batch, StateChange, VerdictChange

replace = msgspec.structs.replace


async def test_a_monitor_comes_back_as_it_was(store: Store) -> None:
    monitor = await keep_monitor(store, tags=("a b", "ü"), quorum=2, timeout_s=2.5, target={"url": "x", "n": [1, None]})
    assert await store.of("ws").read(lambda s: s.monitors.get(monitor.id)) == monitor
    assert await store.of("ws").read(lambda s: s.monitors.all()) == [monitor]
    assert await store.everything().read(lambda s: s.monitors.all()) == [monitor]
    with pytest.raises(Conflict):
        await store.of("ws").write(lambda s: s.monitors.add(monitor))


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA", "WyJhIl0", "WzEsMl0"])
async def test_a_cursor_that_is_none_of_ours_is_invalid(store: Store, cursor: str) -> None:
    with pytest.raises(Invalid):
        await store.of("ws").read(lambda s: s.incidents.list(cursor=cursor))


async def test_a_change_counts_the_version_and_refuses_an_older_one(store: Store) -> None:
    monitor = await keep_monitor(store)
    stored = await store.of("ws").write(lambda s: s.monitors.replace(replace(monitor, name="new")))
    assert (stored.name, stored.version) == ("new", 2)
    with pytest.raises(Conflict):
        await store.of("ws").write(lambda s: s.monitors.replace(replace(monitor, name="lost update")))
    assert (await store.of("ws").read(lambda s: s.monitors.get(monitor.id))).name == "new"


async def test_what_a_monitor_names_must_be_in_its_workspace(store: Store) -> None:
    theirs = await keep_monitor(store, workspace_id="elsewhere")
    channel = a_channel(workspace_id="elsewhere")
    await store.of("elsewhere").write(lambda s: s.channels.add(channel))
    for fields in ({"parents": (theirs.id,)}, {"channels": (channel.id,)}, {"parents": ("nothing",)}):
        with pytest.raises(NotFound):
            await store.of("ws").write(lambda s, fields=fields: s.monitors.add(a_monitor(**fields)))
    assert await store.of("ws").read(lambda s: s.monitors.all()) == []
    with pytest.raises(NotFound):
        await store.of("ws").write(lambda s: s.monitors.add(a_monitor(workspace_id="elsewhere")))


async def test_no_monitor_comes_to_depend_on_itself(store: Store) -> None:
    first = await keep_monitor(store, name="First")
    second = await keep_monitor(store, name="Second", parents=(("nothing", first.id)[1:],))
    with pytest.raises(Conflict, match="First → Second → First"):
        await store.of("ws").write(lambda s: s.monitors.replace(replace(first, parents=(second.id,))))
    assert (await store.of("ws").read(lambda s: s.monitors.get(first.id))).parents == ()


async def test_a_group_shrinks_with_the_monitors_in_it(store: Store) -> None:
    one, two, three = [await keep_monitor(store) for _ in range(3)]
    child = await keep_monitor(store, parents=((one.id, two.id, three.id), three.id))
    ws = store.of("ws")
    await ws.write(lambda s: s.monitors.delete(three.id))
    assert (await ws.read(lambda s: s.monitors.get(child.id))).parents == ((one.id, two.id),)
    await ws.write(lambda s: s.monitors.delete(one.id))
    assert (await ws.read(lambda s: s.monitors.get(child.id))).parents == (two.id,)


async def test_deleting_a_monitor_takes_what_hangs_on_it(store: Store) -> None:
    parent = await keep_monitor(store)
    child = await keep_monitor(store, parents=(parent.id,))
    result = a_result("down", monitor=parent)
    await store.commit(
        Batch(
            id="b", results=(result,), states=(StateChange(workspace_id="ws", monitor_id=parent.id, state=a_state(
                "down")),),
            verdicts=(VerdictChange(workspace_id="ws", monitor_id=parent.id, verdict=a_verdict("down")),),
        )
    )  # fmt: skip
    await store.move_tail()
    ws = store.of("ws")
    await ws.write(lambda s: s.monitors.delete(parent.id))
    with pytest.raises(NotFound):
        await ws.read(lambda s: s.results.page(parent.id))
    assert await ws.read(lambda s: s.states.all()) == []
    assert await ws.read(lambda s: s.verdicts.open_all()) == {}
    assert (await ws.read(lambda s: s.monitors.get(child.id))).parents == ()
    assert await store.commit(Batch(id="late", results=(a_result("up", monitor=parent),))) == "stored"
    while await store.everything().write(lambda s: s.results.expire(START)):
        pass
    for table in ("results", "results_tail", "evidence", "latest", "monitors_gone", "rollups_day"):
        rows = await store.everything().read(lambda s, table=table: s.rows(f"SELECT 1 FROM {table}"))
        assert rows == [], table


async def test_a_channel_comes_back_and_is_forgotten_everywhere_when_deleted(store: Store) -> None:
    ws, channel = store.of("ws"), a_channel(config={"url": "http://x/", "token": "geheim"})
    await ws.write(lambda s: s.channels.add(channel))
    monitor = await keep_monitor(store, channels=(channel.id,))
    assert await ws.read(lambda s: s.channels.list()) == [channel]
    changed = replace(channel, enabled=False, config={"url": "http://y/"})
    await ws.write(lambda s: s.channels.replace(changed))
    assert await ws.read(lambda s: s.channels.get(channel.id)) == changed
    row = an_outbox_row(channel_id=channel.id)
    await ws.write(lambda s: s.outbox.add(row))
    await ws.write(lambda s: s.channels.delete(channel.id))
    assert (await ws.read(lambda s: s.monitors.get(monitor.id))).channels == ()
    dropped = await ws.read(lambda s: s.outbox.get(row.key))
    assert dropped is not None
    assert (dropped.state, dropped.last_error) == ("dropped", "the channel was deleted")
    with pytest.raises(NotFound):
        await ws.read(lambda s: s.channels.get(channel.id))


async def test_secrets_are_sealed_on_disk_and_open_only_with_their_key(tmp_path: Path, open_store: Opener) -> None:
    url = f"sqlite:///{tmp_path}/tocsin.db"
    store = await open_store(url)
    await furnish(store)
    monitor = await keep_monitor(store, target={"url": "http://x/", "password": "sparrow-in-target"})
    await store.of("ws").write(lambda s: s.channels.add(a_channel(config={"token": "sparrow-in-config"})))
    other = await keep_monitor(store, target={"url": "http://y/"})
    await store.close()
    for file in tmp_path.glob("tocsin.db*"):
        assert b"sparrow" not in file.read_bytes()
    with sqlite3.connect(tmp_path / "tocsin.db") as raw:
        raw.execute(
            "UPDATE monitors SET target = (SELECT target FROM monitors WHERE id = ?) WHERE id = ?",
            (monitor.id, other.id),
        )
    raw.close()
    again = await open_store(url)
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        await again.of("ws").read(lambda s: s.monitors.get(other.id))
    await again.close()
    stranger = await open_store(url, sealing_key=b"x" * 32)
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        await stranger.of("ws").read(lambda s: s.monitors.get(monitor.id))
