"""Members: added, invited, given another role, put out; what a role and a link let nobody do."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec.structs import replace

from notifiers.sinks import Mailbox, mail_sink
from web.caller import Answer, Caller
from web.conftest import PASSWORD, Alice, set_up

HTML = {"accept": "text/html"}
MEMBERS, INVITATIONS = "/api/v1/members", "/api/v1/invitations"
BOB, NEW = "bob@example.org", "a password of bob's own"


async def send(browser: Caller, path: str, **fields: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test", **HTML}
    return await browser.send("POST", path, raw=urlencode(fields or {"x": ""}).encode(), headers=headers)


def a_browser(alice: Alice, token: str | None = None) -> Caller:
    browser = alice.house.caller()
    if token:
        browser.cookies["tocsin_session"] = token
    return browser


async def ids(alice: Alice) -> dict[str, str]:
    return {person["email"]: person["id"] for person in (await alice.api.get(MEMBERS)).data["items"]}


async def invited(alice: Alice, address: str = BOB, role: str = "USER") -> str:
    """The token of an invitation's link."""
    made = await alice.api.post(INVITATIONS, {"email": address, "role": role})
    assert made.status == 201, made.text
    assert (made.data["mailed"], made.data["mail_error"]) == (False, None)
    assert made.data["link"].startswith("http://tocsin.test/invitations/")
    return made.data["link"].rpartition("/")[2]


async def accept(alice: Alice, token: str, password: str = NEW) -> Answer:
    return await alice.house.caller().post(f"{INVITATIONS}/accept", {"token": token, "password": password})


async def test_an_invitation_is_accepted_once_and_lets_in(alice: Alice) -> None:
    token = await invited(alice, "Bob@Example.org")
    (waiting,) = (await alice.api.get(INVITATIONS)).data["items"]
    assert (waiting["email"], waiting["role"], waiting["created_by"]) == (BOB, "USER", "alice@example.org")
    assert token not in (await alice.api.get(INVITATIONS)).text
    assert (await accept(alice, token, "short")).fields == ["password"]
    joined = await accept(alice, token)
    assert joined.status == 200, joined.text
    bob = alice.house.caller(joined.data["access_token"])
    assert (await bob.get("/api/v1/me")).data["role"] == "USER"
    assert (await accept(alice, token)).status == 404
    assert (await alice.api.get(INVITATIONS)).data["items"] == []
    assert await alice.house.sign_in(BOB, NEW)
    log = (await alice.api.get("/api/v1/audit-log")).data["items"]
    told = [(e["noun"], e["verb"], e["by"]) for e in log if e["noun"] in ("invitation", "membership")]
    assert told[:3] == [
        ("membership", "created", BOB), ("invitation", "deleted", BOB), ("invitation", "created", "alice@example.org"),
    ]  # fmt: skip
    assert token not in str(log)


