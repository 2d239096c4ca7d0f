"""What a viewer does not see of a monitor: whatever could be a credential."""

from __future__ import annotations

from hostile import Talk, serving
from web.conftest import Alice

SECRETS = ("s3cret-query", "s3cret-body", "s3cret-header", "s3cret-password")
HTTP = {
    "name": "shop", "type": "http", "paused": True,
    "target": {
        "url": "http://127.0.0.1:9/login?key=s3cret-query&x=1", "method": "POST", "body": '{"pw": "s3cret-body"}',
        "headers": {"X-Api": "s3cret-header"}, "auth": "basic", "username": "u", "password": "s3cret-password",
    },
}  # fmt: skip


async def test_secrets_in_a_request_are_for_those_who_may_write(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/monitors", HTTP)).data
    path = f"/api/v1/monitors/{made['id']}"
    assert made["target"]["url"].endswith("?key=s3cret-query&x=1")
    assert made["target"]["body"] == '{"pw": "s3cret-body"}'
    assert made["shown"] == "POST http://127.0.0.1:9/login?key=…&x=…"
    ran = await alice.api.post(f"{path}/run")
    assert "s3cret" not in ran.text
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    viewer = alice.house.caller(token)
    places = [path, "/api/v1/monitors", f"{path}/results", f"{path}/explain", "/api/v1/incidents", "/site-stats"]
    for place in places:
        answer = await viewer.get(place)
        assert answer.status == 200, place
        assert not [s for s in SECRETS if s in answer.text], place
    shown = (await viewer.get(path)).data["target"]
    assert shown["url"] == "http://127.0.0.1:9/login?key=…&x=…"
    assert (shown["body"], shown["headers"], shown["username"]) == ("***", {"X-Api": "***"}, "u")
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = token
    for place in ("/", f"/monitors/{made['id']}"):
        text = (await browser.get(place, accept="text/html")).text
        assert not [s for s in SECRETS if s in text], place


async def test_where_a_redirect_ended_is_shown_without_its_querys_values(alice: Alice) -> None:
    async def script(talk: Talk) -> None:
        if talk.path == "/":
            await talk.answer("302 Found", b"", "Location: /in?ticket=s3cret-query")
        else:
            await talk.answer()

    async with serving(script) as server:
        target = {"url": server.url()}
        made = (
            await alice.api.post("/api/v1/monitors", HTTP | {"target": target, "paused": False, "interval_s": 3600})
        ).data
        await alice.api.post(f"/api/v1/monitors/{made['id']}/run")
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    path = f"/api/v1/monitors/{made['id']}/results"
    assert "s3cret-query" in (await alice.api.get(path)).text
    seen = (await alice.house.caller(token).get(path)).data["items"][0]
    assert seen["final_url"] == server.url("/in?ticket=…")


async def test_a_target_that_echoes_credentials_shows_none(alice: Alice) -> None:
    """Not in errors, assertions, results, explain, incidents, evidence, messages or pages."""

    async def echo(talk: Talk) -> None:
        await talk.answer("200 OK", talk.head, f"X-Echo: {talk.header('authorization')}")

    secrets = ("s3cret-header", "s3cret-token-0123456789", "s3cret-query")
    assertions = [
        {"type": "body", "op": "contains", "value": "never there"},
        {"type": "header", "name": "x-echo", "op": "eq", "value": "else"},
    ]
    async with serving(echo) as server:
        target = {
            "url": server.url("/?key=s3cret-query"), "auth": "bearer", "token": "s3cret-token-0123456789",
            "headers": {"X-Api": "s3cret-header"},
        }  # fmt: skip
        monitor = HTTP | {"target": target, "paused": False, "interval_s": 3600, "assertions": assertions}
        made = (await alice.api.post("/api/v1/monitors", monitor)).data
        path = f"/api/v1/monitors/{made['id']}"
        ran = [await alice.api.post(f"{path}/run") for _ in range(2)]
    assert ran[1].data["verdict"] == "down"
    for answer in ran:
        assert not [s for s in secrets[:2] if s in answer.text]  # the URL is shown to those who may write it
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    viewer = alice.house.caller(token)
    (incident,) = (await viewer.get("/api/v1/incidents")).data["items"]
    for place in (
        path,
        f"{path}/results",
        f"{path}/explain",
        f"/api/v1/incidents/{incident['id']}",
        "/api/v1/audit-log",
    ):
        text = (await viewer.get(place)).text
        assert not [s for s in secrets if s in text], place
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = token
    for place in ("/", f"/monitors/{made['id']}", f"/incidents/{incident['id']}"):
        text = (await browser.get(place, accept="text/html")).text
        assert not [s for s in secrets if s in text], place
