"""The picture of a browser check's failure: with its incident only, for those of its workspace."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hostile import Talk, serving
from needs import program
from tocsin.net import Local
from web.conftest import Alice


@pytest.fixture
def chromium(alice: Alice) -> None:
    path = program("chromium", "chromium-browser", "google-chrome")
    alice.house.parts.net.local = Local(browser=path, browser_sandbox=os.geteuid() != 0)


@pytest.mark.usefixtures("chromium")
async def test_a_failure_keeps_one_picture_with_its_incident(alice: Alice) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", b"<h1>Sorry</h1>", "Content-Type: text/html")

    async with serving(script) as server:
        steps: list[dict[str, Any]] = [
            {"do": "goto", "url": server.url()},
            {"do": "expect_text", "value": "Welcome"},
        ]
        target = {"steps": steps, "wait_s": 0.5}
        wanted = {"name": "door", "type": "browser", "interval_s": 3600, "timeout_s": 30, "target": target}
        made = (await alice.api.post("/api/v1/monitors", wanted | {"failure_threshold": 1, "retries": 0})).data
        ran = await alice.api.post(f"/api/v1/monitors/{made['id']}/run")
    assert ran.data["verdict"] == "down"
    incident = (await alice.api.get("/api/v1/incidents")).data["items"][0]
    path = f"/incidents/{incident['id']}/picture"
    assert incident["picture"] == path
    assert "picture" not in incident["evidence"]
    assert [s["name"] for s in incident["evidence"]["facts"]["steps"]][1] == "expect text 'Welcome'"
    assert "picture" not in (await alice.api.get(f"/api/v1/monitors/{made['id']}/results")).data["items"][0]
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token
    page = await browser.get(f"/incidents/{incident['id']}", accept="text/html")
    assert f'src="{path}"' in page.text
    assert "/9j/" not in page.text
    picture = await browser.get(path)
    assert (picture.status, picture.headers["content-type"], picture.body[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")
    assert (await alice.house.caller().get(path)).status != 200
    _, token = await alice.house.person("bob@example.org", "ADMIN")
    stranger = alice.house.caller()
    stranger.cookies["tocsin_session"] = token
    assert (await stranger.get(path)).status == 404
