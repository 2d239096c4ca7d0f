"""Instances that nobody listens to any more: they say so themselves, and admins hear of copies."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing

import pytest

from builders import until
from cluster.test_pages import visit
from cluster.test_people import parts_of, ready
from cluster.test_registry import noticed
from instances import Group, One
from tocsin.cluster import roster, watch
from tocsin.errors import Conflict
from tocsin.web.routes import application
from web.caller import Caller


async def problems(one: One) -> list[str]:
    return (await Caller(application(parts_of(one))).get("/health")).data["problems"]


def told(caplog: pytest.LogCaptureFixture, cause: str) -> int:
    """How often an instance said in its log that it takes no part, for this cause."""
    said = [record for record in caplog.records if record.getMessage() == "cluster.takes_no_part"]
    return sum(getattr(record, "fields", {})["cause"] == cause for record in said)


async def copy_of(one: One, group: Group) -> One:
    """A second process with that instance's identity: its data folder was copied while it ran."""
    copy = One(group.folder / "copied", one.name, one.order)
    shutil.copytree(one.folder, copy.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tocsin.db*", "spool"))
    with (
        closing(sqlite3.connect(one.folder / "tocsin.db")) as old,
        closing(sqlite3.connect(copy.folder / "tocsin.db")) as new,
    ):
        old.backup(new)
    group.ones["copy"] = copy
    await copy.open()
    await copy.start(copy.me(sync_url=one.url))
    return copy


async def test_who_was_removed_says_so(group: Group, caplog: pytest.LogCaptureFixture) -> None:
    a, b, _ = await ready(group, "a", "b", "c")
    assert await problems(b) == []
    await roster.remove(a.cluster, "instance-b", "alice")
    await until(lambda: b.cluster.outcast, within_s=20)
    assert any("was removed from the cluster" in words for words in await problems(b))
    shown = await (await visit(b)).look()
    assert "This server takes no part in the cluster." in shown
    assert "This instance was removed from the cluster" in shown
    before = len(caplog.records)
    await asyncio.sleep(3)  # what it says again and again would be seen
    assert told(caplog, "removed") == 1
    later = [getattr(r, "fields", {}).get("error", "") for r in caplog.records[before:]]
    assert [text for text in later if "belong" in text] == [], "what it was refused for is said again and again"
    assert not b.corridor.alone.on, "it tells nobody anything by itself"
    assert await problems(a) == []
    await stands_aside(b)


async def stands_aside(b: One) -> None:
    """What was removed is not ready, and offers and does nothing by force."""
    answer = await Caller(application(parts_of(b))).get("/health/ready")
    assert answer.status == 503
    assert "was removed from the cluster" in answer.data["problems"][0]
    shown = await (await visit(b)).look()
    assert "There is no primary just now" not in shown
    assert "Promote b by force" not in shown
    assert shown.count("was removed from the cluster") == 1
    for words in ("Checks and alerts go on", "have to agree", "the primary knows", ">Follows<"):
        assert words not in shown
    with pytest.raises(Conflict, match="was removed from the cluster"):
        await roster.force(b.cluster, "instance-b", "b", "alice", "ws")


async def test_who_was_removed_knows_it_after_a_restart_with_nobody_there(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    await roster.remove(a.cluster, "instance-b", "alice")
    await until(lambda: b.cluster.removed_by == "instance-a", within_s=20)
    for one in (a, b, c):
        await one.stop()
    monkeypatch.setattr(watch, "ALONE_LEASES", 0)
    await b.again()
    await asyncio.sleep(2 * watch.WATCH_S)
    assert not b.corridor.alone.on
    await stands_aside(b)


async def test_a_copy_of_a_follower_says_so_and_admins_hear_of_it(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await ready(group, "a", "b")
    await until(lambda: "instance-b" in a.cluster.heard)
    copy = await copy_of(b, group)
    await until(lambda: copy.cluster.outcast, within_s=20)
    assert any("its data folder is a copy" in words for words in await problems(copy))
    assert "give it a data folder of its own" in await noticed(a, "runs twice")
    await asyncio.sleep(2)
    assert told(caplog, "twice") == 1
    assert await problems(b) == []
    await b.stop()
    await until(lambda: not copy.cluster.outcast, within_s=20)  # it is the only one with this identity now
    assert not any("its data folder is a copy" in words for words in await problems(copy))


async def test_a_copy_of_the_primary_is_told_to_admins_by_those_it_speaks_to(group: Group) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    copy = await copy_of(a, group)
    await until(lambda: set(copy.cluster.outcast) == {"instance-b", "instance-c"}, within_s=20)
    assert "give it a data folder of its own" in await noticed(a, "runs twice")
    await until(lambda: not b.cluster.alarm.waiting() and not c.cluster.alarm.waiting(), within_s=10)
    assert group.primary() is a
