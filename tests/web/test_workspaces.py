"""Who belongs to several workspaces goes from one to another, with the role that they have there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tocsin.core.account import Membership, Workspace
from web.caller import Answer, Caller
from web.conftest import Alice

URL = "/api/v1/workspaces"
HTML = {"accept": "text/html"}


async def join(alice: Alice, id: str, name: str, role: Any) -> None:
    """Alice belongs to one more workspace."""
    user = (await alice.api.get("/api/v1/me")).data["id"]
    now = alice.house.parts.clock.now()

    def make(s: Any) -> None:
        s.accounts.add_workspace(Workspace(id=id, name=name, created_at=now))
        s.accounts.add_membership(Membership(user_id=user, workspace_id=id, role=role))

    await alice.house.parts.store.everything().write(make)
    await alice.house.parts.corridor.telling_changed(id)
    alice.house.parts.memory.known.forget()


async def browser(alice: Alice) -> Caller:
    caller = alice.house.caller()
    caller.cookies["tocsin_session"] = await alice.house.sign_in("alice@example.org")
    return caller


async def go(reader: Caller, workspace: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test", **HTML}
    return await reader.send(
        "POST", "/workspaces/enter", raw=urlencode({"workspace": workspace}).encode(), headers=headers
    )


async def test_a_program_goes_to_another_workspace_of_its_person(alice: Alice) -> None:
    (home,) = (await alice.api.get(URL)).data["items"]
    assert home == {"id": alice.workspace_id, "name": "Home", "role": "ADMIN", "here": True}
    await join(alice, "other", "Shop <b>", "VIEWER")
    shown = (await alice.api.get(URL)).data["items"]
    assert [(w["name"], w["role"], w["here"]) for w in shown] == [
        ("Home", "ADMIN", True),
        ("Shop <b>", "VIEWER", False),
    ]
    given = (await alice.api.post(f"{URL}/other/enter")).data
    assert given["workspace_id"] == "other"
    there = alice.house.caller(given["access_token"])
    me = (await there.get("/api/v1/me")).data
    assert (me["role"], me["workspace"]["name"]) == ("VIEWER", "Shop <b>")
    assert (await there.post("/api/v1/api-keys", {"name": "k"})).status == 403
    assert (await alice.api.get("/api/v1/me")).status == 401, "the session that one comes from is over"
    refreshed = await there.post("/api/v1/auth/refresh", {"refresh_token": given["refresh_token"]})
    assert refreshed.data["workspace_id"] == "other"


async def test_nobody_goes_where_they_do_not_belong(alice: Alice) -> None:
    bob, token = await alice.house.person("bob@example.org", "ADMIN")
    theirs = alice.house.caller(token)
    refused = await theirs.post(f"{URL}/{alice.workspace_id}/enter")
    assert (refused.status, alice.workspace_id in (await theirs.get(URL)).text) == (404, False)
    assert (await theirs.get("/api/v1/me")).data["id"] == bob.id, "and the session goes on"
    key = (await alice.api.post("/api/v1/api-keys", {"name": "k"})).data["key"]
    assert (await alice.house.caller(key).get(URL)).status == 403
    reader = await browser(alice)
    assert (await go(reader, "nowhere")).status == 404
    assert (await reader.get("/", **HTML)).status == 200


async def test_the_page_offers_it_where_there_are_several(alice: Alice) -> None:
    reader = await browser(alice)
    assert "/workspaces/enter" not in (await reader.get("/", **HTML)).text
    await join(alice, "other", "Shop <b>", "VIEWER")
    page = (await reader.get("/", **HTML)).text
    assert f'<option value="{alice.workspace_id}" selected>Home</option>' in page
    assert '<option value="other">Shop &lt;b&gt;</option>' in page
    assert 'id="go-to-here"' in (await reader.get("/settings", **HTML)).text
    assert (await go(reader, alice.workspace_id)).status == 303
    moved = await go(reader, "other")
    assert (moved.status, moved.headers["location"]) == (303, "/")
    page = (await reader.get("/settings", **HTML)).text
    assert '<option value="other" selected>Shop &lt;b&gt;</option>' in page
    assert "Shop &lt;b&gt;</h1>" in page
    assert (await reader.get("/monitors/new", **HTML)).status == 403, "a viewer there"