async def test_of_many_that_accept_at_once_one_wins(alice: Alice) -> None:
    token = await invited(alice)
    answers = await asyncio.gather(*(accept(alice, token) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 404, 404, 404]
    assert len(await ids(alice)) == 2


async def test_the_database_keeps_no_token(alice: Alice) -> None:
    token = await invited(alice)
    rows = await alice.house.parts.store.everything().read(lambda s: s.rows("SELECT * FROM invitations"))
    assert token not in str(rows)


async def test_links_that_are_over_lead_nowhere(alice: Alice) -> None:
    first = await invited(alice)
    second = await invited(alice)
    assert (await accept(alice, first)).status == 404
    (waiting,) = (await alice.api.get(INVITATIONS)).data["items"]
    assert (await alice.api.delete(f"{INVITATIONS}/{waiting['id']}")).status == 204
    assert (await accept(alice, second)).status == 404
    third, store = await invited(alice), alice.house.parts.store.of(alice.workspace_id)
    (kept,) = await store.read(lambda s: s.invitations.list())
    old = replace(kept, expires_at=kept.created_at - timedelta(seconds=1))
    await store.write(lambda s: s.invitations.put(replace(old, id="old")))
    assert (await accept(alice, third)).status == 404
    assert (await alice.api.get(INVITATIONS)).data["items"] == []
    assert len(await ids(alice)) == 1


async def test_wrong_links_are_refused_when_there_are_many(alice: Alice) -> None:
    guesses = [(await accept(alice, f"wrong{n}")).status for n in range(31)]
    assert set(guesses[:30]) == {404}
    assert guesses[30] == 429


async def test_whoever_has_an_account_shows_its_password(alice: Alice) -> None:
    await alice.house.person("charlie@example.org", "ADMIN")
    token = await invited(alice, "charlie@example.org", "VIEWER")
    assert (await accept(alice, token)).status == 401
    joined = await accept(alice, token, PASSWORD)
    assert joined.data["workspace_id"] == alice.workspace_id
    here = alice.house.caller(joined.data["access_token"])
    assert (await here.get("/api/v1/me")).data["role"] == "VIEWER"
    assert (await alice.api.post(INVITATIONS, {"email": "charlie@example.org"})).status == 409


async def test_only_a_signed_in_admin_says_who_belongs(alice: Alice) -> None:
    key = (await alice.api.post("/api/v1/api-keys", {"name": "k", "role": "ADMIN"})).data["key"]
    program, hers = alice.house.caller(key), (await ids(alice))["alice@example.org"]
    someone = {"email": BOB, "password": NEW}
    for answer in (
        await program.post(MEMBERS, someone),
        await program.post(INVITATIONS, {"email": BOB}),
        await program.patch(f"{MEMBERS}/{hers}", {"role": "VIEWER"}),
        await program.delete(f"{MEMBERS}/{hers}"),
    ):
        assert answer.status == 403, answer.text
    for wrong in ({"email": "bob"}, {"email": BOB, "role": "OWNER"}, {"email": BOB, "workspace_id": "x"}):
        assert (await alice.api.post(INVITATIONS, wrong)).status == 422


async def test_a_member_is_made_with_a_first_password(alice: Alice) -> None:
    made = await alice.api.post(MEMBERS, {"email": BOB, "role": "VIEWER", "password": NEW})
    assert (made.status, made.data["email"], made.data["role"]) == (201, BOB, "VIEWER")
    assert NEW not in made.text
    assert await alice.house.sign_in(BOB, NEW)
    assert (await alice.api.post(MEMBERS, {"email": BOB, "password": NEW})).status == 409
    assert (await alice.api.post(MEMBERS, {"email": "x@example.org", "password": "short"})).fields == ["password"]


async def test_the_last_administrator_stays(alice: Alice) -> None:
    hers = (await ids(alice))["alice@example.org"]
    assert (await alice.api.patch(f"{MEMBERS}/{hers}", {"role": "USER"})).status == 409
    assert (await alice.api.delete(f"{MEMBERS}/{hers}")).status == 409
    second, _ = await alice.house.person(BOB, "ADMIN", alice.workspace_id)
    disable = "UPDATE users SET disabled = ? WHERE id = ?"
    everything = alice.house.parts.store.everything()
    await everything.write(lambda s: s.run(disable, 1, second.id))
    assert (await alice.api.patch(f"{MEMBERS}/{hers}", {"role": "USER"})).status == 409
    await everything.write(lambda s: s.run(disable, 0, second.id))
    assert (await alice.api.patch(f"{MEMBERS}/{hers}", {"role": "USER"})).data["role"] == "USER"
    assert (await alice.api.delete(f"{MEMBERS}/{second.id}")).status == 403


async def test_a_lesser_role_takes_away_the_keys_that_may_more(alice: Alice) -> None:
    bob, token = await alice.house.person(BOB, "ADMIN", alice.workspace_id)
    his = alice.house.caller(token)
    keys = {
        role: (await his.post("/api/v1/api-keys", {"name": role, "role": role})).data["key"]
        for role in ("ADMIN", "VIEWER")
    }
    waiting = (await his.post(INVITATIONS, {"email": "dora@example.org"})).data["link"].rpartition("/")[2]
    assert (await alice.api.patch(f"{MEMBERS}/{bob.id}", {"role": "VIEWER"})).data["role"] == "VIEWER"
    assert (await his.get("/api/v1/me")).data["role"] == "VIEWER"
    assert (await his.get(INVITATIONS)).status == 403
    assert (await alice.house.caller(keys["ADMIN"]).get("/api/v1/monitors")).status == 401
    assert (await alice.house.caller(keys["VIEWER"]).get("/api/v1/monitors")).status == 200
    assert (await accept(alice, waiting)).status == 404


async def test_who_is_put_out_has_nothing_left_here(alice: Alice) -> None:
    bob, token = await alice.house.person(BOB, "ADMIN", alice.workspace_id)
    his = alice.house.caller(token)
    key = (await his.post("/api/v1/api-keys", {"name": "k"})).data["key"]
    others = (await alice.api.post("/api/v1/api-keys", {"name": "hers"})).data["key"]
    waiting = (await his.post(INVITATIONS, {"email": "dora@example.org"})).data["link"].rpartition("/")[2]
    refresh = (await his.post("/api/v1/auth/login", {"email": BOB, "password": PASSWORD})).data["refresh_token"]
    assert (await alice.api.delete(f"{MEMBERS}/{bob.id}")).status == 204
    assert (await his.get("/api/v1/me")).status == 401
    assert (await alice.house.caller(key).get("/api/v1/monitors")).status == 401
    assert (await alice.house.caller(others).get("/api/v1/monitors")).status == 200
    assert (await his.as_(None).post("/api/v1/auth/refresh", {"refresh_token": refresh})).status == 401
    assert (await accept(alice, waiting)).status == 404
    wanted = {"email": BOB, "password": PASSWORD}
    assert (await alice.house.caller().post("/api/v1/auth/login", wanted)).status == 403
    telling = alice.house.parts.corridor.watchlist.telling(alice.workspace_id)
    assert [person.name for person in telling.people] == ["alice@example.org"]
    assert (await alice.api.delete(f"{MEMBERS}/{bob.id}")).status == 404
    back = await accept(alice, await invited(alice), PASSWORD)
    assert (await alice.house.caller(back.data["access_token"]).get("/api/v1/me")).data["role"] == "USER"


async def test_members_of_another_workspace_are_not_to_be_had(alice: Alice) -> None:
    charlie, token = await alice.house.person("charlie@example.org", "ADMIN")
    stranger, hers = alice.house.caller(token), (await ids(alice))["alice@example.org"]
    await invited(alice)
    (waiting,) = (await alice.api.get(INVITATIONS)).data["items"]
    assert (await stranger.patch(f"{MEMBERS}/{hers}", {"role": "VIEWER"})).status == 404
    assert (await stranger.delete(f"{MEMBERS}/{hers}")).status == 404
    assert (await stranger.get(INVITATIONS)).data["items"] == []
    assert (await stranger.delete(f"{INVITATIONS}/{waiting['id']}")).status == 404
    assert (await alice.api.delete(f"{MEMBERS}/{charlie.id}")).status == 404


async def test_the_pages_invite_join_change_and_put_out(alice: Alice) -> None:
    hers = a_browser(alice, alice.api.token)
    page = await send(hers, "/settings/members/invite", email=BOB, role="VIEWER")
    assert "It is shown this once." in page.text
    link = re.search(r"http://tocsin.test(/invitations/[\w-]+)", page.text)
    assert link is not None
    listed = (await hers.get("/settings/members", **HTML)).text
    assert BOB in listed
    assert link[1] not in listed
    visitor = a_browser(alice)
    for _ in range(2):  # looking uses nothing up
        assert "Choose a password" in (await visitor.get(link[1], **HTML)).text
    assert (await send(visitor, link[1], password="short")).status == 422
    joined = await send(visitor, link[1], password=NEW)
    assert (joined.status, joined.headers["location"]) == (303, "/")
    shown = (await visitor.get("/settings/members", **HTML)).text
    assert (BOB in shown, "Invite somebody" in shown, "Put out" in shown) == (True, False, False)
    assert (await visitor.get(link[1], **HTML)).status == 404
    bob = (await ids(alice))[BOB]
    assert (await send(visitor, f"/settings/members/{bob}/role", role="ADMIN")).status == 403
    assert (await send(hers, f"/settings/members/{bob}/role", role="USER")).status == 303
    assert (await send(hers, f"/settings/members/{bob}/role", role="KING")).status == 422
    log = (await hers.get("/settings/audit", **HTML)).text
    for said in (f"{BOB} joined as viewer", f"{BOB} invited as viewer", f"Member {BOB} changed: role VIEWER → USER"):
        assert said in log, said
    assert (await send(hers, f"/settings/members/{bob}/remove")).headers["location"] == "/settings/members?did=removed"
    refused = await send(hers, f"/settings/members/{(await ids(alice))['alice@example.org']}/remove")
    assert (refused.status, "last administrator" in refused.text) == (409, True)
    assert f"Member {BOB} removed" in (await hers.get("/settings/audit", **HTML)).text
    again = await send(hers, "/settings/members/invite", email=BOB, role="USER")
    path = re.search(r"http://tocsin.test(/invitations/[\w-]+)", again.text)
    assert path is not None
    visitor = a_browser(alice)
    assert "Your password" in (await visitor.get(path[1], **HTML)).text
    assert (await send(visitor, path[1], password="another one")).status == 403
    assert (await send(visitor, path[1], password=NEW)).status == 303


async def test_an_invitation_goes_by_mail_where_there_is_a_mail_server(build: Callable[..., Any]) -> None:
    box = Mailbox()
    async with mail_sink(box):
        alice = await set_up(await build(SMTP_URL=f"smtp://127.0.0.1:{box.port}?from=tocsin@example.org"))
        made = await alice.api.post(INVITATIONS, {"email": BOB})
        assert (made.status, made.data["mailed"], made.data["link"]) == (201, True, None)
    (mail,) = box.mails
    assert mail.rcpt_tos == [BOB]
    letter: Any = email.message_from_bytes(mail.content, policy=email.policy.default)
    assert str(letter["subject"]).strip() == "Join “Home” on Tocsin"
    text = letter.get_body(("plain",)).get_content()
    assert "alice@example.org invites you" in text
    link = re.search(r"http://tocsin.test/invitations/([\w-]+)", text)
    assert link is not None
    assert (await accept(alice, link[1])).status == 200
    failed = await alice.api.post(INVITATIONS, {"email": "dora@example.org"})  # the mail server is gone
    assert (failed.status, failed.data["mailed"]) == (201, False)
    assert failed.data["mail_error"]
    assert failed.data["link"].startswith("http://tocsin.test/invitations/")
