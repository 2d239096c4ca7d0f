"""On call in a real browser: steps and rotations added by the button, and acknowledging by the link in a message."""

from __future__ import annotations

import asyncio
import json

from playwright.async_api import expect

from browser.conftest import Reader, Site

STARTS = "2026-03-02T08:00"


async def test_a_schedule_and_a_policy_are_put_together(reader: Reader, site: Site) -> None:
    page = reader.page
    await reader.begin()
    await reader.go("/on-call/schedules/new")
    await page.fill("#f-name", "Primary")
    await page.click("text=Add a rotation")
    await expect(page.locator("[data-row]")).to_have_count(2)
    await page.locator("[data-remove-row]").first.click()
    await expect(page.locator("[data-row]")).to_have_count(1)
    await page.locator("#schedule-form button.primary").click()
    await expect(page.locator("h1")).to_contain_text("is on duty for Primary")
    await reader.go("/on-call/policies/new")
    await page.fill("#f-name", "Ops")
    await page.get_by_label("Primary").check()
    await page.click("text=Add a step")
    await expect(page.locator("[data-row]")).to_have_count(2)
    await page.locator("[data-row]").nth(1).get_by_label("Primary").check()
    await page.click("text=Save")
    await expect(page.locator("main")).to_contain_text(
        "after 5 min: Primary (on call); then after 10 min: Primary (on call)"
    )
    assert reader.complaints == []


async def test_the_link_of_a_message_acknowledges_without_a_sign_in(reader: Reader, site: Site) -> None:
    posts: list[dict] = []

    async def take(stream: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        head = await stream.readuntil(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        posts.append(json.loads(await stream.readexactly(size)))
        back.write(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await back.drain()
        back.close()

    sink = await asyncio.start_server(take, "127.0.0.1", 0)
    async with sink:
        await reader.begin()
        hook = f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}/"
        await reader.call("/channels", {"name": "Chat", "type": "webhook", "config": {"url": hook}})
        site.code = 503
        target = {"url": site.url("/health")}
        wanted = {"name": "Shop", "type": "http", "target": target, "interval_s": 1, "timeout_s": 0.5, "retries": 0}
        await reader.call("/monitors", wanted)
        for _ in range(200):
            if posts:
                break
            await asyncio.sleep(0.1)
        stranger = await reader.browser.new_context()
        page = await stranger.new_page()
        await page.goto(posts[0]["acknowledge_url"])
        await expect(page.locator("h1")).to_have_text("Shop is down")
        await page.click("button")
        await expect(page.locator("main")).to_contain_text("Acknowledged.")
        await stranger.close()
        (incident,) = (await reader.get("/incidents"))["items"]
        assert incident["acknowledged_by"] == "a link in Chat"
