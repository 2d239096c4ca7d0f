"""A channel's fallback and canary, and the notices of a workspace: by the API and on the pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from msgspec.structs import replace

from tocsin.core.notice import Notice
from web.caller import Answer, Caller
from web.conftest import Alice

HOOK = {"type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}


async def make(api: Caller, name: str, **more: Any) -> Answer:
    return await api.post("/api/v1/channels", {"name": name, **HOOK, **more})


async def browser(alice: Alice) -> Caller:
    """Alice, signed in on the pages."""
    caller = alice.house.caller(origin="http://tocsin.test")
    caller.cookies["tocsin_session"] = alice.api.token or ""
    return caller


async def sent(caller: Caller, url: str, fields: dict[str, str]) -> Answer:
    """A form, filled in."""
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return await caller.send("POST", url, raw=urlencode(fields).encode(), headers=kind)


async def test_a_channel_names_another_that_stands_in_for_it(alice: Alice) -> None:
    first = (await make(alice.api, "First")).data
    assert (first["fallback"], first["canary_s"]) == (None, 0)
    second = (await make(alice.api, "Second", fallback=first["id"], canary_s=3600)).data
    assert (second["fallback"], second["canary_s"]) == (first["id"], 3600)
    kept = await alice.api.patch(f"/api/v1/channels/{second['id']}", {"name": "Renamed"})
    assert (kept.data["fallback"], kept.data["canary_s"]) == (first["id"], 3600)
    lifted = await alice.api.patch(f"/api/v1/channels/{second['id']}", {"fallback": None, "canary_s": 0})
    assert (lifted.data["fallback"], lifted.data["canary_s"]) == (None, 0)


async def test_a_fallback_is_another_channel_of_the_workspace_and_leads_in_no_circle(alice: Alice) -> None:
    a = (await make(alice.api, "A")).data["id"]
    b = (await make(alice.api, "B", fallback=a)).data["id"]
    c = (await make(alice.api, "C", fallback=b)).data["id"]
    for wanted in (a, b, c, "nowhere"):
        answer = await alice.api.patch(f"/api/v1/channels/{a}", {"fallback": wanted})
        assert (answer.status, answer.fields) == (422, ["fallback"]), answer.text
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    stranger = (await make(alice.house.caller(token), "Theirs")).data["id"]
    assert (await make(alice.api, "D", fallback=stranger)).fields == ["fallback"]
    for too_often in (1, 3599, -1):
        assert (await make(alice.api, "D", canary_s=too_often)).fields == ["canary_s"]


async def test_a_channel_that_is_deleted_is_nobodys_fallback_any_more(alice: Alice) -> None:
    a = (await make(alice.api, "A")).data["id"]
    b = (await make(alice.api, "B", fallback=a)).data["id"]
    assert (await alice.api.delete(f"/api/v1/channels/{a}")).status == 204
    assert (await alice.api.get(f"/api/v1/channels/{b}")).data["fallback"] is None


async def test_the_only_default_channel_is_not_deleted_while_monitors_tell_it(alice: Alice) -> None:
    a, b = [(await make(alice.api, name, default=True)).data["id"] for name in "AB"]
    await alice.api.post("/api/v1/monitors", {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}})
    assert (await alice.api.delete(f"/api/v1/channels/{a}")).status == 204
    refused = await alice.api.delete(f"/api/v1/channels/{b}")
    assert refused.status == 409
    assert "nobody else is told by monitor “Shop”" in refused.data["detail"]


async def test_what_stands_in_for_a_channel_that_died_is_not_deleted(alice: Alice) -> None:
    parts = alice.house.parts
    a, c = [(await make(alice.api, name)).data["id"] for name in "AC"]
    b = (await make(alice.api, "B", fallback=a)).data["id"]
    alive = parts.corridor.watchlist.channel(alice.workspace_id, b)
    assert alive is not None
    died = replace(alive, enabled=False, disabled_reason="HTTP 404")
    await parts.store.of(alice.workspace_id).write(lambda s: s.channels.replace(died))
    await parts.corridor.channels_changed(alice.workspace_id)
    monitor = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "channels": [b]}
    shop = (await alice.api.post("/api/v1/monitors", monitor)).data["id"]
    page = await (await browser(alice)).get(f"/monitors/{shop}", accept="text/html")
    assert "Tell B (switched off)." in page.text
    refused = await alice.api.delete(f"/api/v1/channels/{a}")
    assert (refused.status, refused.data["detail"]) == (
        409, "it stands in for “B”, switched off for good: choose another fallback there first",
    )  # fmt: skip
    assert (await alice.api.patch(f"/api/v1/channels/{b}", {"fallback": c, "enabled": False})).status == 200
    assert (await alice.api.delete(f"/api/v1/channels/{a}")).status == 204


async def test_the_only_channel_of_something_is_not_deleted_before_it_has_another(alice: Alice) -> None:
    a, b = [(await make(alice.api, name)).data["id"] for name in "AB"]
    monitor = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "channels": [a]}
    shop = (await alice.api.post("/api/v1/monitors", monitor)).data["id"]
    step = {"name": "Night", "steps": [{"delay_s": 60, "channels": [a]}]}
    policy = (await alice.api.post("/api/v1/escalation-policies", step)).data["id"]
    refused = await alice.api.delete(f"/api/v1/channels/{a}")
    assert refused.status == 409
    assert "monitor “Shop”, step 1 of escalation policy “Night”: give them another" in refused.data["detail"]
    page = await sent(await browser(alice), f"/channels/{a}/delete", {})
    assert "nobody else is told by monitor “Shop”" in page.text
    await alice.api.patch(f"/api/v1/monitors/{shop}", {"channels": [a, b]})
    await alice.api.delete(f"/api/v1/escalation-policies/{policy}")
    assert (await alice.api.delete(f"/api/v1/channels/{a}")).status == 204
    assert (await alice.api.get(f"/api/v1/monitors/{shop}")).data["channels"] == [b]


async def test_notices_are_listed_and_put_away_by_admins(alice: Alice) -> None:
    store, now = alice.house.parts.store.of(alice.workspace_id), alice.house.parts.clock.now()
    notice = Notice(workspace_id=alice.workspace_id, mark="m", kind="channel.canary", at=now, text="Ops is <dead>")
    await store.write(lambda s: s.notices.put(notice))
    (found,) = (await alice.api.get("/api/v1/notices?unseen=true")).data["items"]
    assert (found["kind"], found["text"], found["seen_at"]) == ("channel.canary", "Ops is <dead>", None)
    page = await (await browser(alice)).get("/")
    assert "Ops is &lt;dead&gt;" in page.text
    for _ in range(2):
        assert (await alice.api.post(f"/api/v1/notices/{found['id']}/seen")).status == 204
    assert (await alice.api.get("/api/v1/notices?unseen=true")).data["items"] == []
    assert (await alice.api.get("/api/v1/notices")).data["items"][0]["seen_at"]
    assert (await alice.api.post("/api/v1/notices/no/seen")).status == 404
    await store.write(lambda s: s.notices.put(replace(notice, text="Ops is dead again")))
    again = (await alice.api.get("/api/v1/notices?unseen=true")).data["items"]
    assert [n["text"] for n in again] == ["Ops is dead again"]
    _, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    assert (await alice.house.caller(token).get("/api/v1/notices")).status == 403


async def test_the_pages_show_and_take_fallback_and_canary(alice: Alice) -> None:
    a = (await make(alice.api, "Ops hook")).data["id"]
    person = await browser(alice)
    fields = {
        "type": "webhook", "name": "Second", "config.url": "http://127.0.0.1:9/", "enabled": "1", "fallback": a,
        "canary_h": "2",
    }  # fmt: skip
    assert (await sent(person, "/channels/new", fields)).status == 303
    made = next(c for c in (await alice.api.get("/api/v1/channels")).data["items"] if c["name"] == "Second")
    assert (made["fallback"], made["canary_s"]) == (a, 7200)
    assert "then Ops hook" in (await person.get("/channels")).text
    form = (await person.get(f"/channels/{made['id']}")).text
    assert f'<option value="{a}" selected>Ops hook</option>' in form
    assert 'value="2.0"' in form
    wrong = await sent(person, f"/channels/{made['id']}", fields | {"canary_h": "0.5"})
    assert wrong.status == 422
    assert "at least 3600" in wrong.text


async def test_a_canary_that_failed_is_seen_on_the_page_of_channels(alice: Alice) -> None:
    id = (await make(alice.api, "Dead", canary_s=3600)).data["id"]
    corridor = alice.house.parts.corridor
    await corridor.canary.look()
    assert "Canary" in (await (await browser(alice)).get("/channels")).text
    rows = await corridor.canary.latest(corridor.watchlist.channels(alice.workspace_id))
    assert set(rows) == {id}
