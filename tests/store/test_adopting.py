"""What a server that stood alone has, on its way into a cluster: all of it comes, as it was, to every instance; once,
however often it is sent; and nothing of it gets anywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import START, FakeClock, a_channel, a_monitor, a_result, a_verdict, at
from store.conftest import furnish
from store.replicas import Courier, catch_up, enrol, found, open_instance, replica_of, shared_rows, sql
from store.test_isolation import World
from tocsin.core.account import Membership, User, Workspace
from tocsin.errors import Conflict, Invalid
from tocsin.store import Store, adopting, parting
from tocsin.store.adopting import Joining, Progress
from tocsin.store.batch import Batch, VerdictChange
from tocsin.store.images import Images, resealing
from tocsin.store.parting import Load
from tocsin.store.sealing import Seal
from tocsin.store.shared import HISTORY, OWN, SHARED, shared_tables
from tocsin.store.version import HEAD

replace = msgspec.structs.replace
SHARED_COLUMNS = {name: one.columns for name, one in {**shared_tables(), **HISTORY}.items()}
TRANSFER = Seal(b"t" * 32)


class Scene:
    """A server that stands alone, a primary with something of its own, and a follower of that."""

    def __init__(self, alone: Store, primary: Store, follower: Store, key: bytes) -> None:
        self.alone, self.primary, self.follower, self.key = alone, primary, follower, key
        self.world = World()
        self.monitors: list[str] = []

    async def asked(self, **more: Any) -> Joining:
        has = await self.alone.everything().read(parting.belongings)
        given = {
            "instance": "joiner", "name": "third", "location": "oslo", "adoption": "attempt", "head": HEAD,
            "workspaces": has.workspaces, "people": has.people, "codes": has.codes,
        }  # fmt: skip
        return Joining(**given | more)

    async def load(self, progress: Progress) -> Load:
        return await self.alone.everything().read(
            lambda s: parting.load(s, progress.adoption, progress.next, progress.cursor, resealing(s.seal, TRANSFER))
        )

    async def take(self, load: Load) -> Progress:
        load = parting.decode(parting.encode(load))
        return await self.primary.everything().write(
            lambda s: adopting.take(s, "joiner", load, resealing(TRANSFER, s.seal))
        )

    async def begin(self, **more: Any) -> Progress:
        asked = await self.asked(**more)
        return await self.primary.everything().write(lambda s: adopting.begin(s, asked))

    async def all(self, *, twice: bool = False) -> None:
        """Hand everything over (`twice`: every load two times)."""
        progress = await self.begin()
        while not progress.done:
            load = await self.load(progress)
            progress = await self.take(load)
            if twice:
                assert await self.take(load) == progress

    async def join(self) -> None:
        """The server that stood alone is one of the others from now on."""
        await enrol(self.alone, self.key, self.primary)


async def seen(store: Store, monitor: str) -> Any:
    """All that is shown of what was seen of a monitor."""
    span = START - timedelta(days=400), START + timedelta(days=2)

    def work(s: Any) -> Any:
        return {
            "results": s.results.page(monitor, limit=1000)[0],
            "latest": s.results.latest(monitor),
            "recent": s.results.recent([monitor]),
            "series": s.rollups.series(monitor, *span, 3600),
            "stats": s.rollups.stats(monitor, *span),
            "verdicts": s.verdicts.intervals(monitor, *span),
            "uptimes": s.rollups.uptimes([monitor], timedelta(days=30)),
        }

    return await store.of("ws").read(work)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock()
    alone, primary, follower = [await open_instance(tmp_path, name, clock) for name in ("alone", "one", "two")]
    await furnish(alone)
    user = User(id="carol", email="carol@example.org", password_hash="x", created_at=START)
    home = Workspace(id="home", name="Example", created_at=START)
    await primary.everything().write(lambda s: s.accounts.create_first(user, home))
    mine = a_monitor(id="carols", workspace_id="home", name="Carol's")
    await primary.of("home").write(lambda s: s.monitors.add(mine))
    key, _ = await found(primary)
    await enrol(follower, key, primary)
    made = Scene(alone, primary, follower, key)
    await made.world.fill(alone)
    await alone.move_tail()
    many = a_monitor(id="many", name="Many", channels=("c",))
    await alone.of("ws").write(lambda s: s.monitors.add(many))
    results = [
        a_result("down" if n % 50 == 0 else "up", monitor=many, at=at(-600 * n), location=("local", "oslo")[n % 2])
        for n in range(1200, 0, -1)
    ]
    for first in range(0, len(results), 300):
        await alone.commit(Batch(id=f"r{first}", results=tuple(results[first : first + 300])))
    await alone.commit(
        Batch(id="v", verdicts=(VerdictChange(workspace_id="ws", monitor_id="many", verdict=a_verdict("up")),))
    )
    while alone.tail:
        await alone.move_tail()
    made.monitors = ["many", made.world.monitor.id]
    yield made
    for store in (alone, primary, follower):
        await store.close()


@pytest.mark.parametrize("twice", [False, True])
async def test_all_of_it_comes_to_every_instance_as_it_was(scene: Scene, twice: bool) -> None:
    before = {id: await seen(scene.alone, id) for id in scene.monitors}
    await scene.all(twice=twice)
    await catch_up(scene.follower, scene.primary)
    await scene.join()
    for store in (scene.primary, scene.follower, scene.alone):
        for id in scene.monitors:
            assert await seen(store, id) == before[id]
    assert shared_rows(scene.primary) == shared_rows(scene.follower) == shared_rows(scene.alone)


async def test_what_was_seen_before_the_tables_came_is_kept_too(scene: Scene) -> None:
    """A server that joins checks on while it waits for the tables: under the numbers that it gave out itself."""
    await scene.all()
    many = await scene.alone.of("ws").read(lambda s: s.monitors.get("many"))
    late = [a_result(monitor=many, at=at(60 * n), location="oslo") for n in range(1, 5)]
    await scene.alone.commit(Batch(id="late", results=tuple(late)))
    before = await seen(scene.alone, "many")
    await scene.join()
    after = await seen(scene.alone, "many")
    assert after == before
    assert len(after["results"]) == 1000
    assert sql(scene.alone, "SELECT count(*) FROM results_tail") == [(0,)]


async def test_an_attempt_that_was_broken_off_leaves_nothing(scene: Scene) -> None:
    before = shared_rows(scene.primary)
    progress = await scene.begin()
    for _ in range(3):
        progress = await scene.take(await scene.load(progress))
    assert not progress.done
    visible = await scene.primary.of("ws").read(lambda s: (s.accounts.users(), s.channels.all(), s.api_keys.list()))
    assert visible == ([], [], []), "nobody is in it before all is there"
    assert all(m.paused for m in await scene.primary.of("ws").read(lambda s: s.monitors.all()))
    await scene.primary.everything().write(lambda s: adopting.abandon(s, "joiner"))
    after = shared_rows(scene.primary)
    for table in before:
        if table not in ("locations", "changes"):
            assert after[table] == before[table], table
    assert {row[1] for row in after["changes"]} == {row[1] for row in before["changes"]}
    assert sql(scene.primary, "SELECT count(*) FROM monitors_gone") == [(2,)], "what was seen goes in slices"


async def test_another_attempt_begins_from_the_beginning(scene: Scene) -> None:
    progress = await scene.begin()
    for _ in range(3):
        progress = await scene.take(await scene.load(progress))
    before = await seen(scene.alone, "many")
    assert (await scene.begin()) == progress, "the same one goes on"
    stale = await scene.load(progress)
    fresh = await scene.begin(adoption="another")
    assert (fresh.next, fresh.cursor) == (0, ())
    with pytest.raises(Conflict, match="another one: begin again"):
        await scene.take(stale)
    while not fresh.done:
        fresh = await scene.take(await scene.load(fresh))
    await catch_up(scene.follower, scene.primary)
    for store in (scene.primary, scene.follower):
        assert await seen(store, "many") == before
    with pytest.raises(Conflict, match="was taken in before"):
        await scene.primary.everything().write(lambda s: adopting.abandon(s, "joiner"))


async def test_after_a_change_of_primary_it_goes_on_where_it_was(scene: Scene) -> None:
    before = await seen(scene.alone, "many")
    progress = await scene.begin()
    for _ in range(3):
        progress = await scene.take(await scene.load(progress))
    await catch_up(scene.follower, scene.primary)
    await replica_of(scene.primary).follow()
    await replica_of(scene.follower).lead(2, Courier())
    old, scene.primary = scene.primary, scene.follower
    assert await scene.begin() == progress
    while not progress.done:
        progress = await scene.take(await scene.load(progress))
    await catch_up(old, scene.primary)
    for store in (old, scene.primary):
        assert await seen(store, "many") == before


async def test_it_says_before_what_stands_in_the_way_and_what_will_be_otherwise(scene: Scene) -> None:
    async def look(**more: Any) -> adopting.Looked:
        asked = await scene.asked(**more)
        return await scene.primary.everything().read(lambda s: adopting.look(s, asked))

    assert await look() == adopting.Looked(conflicts=(), changes=())
    await scene.alone.everything().write(
        lambda s: s.accounts.add_user(User(id="c2", email="carol@example.org", password_hash="y", created_at=START))
    )
    assert (await look()).conflicts == (
        "carol@example.org has an account in the cluster too: say that it is the same person"
        " (tocsin join --same-person carol@example.org), or change the address",
    )
    assert len((await look(same=("carol@example.org",))).changes) == 1
    assert (await look(workspaces={"x": "Example"}, people=())).changes == (
        "workspace 'Example' will be called 'Example (third)': the cluster has one of that name",
    )
    assert "is a copy of it" in (await look(workspaces={"home": "Example"}, people=())).conflicts[0]
    assert "TOCSIN_LOCATION), found 'local'" in (await look(location="local", people=())).conflicts[0]
    assert "bring both servers to one version" in (await look(head="0001", people=())).conflicts[0]
    with pytest.raises(Conflict, match=r"carol@example.org has an account"):
        await scene.begin()


async def test_who_has_an_account_there_keeps_it_and_comes_in_by_the_operators_word(scene: Scene) -> None:
    def work(s: Any) -> None:
        s.accounts.add_user(User(id="c2", email="carol@example.org", password_hash="y", created_at=START))
        s.accounts.add_membership(Membership(user_id="c2", workspace_id="ws", role="USER"))

    await scene.alone.everything().write(work)
    progress = await scene.begin(same=("carol@example.org",))
    while not progress.done:
        progress = await scene.take(await scene.load(progress))
    carol = await scene.primary.everything().read(lambda s: s.accounts.user_by_email("carol@example.org"))
    assert (carol.id, carol.password_hash) == ("carol", "x")
    roles = await scene.primary.everything().read(lambda s: s.accounts.memberships("carol"))
    assert [(m.workspace_id, m.role) for m in roles] == [("home", "ADMIN"), ("ws", "USER")]


async def test_rows_of_a_workspace_that_does_not_join_are_refused(scene: Scene) -> None:
    progress = await scene.begin()
    progress = await scene.take(await scene.load(progress))
    before = shared_rows(scene.primary)
    columns = SHARED_COLUMNS["channels"]
    channel = a_channel(workspace_id="home")
    row = {"workspace_id": "home", "id": channel.id, "name": "n", "type": "webhook", "config": b"", "data": "{}"}
    foreign = {
        "channels": [tuple(row[name] for name in columns)],
        "verdicts": [(1, 0, 1, None, "down", "{}")],
        "results": [(1, 0, 1, 1, 1, 0, None, b"00")],
        "notes": [("setup_done", "true")],
    }
    for table, rows in foreign.items():
        load = Load(
            adoption="attempt", number=1, tables=(Images(table, SHARED_COLUMNS[table], tuple(rows)),), last=True
        )
        if table in ("verdicts", "results"):  # numbers that the first load did not give
            load = replace(load, tables=(Images(table, SHARED_COLUMNS[table], tuple((99, *r[1:]) for r in rows)),))
        with pytest.raises(Invalid):
            await scene.take(load)
    assert shared_rows(scene.primary) == before


async def test_a_monitor_is_checked_on_from_where_it_was(scene: Scene) -> None:
    push = a_monitor(id="push", type="push", target={}, name="Push")
    spread = a_monitor(id="spread", monitoring_type="global", locations=("local", "eu"), name="Spread")
    for monitor in (push, spread):
        await scene.alone.of("ws").write(lambda s, monitor=monitor: s.monitors.add(monitor))
    await scene.all()
    found = {m.id: m for m in await scene.primary.of("ws").read(lambda s: s.monitors.all())}
    assert (found["many"].monitoring_type, found["many"].locations) == ("global", ("oslo",))
    assert found["spread"].locations == ("oslo", "eu")
    assert found["push"].monitoring_type == "local"


def test_every_shared_table_is_handed_over_or_named() -> None:
    handed = {part.table for part in (*parting.NAMES, *parting.OVER, *parting.REST)}
    assert handed - set(HISTORY) == set(SHARED) - set(parting.LEFT)
    assert set(HISTORY) - {"history"} == handed & set(OWN)
