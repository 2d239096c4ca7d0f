"""Where programs of this host hand in metrics over HTTP: a bare ASGI function.

`POST /metrics` takes JSON and Prometheus' text, `POST /v1/metrics` OTLP. A page in a browser of this host could send here
too: what comes with an Origin, or for another name than this machine's own, is refused.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from msgspec import Struct

from tocsin.collectors._otlp import read_plain, read_protobuf
from tocsin.collectors._prometheus import read_text
from tocsin.collectors._pushed import Fresh
from tocsin.core.plain import as_map, clip, loads
from tocsin.core.shape import Length, read
from tocsin.errors import Invalid

MOST_BODY = 1 << 20
MOST_THINGS = 50_000
MOST_WAITING = 8
"""So many requests may wait while one is read; each is read in a thread, one at a time."""
IN_ONE_GO = 200
"""So many things are taken before others have their turn."""
_LONG = "it is longer than 1 MiB"
_NAMES = ("127.0.0.1", "localhost", "[::1]")

Take = Callable[[Fresh], bool]


class Refused(Exception):
    """The request is not taken: its status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Line(Struct, frozen=True):
    """One metric in JSON. `type`: a gauge, or a counter's total since its program began."""

    name: Annotated[str, Length(1, 200)]
    value: float
    type: Literal["gauge", "counter"] = "gauge"
    labels: dict[str, str] = {}


class Lines(Struct, frozen=True):
    """Several of them."""

    metrics: list[Line]


def read_json(data: bytes) -> Iterator[Fresh]:
    """What `{"metrics": [{name, value, type, labels}]}` says, or in short `{name: value}`. Raises Invalid."""
    plain = loads(data)
    if isinstance((as_map(plain) or {}).get("metrics"), list):
        for line in read(Lines, plain).metrics:
            yield Fresh("total" if line.type == "counter" else "gauge", line.name, line.value, line.labels)
        return
    for name, value in read(dict[str, float], plain).items():
        yield Fresh("gauge", name, value)


class Door:
    """The ASGI function. Each thing that is said goes to `take`, which says whether it was taken."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._turn, self._waiting = asyncio.Lock(), 0

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            status, kind, body = await self._answer(scope["method"], scope["path"], headers, receive)
        except Refused as refused:
            status, kind = refused.status, "application/problem+json"
            body = json.dumps({"status": status, "detail": refused.why}).encode()
        said = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], receive: Callable[[], Awaitable[Any]]
    ) -> tuple[int, str, bytes]:
        if path not in ("/metrics", "/v1/metrics"):
            raise Refused(404, "there are POST /metrics and POST /v1/metrics here")
        if method not in ("POST", "PUT"):
            raise Refused(405, "metrics are sent by POST")
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        if "origin" in headers or host.lower() not in _NAMES:
            raise Refused(403, "only programs of this machine may send here, and no web pages")
        body = await _body(receive)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        otlp = path == "/v1/metrics"
        taken, refused = await self._all(otlp, kind, body, headers.get("content-encoding", ""))
        if otlp and kind == "application/x-protobuf":
            return 200, kind, _partial(refused)
        if otlp:
            partial = {"partialSuccess": {"rejectedDataPoints": refused}} if refused else {}
            return 200, "application/json", json.dumps(partial).encode()
        return 200, "application/json", json.dumps({"taken": taken, "refused": refused}).encode()

    async def _all(self, otlp: bool, kind: str, body: bytes, coding: str) -> tuple[int, int]:
        """How many were taken, and how many not. What is wrong in its form is taken not at all."""
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "too many requests wait to be read: come again")
        self._waiting += 1
        try:
            async with self._turn:
                whole = await asyncio.to_thread(_whole, otlp, kind, body, coding)
                taken = 0
                for n in range(0, len(whole), IN_ONE_GO):
                    taken += sum(self._take(fresh) for fresh in whole[n : n + IN_ONE_GO])
                    await asyncio.sleep(0)
        finally:
            self._waiting -= 1
        return taken, len(whole) - taken


def _whole(otlp: bool, kind: str, body: bytes, coding: str) -> list[Fresh]:
    """All that a request says. Raises Refused."""
    try:
        whole = list(islice(_read(otlp, kind, _opened(body, coding)), MOST_THINGS + 1))
    except (Invalid, ValueError) as error:
        raise Refused(400, clip(str(error), 300)) from None
    if len(whole) > MOST_THINGS:
        raise Refused(413, f"it holds more than {MOST_THINGS} metrics")
    return whole


def _read(otlp: bool, kind: str, body: bytes) -> Iterable[Fresh]:
    if otlp and kind == "application/x-protobuf":
        return read_protobuf(body)
    if otlp and kind == "application/json":
        return read_otlp_json(body)
    if not otlp and kind in ("application/json", ""):
        return read_json(body)
    if not otlp and kind in ("text/plain", "application/openmetrics-text", "application/x-www-form-urlencoded"):
        return read_text(body.decode("utf-8", "replace"))  # the last is what curl says where nobody said anything
    wanted = "application/x-protobuf or application/json" if otlp else "application/json or text/plain"
    raise Refused(415, f"expected the content type {wanted}, found {clip(kind, 100) or 'none'}")


def read_otlp_json(body: bytes) -> Iterator[Fresh]:
    """What an OTLP request in JSON says. Raises Invalid, ValueError."""
    return read_plain(loads(body))


async def _body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Refused(400, "the connection ended in the middle of the body")
        parts.append(event.get("body", b""))
        size, more = size + len(parts[-1]), event.get("more_body", False)
        if size > MOST_BODY:
            raise Refused(413, _LONG)
    return b"".join(parts)


def _opened(body: bytes, coding: str) -> bytes:
    """The body as it was before it was made smaller, at most 1 MiB of it."""
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "deflate"):
        raise Refused(415, f"expected the content coding gzip or deflate, found {clip(coding, 100)}")
    opening = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        opened = opening.decompress(body, MOST_BODY + 1)
    except zlib.error:
        raise Refused(400, f"the body is no {coding}") from None
    if len(opened) > MOST_BODY:
        raise Refused(413, _LONG)
    if not opening.eof:
        raise Refused(400, f"the body is a {coding} that ends too early")
    return opened


def _partial(refused: int) -> bytes:
    """An ExportMetricsServiceResponse in protobuf: empty, or how many points were refused."""
    if not refused:
        return b""
    number, count = bytearray(), refused
    while count >= 0x80:
        number.append(count & 0x7F | 0x80)
        count >>= 7
    number.append(count)
    inner = b"\x08" + bytes(number)
    return b"\x0a" + bytes((len(inner),)) + inner
