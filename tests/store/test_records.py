"""Things users write down whole: kept as they are, changed by one at a time, gone when deleted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from builders import at, records
from tocsin.errors import Conflict, NotFound
from tocsin.store import Store

NOUNS = sorted(records())


@pytest.mark.parametrize("noun", NOUNS)
async def test_a_thing_is_read_back_as_it_was_kept(store: Store, noun: str) -> None:
    thing: Any = records()[noun]
    ws = store.of("ws")
    await ws.write(lambda s: getattr(s, noun).add(thing))
    await ws.write(lambda s: getattr(s, noun).add(replace(thing, id="r2", name="Another")))
    assert await ws.read(lambda s: getattr(s, noun).get("r")) == thing
    assert [t.name for t in await ws.read(lambda s: getattr(s, noun).list())] == ["Another", "First"]
    with pytest.raises(Conflict):
        await ws.write(lambda s: getattr(s, noun).add(thing))


@pytest.mark.parametrize("noun", NOUNS)
async def test_of_two_who_change_it_at_once_the_second_is_told(store: Store, noun: str) -> None:
    thing: Any = records()[noun]
    ws = store.of("ws", by="alice@example.org")
    await ws.write(lambda s: getattr(s, noun).add(thing))
    stored = await ws.write(lambda s: getattr(s, noun).replace(replace(thing, name="Second", updated_at=at(9))))
    assert (stored.name, stored.version) == ("Second", 2)
    with pytest.raises(Conflict, match="version 2"):
        await ws.write(lambda s: getattr(s, noun).replace(replace(thing, name="Third")))
    assert await ws.read(lambda s: getattr(s, noun).get("r")) == stored
    changes = (await ws.read(lambda s: s.changes.list()))[0]
    assert [(c.noun, c.verb, c.by) for c in changes if c.noun_id == "r"] == [
        (noun.removesuffix("s").replace("policie", "policy"), "changed", "alice@example.org"),
        (noun.removesuffix("s").replace("policie", "policy"), "created", "alice@example.org"),
    ]


@pytest.mark.parametrize("noun", NOUNS)
async def test_what_is_deleted_is_gone(store: Store, noun: str) -> None:
    thing: Any = records()[noun]
    ws = store.of("ws")
    await ws.write(lambda s: getattr(s, noun).add(thing))
    await ws.write(lambda s: getattr(s, noun).delete("r"))
    assert await ws.read(lambda s: getattr(s, noun).list()) == []
    with pytest.raises(NotFound, match="there is no"):
        await ws.read(lambda s: getattr(s, noun).get("r"))
    with pytest.raises(NotFound, match="there is no"):
        await ws.write(lambda s: getattr(s, noun).delete("r"))
