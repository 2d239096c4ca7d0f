"""The settings page: what fails together with a location."""

from __future__ import annotations

from urllib.parse import urlencode

from web.caller import Answer, Caller
from web.conftest import Alice

HTML = {"accept": "text/html"}


async def send(browser: Caller, path: str, *fields: tuple[str, str]) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test", **HTML}
    return await browser.send("POST", path, raw=urlencode(fields).encode() or b"x=", headers=headers)


def a_browser(alice: Alice, token: str) -> Caller:
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = token
    return browser


async def test_what_fails_together_with_a_location_is_set_on_the_page(alice: Alice) -> None:
    browser = a_browser(alice, alice.api.token or "")
    sent = await send(browser, "/settings/locations", ("place", "local"), ("domain", " aws "))
    assert (sent.status, sent.headers["location"]) == (303, "/settings?did=settled#locations")
    assert (await alice.api.get("/api/v1/locations")).data["items"][0]["failure_domain"] == "aws"
    assert 'value="aws"' in (await browser.get("/settings", **HTML)).text
    wrong = await send(browser, "/settings/locations", ("place", "local"), ("domain", "a" * 300))
    assert (wrong.status, "Must be" in wrong.text) == (422, True)
    assert (await send(browser, "/settings/locations", ("place", "mars"), ("domain", "x"))).status == 404
    _, token = await alice.house.person("vera@example.org", "VIEWER", alice.workspace_id)
    viewer = a_browser(alice, token)
    assert "fails together with aws" in (await viewer.get("/settings", **HTML)).text
    assert (await send(viewer, "/settings/locations", ("place", "local"), ("domain", "x"))).status == 403
    assert (await send(browser, "/settings/locations", ("place", "local"), ("domain", ""))).status == 303
    assert (await alice.api.get("/api/v1/locations")).data["items"][0]["failure_domain"] is None
