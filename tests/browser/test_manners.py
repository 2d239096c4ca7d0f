"""What holds on every page: accessible in both themes, no sideways scroll, nothing runs that we did not write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from browser.conftest import EMAIL, PASSWORD, Reader, Site
from tocsin.app.server import Running
from tocsin.clock import new_id
from tocsin.core.account import Membership, User
from tocsin.web import passwords

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGES = [
    "/", "/incidents", "/on-call", "/on-call/schedules/new", "/on-call/policies/new", "/alert-rules", "/reports",
    "/channels", "/maintenance", "/maintenance/new", "/settings", "/settings/members", "/settings/audit", "/settings/system",
    "/setup/monitor", "/setup/channel", "/locations", "/locations/new", "/locations/office", "/locations/office/edit",
    "/hosts", "/hosts?view=services", "/hosts/new",
]  # fmt: skip
PAYLOADS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "javascript:alert(1)",
    "{{7*7}}${7*7}<%=7*7%>", "'-alert(1)-'", "</title><script>alert(1)</script>", "<a href=javascript:alert(1)>x</a>",
    "<style>*{display:none}</style>", "&lt;b&gt;", "<iframe srcdoc='<script>alert(1)</script>'>",
]  # fmt: skip


async def _a_world(reader: Reader, site: Site, name: str = "Shop") -> tuple[str, str]:
    """(monitor, incident): one monitor down, one up, a channel, a key."""
    await reader.begin()
    await reader.call("/channels", {"name": f"Ops {name}", "type": "webhook", "config": {"url": site.url("/hook")}})
    site.code = 503
    made = await reader.call(
        "/monitors",
        {
            "name": name,
            "type": "http",
            "target": {"url": site.url("/?q=<b>")},
            "interval_s": 1,
            "timeout_s": 0.5,
            "retries": 0,
            "tags": [name[:50]],
        },
    )
    await reader.call("/api-keys", {"name": name})
    office = {"code": "office", "name": name[:100], "mode": "pull", "latitude": 48.2, "longitude": 16.4}
    await reader.call("/locations", office | {"failure_domain": name[:100]})
    await reader.call("/hosts", {"name": name, "group": name[:100], "tags": [name[:50]]})
    await _on_call(reader, name)
    await reader.go("/")
    await reader.page.wait_for_selector(".strip")
    href = await reader.page.get_attribute(".strip h2 a", "href")
    assert href is not None
    return made["id"], href


async def _on_call(reader: Reader, name: str) -> None:
    """A schedule with a hole and a policy that names it."""
    me = (await reader.get("/members"))["items"][0]["id"]
    rotation = {"people": [me], "starts_at": "2026-03-02T08:00:00Z", "from_time": "08:00", "until_time": "20:00"}
    schedule = await reader.call("/on-call-schedules", {"name": name, "rotations": [rotation]})
    step = {"delay_s": 300, "schedules": [schedule["id"]]}
    await reader.call("/escalation-policies", {"name": name, "steps": [step]})


async def _things(reader: Reader) -> list[str]:
    """The pages of what `_a_world` made beside its monitors."""
    host = (await reader.get("/hosts"))["items"][0]["id"]
    schedules = (await reader.get("/on-call-schedules"))["items"]
    policies = (await reader.get("/escalation-policies"))["items"]
    return [
        f"/on-call/schedules/{schedules[0]['id']}", f"/on-call/policies/{policies[0]['id']}",
        f"/hosts/{host}", f"/hosts/{host}/edit", f"/hosts/{host}?tab=alerts", f"/hosts/{host}?tab=agent",
    ]  # fmt: skip


async def _axe(reader: Reader) -> list[str]:
    # The library is not a page's own script: it is put in by the debugger, which the CSP does not concern.
    session = await reader.context.new_cdp_session(reader.page)
    run = (
        AXE.read_text(encoding="utf-8")
        + """
        ;axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
         .then((r) => r.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3)
            .map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")).join(" | ")))"""
    )
    answer = await session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True})
    await session.detach()
    assert "exceptionDetails" not in answer, answer
    return answer["result"]["value"]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_is_accessible(reader: Reader, site: Site, theme: Any) -> None:
    monitor, incident = await _a_world(reader, site)
    await reader.page.emulate_media(color_scheme=theme)
    wrong: dict[str, list[str]] = {}
    for path in (
        *PAGES,
        "/monitors/new",
        "/channels/new",
        "/alert-rules/new",
        f"/monitors/{monitor}",
        f"/monitors/{monitor}/edit",
        incident,
        *await _things(reader),
    ):
        await reader.go(path)
        if found := await _axe(reader):
            wrong[path] = found
    link = (await reader.call("/invitations", {"email": "bob@example.org"}))["link"]
    await reader.context.clear_cookies()
    for path in ("/login", "/invitations/" + link.rpartition("/")[2]):
        await reader.go(path)
        if found := await _axe(reader):
            wrong[path] = found
    assert wrong == {}


