"""The pages of locations, without JavaScript: list and map, adding one, its page, switching off, deleting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from web.caller import Answer, Caller
from web.conftest import Alice, set_up
from world import Probes


@pytest.fixture
async def reach() -> Probes:
    return Probes()


@pytest.fixture
async def alice(build: Callable[..., Any], reach: Probes) -> Alice:
    return await set_up(await build(reach=reach))


@pytest.fixture
async def browser(alice: Alice) -> Caller:
    """Alice at a browser."""
    return await signed_in(alice, "alice@example.org")


async def signed_in(alice: Alice, email: str) -> Caller:
    caller = alice.house.caller(accept="text/html")
    caller.cookies["tocsin_session"] = await alice.house.sign_in(email)
    return caller


async def post(caller: Caller, path: str, **fields: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test"}
    return await caller.send("POST", path, raw=urlencode(fields).encode(), headers=headers)


async def test_one_location_says_what_more_would_give(browser: Caller) -> None:
    page = await browser.get("/locations")
    assert page.status == 200
    assert "This server looks alone." in page.text
    assert "One pair of eyes" in page.text
    assert 'class="map"' not in page.text
    form = await browser.get("/locations/new")
    assert "US East" in form.text
    assert 'href="/locations/new?code=asia&amp;mode=push"' in form.text


async def test_a_push_location_with_a_key_made_here_shows_it_once(browser: Caller) -> None:
    made = await post(
        browser, "/locations/new", code="europe", mode="push", endpoint_url="https://127.0.0.1:9", enabled="1"
    )
    assert made.status == 200, made.text
    assert "TOCSIN_PROBE_KEY=tpk_" in made.text
    page = await browser.get("/locations")
    assert "2 locations look." in page.text
    assert 'aria-label="World map. europe: all is up from there."' in page.text
    one = await browser.get("/locations/europe")
    assert one.status == 200
    assert "tpk_" not in one.text
    asked = await post(browser, "/locations/europe/check")
    assert (asked.status, asked.headers["location"]) == (303, "/locations/europe?did=checked")
    assert (
        "12.5" in (await browser.get("/locations/europe")).text or "13" in (await browser.get("/locations/europe")).text
    )
    fresh = await post(browser, "/locations/europe/rotate")
    assert "TOCSIN_PROBE_KEY=tpk_" in fresh.text


async def test_a_pull_location_shows_its_command_once(browser: Caller) -> None:
    made = await post(browser, "/locations/new", code="office", mode="pull", enabled="1")
    assert "tocsin probe --join http://tocsin.test#tpj_" in made.text
    again = await post(browser, "/locations/office/invite")
    assert "tocsin probe --join http://tocsin.test#tpj_" in again.text
    assert "tpj_" not in (await browser.get("/locations/office")).text


async def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(browser: Caller, reach: Probes) -> None:
    reach.silence("asia", why="it said 404", cause="no_probe")
    wrong = await post(
        browser, "/locations/new", code="asia", mode="push", endpoint_url="https://127.0.0.1:9/x",
        api_key="sixteen letters or more", latitude="100", enabled="1",
    )  # fmt: skip
    assert wrong.status == 422
    assert "Must be" in wrong.text
    assert 'value="https://127.0.0.1:9/x"' in wrong.text
    assert "sixteen letters" not in wrong.text
    wrong = await post(
        browser, "/locations/new", code="asia", mode="push", endpoint_url="https://127.0.0.1:9/x",
        api_key="sixteen letters or more", enabled="1",
    )  # fmt: skip
    assert "Must be the address of a probe, not that it said 404." in wrong.text


async def test_it_is_changed_switched_off_and_deleted_unless_it_is_used(alice: Alice, browser: Caller) -> None:
    await post(browser, "/locations/new", code="europe", mode="push", endpoint_url="https://127.0.0.1:9", enabled="1")
    wanted = {"code": "europe", "mode": "push", "endpoint_url": "https://127.0.0.1:9", "enabled": "1"}
    saved = await post(
        browser, "/locations/europe/edit", **wanted, name="Frankfurt", failure_domain="hetzner", cost="2"
    )
    assert saved.headers.get("location") == "/locations/europe?did=saved", saved.text
    monitor = {
        "name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "monitoring_type": "global",
        "locations": ["local", "europe"], "interval_s": 60,
    }  # fmt: skip
    made = await alice.api.post("/api/v1/monitors", monitor)
    page = (await browser.get("/locations")).text
    assert "hetzner" in page
    assert "86.40" in page  # 43,200 checks a month, 2 for a thousand
    one = (await browser.get("/locations/europe")).text
    assert "Shop" in one
    assert "43,200" in one
    refused = await post(browser, "/locations/europe/delete")
    assert refused.status == 409
    assert "Shop would still be checked from there" in refused.text
    off = await post(browser, "/locations/europe/toggle")
    assert off.headers["location"] == "/locations/europe?did=off"
    assert "Switch on" in (await browser.get("/locations/europe")).text
    await alice.api.delete(f"/api/v1/monitors/{made.data['id']}")
    gone = await post(browser, "/locations/europe/delete")
    assert gone.headers["location"] == "/locations?did=deleted"


async def test_a_viewer_sees_how_it_is_and_no_buttons(alice: Alice, browser: Caller) -> None:
    await post(browser, "/locations/new", code="europe", mode="push", endpoint_url="https://127.0.0.1:9", enabled="1")
    await alice.house.person("bob@example.org", "VIEWER", alice.workspace_id)
    caller = await signed_in(alice, "bob@example.org")
    for path in ("/locations", "/locations/europe", "/locations/local"):
        page = await caller.get(path)
        assert page.status == 200
        assert 'method="post" action="/locations' not in page.text
        assert "https://127.0.0.1:9" not in page.text
    assert (await caller.get("/locations/new")).status == 403
    assert (await post(caller, "/locations/europe/toggle")).status == 403


LOCAL = {
    "type": "http", "name": "Shop", "target.url": "http://127.0.0.1:9/", "interval_s": "60", "channels_mode": "default",
}  # fmt: skip


async def with_locations(alice: Alice, *codes: str) -> None:
    for code in codes:
        given = {"code": code, "endpoint_url": "https://127.0.0.1:9", "api_key": "sixteen letters or more", "cost": 0.5}
        assert (await alice.api.post("/api/v1/locations", given)).status == 201


async def form_of(caller: Caller, path: str, *fields: tuple[str, str]) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test"}
    return await caller.send("POST", path, raw=urlencode(fields).encode(), headers=headers)


async def test_where_a_monitor_is_checked_from_is_chosen_in_its_form(alice: Alice, browser: Caller) -> None:
    assert 'name="monitoring_type"' not in (await browser.get("/monitors/new")).text  # there is nothing to choose
    await with_locations(alice, "europe", "asia")
    page = (await browser.get("/monitors/new")).text
    assert 'name="locations" value="europe"' in page
    assert "21.60" in page  # 43,200 checks a month, 0.5 for a thousand
    fields = [*LOCAL.items(), ("where_shown", "1"), ("monitoring_type", "global"), ("quorum", "majority")]
    chosen = [("locations", "europe"), ("locations", "asia")]
    said = (await form_of(browser, "/monitors/new/words", *fields, *chosen)).text
    assert "That is 86,400 checks a month, 43.20 in all." in said
    assert "With two locations both must say down" in said
    assert "Choose three." in said
    made = await form_of(browser, "/monitors/new", *fields, *chosen, ("locations", "local"))
    assert made.status == 303, made.text
    id = made.headers["location"].split("/")[2].partition("?")[0]
    kept = (await alice.api.get(f"/api/v1/monitors/{id}")).data
    assert (kept["monitoring_type"], kept["locations"], kept["quorum"]) == (
        "global",
        ["europe", "asia", "local"],
        "majority",
    )
    edit = (await browser.get(f"/monitors/{id}/edit")).text
    assert 'name="locations" value="asia" checked' in edit
    wrong = await form_of(
        browser, f"/monitors/{id}/edit", *LOCAL.items(), ("where_shown", "1"), ("monitoring_type", "global"),
        ("quorum", "number"), ("quorum_k", "9"), *chosen,
    )  # fmt: skip
    assert wrong.status == 422
    assert "at most 2, the number of locations" in wrong.text
    back = await form_of(
        browser, f"/monitors/{id}/edit", *LOCAL.items(), ("where_shown", "1"), ("monitoring_type", "local")
    )
    assert back.status == 303
    kept = (await alice.api.get(f"/api/v1/monitors/{id}")).data
    assert (kept["monitoring_type"], kept["locations"]) == ("local", [])


async def test_a_monitor_shows_each_location_one_alone_and_what_they_agree_on(
    alice: Alice, browser: Caller, reach: Probes
) -> None:
    await with_locations(alice, "europe", "asia")
    monitor = {
        "name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "monitoring_type": "global",
        "locations": ["europe", "asia"], "interval_s": 60, "retries": 0,
    }  # fmt: skip
    id = (await alice.api.post("/api/v1/monitors", monitor)).data["id"]
    reach.status["asia"] = "down"
    await alice.api.post(f"/api/v1/monitors/{id}/run", {})
    page = (await browser.get(f"/monitors/{id}")).text
    assert "global, 2 locations" in page
    assert "What they agree on" in page
    assert "1 of 2" in page
    one = (await browser.get(f"/monitors/{id}?location=asia")).text
    assert 'data-location="asia"' in one
    results = one[one.index('id="results"') :]
    assert "europe" not in results[: results.index("</table>")]
    assert "asia" in results
    chart = await browser.get(f"/monitors/{id}/chart?range=1h&location=asia")
    assert [line["name"] for line in chart.data["lines"]] == ["asia"]
