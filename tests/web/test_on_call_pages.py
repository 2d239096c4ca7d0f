"""On call in the browser's forms: schedules, take-overs, policies; what is wrong is shown where it is."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from web.caller import Answer, Caller
from web.conftest import Alice

HTML = {"accept": "text/html"}
Form = list[tuple[str, str]]


async def browser(alice: Alice) -> Caller:
    caller = alice.house.caller()
    caller.cookies["tocsin_session"] = await alice.house.sign_in("alice@example.org")
    return caller


async def send(caller: Caller, path: str, form: Form) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test", **HTML}
    return await caller.send("POST", path, raw=urlencode(form).encode(), headers=headers)


async def her_id(alice: Alice) -> str:
    return (await alice.api.get("/api/v1/members")).data["items"][0]["id"]


def a_form(person: str, **more: str) -> Form:
    given = {
        "r.a.starts_at": "2026-03-02T09:00", "r.a.every": "2", "r.a.unit": "day", "r.a.from_time": "08:00",
        "r.a.until_time": "20:00", "name": "Primary", "time_zone": "Europe/Berlin",
    }  # fmt: skip
    fields = [*(given | more).items(), ("rotation", "a"), ("r.a.person", person), ("r.a.person", "")]
    return [*fields, ("r.a.day", "4"), ("r.a.day", "0")]


async def a_schedule(alice: Alice, reader: Caller) -> str:
    made = await send(reader, "/on-call/schedules/new", a_form(await her_id(alice)))
    assert made.status == 303, made.text
    return made.headers["location"].removesuffix("#preview")


async def test_a_schedule_is_made_seen_and_changed(alice: Alice) -> None:
    reader = await browser(alice)
    assert "Nobody is on call yet." in (await reader.get("/on-call", **HTML)).text
    path = await a_schedule(alice, reader)
    (kept,) = (await alice.api.get("/api/v1/on-call-schedules")).data["items"]
    (rotation,) = kept["rotations"]
    assert rotation["starts_at"] == "2026-03-02T08:00:00.000Z"
    assert (rotation["unit"], rotation["every"], rotation["days"], rotation["people"]) == (
        "day", 2, [0, 4], [await her_id(alice)],
    )  # fmt: skip
    page = (await reader.get(path, **HTML)).text
    assert 'value="2026-03-02T09:00"' in page
    assert "Nobody is on duty in “Primary”" in page
    changed = a_form(await her_id(alice), name="Second", **{"r.a.from_time": "", "r.a.until_time": ""})
    assert (await send(reader, path, [f for f in changed if f[0] != "r.a.day"])).status == 303
    page = (await reader.get("/on-call", **HTML)).text
    assert "alice@example.org is on duty." in page
    assert "Second" in page


async def test_times_of_a_schedule_are_in_its_zone_by_name_and_in_the_readers_beside(alice: Alice) -> None:
    reader = await browser(alice)
    path = await a_schedule(alice, reader)
    page = (await reader.get(path, **HTML)).text
    assert "times in Europe/Berlin" in page
    shifts = page.partition('id="preview"')[2].partition("</section>")[0]
    assert re.search(r"\w{3} \d+ \w{3}, 08:00 CES?T <small", shifts)
    assert re.search(r'data-t="own" data-wall="[-0-9]+T08:00">\w{3} \d+ \w{3}, 0[67]:00 UTC</time>', shifts)
    in_utc = await send(reader, "/on-call/schedules/new", a_form(await her_id(alice), time_zone="UTC"))
    page = (await reader.get(in_utc.headers["location"].removesuffix("#preview"), **HTML)).text
    assert 'class="muted own" hidden' in page


async def test_a_viewer_may_be_on_duty_and_the_forms_say_how_they_acknowledge(alice: Alice) -> None:
    parts = alice.house.parts
    vera, token = await alice.house.person("vera@example.org", "VIEWER", alice.workspace_id)
    await parts.corridor.telling_changed(alice.workspace_id)
    reader = await browser(alice)
    says = "vera@example.org (viewer: acknowledges by the link in a message only)"
    for path in ("/on-call/schedules/new", "/on-call/policies/new"):
        page = (await reader.get(path, **HTML)).text
        assert says in page, path
        assert "alice@example.org (viewer" not in page
    made = await send(reader, "/on-call/schedules/new", a_form(vera.id))
    assert made.status == 303, made.text
    looker = alice.house.caller()
    looker.cookies["tocsin_session"] = token
    assert (await send(looker, "/incidents/any/acknowledge", [("x", "")])).status == 403


async def test_what_is_wrong_stands_at_its_rotation(alice: Alice) -> None:
    reader = await browser(alice)
    wrong = a_form("nobody-we-know", **{"r.a.starts_at": "soon", "time_zone": "Mars/Base"})
    answer = await send(reader, "/on-call/schedules/new", wrong)
    assert answer.status == 422
    assert "Not saved yet." in answer.text
    row = answer.text[answer.text.index('name="rotation"') :]
    assert "Must be" in row
    assert (await alice.api.get("/api/v1/on-call-schedules")).data["items"] == []


async def test_somebody_takes_over_and_gives_back(alice: Alice) -> None:
    reader = await browser(alice)
    path = await a_schedule(alice, reader)
    while_ = [("person", await her_id(alice)), ("starts_at", "2026-01-01T00:00"), ("ends_at", "2099-01-01T00:00")]
    assert (await send(reader, f"{path}/take-over", while_)).status == 303
    page = (await reader.get(path, **HTML)).text
    assert "alice@example.org is on duty for Primary" in page
    named = re.search(r'name="override" value="([^"]+)"', page)
    assert named is not None
    turned = [("starts_at", "2099-01-01T00:00"), ("ends_at", "2026-01-01T00:00")]
    refused = await send(reader, f"{path}/take-over", turned)
    assert (refused.status, "Not taken over." in refused.text) == (422, True)
    assert (await send(reader, f"{path}/give-back", [("override", named[1])])).status == 303
    (kept,) = (await alice.api.get("/api/v1/on-call-schedules")).data["items"]
    assert kept["overrides"] == []


async def test_a_policy_is_made_of_steps(alice: Alice) -> None:
    reader = await browser(alice)
    path = await a_schedule(alice, reader)
    schedule, me = path.rpartition("/")[2], await her_id(alice)
    steps = [("step", "a"), ("s.a.minutes", "5"), ("s.a.whom", f"s.{schedule}"), ("step", "b")]
    steps += [("s.b.minutes", "1.5"), ("s.b.whom", f"p.{me}")]
    made = await send(reader, "/on-call/policies/new", [("name", "Ops"), ("repeat", "2"), *steps])
    assert made.status == 303, made.text
    (kept,) = (await alice.api.get("/api/v1/escalation-policies")).data["items"]
    assert [(s["delay_s"], s["schedules"], s["people"]) for s in kept["steps"]] == [
        (300, [schedule], []),
        (90, [], [me]),
    ]
    page = (await reader.get("/on-call", **HTML)).text
    assert "after 5 min: Primary (on call); then after" in page
    wanted = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    monitor = (await alice.api.post("/api/v1/monitors", wanted | {"escalation_policy": kept["id"]})).data["id"]
    says = "it goes on as “Ops” says: after 5 min: Primary (on call); then after"
    for path_ in (f"/monitors/{monitor}", f"/monitors/{monitor}/edit"):
        assert says in (await reader.get(path_, **HTML)).text, path_
    rule = [("type", "failures"), ("in_a_row", "3"), ("policy", kept["id"])]
    assert says in (await send(reader, "/alert-rules/new/words", rule)).text
    assert (await alice.api.delete(f"/api/v1/monitors/{monitor}")).status == 204
    form = await reader.get(f"/on-call/policies/{kept['id']}", **HTML)
    assert 'value="1.5"' in form.text
    refused = await send(reader, f"{path}/delete", [])
    assert (refused.status, "still used by escalation policy" in refused.text) == (409, True)
    empty = await send(reader, "/on-call/policies/new", [("name", "x"), ("step", "a"), ("s.a.minutes", "0")])
    assert (empty.status, "a channel, a member or a schedule" in empty.text) == (422, True)
    assert (await send(reader, f"/on-call/policies/{kept['id']}/delete", [])).status == 303
    assert (await send(reader, f"{path}/delete", [])).status == 303


async def test_more_rows_come_one_by_one(alice: Alice) -> None:
    reader = await browser(alice)
    for path, name in (("/on-call/policies/new/step", "step"), ("/on-call/schedules/new/rotation", "rotation")):
        first, second = [(await send(reader, path, [("time_zone", "UTC")])).text for _ in range(2)]
        assert f'name="{name}"' in first
        assert first != second


async def test_a_viewer_sees_who_is_on_duty_and_changes_nothing(alice: Alice) -> None:
    path = await a_schedule(alice, await browser(alice))
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    viewer = alice.house.caller()
    viewer.cookies["tocsin_session"] = token
    page = await viewer.get(path, **HTML)
    assert (page.status, "The next two weeks" in page.text, '<form class="stack"' in page.text) == (200, True, False)
    assert (await viewer.get("/on-call", **HTML)).status == 200
    assert (await send(viewer, f"{path}/take-over", [])).status == 403