async def test_nothing_scrolls_sideways_on_a_small_screen(reader: Reader, site: Site) -> None:
    monitor, incident = await _a_world(reader, site)
    await reader.page.set_viewport_size({"width": 360, "height": 740})
    for path in (*PAGES, f"/monitors/{monitor}", f"/monitors/{monitor}/edit", incident, *await _things(reader)):
        await reader.go(path)
        wide = await reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, f"{path} is {wide} px wide"


async def test_the_tab_bar_of_a_phone_is_one_line(reader: Reader, site: Site) -> None:
    await reader.page.set_viewport_size({"width": 360, "height": 740})
    await _a_world(reader, site)
    await reader.go("/incidents")
    assert (await reader.page.locator("[data-open-tab]").inner_text()).strip() == "1"
    sizes = await reader.page.evaluate(
        """() => [...document.querySelectorAll(".tabbar a")].map((a) => {
            const range = document.createRange(), word = document.createTreeWalker(a, NodeFilter.SHOW_TEXT).nextNode();
            range.selectNodeContents(word);
            const lines = range.getClientRects();
            return [lines[0].width <= a.getBoundingClientRect().width, lines.length];
        })"""
    )
    assert sizes == [[True, 1]] * 6


async def test_long_words_wrap_on_a_small_screen(reader: Reader, site: Site) -> None:
    await reader.begin()
    channel = {"name": "w" * 100, "type": "webhook", "config": {"url": site.url("/" + "w" * 180)}}
    await reader.call("/channels", channel)
    site.code = 503
    monitor, tag = {"type": "http", "interval_s": 1, "timeout_s": 0.5, "retries": 0}, "w" * 48
    words = {
        f"{'w' * 63}.example.org:8443": {"target": {"url": site.url()}, "tags": [tag]},
        "w" * 100: {
            "target": {"url": site.url("/" + "w" * 180)},
            "assertions": [{"type": "body", "op": "contains", "value": "w" * 200}],
        },
    }
    made = [(await reader.call("/monitors", monitor | {"name": name} | more))["id"] for name, more in words.items()]
    await reader.go("/")
    await expect(reader.page.locator(".strip h2 a")).to_have_count(2)
    hrefs = [await a.get_attribute("href") for a in await reader.page.locator(".strip h2 a").all()]
    await reader.page.set_viewport_size({"width": 390, "height": 844})
    monitors = [path for id in made for path in (f"/monitors/{id}", f"/monitors/{id}/edit")]
    wide: dict[str, int] = {}
    for path in ("/", f"/?tag={tag}", "/incidents", "/reports", "/channels", "/settings/audit", *monitors, *hrefs):
        assert path is not None
        await reader.go(path)
        found = await reader.page.evaluate("document.documentElement.scrollWidth")
        if found > 390:
            wide[path] = found
    assert wide == {}


