"""The page of alert rules: made, tried on the past, changed, switched off, deleted."""

from __future__ import annotations

from datetime import timedelta

from playwright.async_api import expect

from browser.conftest import Reader, Site
from browser.test_manners import _axe
from builders import a_result
from tocsin.app.server import Running
from tocsin.core.result import CheckResult, Timing
from tocsin.store.batch import Batch


async def test_a_long_trial_leaves_the_form_as_it_is(reader: Reader, site: Site, house: Running) -> None:
    await reader.begin()
    wanted = {"type": "http", "target": {"url": site.url()}, "paused": True}
    now, past = house.parts.clock.now(), list[CheckResult]()
    for number in range(12):
        made = await reader.call("/monitors", wanted | {"name": f"Shop {number}"})
        monitor = house.parts.corridor.watchlist.get(made["id"]).monitor
        past += [
            a_result(monitor=monitor, at=now - timedelta(minutes=n), timing=Timing(total=900 if n % 9 == 0 else 100))
            for n in range(60, 0, -1)
        ]
    await house.parts.store.commit(Batch(id="past", results=tuple(past)))
    page = reader.page
    for width in (1440, 390):
        await page.set_viewport_size({"width": width, "height": 900})
        await reader.go("/alert-rules/new?type=response_time")
        await page.fill("[name=over_ms]", "500")
        await page.fill("[name=back_ms]", "400")
        await page.fill("[name=window_s]", "60")
        place = "document.querySelectorAll('#rule-form h2')[1].getBoundingClientRect().top + scrollY"
        before = await page.evaluate(place)
        await page.click("#try")
        assert await page.locator("#tried li").nth(20).inner_text()
        assert await page.evaluate(place) == before
        tried = await page.locator("#tried .tried").bounding_box()
        assert tried is not None
        assert tried["height"] < 640
        assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_a_rule_is_made_tried_switched_and_deleted(reader: Reader, site: Site, house: Running) -> None:
    await reader.begin()
    made = await reader.call(
        "/monitors", {"name": "Shop", "type": "http", "target": {"url": site.url()}, "paused": True}
    )
    parts = house.parts
    monitor, now = parts.corridor.watchlist.get(made["id"]).monitor, parts.clock.now()
    past = tuple(
        a_result(monitor=monitor, at=now - timedelta(minutes=n), timing=Timing(total=900 if 40 < n < 60 else 100))
        for n in range(120, 0, -1)
    )
    await parts.store.commit(Batch(id="past", results=past))
    page = reader.page
    await reader.go("/alert-rules")
    await expect(page.locator("h1")).to_have_text("No rule fires. 1 rule watches.")
    await page.click("text=New rule")
    await page.click("label.pick:has([value=verdict])")
    await expect(page.locator("#condition [value=partial]")).to_be_checked()
    await expect(page.locator(".err")).to_have_count(0)
    await page.click("label.pick:has([value=uptime])")
    await expect(page.locator("[name=under]")).to_have_value("99.9")
    await page.click("label.pick:has([value=response_time])")
    await page.fill("[name=over_ms]", "500")
    await expect(page.locator("#plain-words")).to_contain_text("above 500 ms, on every monitor")
    await page.click("#try")
    await expect(page.locator("#tried [data-say]")).to_have_text("2 messages in that time")
    await expect(page.locator("#tried li").first).to_contain_text("Shop is over")
    assert await _axe(reader) == []
    await page.fill("[name=name]", "Slow <b>checkout</b>")
    await page.fill("[name=back_ms]", "900")
    await page.click("button.primary:has-text('Save')")
    await expect(page.locator(".err")).to_contain_text("Must be at most over_ms (500), not 900.")
    await page.fill("[name=back_ms]", "400")
    await page.click("button.primary:has-text('Save')")
    await expect(page.locator(".toast")).to_have_text("Saved.")
    assert await _axe(reader) == []
    await page.click("a.name:has-text('Slow <b>checkout</b>')")
    await expect(page.locator("[name=back_ms]")).to_have_value("400")
    await page.fill("[name=over_ms]", "5000")
    await page.click("#try")
    await expect(page.locator("#tried")).to_contain_text("0 messages would be new, 2 would no longer come.")
    await reader.go("/alert-rules")
    await page.click("[aria-label='Switch off: Slow <b>checkout</b>']")
    await expect(page.locator("[aria-label='Switch on: Slow <b>checkout</b>']")).to_be_visible()
    await page.click("a.name:has-text('Slow')")
    await page.click("text=Delete …")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert reader.dialogs == ["Delete Slow <b>checkout</b>? What it fires now is closed."]
    assert [c for c in reader.complaints if "422" not in c] == []
