"""Locations of a workspace's own: kept with their keys sealed, named once, let in by hashes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from builders import a_pass, a_probe, at
from tocsin.errors import Conflict, NotFound
from tocsin.store import Store


async def test_a_location_is_read_back_as_it_was_kept_and_its_key_is_nowhere_in_clear(store: Store) -> None:
    ws, probe = store.of("ws", by="alice@example.org"), a_probe(id="p", keys=("canary-of-a-key",))
    await ws.write(lambda s: s.probes.add(probe))
    assert await ws.read(lambda s: s.probes.get("p")) == probe
    assert await ws.read(lambda s: s.probes.list()) == [probe]
    rows = await ws.read(lambda s: [*s.rows("SELECT * FROM probes"), *s.rows("SELECT * FROM changes")])
    assert "canary-of-a-key" not in repr([tuple(row) for row in rows])


async def test_a_code_stands_for_one_location_of_a_workspace(store: Store) -> None:
    await store.of("ws").write(lambda s: s.probes.add(a_probe(code="europe")))
    with pytest.raises(Conflict, match="there is a location europe already"):
        await store.of("ws").write(lambda s: s.probes.add(a_probe(code="europe")))
    other = a_probe(code="europe", workspace_id="elsewhere")
    await store.of("elsewhere").write(lambda s: s.probes.add(other))
    assert await store.of("elsewhere").read(lambda s: s.probes.list()) == [other]
    assert len(await store.everything().read(lambda s: s.probes.list())) == 2


async def test_of_two_who_change_it_at_once_the_second_is_told(store: Store) -> None:
    ws, probe = store.of("ws"), a_probe(id="p")
    await ws.write(lambda s: s.probes.add(probe))
    stored = await ws.write(lambda s: s.probes.replace(replace(probe, name="Ashburn", keys=("new", "old"))))
    assert (stored.version, await ws.read(lambda s: s.probes.get("p"))) == (2, stored)
    with pytest.raises(Conflict, match="version 2"):
        await ws.write(lambda s: s.probes.replace(replace(probe, name="Boston")))
    with pytest.raises(NotFound):
        await ws.write(lambda s: s.probes.replace(replace(stored, code="us-west")))
    await ws.write(lambda s: s.probes.delete("p"))
    with pytest.raises(NotFound, match="there is no location p"):
        await ws.read(lambda s: s.probes.get("p"))


async def test_two_keys_count_while_one_replaces_the_other(store: Store) -> None:
    ws = store.of("ws")
    await ws.write(lambda s: s.probes.add(a_probe(id="p")))
    for n in range(3):
        await ws.write(lambda s, n=n: s.probes.let_in(a_pass("p", hash=str(n) * 64, created_at=at(n))))
    found = await store.everything().read(lambda s: [s.probes.by_hash(str(n) * 64) for n in range(3)])
    assert [p is not None for p in found] == [False, True, True]
    assert await store.everything().write(lambda s: s.probes.retire(found[2])) == 1
    assert await ws.read(lambda s: s.probes.by_hash("1" * 64)) is None
    await ws.write(lambda s: s.probes.delete("p"))
    assert await ws.read(lambda s: s.probes.by_hash("2" * 64)) is None


async def test_a_join_token_is_used_once_and_its_second_use_is_recognised(store: Store) -> None:
    ws = store.of("ws")
    await ws.write(lambda s: s.probes.add(a_probe(id="p")))
    first, second = (a_pass("p", kind="join", hash=c * 64, expires_at=at(900)) for c in "jk")
    await ws.write(lambda s: s.probes.let_in(first))
    await ws.write(lambda s: s.probes.let_in(second))
    assert await ws.read(lambda s: s.probes.by_hash(first.hash)) is None
    assert await store.everything().write(lambda s: s.probes.use(second.hash, at(5)))
    assert not await store.everything().write(lambda s: s.probes.use(second.hash, at(6)))
    assert await ws.read(lambda s: s.probes.by_hash(second.hash)) == replace(second, used_at=at(5))
    assert await ws.write(lambda s: s.probes.expire(at(901))) == 1
