"""What the primary knows of every instance's copy of every monitor."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from builders import a_monitor, until
from cluster.test_pages import visit
from cluster.test_people import parts_of, ready, signed_in
from cluster.test_registry import Stranger
from instances import Group, One
from tocsin.cluster import copies
from tocsin.core.access import Principal
from tocsin.core.monitor import Monitor
from tocsin.errors import NotPrimary
from tocsin.web.api import instances


async def copies_of(at: One, instance: str) -> list[dict[str, Any]]:
    """What the API says (asked from within: signing in costs more than these leases have)."""
    who = Principal(kind="session", user_id="alice", name="Alice", workspace_id="ws", role="ADMIN")
    return await instances.copies_of(parts_of(at), who, instance)


async def add(one: One, **more: Any) -> Monitor:
    monitor = a_monitor(**more)
    added = await one.store.of("ws").write(lambda s: s.monitors.add(monitor))
    await one.corridor.changed(monitor.id)
    return added or monitor


async def become(at: One, instance: str, status: str, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for _ in range(400):
        with suppress(NotPrimary):  # a busy machine outlasts so short a lease now and then
            found = [c for c in await copies_of(at, instance) if c["name"] == name]
        if found and found[0]["status"] == status:
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_a_copy_is_pending_until_the_instance_says_it_has_it(group: Group) -> None:
    a, b, _c = await ready(group, "a", "b", "c")
    shop = await add(a, name="Shop")
    synced = await become(a, "instance-b", "synced", "Shop")
    assert synced["last_synced"] is not None
    assert (synced["sync_version"], synced["error_message"]) == (1, None)
    assert synced["config_hash"] == copies.config_hash(await a.store.of("ws").read(lambda s: s.monitors.get(shop.id)))
    await b.stop()
    await add(a, name="Second")
    pending = await become(a, "instance-b", "pending", "Second")
    assert (pending["last_synced"], pending["error_message"]) == (None, None)
    await become(a, "instance-b", "synced", "Shop")  # it said so before it went
    await become(a, "instance-c", "synced", "Second")
    await b.again()
    await become(a, "instance-b", "synced", "Second")
    await become(b, "instance-b", "synced", "Second")  # each knows its own
    with pytest.raises(NotPrimary):
        await copies_of(b, "instance-a")


async def test_what_an_instance_cannot_run_is_an_error_with_the_reason(group: Group) -> None:
    """A check whose settings are missing at b (no folder of plugins): b says so itself, by its last try."""
    a, b = await ready(group, "a", "b")
    page, caller = await visit(a), await signed_in(a)  # this costs more than these leases have
    await until(lambda: group.primary() is a, within_s=20)
    await add(
        a, name="Disk", type="nagios", target={"plugin": "check_disk"}, locations=("a", "b"), monitoring_type="global"
    )
    await until(lambda: len(b.corridor.watchlist) == 1)
    found = await become(a, "instance-b", "error", "Disk")
    assert "could not be made" in found["error_message"]
    while "could not be made" not in (shown := await page.look()):
        await asyncio.sleep(0.1)
    assert "0 of 1 monitor" in shown
    while (answer := await caller.get("/api/v1/instances/instance-b/monitors")).status == 409:
        await asyncio.sleep(0.1)
    assert answer.status == 200, answer.text
    assert (answer.status, answer.data["synced"], answer.data["items"][0]["status"]) == (200, 0, "error")


async def test_tables_that_do_not_go_on_are_told_with_why(group: Group) -> None:
    a, b = await ready(group, "a", "b")

    async def broken(upto: int) -> Any:
        raise RuntimeError("a disk that is full")

    assert b.store.replica is not None
    whole, b.store.replica.apply = b.store.replica.apply, broken  # type: ignore[method-assign]
    await add(a, name="Shop")
    found = await become(a, "instance-b", "error", "Shop")
    assert found["error_message"] == "a disk that is full"
    b.store.replica.apply = whole  # type: ignore[method-assign]
    await become(a, "instance-b", "synced", "Shop")


async def test_the_sync_api_tells_it_too(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    shop = await add(a, name="Shop")
    await become(a, "instance-b", "synced", "Shop")
    x = Stranger(a)
    assert (await x.ask("POST", "/sync/api/register", await x.registration())).status == 200
    token = (await _token(x))["token"]
    for path in ("/sync/api/endpoints", f"/sync/api/endpoints/{shop.id}"):
        said = msgspec.json.decode((await x.ask("GET", path, token=token)).body)
        one = said["endpoints"][0] if "endpoints" in said else said
        states = {state["instanceId"]: state for state in one["syncState"]}
        assert states["instance-b"]["status"] == "synced"
        assert states["instance-b"]["configHash"] == one["configHash"]
        assert states["instance-x"] == {
            "instanceId": "instance-x", "status": "pending", "lastSynced": None, "configHash": one["configHash"],
            "syncVersion": 1, "errorMessage": None,
        }  # fmt: skip
    x.close()


async def _token(x: Stranger) -> dict[str, Any]:
    asked = await x.registration()
    return msgspec.json.decode((await x.ask("POST", "/sync/api/register", asked)).body)
