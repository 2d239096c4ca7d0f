"""The page of the instances, with real servers behind it: order by keys and by dragging, a hand-over, a loss, and force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from browser.conftest import Reader, person
from browser.test_manners import _axe
from real import FIRST
from servers import SHORT, Server, servers

PAGE = "/settings/instances"
PLACES = {"a": (50.1, 8.7), "b": (39.0, -77.5), "c": (1.35, 103.8)}
pytestmark = pytest.mark.timeout(300)


@pytest_asyncio.fixture(loop_scope="session")
async def three(tmp_path: Path) -> AsyncIterator[list[Server]]:
    """Three servers that are one cluster, with places on the map."""
    async with servers(tmp_path, **SHORT) as group:
        ones = await group.gather("a", "b", "c")
        for name, (latitude, longitude) in PLACES.items():
            place = {"latitude": latitude, "longitude": longitude}
            await ones[0].call("PATCH", f"/api/v1/locations/place-{name}", place)
        yield ones


async def _sign_in(reader: Reader) -> Page:
    await reader.go("/login")
    await reader.page.fill("#f-email", FIRST["email"])
    await reader.page.fill("#f-password", FIRST["password"])
    await reader.page.click("button.primary")
    await reader.page.wait_for_url(lambda url: "/login" not in url)
    await reader.go(PAGE)
    await reader.ready()
    return reader.page


def _url(one: Server) -> str:
    return f"http://{one.host}:{one.port}"


async def _order(page: Page) -> list[str]:
    return await page.eval_on_selector_all("tr[data-name]", "rows => rows.map((r) => r.dataset.name)")


async def _headed(page: Page, words: str) -> None:
    await page.wait_for_selector(f"#instances h1:has-text('{words}')", timeout=60_000)


async def test_instances_by_keyboard_by_mouse_and_when_they_are_lost(three: list[Server], chromium: Browser) -> None:
    a, b, c = three
    async with person(chromium, _url(a)) as one, person(chromium, _url(b)) as other:
        page = await _sign_in(one)
        await _headed(page, "a leads in epoch 1. 3 of 3 voters agree.")
        assert await _order(page) == ["a", "b", "c"]
        said = await page.get_attribute("svg.map[role=img]", "aria-label") or ""
        assert said == "World map. a: leads; b and c: follows."
        await page.evaluate("window.stayed = true")

        # By keyboard: the move is said, the focus stays where it was, or at the other arrow where that one can do no more.
        ids = {name: await page.get_attribute(f"tr[data-name={name}]", "data-id") for name in "abc"}
        await page.focus(f"#down-{ids['b']}")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#said:has-text('b stands 3 of 3 in the failover order.')", state="attached")
        assert await _order(page) == ["a", "c", "b"]
        assert await page.evaluate("document.activeElement.id") == f"up-{ids['b']}"
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#said:has-text('b stands 2 of 3 in the failover order.')", state="attached")
        assert await page.evaluate("document.activeElement.id") == f"up-{ids['b']}"

        # By dragging; let go outside the list, it is as it was.
        await page.drag_and_drop("tr[data-name=c]", "tr[data-name=b]", target_position={"x": 40, "y": 3})
        await page.wait_for_selector("#said:has-text('c stands 2 of 3 in the failover order.')", state="attached")
        await page.hover("tr[data-name=b]", position={"x": 40, "y": 10})
        await page.mouse.down()
        await page.hover("tr[data-name=a]", position={"x": 40, "y": 3})
        await page.hover("tr[data-name=a]", position={"x": 42, "y": 2})
        assert await _order(page) == ["b", "a", "c"]
        await page.hover("#instances h1")
        await page.mouse.up()
        await page.wait_for_selector("tbody[data-order]:not([data-dragging])")
        assert await _order(page) == ["a", "c", "b"]
        items = (await a.call("GET", "/api/v1/instances"))["items"]
        assert [i["name"] for i in items] == ["a", "c", "b"]

        # Handed over: told where it was asked for, and at once on a page that is open elsewhere.
        there = await _sign_in(other)
        await there.wait_for_selector(".note:has-text('This instance follows a')")
        assert not await there.is_visible("button:has-text('Promote')")
        await page.click("tr[data-name=b] button:has-text('Promote …')")
        await page.wait_for_url("**/settings/instances?did=promoted")
        assert one.dialogs[0].startswith("Make b primary? It starts epoch 2.")
        await page.wait_for_selector(".note:has-text('This instance follows b')")
        await _headed(there, "b leads in epoch 2. 3 of 3 voters agree.")
        told = await there.text_content("#epochs li:first-child") or ""
        assert "Handed over by " + FIRST["email"] in told
        await there.wait_for_selector("tr[data-name=a] button:has-text('Promote …')")

        for width in (390, 1440):
            await there.set_viewport_size({"width": width, "height": 900})
            assert await there.evaluate("document.documentElement.scrollWidth <= innerWidth")
            for theme in ("light", "dark"):
                await there.emulate_media(color_scheme=theme, reduced_motion="reduce")
                assert await _axe(other) == []

        # One lost, then the other: nobody takes over by itself, the way out asks for the name again.
        await there.evaluate("window.stayed = true")
        c.kill()
        await _headed(there, "b leads in epoch 2. 2 of 3 voters agree.")
        await there.wait_for_selector("tr[data-name=c]:has-text('Lost, ')")
        a.kill()
        await _headed(there, "Nobody leads just now.")
        assert await there.evaluate("window.stayed")
        await there.fill("#force input[name=name]", "a")
        await there.check("#force input[name=others_are_off]")
        await there.click("#force button.danger")
        await there.wait_for_selector("#force .note:has-text('typed again')")
        assert await _axe(other) == []
        await there.fill("#force input[name=name]", "b")
        await there.check("#force input[name=others_are_off]")
        await there.click("#force button.danger")
        await there.wait_for_url("**/settings/instances?did=forced", timeout=60_000)
        assert "Promoted by force by " + FIRST["email"] in (await there.text_content("#epochs li:first-child") or "")
        assert [w for w in other.complaints if "422" not in w] == []
