"""Monitors with steps: saved with everything checked, shown without secrets, and no kept secret is led elsewhere."""

# ruff: noqa: E501

from __future__ import annotations

import json
from typing import Any

import pytest

from hostile import Talk, serving
from web.conftest import Alice

CANARY = "canary-s3cret"


def monitor(*steps: dict[str, Any], **target: Any) -> dict[str, Any]:
    shown = {"steps": list(steps), "secrets": {"pin": CANARY}} | target
    return {"name": "buy", "type": "transaction", "interval_s": 3600, "timeout_s": 5, "target": shown}


STEP = {"url": "http://127.0.0.1:9/in?pin={{pin}}", "body": "canary-body", "headers": {"X": "canary-header"}}


async def test_a_failure_keeps_its_steps_and_no_secret(alice: Alice) -> None:
    async def script(talk: Talk) -> None:
        if talk.path == "/in":
            await talk.answer("200 OK", json.dumps({"token": "canary-token", "echo": talk.body.decode()}).encode())
        else:
            await talk.answer("500 Oops", json.dumps({"path": talk.path}).encode())

    steps = [
        {"name": "in", "url": "/in", "method": "POST", "body": "{{pin}}", "capture": {"t": {"json_path": "$.token"}}},
        {
            "name": "buy",
            "url": "/buy/{{t}}",
            "assertions": [{"type": "json_path", "path": "$.path", "op": "eq", "value": "x"}],
        },
    ]
    async with serving(script) as server:
        wanted = monitor(*[s | {"url": server.url(s["url"])} for s in steps]) | {"failure_threshold": 1, "retries": 0}
        made = (await alice.api.post("/api/v1/monitors", wanted)).data
        ran = await alice.api.post(f"/api/v1/monitors/{made['id']}/run")
    assert ran.data["verdict"] == "down"
    outcome = ran.data["results"][0]
    assert [s["name"] for s in outcome["facts"]["steps"]] == ["in", "buy"]
    told = "step 2 'buy': status code: expected 200-299, found 500; JSON $.path: expected x, found /buy/***"
    assert outcome["error"]["message"] == told
    incident = (await alice.api.get("/api/v1/incidents")).data["items"][0]
    assert [s["name"] for s in incident["evidence"]["facts"]["steps"]] == ["in", "buy"]
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token
    for path in ("", "/results", "/explain"):
        assert "canary" not in (await alice.api.get(f"/api/v1/monitors/{made['id']}{path}")).text
    for path in (f"/incidents/{incident['id']}", f"/monitors/{made['id']}", f"/monitors/{made['id']}/edit"):
        page = await browser.get(path, accept="text/html")
        assert page.status == 200, path
        assert "canary" not in page.text, path
    assert "canary" not in json.dumps(incident)
    assert "canary" not in ran.text


async def test_viewers_see_no_bodies_headers_or_secrets(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/monitors", monitor(STEP) | {"paused": True})).data
    assert made["target"]["steps"][0]["body"] == "canary-body"
    assert made["target"]["secrets"] == {"pin": "***"}
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    shown = await alice.house.caller(token).get(f"/api/v1/monitors/{made['id']}")
    assert "canary" not in shown.text
    assert shown.data["target"]["steps"][0]["url"] == "http://127.0.0.1:9/in?pin=…"


async def test_every_wrong_field_is_named_and_refused_places_are(alice: Alice) -> None:
    bad = monitor({"url": "ftp://x"}, {"url": "http://127.0.0.1:9/{{nobody}}", "method": "get"})
    answer = await alice.api.post("/api/v1/monitors", bad)
    assert answer.status == 422
    assert [e["field"] for e in answer.data["errors"]] == ["target.steps[0].url", "target.steps[1].method"]
    away = monitor({"url": "http://127.0.0.1:9/"}, {"url": "http://169.254.169.254/latest"}, {"url": "{{nobody}}"})
    assert [e["field"] for e in (await alice.api.post("/api/v1/monitors", away)).data["errors"]] == [
        "target.steps[2].url"
    ]
    away["target"]["steps"].pop()
    answer = await alice.api.post("/api/v1/monitors", away)
    assert [e["field"] for e in answer.data["errors"]] == ["target.steps[1].url"]
    assert "cloud metadata" in answer.text


TAKE = {"url": "http://127.0.0.1:9/", "capture": {"h": {"header": "location"}}}


@pytest.mark.parametrize(
    ("before", "change", "status"),
    [
        ([STEP], {"steps": [STEP | {"url": "http://127.0.0.1:9/other/{{pin}}"}]}, 200),
        ([STEP], {"steps": [STEP | {"url": "http://127.0.0.1:10/in?pin={{pin}}"}]}, 422),
        ([STEP], {"steps": [STEP, {"url": "http://127.0.0.2:9/{{pin}}"}], "secrets": {"pin": "***"}}, 422),
        ([STEP], {"steps": [STEP, {"url": "http://127.0.0.2:9/{{pin}}"}], "secrets": {"pin": "***", "more": "typed now"}}, 422),
        ([STEP], {"steps": [STEP, {"url": "http://127.0.0.2:9/{{pin}}"}], "secrets": {"pin": "typed again"}}, 200),
        ([TAKE, {"url": "{{h}}", "body": "{{pin}}"}], {"cookies": False}, 200),
        ([TAKE, {"url": "{{h}}", "body": "{{pin}}"}], {"steps": [TAKE | {"url": "http://127.0.0.1:9/?r=x"}, {"url": "{{h}}", "body": "{{pin}}"}]}, 422),
    ],
)  # fmt: skip
async def test_a_secret_that_is_kept_goes_nowhere_else(
    alice: Alice, before: list[Any], change: dict[str, Any], status: int
) -> None:
    made = (await alice.api.post("/api/v1/monitors", monitor(*before) | {"paused": True})).data
    answer = await alice.api.patch(f"/api/v1/monitors/{made['id']}", {"target": change})
    assert answer.status == status, answer.text
    assert status == 200 or answer.data["errors"][0]["field"] == "target.secrets"


async def test_a_kept_header_goes_nowhere_else_beside_a_new_one(alice: Alice) -> None:
    target = {"url": "http://127.0.0.1:9/", "headers": {"Authorization": CANARY}}
    wanted = {"name": "x", "type": "http", "paused": True, "target": target}
    made = (await alice.api.post("/api/v1/monitors", wanted)).data
    path, headers = f"/api/v1/monitors/{made['id']}", {"Authorization": "***", "X-New": "1"}
    moved = await alice.api.patch(path, {"target": {"url": "http://127.0.0.2:9/", "headers": headers}})
    assert (moved.status, moved.data["errors"][0]["field"]) == (422, "target.headers")
    assert (await alice.api.patch(path, {"target": {"headers": headers}})).status == 200
