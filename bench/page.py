"""The overview with a thousand monitors in Chromium."""

from __future__ import annotations

import shutil

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def main() -> list[Figure]:
    """Sign in, then load the overview five times."""
    program = shutil.which("chromium")
    if program is None:
        print("page: chromium is not installed, nothing measured")
        return []
    from playwright.sync_api import sync_playwright

    loads: list[float] = []
    firsts: list[float] = []
    with rig.running() as (server, target), sync_playwright() as playwright:
        server.monitors(target, 1000, 60)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/login")
        page.fill("input[name=email]", "bench@example.org")
        page.fill("input[name=password]", "a long enough sentence")
        page.press("input[name=password]", "Enter")
        page.wait_for_url(lambda url: "login" not in url)
        for _ in range(5):
            page.goto(f"http://127.0.0.1:{server.port}/", wait_until="load")
            page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            firsts.append(page.evaluate("performance.getEntriesByType('navigation')[0].responseEnd"))
        rows = page.evaluate("document.querySelectorAll('[role=row].r').length")
        size = page.evaluate("performance.getEntriesByType('navigation')[0].transferSize")
        browser.close()
        server.stop()
    return record(
        "page",
        "overview with 1,000 monitors in Chromium, 5 loads after sign-in",
        [
            at_most("page loaded, median", rig.percentile(loads, 0.5), "ms", 1000),
            plain("HTML received, median", rig.percentile(firsts, 0.5), "ms"),
            plain("bytes of the page, compressed", size, "B"),
            at_least("rows in it", rows, "", 1000),
        ],
    )


if __name__ == "__main__":
    main()
