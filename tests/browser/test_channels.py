"""Every kind of channel is made in its form, and a template shows what it makes while it is typed."""

from __future__ import annotations

import pytest

from browser.conftest import Reader
from tocsin import notifiers

FILLED: dict[str, dict[str, str]] = {
    "webhook": {"url": "http://127.0.0.1:9/hook"},
    "email": {"to": "ann@example.org, bob@example.org", "smtp_url": "smtp://127.0.0.1:9"},
    "slack": {"token": "xoxb-1", "channel": "#ops"},
    "discord": {"url": "http://127.0.0.1:9/hook"},
    "telegram": {"token": "1:a", "chat_id": "-100123"},
    "teams": {"url": "http://127.0.0.1:9/hook"},
    "pagerduty": {"routing_key": "k"},
    "opsgenie": {"api_key": "k", "region": "eu"},
    "ntfy": {"url": "http://127.0.0.1:9/topic"},
    "twilio": {"account_sid": "AC1", "auth_token": "t", "from": "Tocsin", "to": "+436641234567"},
    "alertmanager": {"url": "http://127.0.0.1:9", "labels": "team: web\nenv: prod"},
    "apprise": {"url": "json://127.0.0.1:9/hook"},
}


async def test_every_kind_of_channel_is_made_in_its_form(reader: Reader) -> None:
    await reader.begin()
    page = reader.page
    assert set(FILLED) == set(notifiers.names())
    for kind, fields in FILLED.items():
        await reader.go("/channels/new")
        async with page.expect_response("**/channels/new/config"):
            await page.check(
                f"input[name=type][value={kind}]" if kind != "webhook" else "input[name=type][value=email]"
            )
        if kind == "webhook":
            await page.check("input[name=type][value=webhook]")
        await page.wait_for_selector(f"[id='f-config.{next(iter(fields))}']")
        await page.fill("#f-name", f"A {kind}")
        for name, value in fields.items():
            control = page.locator(f"[id='f-config.{name}']")
            if await control.evaluate("e => e.tagName") == "SELECT":
                await control.select_option(value)
            else:
                await control.fill(value)
        await page.click("button.primary:has-text('Save')")
        await page.wait_for_url("**/channels?did=saved")
        await page.click(f"a.name:has-text('A {kind}')")
        await page.wait_for_selector("button.primary:has-text('Save')")
        await page.click("button.primary:has-text('Save')")
        await page.wait_for_url("**/channels?did=saved")
    assert reader.complaints == []


@pytest.mark.parametrize("width", [390, 1440])
async def test_a_template_shows_what_it_makes_while_it_is_typed(reader: Reader, width: int) -> None:
    await reader.begin()
    page = reader.page
    await page.set_viewport_size({"width": width, "height": 900})
    await reader.go("/channels/new")
    await page.fill("#f-name", "Ops")
    await page.fill("[id='f-config.url']", "http://127.0.0.1:9/hook")
    await page.click("summary:has-text('Own words')")
    await page.fill("[id='f-template.text']", "{{ monitor.name }}: {{ nonsense }}")
    await page.wait_for_selector("#preview .note:has-text('nonsense')")
    await page.click("button.primary:has-text('Save')")
    await page.wait_for_selector("[id='e-template.text']:has-text('no other fields than')")
    await page.fill(
        "[id='f-template.text']", "<b>{{ monitor.name or 'No monitor' }}</b> after {{ lasted or 'no time' }}"
    )
    await page.wait_for_selector("#preview pre:has-text('<b>Shop</b> after 14 min 8 s')")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.click("button.primary:has-text('Save')")
    await page.wait_for_url("**/channels?did=saved")
    await page.click("a.name:has-text('Ops')")
    assert "after {{ lasted" in await page.input_value("[id='f-template.text']")
    assert [c for c in reader.complaints if "422" not in c] == []
