"""A location is added, chosen for a monitor, seen on the map, and deleted, in a real browser."""

from __future__ import annotations

import pytest

from browser.conftest import Reader, Site
from browser.test_manners import _axe
from tocsin.app import server
from world import Probes


@pytest.mark.parametrize("width", [390, 1440])
async def test_locations_from_adding_one_to_deleting_it(
    reader: Reader, house: server.Running, site: Site, width: int
) -> None:
    house.parts.corridor.watchlist.roster.reach = probes = Probes()
    await reader.begin()
    page = reader.page
    await page.set_viewport_size({"width": width, "height": 900})

    # One that calls us: the fields of the other way are gone, the command is shown once.
    await reader.go("/locations/new")
    assert await page.is_visible("#f-endpoint_url")
    await page.check("input[name=mode][value=pull]")
    assert not await page.is_visible("#f-endpoint_url")
    await page.fill("#f-code", "office")
    await page.click("button.primary:has-text('Add')")
    command = await page.text_content("#join-command")
    assert command is not None
    assert command.startswith(f"tocsin probe --join {house.parts.settings.base_url}#tpj_")
    assert await _axe(reader) == []
    await page.click("a.btn.primary:has-text('Done')")
    await page.wait_for_url("**/locations/office")

    # One that we call, at a usual place.
    await reader.go("/locations/new?code=asia")
    await page.fill("#f-endpoint_url", "https://127.0.0.1:9")
    await page.fill("#f-api_key", "sixteen letters or more")
    await page.click("button.primary:has-text('Add')")
    await page.wait_for_url("**/locations/asia?did=saved")
    await reader.go("/locations")
    assert await page.text_content("h1") == "3 locations look."
    assert "asia: all is up from there" in (await page.get_attribute("svg.map[role=img]", "aria-label") or "")

    # Chosen for a monitor; the sentence follows the choice.
    await reader.go("/monitors/new")
    await page.fill("[id='f-target.url']", site.url("/"))
    assert not await page.is_visible("input[name=locations]")
    await page.check("input[name=monitoring_type][value=global]", force=True)
    await page.check("input[name=locations][value=asia]")
    await page.check("input[name=locations][value=local]")
    await page.wait_for_selector("#plain-words:has-text('With two locations both must say down')")
    await page.check("input[name=locations][value=office]")
    await page.wait_for_selector("#plain-words:has-text('from 3 locations')")
    assert await _axe(reader) == []
    await page.click("button:has-text('Save and start')")
    await page.wait_for_url("**/monitors/*?did=created")
    monitor = page.url.partition("?")[0].rpartition("/")[2]

    # Together, without a reload: what all of them saw of one tick, how many well, and their times. The list says global and
    # from how many.
    await page.wait_for_selector("#rounds tbody tr")
    together = await page.text_content("#rounds tbody tr") or ""
    assert "Up" in together
    assert together.count(" ms") >= 3
    assert await page.eval_on_selector_all("#places tbody tr", "rows => rows.length") == 3
    await page.wait_for_selector("#monitor-head .chip:has-text('global, 3 locations')")
    await reader.go("/")
    row = await page.text_content(f"#m-{monitor}") or ""
    assert "/3" in row
    assert "global" in row

    # One alone: its chart, its results, and no others.
    await reader.go(f"/monitors/{monitor}")
    await page.click("#by-place a:has-text('asia')")
    await page.wait_for_selector("#plot[data-location=asia] canvas")
    assert await page.get_attribute("#by-place a:has-text('asia')", "aria-current") == "true"
    await page.wait_for_selector("#results:has-text('from asia')")
    assert set(
        await page.eval_on_selector_all(
            "#results tbody tr td:nth-child(2)", "cells => cells.map((c) => c.textContent.trim())"
        )
    ) == {"asia"}
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await _axe(reader) == []

    # Lost: its page and the list say so, and who stands in.
    probes.silence("asia", why="connection refused")
    await reader.go("/locations/asia")
    for _ in range(2):
        await page.click("#ask")
        await page.wait_for_url("**/locations/asia?did=checked")
    await page.wait_for_selector(".note:has-text('It is not heard.')")
    assert await _axe(reader) == []
    await reader.go("/locations/asia/edit")
    await page.click("button:has-text('Delete …')")
    await page.wait_for_selector(".note:has-text('would still be checked from there')")
    # A refusal has the status that says so; nothing else went wrong.
    assert [c for c in reader.complaints if "409" not in c] == []
