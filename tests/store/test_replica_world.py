"""Whatever is written at whichever primary, fed in whatever portions, with whatever crash in between: in the end the shared
tables are the same everywhere, and what memory keeps beside them is right."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import (
    FakeClock,
    a_channel,
    a_monitor,
    a_pass,
    a_probe,
    a_result,
    a_state,
    a_verdict,
    an_incident,
    an_outbox_row,
    at,
    records,
)
from store.conftest import a_user, a_workspace, furnish
from store.replicas import (
    Courier,
    append,
    enrol,
    found,
    last_of,
    open_instance,
    replica_of,
    shared_rows,
    sql,
    take_snapshot,
)
from store.test_accounts import a_key, a_session, an_invitation
from tocsin.core.account import Membership, Preferences
from tocsin.core.digest import gather
from tocsin.core.incident import Entry as Told
from tocsin.core.instance import Instance
from tocsin.core.notice import Notice
from tocsin.errors import Conflict, NotFound, TocsinError
from tocsin.store import Session, Store
from tocsin.store.batch import Batch, IncidentChange, OutboxOutcome, StateChange, VerdictChange
from tocsin.store.replica import Save

replace = msgspec.structs.replace
NAMES = ("one", "two", "three")
LOCATIONS = ("paris", "tokyo")


class World:
    """Three instances; the first leads. `random` decides all."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random, self.clock = folder, random.Random(seed), FakeClock()
        self.stores: dict[str, Store] = {}
        self.key, self.leader, self.epoch, self.count, self.lives = b"", "one", 1, 0, 0
        self.story: list[str] = []

    async def begin(self) -> None:
        for name in NAMES:
            self.stores[name] = await open_instance(self.folder, name, self.clock)
        await furnish(self.primary)
        for name in LOCATIONS:
            await self.primary.everything().write(lambda s, name=name: s.places.location(name))
        self.key, _ = await found(self.primary)
        for name in NAMES[1:]:
            await enrol(self.stores[name], self.key, self.primary)
        for name in NAMES:
            await replica_of(self.stores[name]).transport.number_as(f"{name}:1")

    @property
    def primary(self) -> Store:
        return self.stores[self.leader]

    def follower(self) -> str:
        return self.random.choice([name for name in NAMES if name != self.leader])

    def next(self) -> int:
        self.count += 1
        return self.count

    # What users and the corridor do -----------------------------------------------------------------------------------
    def work(self) -> Callable[[Session], Any]:
        """A piece of writing work, drawn now, that may fail."""
        r, n = self.random, self.next()
        pick, some = r.random(), r.randrange(1 << 30)

        def one(things: Any) -> Any:
            if not things:
                raise NotFound("none yet")
            return sorted(things, key=str)[some % len(things)]

        def monitors(s: Session) -> list[Any]:
            return [m for m in s.monitors.all() if m.workspace_id == "ws"]

        def channels(s: Session) -> list[Any]:
            return [c for c in s.channels.list() if c.workspace_id == "ws"]

        def ids(things: list[Any], most: int = 2) -> tuple[str, ...]:
            return tuple(sorted({things[(some >> k) % len(things)].id for k in range(most)})) if things else ()

        def add_monitor(s: Session) -> None:
            near = ids(channels(s)), ids(monitors(s), 1)
            s.monitors.add(a_monitor(id=f"m{n}", channels=near[0], parents=near[1], target={"url": f"http://s{n}/"}))

        def change_monitor(s: Session) -> None:
            known = one(monitors(s))
            s.monitors.replace(
                replace(known, name=f"named {n}", channels=ids(channels(s)), target={"url": f"http://c{n}/"})
            )

        def rule(s: Session) -> None:
            thing = replace(records()["alert_rules"], id=f"r{some % 3}", name=f"rule {n}")
            known = [k for k in s.alert_rules.list() if k.id == thing.id]
            if known and n % 3 == 0:
                s.alert_rules.delete(thing.id)
            elif known:
                s.alert_rules.replace(replace(thing, version=known[0].version))
            else:
                s.alert_rules.add(thing)

        def other_workspace(s: Session) -> None:
            if n % 2 and any(w.id == "more" for w in s.accounts.workspaces()):
                s.run("DELETE FROM workspaces WHERE id = 'more'")
                return
            if not any(w.id == "more" for w in s.accounts.workspaces()):
                s.accounts.add_workspace(a_workspace("more"))
                s.accounts.add_membership(Membership(user_id="alice", workspace_id="more", role="ADMIN"))
            s.channels.add(a_channel(id=f"w{n}", workspace_id="more"))
            s.monitors.add(a_monitor(id=f"w{n}", workspace_id="more", channels=(f"w{n}",)))

        def person(s: Session) -> None:
            s.accounts.add_user(a_user(f"u{n}", f"u{n}@example.org"))
            s.accounts.add_membership(Membership(user_id=f"u{n}", workspace_id="ws", role="VIEWER"))
            s.accounts.set_password("alice", f"hash {n}")

        def forget(s: Session) -> None:
            s.outbox.expire(at(10_000 - some % 3))
            s.notices.clear("ws", f"mark {some % 4}")
            s.run("DELETE FROM memberships WHERE user_id = ?", f"u{some % max(n, 1)}")
            s.verdicts.expire(at(some % 500))

        def more_records(s: Session) -> None:
            noun = ("maintenance_windows", "escalation_policies", "on_call_schedules")[some % 3]
            getattr(s, noun).add(replace(records()[noun], id=f"x{n}"))
            s.invitations.put(an_invitation(id=f"v{n}", email=f"v{some % 3}@example.org", token_hash=f"v{n}"))

        def probe(s: Session) -> None:
            code, known = f"code{some % 4}", s.probes.list()
            same = [one for one in known if one.code == code]
            if same and n % 2:
                s.probes.delete(same[0].id)
            elif same:
                s.probes.replace(replace(same[0], keys=(f"key {n}",)))
                s.probes.let_in(a_pass(same[0].id, hash=f"{n:064}", created_at=at(n)))
            else:
                s.probes.add(a_probe(id=f"p{n}", code=code, keys=(f"key {n}",)))

        def instance(s: Session) -> None:
            id = f"n{some % 3}"
            s.instances.put(Instance(id=id, name=id, location=id, created_at=at(n), version=f"{n}"))
            s.instances.add_token(id, f"hash {n}", at(100_000))
            if n % 3 == 0:
                s.instances.remove(id)

        def fails_late(s: Session) -> None:
            add_monitor(s)
            s.channels.add(a_channel(id=f"never{n}"))
            raise Conflict("on purpose")

        works: list[Callable[[Session], Any]] = [
            add_monitor, add_monitor, change_monitor, rule, other_workspace, person, forget, fails_late,
            more_records, probe, instance,
            lambda s: s.channels.add(a_channel(id=f"c{n}", config={"url": f"http://hook/{n}"})),
            lambda s: s.monitors.delete(one(monitors(s)).id),
            lambda s: s.channels.delete(one(channels(s)).id),
            lambda s: s.api_keys.add(replace(a_key(), id=f"k{n}", key_hash=f"h{n}")),
            lambda s: s.api_keys.touch(f"k{n - 1}", at(n)),
            lambda s: s.notices.put(Notice(workspace_id="ws", mark=f"mark {some % 4}", kind="k", at=at(n), text="t")),
            lambda s: s.preferences.save("ws", Preferences(failure_domains={"eu": f"d{n}"})),
            lambda s: s.outbox.claim(("ws", one(channels(s)).id), at(20_000), 9.0, 5, "me"),
            lambda s: s.sessions.add(replace(a_session(), id=f"s{n}")),
            *(self._trouble(n, some) for _ in range(6)),
        ]  # fmt: skip
        return works[int(pick * len(works))]

    def _trouble(self, n: int, some: int) -> Callable[[Session], Any]:
        def trouble(s: Session) -> None:
            for known in s.incidents.list(open=True)[0][some % 2 : 2]:
                done = replace(known, resolved_at=at(n), transition=known.transition + 1)
                s.incidents.save(IncidentChange(incident=done, entries=(Told(at=at(n), kind="resolved", text=f"{n}"),)))
            monitors = [m for m in s.monitors.all() if m.workspace_id == "ws"]
            if not monitors:
                return
            monitor = monitors[some % len(monitors)]
            m = {"workspace_id": "ws", "monitor_id": monitor.id}
            value = ("down", "up")[some % 2]
            s.verdicts.save([VerdictChange(**m, verdict=a_verdict(value, at=at(n)))])  # type: ignore[arg-type]
            opened = an_incident(monitor, id=f"i{n}", opened_at=at(n), transition=n)
            if not s.incidents.list(open=True, monitor=monitor.id)[0]:
                s.incidents.save(IncidentChange(incident=opened, opens=True))
            channels = [c.id for c in s.channels.list() if c.workspace_id == "ws"][:3]
            rows = [
                an_outbox_row(channel_id=c, incident_id=f"i{n}", subject=f"monitor:{k}") for k, c in enumerate(channels)
            ]
            for row in rows:
                s.outbox.add(row)
            if len(rows) > 1 and some % 3 == 0:
                s.outbox.gather(
                    gather([replace(row, channel_id=rows[0].channel_id) for row in rows], at(n), storm="s")[0]
                )
            if rows and some % 2:
                done_row = OutboxOutcome(
                    key=rows[0].key, workspace_id="ws", state="sent", at=at(n), ok=True, ref=f"{n}"
                )
                s.outbox.settle([done_row])

        return trouble

    async def write(self) -> None:
        """A few pieces of work at once: some of them share a commit."""
        works = [self.work() for _ in range(self.random.randrange(1, 5))]
        got = await asyncio.gather(*(self.primary.everything().write(w) for w in works), return_exceptions=True)
        for result in got:
            if isinstance(result, BaseException) and not isinstance(result, TocsinError | IndexError):
                raise result

    async def see(self) -> None:
        """Results at any instance, and their states."""
        name = self.random.choice(NAMES)
        store = self.stores[name]
        known = await store.of("ws").read(lambda s: [m for m in s.monitors.all() if m.workspace_id == "ws"])
        if not known:
            return
        monitor = self.random.choice(known)
        result = a_result(
            self.random.choice(("up", "down")), monitor=monitor, at=at(60 * self.next()),
            location=self.random.choice(LOCATIONS),
        )  # fmt: skip
        state = StateChange(workspace_id="ws", monitor_id=monitor.id, state=a_state("up", location=result.location))
        await store.commit(Batch(id=f"b{self.next()}", results=(result,), states=(state,)))
        if self.random.random() < 0.2:
            await store.move_tail()

    # What happens to instances ----------------------------------------------------------------------------------------
    async def feed(self) -> None:
        """Part of the log to a follower, part of that into its tables."""
        name, r = self.follower(), self.random
        follower = self.stores[name]
        state = await replica_of(follower).state()
        assert state is not None
        if state.torn:
            await take_snapshot(follower, self.primary)
            return
        try:
            entries = await replica_of(self.primary).entries(state.last.index, r.choice((1, 3000, 1 << 20)))
        except Conflict:  # too far behind
            await take_snapshot(follower, self.primary)
            return
        await append(follower, entries)
        last = await last_of(follower)
        if last > state.applied:
            await replica_of(follower).apply(r.randint(state.applied + 1, last))

    async def snapshot(self) -> None:
        await take_snapshot(self.stores[self.follower()], self.primary)

    async def compact(self) -> None:
        replica = replica_of(self.stores[self.random.choice(NAMES)])
        base = await replica.spare(self.random.randrange(1, 1 + max(1, await last_of(self.primary))))
        if base is not None:
            await replica.save(Save(standing=b"s", epoch=self.epoch, base=base, membership=b"m"))

    async def crash(self) -> None:
        """An instance ends without a word and begins again with what is on its disk."""
        name = self.random.choice(NAMES)
        self.lives += 1
        place, now = self.folder / name, self.folder / f"life{self.lives}"
        shutil.copytree(place, now / name, ignore=shutil.ignore_patterns("*-shm", "lock", "*.lock"))
        await self.stores[name].close()
        shutil.rmtree(place)
        shutil.copytree(now / name, place)
        shutil.rmtree(now)
        self.stores[name] = await open_instance(self.folder, name, self.clock)
        if name == self.leader:
            self.epoch += 1
            state = await replica_of(self.primary).state()
            assert state is not None
            assert state.applied == state.last.index
            await replica_of(self.primary).lead(self.epoch, Courier())

    async def change(self) -> None:
        """Another instance leads: with all that the old one had, or without the last that it wrote."""
        name, old = self.follower(), self.primary
        new = self.stores[name]
        while await self.behind(new):
            await self._bring(new)
        if self.random.random() < 0.6:
            await self.write()
        await replica_of(old).follow()
        for other in NAMES:  # a majority would have elected nobody who lacks what it has
            state = await replica_of(self.stores[other]).state()
            assert state is not None
            if other not in (name, self.leader) and not state.torn and state.last.index > await last_of(new):
                await replica_of(old).lead(self.epoch, Courier())
                return
        self.epoch += 1
        await replica_of(new).lead(self.epoch, Courier())
        cut, self.leader = await last_of(new) + 1, name
        if await last_of(old) >= cut and await append(old, [], cut=cut):
            assert replica_of(old).drafts()
            if self.random.random() < 0.5:
                await self.write()
            await take_snapshot(old, new)

    async def behind(self, store: Store) -> bool:
        state = await replica_of(store).state()
        assert state is not None
        return state.torn or state.applied < await last_of(self.primary)

    async def _bring(self, store: Store) -> None:
        state = await replica_of(store).state()
        assert state is not None
        if state.torn:
            await take_snapshot(store, self.primary)
            return
        try:
            await append(store, await replica_of(self.primary).entries(state.last.index))
        except Conflict:
            await take_snapshot(store, self.primary)
            return
        await replica_of(store).apply(await last_of(store))

    # The end ----------------------------------------------------------------------------------------------------------
    async def settle(self) -> None:
        """Everybody has everything; what they have is the same, and their memory agrees with their tables."""
        for store in self.stores.values():
            while store is not self.primary and await self.behind(store):
                await self._bring(store)
        rows = {name: shared_rows(store) for name, store in self.stores.items()}
        for name in NAMES:
            for table, there in rows[self.leader].items():
                assert rows[name][table] == there, (name, table)
            self._memory_agrees(self.stores[name])

    @staticmethod
    def _memory_agrees(store: Store) -> None:
        memory = store._memory  # pyright: ignore[reportPrivateUsage]
        keys = dict(sql(store, "SELECT id, key FROM monitors"))
        places = {id: place.monitor for id, place in memory.places.items() if place.workspace_id == "ws"}
        assert places.items() <= keys.items()
        assert memory.locations.items() <= dict(sql(store, "SELECT name, key FROM locations")).items()
        newest = sql(
            store,
            "SELECT monitor, location, max(at) FROM (SELECT monitor, location, at FROM results UNION ALL "
            "SELECT monitor, location, at FROM results_tail) GROUP BY monitor, location",
        )
        there = {(m, spot): top for m, spot, top in newest if m in keys.values()}
        assert {spot: known.at for spot, known in memory.newest.items() if spot[0] in keys.values()} == there
        of = sql(store, "SELECT monitor FROM states UNION SELECT monitor FROM latest UNION SELECT monitor FROM results")
        going = sql(store, "SELECT monitor FROM monitors_gone")
        assert set(of) <= {(key,) for key in keys.values()} | set(going)
        assert sql(store, "SELECT count(*) FROM sessions WHERE user_id NOT IN (SELECT user_id FROM memberships)") == [
            (0,)
        ]

    async def run(self, steps: int) -> None:
        ways: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.write, 10), (self.see, 6), (self.feed, 9), (self.snapshot, 1), (self.compact, 1), (self.crash, 1),
            (self.change, 1), (self.settle, 1),
        ]  # fmt: skip
        for _ in range(steps):
            (way,) = self.random.choices([w for w, _ in ways], [weight for _, weight in ways])
            self.story.append(way.__name__)
            await way()
        await self.settle()


async def live(folder: Path, seed: int, steps: int) -> None:
    world = World(folder, seed)
    await world.begin()
    try:
        await world.run(steps)
    except BaseException:
        print(f"seed {seed}: {' '.join(world.story)}")
        raise
    finally:
        for store in world.stores.values():
            await store.close()


@pytest.mark.parametrize("seed", range(8))
async def test_in_the_end_all_have_the_same(tmp_path: Path, seed: int) -> None:
    await live(tmp_path, seed, 60)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 300))
async def test_in_the_end_all_have_the_same_long(tmp_path: Path, seed: int) -> None:
    await live(tmp_path, seed, 200)
