"""A real server, a real website that can be switched off, and a real Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from needs import program
from tocsin import settings
from tocsin.app import server

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
EMAIL, PASSWORD = "admin@example.org", "correct horse battery"
WATCH = """
addEventListener("securitypolicyviolation", (e) => {
  console.error(`CSP ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this room run on one loop, on which the browser lives."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(slots=True)
class Site:
    """A website of which tests say how it answers."""

    port: int = 0
    code: int = 200
    body: bytes = b'{"ok": true}'
    seen: list[str] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) != b"":
                self.seen.append(head.split(b" ", 2)[1].decode())
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                reply = f"HTTP/1.1 {self.code} X\r\ncontent-length: {len(self.body)}\r\n\r\n".encode() + self.body
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    made = Site()
    listening = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


@pytest_asyncio.fixture(loop_scope="session")
async def house(tmp_path: Path) -> AsyncIterator[server.Running]:
    """A server that answers, with nobody's account in it yet."""
    chosen = settings.read(
        {"TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_PORT": "0", "TOCSIN_MINIMUM_INTERVAL_S": "1"}
    )
    running = await server.start(chosen)
    yield running
    await running.stop()


@dataclass(slots=True)
class Reader:
    """A person at a browser. `complaints`: errors the console or the network showed."""

    browser: Browser
    context: BrowserContext
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        async def on_dialog(dialog: object) -> None:
            self.dialogs.append(dialog.message)  # type: ignore[attr-defined]
            await dialog.accept()  # type: ignore[attr-defined]

        page.on("dialog", on_dialog)
        page.on("pageerror", lambda e: self.complaints.append(f"script error: {e}"))
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)

    async def go(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def call(self, path: str, data: object, method: str = "POST") -> dict:
        """An API call with the page's own session."""
        status, answer = await self.page.evaluate(
            """async ([path, data, method]) => {
                const headers = {"content-type": "application/json"};
                const reply = await fetch("/api/v1" + path, {method, headers, body: JSON.stringify(data)});
                const text = await reply.text();
                return [reply.status, text ? JSON.parse(text) : {}];
            }""",
            [path, data, method],
        )
        assert status < 300, answer
        return answer

    async def get(self, path: str) -> dict:
        """What the API shows, with the page's own session."""
        return await self.page.evaluate("async (path) => (await fetch('/api/v1' + path)).json()", path)

    async def ready(self) -> None:
        """Return when the page's own scripts run and it hears the server."""
        await self.page.wait_for_selector("#live[data-live=on]")

    async def begin(self) -> None:
        """Make the first account, skip the rest of set-up."""
        await self.go("/")
        await self.page.fill("#f-email", EMAIL)
        await self.page.fill("#f-password", PASSWORD)
        await self.page.click("button.primary")
        await self.page.wait_for_url("**/setup/monitor")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One Chromium for the whole run: starting it takes longer than most tests."""
    path = program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def person(chromium: Browser, url: str) -> AsyncIterator[Reader]:
    """A person with cookies and storage of their own, at this address."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800}, timezone_id="UTC")
    await context.add_init_script(WATCH)
    page = await context.new_page()
    page.set_default_timeout(20_000)
    made = Reader(chromium, context, page, url)
    made.listen(page)
    yield made
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def reader(house: server.Running, chromium: Browser) -> AsyncIterator[Reader]:
    """A person at the server."""
    async with person(chromium, house.url) as made:
        yield made
