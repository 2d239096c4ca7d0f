"""A caller of the ASGI app: one request in, one answer out, nothing in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import brotli
import msgspec

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: list[str] = field(default_factory=list[str])

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.plain)

    @property
    def plain(self) -> bytes:
        """The body, unpacked."""
        return brotli.decompress(self.body) if self.headers.get("content-encoding") == "br" else self.body

    @property
    def text(self) -> str:
        return self.plain.decode()

    @property
    def fields(self) -> list[str]:
        """Which fields the problem names."""
        return [e["field"] for e in self.data["errors"]]


class Caller:
    """Calls the app as somebody: a token, cookies, an address."""

    def __init__(self, app: App, token: str | None = None, *, address: str = "203.0.113.5", **headers: str) -> None:
        self._app, self.token, self.address = app, token, address
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.cookies: dict[str, str] = {}

    def as_(self, token: str | None, **headers: str) -> Caller:
        """The same app, called by somebody else."""
        return Caller(self._app, token, address=self.address, **headers)

    async def get(self, url: str, **headers: str) -> Answer:
        return await self.send("GET", url, headers=headers)

    async def post(self, url: str, data: Any = None, **headers: str) -> Answer:
        return await self.send("POST", url, data, headers=headers)

    async def patch(self, url: str, data: Any = None, **headers: str) -> Answer:
        return await self.send("PATCH", url, data, headers=headers)

    async def delete(self, url: str, **headers: str) -> Answer:
        return await self.send("DELETE", url, headers=headers)

    async def send(
        self,
        method: str,
        url: str,
        data: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request. `data` goes out as JSON, `raw` as it is."""
        body = raw if raw is not None else b"" if data is None else msgspec.json.encode(data)
        sent = {"host": "tocsin.test", **self.headers, **{k.replace("_", "-"): v for k, v in (headers or {}).items()}}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        if body:
            sent.setdefault("content-type", "application/json")
        if self.cookies:
            sent["cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        path, _, query = url.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in sent.items()],
            "client": (self.address, 40000), "server": ("tocsin.test", 80), "state": {},
        }  # fmt: skip
        return await self._exchange(scope, body)

    async def _exchange(self, scope: dict[str, Any], body: bytes) -> Answer:
        answer, given = Answer(0, {}, b""), False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if given:
                await asyncio.Event().wait()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                for name, value in message["headers"]:
                    if name == b"set-cookie":
                        answer.cookies.append(value.decode("latin-1"))
                    else:
                        assert name.decode() not in answer.headers, f"{name!r} twice"
                        answer.headers[name.decode()] = value.decode("latin-1")
            else:
                answer.body += message.get("body", b"")

        await self._app(scope, receive, send)
        for cookie in answer.cookies:
            name, _, rest = cookie.partition("=")
            value = rest.partition(";")[0]
            if "Max-Age=0" in cookie:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer
