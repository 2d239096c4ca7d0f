"""Incidents by the API and on their pages: hints, postmortem, filters, those of rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from builders import an_incident, an_outbox_row, records
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.incident import Entry, Incident
from tocsin.store.batch import IncidentChange
from web.caller import Caller
from web.conftest import Alice, set_up

HTML = {"accept": "text/html"}


async def an_open(alice: Alice, name: str, *, incident: dict[str, Any] | None = None, **monitor: Any) -> Incident:
    """A monitor of hers with an incident that is open."""
    wanted = {"name": name, "type": "http", "target": {"url": f"http://shop.example/{name}"}, "paused": True}
    made = await alice.api.post("/api/v1/monitors", wanted | monitor)
    assert made.status == 201, made.text
    fields = {
        "workspace_id": alice.workspace_id, "monitor_id": made.data["id"], "subject": f"monitor:{made.data['id']}",
        "opened_at": alice.house.parts.clock.now(), "told": True, "transition": 1,
    }  # fmt: skip
    return await keep(alice, an_incident(**(fields | (incident or {}))))


async def keep(alice: Alice, incident: Incident, *entries: Entry) -> Incident:
    parts = alice.house.parts
    change = IncidentChange(incident=incident, entries=entries)
    await parts.store.of(alice.workspace_id).write(lambda s: s.incidents.save(change))
    await parts.corridor.watchlist.reload_incident(alice.workspace_id, incident.subject)
    return incident


async def browser(alice: Alice) -> Caller:
    caller = alice.house.caller()
    caller.cookies["tocsin_session"] = await alice.house.sign_in("alice@example.org")
    return caller


async def test_an_incident_says_what_it_shares_with_others(alice: Alice) -> None:
    shop, cart = await an_open(alice, "Shop"), await an_open(alice, "Cart")
    shown = (await alice.api.get(f"/api/v1/incidents/{shop.id}")).data
    assert shown["title"] == "Shop is down"
    text = "On the same host, shop.example: Cart."
    assert shown["hints"] == [{"kind": "host", "text": text, "incidents": [cart.id]}]
    (related,) = shown["related"]
    assert (related["id"], related["title"], related["shares"]) == (cart.id, "Cart is down", ["host"])
    assert (related["open"], related["monitor_id"], related["resolved_at"]) == (True, cart.monitor_id, None)
    page = (await (await browser(alice)).get(f"/incidents/{shop.id}", **HTML)).text
    assert text in page
    panel = page.partition('id="related"')[2].partition("</section>")[0]
    assert f'href="/incidents/{cart.id}">Cart</a>' in panel
    assert "same host" in panel


async def test_nothing_of_another_workspace_is_related(alice: Alice) -> None:
    shop = await an_open(alice, "Shop")
    await alice.house.person("charlie@example.org", "ADMIN")
    theirs = alice.house.caller(await alice.house.sign_in("charlie@example.org"))
    wanted = {"name": "Theirs", "type": "http", "target": {"url": "http://shop.example/"}, "paused": True}
    made = (await theirs.post("/api/v1/monitors", wanted)).data
    found = alice.house.parts.corridor.watchlist.find(made["id"])
    assert found is not None
    other = an_incident(found.monitor, opened_at=shop.opened_at)
    await alice.house.parts.store.everything().write(lambda s: s.incidents.save(IncidentChange(incident=other)))
    shown = (await alice.api.get(f"/api/v1/incidents/{shop.id}")).data
    assert shown["related"] == []
    assert (await theirs.get(f"/api/v1/incidents/{other.id}")).data["related"] == []


async def test_the_timeline_is_filtered_without_javascript(alice: Alice) -> None:
    now = alice.house.parts.clock.now()
    shop = await an_open(alice, "Shop")
    entries = (
        Entry(at=now, kind="opened", text="Opened because of this"),
        Entry(at=now, kind="comment", text="I look at it", by="alice@example.org"),
        Entry(at=now, kind="notified", text="Chat was told"),
    )
    await keep(alice, replace(shop, told=False), *entries)
    reader = await browser(alice)
    said = [entry.text for entry in entries]

    async def shown(query: str) -> tuple[list[str], str]:
        page = (await reader.get(f"/incidents/{shop.id}{query}", **HTML)).text
        section = page.partition('id="timeline"')[2].partition("</section>")[0]
        return [text for text in said if text in section], section

    assert (await shown(""))[0] == said
    found, section = await shown("?timeline=people")
    assert (found, "2 entries hidden." in section) == (["I look at it"], True)
    assert 'aria-current="true">People' in section
    assert (await shown("?timeline=messages"))[0] == ["Chat was told"]
    assert (await shown("?timeline=messages"))[1].count("<li") == 1
    assert (await reader.get(f"/incidents/{shop.id}?timeline=else", **HTML)).status == 422


async def test_a_page_that_does_not_show_all_messages_says_so(alice: Alice) -> None:
    parts, shop = alice.house.parts, await an_open(alice, "Shop")
    channel = await alice.api.post(
        "/api/v1/channels", {"name": "Hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    )
    rows = [
        an_outbox_row(
            key=f"{n:032x}", workspace_id=alice.workspace_id, channel_id=channel.data["id"], incident_id=shop.id,
            next_at=parts.clock.now() + timedelta(days=1),
        )
        for n in range(51)
    ]  # fmt: skip
    reader = await browser(alice)
    for some, told in ((rows[:50], False), (rows[50:], True)):
        await parts.store.of(alice.workspace_id).write(lambda s, some=some: [s.outbox.add(row) for row in some])
        page = (await reader.get(f"/incidents/{shop.id}", **HTML)).text
        assert ("Only the latest 50 messages are shown" in page) is told


async def test_a_postmortem_is_written_changed_and_taken_away(alice: Alice) -> None:
    shop = await an_open(alice, "Shop")
    path = f"/api/v1/incidents/{shop.id}"
    assert (await alice.api.patch(path, {"postmortem": "The disk <b>was</b> full.\nWe watch it now."})).status == 200
    over = replace(
        shop, postmortem="The disk <b>was</b> full.\nWe watch it now.", resolved_at=shop.opened_at, transition=2
    )
    await keep(alice, over)
    reader = await browser(alice)
    assert (
        "The disk &lt;b&gt;was&lt;/b&gt; full.\nWe watch it now."
        in (await reader.get(f"/incidents/{shop.id}", **HTML)).text
    )
    sent = await reader.send(
        "POST", f"/incidents/{shop.id}/postmortem", raw=b"postmortem=Changed%0D%0Aline",
        headers={"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test"},
    )  # fmt: skip
    assert sent.status == 303
    assert (await alice.api.get(path)).data["postmortem"] == "Changed\nline"
    gone = (await alice.api.patch(path, {"postmortem": ""})).data
    assert [e["text"] for e in gone["timeline"]] == [
        "Postmortem written",
        "Postmortem changed",
        "Postmortem taken away",
    ]
    assert (await alice.api.patch(path, {"postmortem": "x" * 50_001})).fields == ["postmortem"]
    assert (await alice.api.patch(path, {"open": False})).status == 422


async def test_the_overview_says_how_many_open_incidents_it_does_not_show(alice: Alice) -> None:
    reader = await browser(alice)
    for n in range(22):
        await an_open(alice, f"Shop-{n}")
        page = (await reader.get("/", **HTML)).text if n in (19, 21) else ""
        assert ('<a href="/incidents?show=open">2 more open incidents</a>' in page) is (n == 21)
        assert ("more open" in page) is (n == 21)


async def test_incidents_are_filtered(alice: Alice) -> None:
    now = alice.house.parts.clock.now()
    shop = await an_open(alice, "Shop", incident={"acknowledged_by": "alice@example.org", "acknowledged_at": now})
    cart = await an_open(alice, "Cart", incident={"severity": "warning", "opened_at": now - timedelta(hours=1)})

    async def found(query: str) -> list[str]:
        return [i["id"] for i in (await alice.api.get(f"/api/v1/incidents?{query}")).data["items"]]

    assert await found("") == [shop.id, cart.id]
    assert await found("severity=warning") == [cart.id]
    assert await found("mine=true") == [shop.id]
    assert await found("mine=false&open=true") == [cart.id]
    assert await found("severity=info") == []
    first = (await alice.api.get("/api/v1/incidents?limit=1&severity=warning")).data
    assert [i["id"] for i in first["items"]] == [cart.id]
    reader = await browser(alice)
    page = (await reader.get("/incidents?show=mine", **HTML)).text
    assert (">Shop<" in page, ">Cart<" in page) == (True, False)
    page = (await reader.get("/incidents?severity=warning", **HTML)).text
    assert (">Shop<" in page, ">Cart<" in page) == (False, True)


async def test_incidents_of_rules_and_of_what_has_no_monitor(alice: Alice) -> None:
    rule = replace(records()["alert_rules"], workspace_id=alice.workspace_id, name="Too slow")
    await alice.house.parts.store.of(alice.workspace_id).write(lambda s: s.alert_rules.add(rule))
    await alice.house.parts.corridor.watchlist.load_telling(alice.workspace_id)
    shop = await an_open(alice, "Shop", incident={"rule_id": "r", "words": "slow", "severity": "warning"})
    lone = an_incident(
        workspace_id=alice.workspace_id,
        monitor_id=None,
        subject="location:eu",
        opened_at=shop.opened_at,
        words="quarantined",
    )
    await keep(alice, lone)
    titles = {i["title"] for i in (await alice.api.get("/api/v1/incidents")).data["items"]}
    assert titles == {"Shop (Too slow) is slow", "Location eu is quarantined"}
    reader = await browser(alice)
    page = (await reader.get("/incidents", **HTML)).text
    assert "Shop (Too slow)" in page
    assert "Location eu" in page
    for incident, heading in ((shop, "Shop (Too slow) is slow"), (lone, "Location eu")):
        page = await reader.get(f"/incidents/{incident.id}", **HTML)
        assert (page.status, heading in page.text) == (200, True)


async def test_an_incident_keeps_the_name_of_a_monitor_and_a_rule_that_are_gone(alice: Alice) -> None:
    parts = alice.house.parts
    rule = replace(records()["alert_rules"], workspace_id=alice.workspace_id, name="Too slow")
    await parts.store.of(alice.workspace_id).write(lambda s: s.alert_rules.add(rule))
    await parts.corridor.watchlist.load_telling(alice.workspace_id)
    shop = await an_open(alice, "Shop")
    slow = an_incident(
        workspace_id=alice.workspace_id, monitor_id=shop.monitor_id, rule_id="r", words="slow", told=True,
        subject=f"rule:r:monitor:{shop.monitor_id}", opened_at=shop.opened_at,
    )  # fmt: skip
    await keep(alice, slow)
    assert (await alice.api.delete(f"/api/v1/monitors/{shop.monitor_id}")).status == 204
    assert (await alice.api.delete("/api/v1/alert-rules/r")).status == 204
    found = (await alice.api.get("/api/v1/incidents")).data["items"]
    assert sorted(i["title"] for i in found) == ["Shop (Too slow) was slow", "Shop was down"]
    assert {i["resolution"] for i in found} == {"the monitor was deleted"}
    reader = await browser(alice)
    for path, text in (
        ("/incidents", "Shop (Too slow)"), (f"/incidents?monitor={shop.monitor_id}", "Shop"),
        (f"/incidents/{shop.id}", "Shop: closed"), ("/settings/audit", "Shop"),
    ):  # fmt: skip
        page = (await reader.get(path, **HTML)).text
        assert (text in page, "deleted monitor" in page.lower()) == (True, False), path


async def test_the_page_says_who_is_told_next_and_what_was_held_back(build: Callable[..., Any]) -> None:
    alice = await set_up(await build(SMTP_URL="smtp://127.0.0.1:25"))
    parts = alice.house.parts
    policy: EscalationPolicy = replace(
        records()["escalation_policies"], workspace_id=alice.workspace_id,
        steps=(EscalationStep(delay_s=600, people=((await alice.api.get("/api/v1/members")).data["items"][0]["id"],)),),
    )  # fmt: skip
    await parts.store.of(alice.workspace_id).write(lambda s: s.escalation_policies.add(policy))
    await parts.corridor.watchlist.load_telling(alice.workspace_id)
    now = parts.clock.now()
    shop = await an_open(alice, "Shop", escalation_policy="r", incident={"step_from": now})
    reader = await browser(alice)
    page = (await reader.get(f"/incidents/{shop.id}", **HTML)).text
    assert "Next: <b>alice@example.org</b>" in page
    entries = (
        Entry(at=now, kind="suppressed", text="Not told: silence “Lunch”"),
        Entry(at=now, kind="escalated", text="Escalated: step 1 reached nobody"),
    )
    await keep(alice, replace(shop, suppressed="silence “Lunch”", told=False), *entries)
    page = (await reader.get(f"/incidents/{shop.id}", **HTML)).text
    assert "<b>Nobody is told for now.</b> Silence “Lunch”" in page
    assert '<b>Held back</b><p class="shown">Silence “Lunch”</p>' in page
    assert '<b>Escalated</b><p class="shown">step 1 reached nobody</p>' in page


async def test_what_did_not_arrive_is_no_message(alice: Alice) -> None:
    made = await alice.api.post(
        "/api/v1/channels", {"name": "Hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    )
    shop = await an_open(alice, "Shop")
    now = alice.house.parts.clock.now()
    known: dict[str, Any] = {
        "workspace_id": alice.workspace_id, "channel_id": made.data["id"], "incident_id": shop.id, "subject": shop.subject,
        "created_at": now, "next_at": now, "done_at": now, "attempts": 5,
    }  # fmt: skip
    states = ("sent", "sent", "failed")
    rows = [an_outbox_row(state=state, order=order, **known) for order, state in enumerate(states)]
    await alice.house.parts.store.of(alice.workspace_id).write(lambda s: [s.outbox.add(row) for row in rows])
    page = (await (await browser(alice)).get(f"/incidents/{shop.id}", **HTML)).text
    assert "2 messages so far, 1 not delivered, see below." in page
