"""The program that walks a browser through a page: an order on standard input, an answer on standard output, one line each.

Run as `python -m tocsin.net.page` by tocsin.net.browser, in a process of its own. The order: browser, sandbox, proxy,
end (on the monotonic clock, which is the same for all processes), within_s, wait_s, verify_tls, width, height, hide (texts
that no picture shows), and steps of `do` with url, selector, text, role, label, value, key, secret.
The answer: steps (ms of each), failed (None, or index, type, what, phase, net, url), status_code, url, title, vitals,
console, requests, picture (JPEG in base64, of a failure); or `fault`, when the fault is ours.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import json
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from tocsin.core.plain import clip

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Locator, Page, Playwright, Request

PICTURE = 200 * 1024
_MOST = 20
_ARGS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--disable-plugins", "--disable-file-system", "--disable-notifications",
    "--disable-domain-reliability", "--disable-dev-shm-usage", "--no-pings", "--dns-prefetch-disable", "--mute-audio",
    "--js-flags=--max-old-space-size=384", "--renderer-process-limit=4",
    # Every way around the proxy: loopback, names looked up by Chromium itself, WebRTC's datagrams.
    "--proxy-bypass-list=<-loopback>", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--webrtc-ip-handling-policy=disable_non_proxied_udp",
)  # fmt: skip
_VITALS = """() => {
  const seen = (type) => {
    const watch = new PerformanceObserver(() => {});
    watch.observe({type, buffered: true});
    const entries = watch.takeRecords();
    watch.disconnect();
    return entries;
  };
  const way = performance.getEntriesByType("navigation")[0] || {};
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const large = seen("largest-contentful-paint").pop();
  const shifts = seen("layout-shift").filter((e) => !e.hadRecentInput);
  let most = 0, sum = 0, first = 0, last = 0;
  for (const e of shifts) {
    if (e.startTime - last >= 1000 || e.startTime - first >= 5000) { sum = 0; first = e.startTime; }
    sum += e.value;
    last = e.startTime;
    most = Math.max(most, sum);
  }
  return [performance.timeOrigin, paint ? paint.startTime : -1, large ? large.startTime : -1, most,
    way.responseStart || -1, way.loadEventEnd || -1].map((x) => +x);
}"""
_NET = re.compile(r"net::(ERR_[A-Z0-9_]+)")


class Stop(Exception):
    """A step that did not go as it should: what is told of it."""

    def __init__(self, type: str, what: str, *, phase: str | None = None, net: str = "", url: str = "") -> None:
        super().__init__(what)
        self.told = {"type": type, "what": what, "phase": phase, "net": net, "url": url}


class Visit:
    """One walk through a page, and what was seen on the way."""

    def __init__(self, order: dict[str, Any], end: float) -> None:
        self.order, self.end = order, end
        self.seen: dict[str, Any] = {
            "steps": [], "failed": None, "status_code": None, "url": "", "title": "", "vitals": {}, "console": [],
            "requests": [], "picture": None,
        }  # fmt: skip
        self.hidden: list[Locator] = []
        self.failed_url = ""
        self.first_document: float | None = None
        self.page: Page

    async def go(self, playwright: Playwright) -> dict[str, Any]:
        """The answer."""
        self.page = await (await self._open(playwright)).new_page()
        self._listen()
        for index, step in enumerate(self.order["steps"]):
            began = time.monotonic()
            try:
                await self._try(step)
            except Stop as stop:
                self.seen["failed"] = {"index": index} | stop.told
            self.seen["steps"].append({"ms": round((time.monotonic() - began) * 1000, 3)})
            await self._look()
            if self.seen["failed"]:
                await self._take_picture()
                break
        return self.seen

    async def _open(self, playwright: Playwright) -> BrowserContext:
        order = self.order
        args = [*_ARGS]
        if not order["sandbox"]:
            args.append("--no-sandbox")
        if not order["verify_tls"]:  # as the context's own option, it now and then waits for ever
            args.append("--ignore-certificate-errors")
        browser: Browser = await playwright.chromium.launch(
            executable_path=order["browser"],
            chromium_sandbox=order["sandbox"],
            args=args,
            proxy={"server": order["proxy"], "bypass": "<-loopback>"},
            timeout=max(1.0, self._left_s()) * 1000,
        )
        context = await browser.new_context(
            accept_downloads=False,
            service_workers="block",
            viewport={"width": order["width"], "height": order["height"]},
            permissions=[],
        )
        context.on("page", self._on_page)
        return context

    async def _on_page(self, page: Page) -> None:
        """Pages that a page opens are not looked at: a few may stay, as sign-ins use them."""
        if len(page.context.pages) > 4:
            await page.close()

    def _listen(self) -> None:
        def note(kind: str, text: str) -> None:
            if len(self.seen[kind]) < _MOST:
                self.seen[kind].append(text[:1000])

        def on_failed(request: Request) -> None:
            note("requests", f"{request.failure or 'failed'} {request.method} {request.url}")
            if request.is_navigation_request() and request.frame == page.main_frame:
                self.failed_url = request.url[:8192]

        page = self.page
        page.on("console", lambda m: note("console", m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: note("console", str(e)))
        page.on("requestfailed", on_failed)
        page.on("dialog", lambda d: asyncio.ensure_future(d.dismiss()))

    def _left_s(self) -> float:
        return self.end - time.monotonic()

    def _wait_s(self) -> float:
        """How long a step may wait for something to be there."""
        return max(0.05, min(self.order["wait_s"], self._left_s()))

    async def _try(self, step: dict[str, Any]) -> None:
        """Do one step. Raises Stop; other errors of Playwright are put in our words."""
        from playwright.async_api import Error

        left_s = self._left_s()
        if left_s <= 0:
            raise Stop("timeout", "no time was left for it")
        try:
            async with asyncio.timeout(left_s):
                await getattr(self, "_" + step["do"])(step)
        except TimeoutError:
            raise Stop("timeout", f"no result within {left_s:.1f} s") from None
        except Error as error:
            if "crashed" in error.message.lower():
                raise Stop("protocol", "the page crashed (it may have needed too much memory)") from None
            net = _NET.search(error.message)
            name = "" if net is None else net[1]
            if step["do"] == "goto" and (name or "Timeout" not in error.message):
                raise Stop(
                    "network",
                    f"the page could not be opened ({name or 'no reason given'})",
                    net=name,
                    url=self.failed_url,
                ) from None
            if step["do"] == "goto":
                raise Stop("timeout", f"the page was not loaded within {left_s:.1f} s", phase="transfer") from None
            raise Stop("assertion", _unmet(step, self._wait_s_of(left_s), error.message)) from None

    def _wait_s_of(self, left_s: float) -> float:
        return min(self.order["wait_s"], left_s)

    def _find(self, step: dict[str, Any]) -> Locator:
        page = self.page
        if step.get("selector"):
            return page.locator(step["selector"]).first
        if step.get("role"):
            return page.get_by_role(step["role"], name=step.get("text")).first
        if step.get("label"):
            return page.get_by_label(step["label"]).first
        return page.get_by_text(step.get("text") or "").first

    async def _goto(self, step: dict[str, Any]) -> None:
        answer = await self.page.goto(step["url"], wait_until="load", timeout=self._left_s() * 1000)
        if answer is not None:
            self.seen["status_code"] = answer.status
            if answer.status >= 400:
                raise Stop("assertion", f"expected a page, found status code {answer.status}")

    async def _click(self, step: dict[str, Any]) -> None:
        await self._find(step).click(timeout=self._wait_s() * 1000)

    async def _fill(self, step: dict[str, Any]) -> None:
        place = self._find(step)
        if step.get("secret"):
            self.hidden.append(place)
        await place.fill(step["value"], timeout=self._wait_s() * 1000)

    async def _press(self, step: dict[str, Any]) -> None:
        if any(step.get(name) for name in ("selector", "text", "role", "label")):
            await self._find(step).press(step["key"], timeout=self._wait_s() * 1000)
        else:
            await self.page.keyboard.press(step["key"])

    async def _wait_for(self, step: dict[str, Any]) -> None:
        if step.get("url"):
            await self._expect_url({"value": step["url"]})
        else:
            await self._find(step).wait_for(state="visible", timeout=self._wait_s() * 1000)

    async def _expect_text(self, step: dict[str, Any]) -> None:
        if step.get("selector"):
            place = self.page.locator(step["selector"]).filter(has_text=step["value"])
        else:
            place = self.page.get_by_text(step["value"])
        await place.first.wait_for(state="visible", timeout=self._wait_s() * 1000)

    async def _expect_url(self, step: dict[str, Any]) -> None:
        wanted = step["value"]
        await self.page.wait_for_url(lambda url: wanted in url, wait_until="commit", timeout=self._wait_s() * 1000)

    async def _expect_title(self, step: dict[str, Any]) -> None:
        end, wait_s = time.monotonic() + self._wait_s(), self._wait_s()
        while step["value"] not in (title := await self.page.title()):
            if time.monotonic() > end:
                text = f"expected a title with {clip(step['value'])!r} within {wait_s:.1f} s, found {clip(title)!r}"
                raise Stop("assertion", text)
            await asyncio.sleep(0.1)

    async def _look(self) -> None:
        """Where we are, and how the first document did so far."""
        from playwright.async_api import Error

        with contextlib.suppress(Error, TimeoutError, ValueError, TypeError):
            self.seen["url"] = self.page.url[:8192]
            async with asyncio.timeout(min(1.0, max(0.2, self._left_s()))):
                self.seen["title"] = (await self.page.title())[:300]
                made = await self.page.evaluate(_VITALS)
                origin, *figures = [float(x) for x in made[:6]]
                self.first_document = self.first_document or origin
                if origin == self.first_document:
                    names = ("fcp_ms", "lcp_ms", "cls", "ttfb_ms", "load_ms")
                    self.seen["vitals"] |= {n: round(v, 4) for n, v in zip(names, figures, strict=True) if 0 <= v < 1e9}

    async def _take_picture(self) -> None:
        """What the page looks like, with what was typed in of secrets covered; none when it cannot be taken in time."""
        from playwright.async_api import Error

        mask = [
            *self.hidden,
            self.page.locator("input[type=password]"),
            *map(self.page.get_by_text, self.order["hide"]),
        ]
        for quality in (60, 30, 10):
            with contextlib.suppress(Error, TimeoutError):
                async with asyncio.timeout(2):
                    taken = await self.page.screenshot(type="jpeg", quality=quality, mask=mask, timeout=2000)
                if len(taken) <= PICTURE:
                    self.seen["picture"] = base64.b64encode(taken).decode()
                    return
                continue
            return


def _unmet(step: dict[str, Any], wait_s: float, message: str) -> str:
    """What was waited for in vain, in words that follow the step's."""
    where = ", ".join(
        f"{name} {clip(step[name])!r}" for name in ("selector", "role", "label", "text") if step.get(name)
    )
    wanted = {
        "expect_text": f"text {clip(step.get('value') or '')!r}" + (f" in {where}" if where else ""),
        "expect_url": f"a URL with {clip(step.get('value') or '')!r}",
    }.get(step["do"], f"a URL with {clip(step['url'])!r}" if step.get("url") else where)
    if "Timeout" in message or "waiting for" in message:
        return f"expected {wanted} within {wait_s:.1f} s, found none that can be used"
    return f"expected {wanted}, found that it cannot be used so"


def _die_with_parent() -> None:
    """Let the kernel end us when the server ends, however it does."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


async def _visit(order: dict[str, Any]) -> dict[str, Any]:
    end = order["end"] - min(2.0, 0.2 * order["within_s"])  # the rest is for the picture
    try:
        from playwright.async_api import Error, async_playwright
    except ImportError:
        return {"fault": "the browser extra is not installed here (pip install 'tocsin[browser]')"}
    if order["sandbox"] and os.geteuid() == 0:
        return {"fault": "Chromium keeps no sandbox for root: run as another user, or set TOCSIN_BROWSER_SANDBOX=false"}
    try:
        async with async_playwright() as playwright:
            _say(await Visit(order, end).go(playwright))
            await asyncio.Event().wait()  # whoever asked ends all of it, which is quicker than to close it
    except (Error, OSError) as error:
        return {"fault": f"Chromium could not be used: {clip(str(error).strip().split(chr(10))[0], 200)}"}
    raise AssertionError


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the order, walk, answer."""
    _die_with_parent()
    _say(asyncio.run(_visit(json.loads(sys.stdin.readline()))))


if __name__ == "__main__":
    main()
