"""What becomes of the monitors that were checked from an instance which is removed."""

from __future__ import annotations

from typing import Any

import pytest

from builders import a_monitor, until
from cluster.test_lost import becomes
from cluster.test_pages import visit
from cluster.test_people import HERE, ready, signed_in
from instances import Group, One
from tocsin.cluster import roster, watch
from tocsin.errors import Conflict


async def add(at: One, name: str, *places: str, workspace: str = "ws", **more: Any) -> str:
    monitor = a_monitor(
        id=name.lower(), workspace_id=workspace, name=name, target={"url": "http://127.0.0.1:9/"}, interval_s=3600,
        monitoring_type="global", locations=places, **more,
    )  # fmt: skip
    await at.store.of(workspace).write(lambda s: s.monitors.add(monitor))
    await at.corridor.changed(monitor.id, monitor)
    return monitor.id


async def places(at: One, id: str) -> tuple[str, tuple[str, ...], object]:
    """(by what type, from where, by which quorum) a monitor is checked, by the tables and by the memory of this instance."""
    kept = await at.store.everything().read(lambda s: s.monitors.get(id))
    shown = at.corridor.watchlist.get(id).monitor
    assert (kept.locations, kept.version) == (shown.locations, shown.version)
    return kept.monitoring_type, kept.locations, kept.quorum


async def test_the_location_of_a_removed_instance_leaves_the_monitors_everywhere(group: Group) -> None:
    a, _b, c = await ready(group, "a", "b", "c")
    api = await signed_in(a)
    shop = await add(a, "Shop", "a", "b", "c", quorum=3)
    port = await add(a, "Port", "b", "local")
    other = await add(a, "Other", "b", workspace="elsewhere")
    own = await add(a, "Own", "a", "c")
    answer = await api.delete(HERE + "/instance-b")
    assert answer.status == 200, answer.text
    assert answer.data == {"monitors": [{"id": port, "name": "Port"}, {"id": shop, "name": "Shop"}]}
    await until(lambda: not any("b" in w.monitor.locations for w in c.corridor.watchlist), within_s=20)
    for one in (a, c):
        assert await places(one, shop) == ("global", ("a", "c"), 2)
        assert await places(one, port) == ("global", ("local",), "majority")
        assert await places(one, other) == ("local", (), "majority")
        assert await places(one, own) == ("global", ("a", "c"), "majority")
    told = (await api.get("/api/v1/notices")).data["items"]
    assert [(n["kind"], n["text"]) for n in told] == [
        ("instance.removed", "Instance b was removed: Port and Shop are not checked from b any more")
    ]
    elsewhere = await a.store.of("elsewhere").read(lambda s: s.notices.list())
    assert [n.text for n in elsewhere] == [
        "Instance b was removed: Other is checked by whoever leads now"
    ]  # fmt: skip
    log = (await api.get("/api/v1/audit-log")).data["items"]
    changes = {c["noun_id"]: c["after"] for c in log if c["noun"] == "monitor" and c["verb"] == "changed"}
    assert changes[shop]["locations"] == ["a", "c"]
    assert "Port and Shop are not checked from b any more" in await (await visit(a)).look("/")


async def test_what_is_checked_from_there_alone_holds_the_removal_up(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    api = await signed_in(a)
    shop = await add(a, "Shop", "b")
    beside = await add(a, "Port", "a", "b")
    page = await (await visit(a)).look()
    assert "Port is not checked from b any more." in page
    assert "Not possible yet: Shop is checked from b alone." in page
    answer = await api.delete(HERE + "/instance-b")
    assert answer.status == 409
    assert answer.data["detail"].startswith("Shop would be checked from nowhere, for b goes with b")
    assert [i["name"] for i in (await api.get(HERE)).data["items"]] == ["a", "b"]
    assert (await places(a, beside))[1] == ("a", "b")
    assert (await api.patch(f"/api/v1/monitors/{shop}", {"locations": ["local"]})).status == 200
    assert (await api.delete(HERE + "/instance-b")).status == 200
    assert (await places(a, beside))[1] == ("a",)


async def test_an_instance_that_takes_itself_out_leaves_no_seat_either(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    shop = await add(a, "Shop", "a", "b")
    other = await add(a, "Other", "b", workspace="elsewhere")
    with pytest.raises(Conflict, match="Other would be checked from nowhere"):
        await roster.remove(a.cluster, "instance-b", "instance b")
    await a.store.of("elsewhere").write(lambda s: s.monitors.delete(other))
    await a.corridor.removed(other)
    await roster.remove(a.cluster, "instance-b", "instance b")
    assert (await places(a, shop))[1] == ("a",)


async def test_that_it_was_lost_is_over_when_it_is_removed(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SILENT_S", 3.0)
    a, b, _c = await ready(group, "a", "b", "c")
    await add(a, "Shop", "a", "b", "c")
    await b.stop()
    await becomes(a, "b", "open")
    assert (await (await signed_in(a)).delete(HERE + "/instance-b")).status == 200
    await becomes(a, "b", "over")


async def test_a_location_that_is_not_there_any_more_is_shown_and_stays_until_it_is_taken_out(group: Group) -> None:
    (a,) = await ready(group, "a")
    api = await signed_in(a)
    shop = await add(a, "Shop", "a", "gone")
    assert (await api.patch(f"/api/v1/monitors/{shop}", {"locations": ["a", "gone"], "name": "Store"})).status == 200
    assert (await api.patch(f"/api/v1/monitors/{shop}", {"locations": ["a", "other"]})).fields == ["locations[1]"]
    form = await (await visit(a)).look(f"/monitors/{shop}/edit")
    assert "Not there any more" in form
    assert (await api.patch(f"/api/v1/monitors/{shop}", {"locations": ["a"]})).status == 200
