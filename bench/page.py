"""The overview with a thousand monitors in Chromium, live; and what every page leaves in the server's memory."""

from __future__ import annotations

import shutil
import time
from typing import Any

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
COUNT, INTERVAL = 1000, 10
NAVIGATION = "performance.getEntriesByType('navigation')[0]"
ALL_BYTES = f"[{NAVIGATION}, ...performance.getEntriesByType('resource')].reduce((n, e) => n + e.transferSize, 0)"


def _usable(page: Any, url: str) -> float:
    """ms from the request until the page is loaded and a row can be focused."""
    page.goto(url, wait_until="load")
    page.wait_for_selector("[role=row].r", state="visible")
    page.wait_for_function(f"{NAVIGATION}.loadEventEnd > 0")
    return page.evaluate(f"{NAVIGATION}.loadEventEnd")


def _sign_in(page: Any, base: str) -> None:
    page.goto(base + "/login")
    page.fill("input[name=email]", rig.FIRST["email"])
    page.fill("input[name=password]", rig.FIRST["password"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)


def _task_s(session: Any) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def main() -> list[Figure]:
    """1,000 monitors every 10 s: five loads with an empty cache and five after, then 20 s of live updates; then every page."""
    program = shutil.which("chromium")
    if program is None:
        print("page: chromium is not installed, nothing measured")
        return []
    from playwright.sync_api import sync_playwright

    with rig.running() as (server, target), sync_playwright() as playwright:
        base = f"http://127.0.0.1:{server.port}"
        ids = server.monitors(target, COUNT, INTERVAL)
        time.sleep(INTERVAL + 2)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        cold: list[float] = []
        wire: list[float] = []
        for _ in range(5):
            context = browser.new_context()
            page = context.new_page()
            _sign_in(page, base)
            session = context.new_cdp_session(page)
            session.send("Network.clearBrowserCache")
            cold.append(_usable(page, base + "/"))
            wire.append(page.evaluate(ALL_BYTES) / 1000)
            context.close()
        page = browser.new_page()
        _sign_in(page, base)
        warm = [_usable(page, base + "/") for _ in range(5)]
        rows = page.evaluate("document.querySelectorAll('[role=row].r').length")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        time.sleep(3)
        before, at = _task_s(session), time.monotonic()
        time.sleep(20)
        live = (_task_s(session) - before) / (time.monotonic() - at) * 1000
        browser.close()
        for path in ("/", "/incidents", "/monitors/new", "/channels", "/channels/new", "/settings", "/settings/audit",
                     "/settings/system", f"/monitors/{ids[0]}", f"/monitors/{ids[0]}/edit", "/api/docs", "/api/v1/openapi.json"):  # fmt: skip
            server.page(path)
        memory = rig.rss_mb(server.pid)
        server.stop()
    return record(
        "page",
        f"the overview with {COUNT:,} monitors every {INTERVAL} s in Chromium",
        [
            at_most("usable, empty cache, median of 5", rig.percentile(cold, 0.5), "ms", 800),
            plain("usable, warm cache, median of 5", rig.percentile(warm, 0.5), "ms"),
            at_most("on the wire, empty cache, everything", rig.percentile(wire, 0.5), "KB", 100),
            at_least("rows in it", rows, "", COUNT),
            at_most("live updates: main-thread work each second", live, "ms", 60),
            at_most("resident memory of the server, every page used", memory, "MB", 150),
        ],
    )


if __name__ == "__main__":
    main()