async def test_hostile_text_stays_text(reader: Reader, site: Site) -> None:
    site.body = PAYLOADS[0].encode()
    monitor, incident = await _a_world(reader, site, PAYLOADS[0])
    made: list[str] = []
    for payload in PAYLOADS[1:]:
        one = {
            "name": payload,
            "type": "http",
            "target": {"url": site.url("/" + payload[:1].strip("<{"))},
            "interval_s": 3600,
        }
        made.append((await reader.call("/monitors", one | {"tags": [payload[:50]]}))["id"])
        await reader.call("/channels", {"name": payload, "type": "webhook", "config": {"url": site.url("/hook")}})
        await reader.call(f"{incident}/comments", {"text": payload})
        await reader.call("/api-keys", {"name": payload})
    await reader.call(
        f"{incident}/comments", {"text": "\u202etxt.exe"}
    )  # a name may not turn the direction, a note may
    await reader.go("/")
    names = await reader.page.locator(".watchlist a.name b").all_inner_texts()
    assert sorted(names) == sorted(PAYLOADS)
    paths = [
        "/incidents",
        incident,
        "/channels",
        "/settings",
        "/settings/audit",
        "/monitors/new",
        f"/monitors/{monitor}/edit",
        "/hosts",
        "/alert-rules/new?type=sample",
        *await _things(reader),
    ]
    for path in [
        *paths,
        *(f"/monitors/{m}" for m in made),
        f"/find?q={PAYLOADS[0]}",
        f"/?q={PAYLOADS[1]}&tag={PAYLOADS[2]}",
    ]:
        await reader.go(path)
    assert reader.dialogs == []
    assert reader.complaints == []


async def test_a_viewer_sees_figures_but_no_buttons(reader: Reader, site: Site, house: Running) -> None:
    monitor, incident = await _a_world(reader, site)
    parts, now = house.parts, house.parts.clock.now()
    workspace = next(iter(parts.corridor.watchlist)).monitor.workspace_id
    user = User(
        id=new_id(),
        email="viewer@example.org",
        password_hash=await passwords.hashed(parts.memory, PASSWORD),
        created_at=now,
    )
    member = Membership(user_id=user.id, workspace_id=workspace, role="VIEWER")
    await parts.store.everything().write(lambda s: (s.accounts.add_user(user), s.accounts.add_membership(member)))
    await reader.context.clear_cookies()
    await reader.go("/login")
    await reader.page.fill("#f-email", "viewer@example.org")
    await reader.page.fill("#f-password", PASSWORD)
    await reader.page.click("button.primary")
    for path in ("/", f"/monitors/{monitor}", "/incidents", incident, "/alert-rules", "/channels"):
        await reader.go(path)
        assert await reader.page.locator("main form[method=post]").count() == 0, path
        assert await reader.page.locator("a[href$='/edit'], a[href$='/new']").count() == 0, path
    await reader.go(f"/monitors/{monitor}/edit")
    await expect(reader.page.locator("h1")).to_have_text("You may not do this")
    assert EMAIL not in await reader.page.content()


async def test_a_thousand_monitors_are_quick(reader: Reader, site: Site, house: Running) -> None:
    await reader.begin()
    made = await reader.call(
        "/monitors", {"name": "M 0", "type": "http", "target": {"url": site.url()}, "interval_s": 86_400}
    )
    watchlist = house.parts.corridor.watchlist
    first = watchlist.get(made["id"]).monitor
    await reader.call(f"/monitors/{made['id']}/run", {})
    verdict = watchlist.get(made["id"]).verdict
    assert verdict is not None
    from msgspec.structs import replace

    many = [replace(first, id=new_id(), name=f"Monitor number {n}", tags=(f"group-{n % 12}",)) for n in range(999)]
    await house.parts.store.of(first.workspace_id).write(lambda s: [s.monitors.add(m) for m in many])
    await watchlist.load()
    for n, w in enumerate(watchlist):
        w.verdict, w.tally = verdict, bytearray(b"u" * (n % 50) + b"d" * (n % 3) + b"u" * 90)[-90:]
    sizes: list[int] = []
    session = await reader.context.new_cdp_session(reader.page)
    await session.send("Network.enable")
    session.on("Network.loadingFinished", lambda e: sizes.append(int(e["encodedDataLength"])))
    await reader.go("/")
    await reader.go("/")
    took = await reader.page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    html = await reader.page.evaluate("performance.getEntriesByType('navigation')[0].transferSize")
    assert await reader.page.locator(".watchlist .group .r").count() == 1000
    assert html <= 100_000
    print(f"1,000 monitors: {took:.0f} ms to DOMContentLoaded, {html} bytes of HTML")
    assert took <= 2500  # 800 ms on a machine of its own; tests share theirs
