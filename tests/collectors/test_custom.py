"""Metrics that programs send over real sockets, and pages that a real server shows."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import gzip
import json
import math
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from builders import FakeClock
from collectors.looking import named, source, troubles
from collectors.otlp import as_json, request
from tocsin import collectors
from tocsin.collectors import custom
from tocsin.collectors._otlp import read_plain, read_protobuf
from tocsin.collectors._prometheus import read_text
from tocsin.collectors._pushed import Fresh, Pushed, label
from tocsin.collectors._pushed import named as our_name
from tocsin.collectors._statsd import read_datagram
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net


class Here:
    """A source that listens, on a clock of the test's own."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.net = Net(egress=Egress("private"))
        self.source = source("custom", clock=self.clock, net=self.net, **options)

    async def __aenter__(self) -> Here:
        await self.source.collect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.source.close()
        await self.net.close()

    async def look(self, after: float = 10) -> dict[str, float]:
        await self.clock.advance(after, step=after)
        return named(await self.source.collect()).values

    async def post(
        self, body: bytes, kind: str = "application/json", path: str = "/metrics", method: str = "POST", **headers: str
    ) -> tuple[int, bytes]:
        """Status and body of what is answered."""
        said = {
            "Host": "127.0.0.1",
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Connection": "close",
        } | headers
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in said.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.source.ports[0])
        writer.write(head.encode() + b"\r\n" + body)
        answer = await reader.read()
        writer.close()
        top, _, rest = answer.partition(b"\r\n\r\n")
        return int(top.split()[1]), rest

    async def send(self, *datagrams: bytes) -> None:
        """Send datagrams, and wait until they were read."""
        before = self.source._between + self.source._refused
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in datagrams:
                sock.sendto(data, ("127.0.0.1", self.source.ports[1]))
        async with asyncio.timeout(30):
            while self.source._between + self.source._refused < before + len(datagrams):
                await asyncio.sleep(0.01)


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with Here(http_port=0, statsd_port=0) as made:
        yield made


def ours(values: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("custom."): value for name, value in values.items() if name.startswith("custom.")}


async def test_json_in_short_and_in_full(here: Here) -> None:
    assert await here.post(b'{"queue.length": 5, "Jobs-Failed": 2}') == (200, b'{"taken": 2, "refused": 0}')
    full = {
        "metrics": [
            {"name": "cache_bytes", "value": 7.5, "labels": {"Pool": "a/b"}},
            {"name": "orders_total", "type": "counter", "value": 100},
        ]
    }
    assert (await here.post(json.dumps(full).encode()))[0] == 200
    values = await here.look()
    assert ours(values) == {"queue.length": 5, "jobs_failed": 2, "cache_bytes{pool=a/b}": 7.5}
    assert values["pushed.series"] == 3
    full["metrics"] = [{"name": "orders_total", "type": "counter", "value": 150}]
    await here.post(json.dumps(full).encode())
    assert ours(await here.look())["orders_per_s"] == 5


async def test_prometheus_text(here: Here) -> None:
    text = '# TYPE http_requests_total counter\nhttp_requests_total{code="200"} %d\n# TYPE up gauge\nup 1\n# TYPE took_seconds histogram\ntook_seconds_bucket{le="+Inf"} %d\ntook_seconds_sum %f\ntook_seconds_count %d\n'
    for n in (0, 100):
        assert (await here.post((text % (n, n, n / 4, n)).encode(), "text/plain; version=0.0.4"))[0] == 200
        values = ours(await here.look())
    assert values == {"http_requests_per_s{code=200}": 10, "up": 1, "took.count_per_s": 10, "took.mean_s": 0.25}


@pytest.mark.parametrize("form", ["json", "protobuf", "gzip"])
async def test_otlp(here: Here, form: str) -> None:
    for n in (1, 2):
        made = request(n)
        body = {"json": json.dumps(as_json(made)).encode(), "protobuf": made, "gzip": gzip.compress(made)}[form]
        kind = "application/json" if form == "json" else "application/x-protobuf"
        more = {"Content_Encoding": "gzip"} if form == "gzip" else {}
        status, answer = await here.post(body, kind, "/v1/metrics", **more)
        assert (status, answer) == (200, b"{}" if form == "json" else b"")
        values = ours(await here.look())
    assert values == {
        "memory_bytes{service=shop}": 2000.5, "threads{pool=io,service=shop}": -2, "orders_per_s{service=shop}": 10,
        "jobs_per_s{service=shop}": 0.5, "latency.count_per_s{service=shop}": 1, "latency.mean_ms{service=shop}": 20,
        "sizes.count_per_s{service=shop}": 0.4, "sizes.mean{service=shop}": 5, "old.count_per_s{service=shop}": 1, "old.mean_s{service=shop}": 2,
    }  # fmt: skip


async def test_statsd(here: Here) -> None:
    await here.send(
        b"hits:3|c\nhits:1|c|@0.1\nqueue:7|g\nqueue:-2|g\nload:5|g|#host:a,fast\n",
        b"took:10|ms\ntook:20:30|ms\nusers:ann|s\nusers:bob|s\nusers:ann|s",
    )
    values = ours(await here.look())
    assert values.pop("took.p95_ms") == pytest.approx(30, rel=0.02)
    assert values == {
        "hits_per_s": 1.3, "queue": 5, "load{fast=yes,host=a}": 5, "took.count_per_s": 0.3, "took.mean_ms": 20, "took.max_ms": 30, "users": 2,
    }  # fmt: skip
    quiet = ours(await here.look())
    assert quiet == {"hits_per_s": 0, "queue": 5, "load{fast=yes,host=a}": 5, "took.count_per_s": 0, "users": 0}


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"a:1",
        b"a|c",
        b":1|c",
        b"a:x|c",
        b"a:1|q",
        b"a:nan|g",
        b"a:inf|g",
        b"a:1|c|@0",
        b"a:-5|c",
        b"a:-5|ms",
        b"a:1e300|g",
        b"\xff\xfe\x00",
    ],
)
async def test_what_statsd_lines_are_refused(here: Here, line: bytes) -> None:
    await here.send(line)
    values = await here.look()
    assert ours(values) == {}
    assert values["pushed.refused"] == 1


async def test_a_large_request_holds_nothing_else_up(here: Here) -> None:
    body = json.dumps({f"metric_of_some_length_{n}": n for n in range(20_000)}).encode()
    assert 500_000 < len(body) < 1 << 20
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    beside = asyncio.create_task(others())
    many = await asyncio.gather(*(here.post(body) for _ in range(12)))
    beside.cancel()
    assert 200 in {status for status, _ in many} <= {200, 503}
    assert turns > 50  # a handful when each is read in one go


async def test_what_is_not_said_any_more_is_gone(here: Here) -> None:
    await here.post(b'{"a": 1}')
    assert ours(await here.look(290)) == {"a": 1}
    assert ours(await here.look(20)) == {}


async def test_no_more_series_than_allowed() -> None:
    async with Here(http_port=0, most_series=3) as here:
        await here.post(json.dumps({f"m{n}": n for n in range(10)}).encode())
        values = await here.look()
        assert ours(values) == {"m0": 0, "m1": 1, "m2": 2}
        assert values["pushed.refused"] == 7
        await here.post(b'{"m0": 5, "m9": 9}')
        assert ours(await here.look()) == {"m0": 5, "m1": 1, "m2": 2}


@pytest.mark.parametrize(
    ("body", "kind", "path", "headers", "status", "says"),
    [
        (b"[1]", "application/json", "/metrics", {}, 400, b"expected an object"),
        (b'{"a": "x"}', "application/json", "/metrics", {}, 400, b"a: expected a number"),
        (b'{"a": NaN}', "application/json", "/metrics", {}, 400, b"expected"),
        (b'{"metrics": [{"name": "", "value": 1}]}', "application/json", "/metrics", {}, 400, b"metrics[0].name"),
        (b"{a", "text/plain", "/metrics", {}, 400, b"as Prometheus reads them"),
        (b"\x0a\xff", "application/x-protobuf", "/v1/metrics", {}, 400, b"expected an OTLP request"),
        (b"plain text", "application/json", "/metrics", {"Content_Encoding": "gzip"}, 400, b"the body is no gzip"),
        (gzip.compress(b"0" * 5_000_000), "application/json", "/metrics", {"Content_Encoding": "gzip"}, 413, b"longer than 1 MiB"),
        (gzip.compress(b"{}" * 500)[:-9], "application/json", "/metrics", {"Content_Encoding": "gzip"}, 400, b"ends too early"),
        (b"x", "application/json", "/metrics", {"Content_Encoding": "br"}, 415, b"gzip or deflate"),
        (b"<x/>", "application/xml", "/metrics", {}, 415, b"expected the content type"),
        (b"{}", "application/json", "/other", {}, 404, b"POST /metrics"),
        (b"{}", "application/json", "/metrics", {"Origin": "https://evil.example"}, 403, b"no web pages"),
        (b"{}", "application/json", "/metrics", {"Host": "evil.example:8126"}, 403, b"only programs of this machine"),
        (b" " * 1_100_000, "application/json", "/metrics", {}, 413, b"longer than 1 MiB"),
    ],
)  # fmt: skip
async def test_what_requests_are_refused(
    here: Here, body: bytes, kind: str, path: str, headers: dict[str, str], status: int, says: bytes
) -> None:
    found, answer = await here.post(body, kind, path, **headers)
    assert (found, says in answer) == (status, True), answer
    assert ours(await here.look()) == {}
    assert (await here.post(b"", method="GET"))[0] == 405


async def test_a_form_that_is_right_with_numbers_that_are_none(here: Here) -> None:
    made = json.dumps(
        {
            "resourceMetrics": [
                {
                    "scopeMetrics": [
                        {"metrics": [{"name": "a", "gauge": {"dataPoints": [{"asDouble": "NaN"}, {"asInt": "3"}]}}]}
                    ]
                }
            ]
        }
    )
    assert await here.post(made.encode(), path="/v1/metrics") == (200, b'{"partialSuccess": {"rejectedDataPoints": 1}}')
    assert await here.post(b"a NaN\nb +Inf\nc 3\n", "text/plain") == (200, b'{"taken": 1, "refused": 2}')
    values = await here.look()
    assert ours(values) == {"a": 3, "c": 3}
    assert values["pushed.refused"] == 3


async def test_more_than_is_read_between_two_looks(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "MOST_BETWEEN", 10)
    await here.send(*[b"a:1|c"] * 20)
    values = await here.look()
    assert ours(values) == {"a_per_s": 1}
    assert values["pushed.refused"] == 10


class Page:
    """A page that shows metrics."""

    def __init__(self, text: str) -> None:
        self.text, self.status = text, 200

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = self.text.encode()
        writer.write(
            f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
        writer.close()


async def test_a_page_is_fetched() -> None:
    page = Page('node_load1 0.5\nnode_cpu_seconds_total{cpu="0"} 100\nother 1\n')
    server = await asyncio.start_server(page, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Here(scrape=f"http://127.0.0.1:{port}/metrics?token=secret", prefixes=["node_"]) as here:
        page.text = 'node_cpu_seconds_total{cpu="0"} 105\nother 1\nnode_new 7\n'
        await here.clock.advance(10, step=10)
        reading = await here.source.collect()
        assert ours(reading.values) == {"node_cpu_s_per_s{cpu=0}": 0.5, "node_new": 7}
        assert [(s.kind, s.name, s.ok) for s in reading.services] == [("scrape", f"127.0.0.1:{port}/metrics", True)]
        page.status = 503
        reading = await here.source.collect()
        assert (ours(reading.values), reading.services[0].ok) == ({}, False)
        assert reading.trouble == f"127.0.0.1:{port}/metrics: it answered with status 503"
        assert troubles("custom", reading) == {("scrape", f"scrape/127.0.0.1:{port}/metrics")}
        page.status, page.text = 200, "<html>"
        assert "it shows no metrics that begin with node_" in (await here.source.collect()).trouble
        page.text = "node_load1 0.5.5\n"
        assert "as Prometheus reads them" in (await here.source.collect()).trouble
    async with Here(scrape=f"http://127.0.0.1:{port}/") as here:
        assert (await here.source.collect()).services[0].ok is False


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        looking = source("custom", http_port=port)
        with pytest.raises(OSError, match=f"127.0.0.1 port {port} cannot be listened at: Address already in use"):
            await looking.collect()
        await looking.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "http_port: expected http_port, statsd_port or scrape"), ({"scrape": "file:///etc/passwd"}, "scrape: expected an http or https URL"),
     ({"http_port": 70000}, "http_port: expected a whole number from 0 to 65535")],
)  # fmt: skip
def test_what_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read(collectors.kind("custom").options, given)


@pytest.mark.parametrize(
    ("name", "what", "ours"),
    [
        ("Http.Latency-seconds", "gauge", ("http.latency", "_s")), ("a__b..c", "gauge", ("a_b.c", "")), ("requests_total", "total", ("requests", "")),
        ("requests_total", "gauge", ("requests_total", "")), ("took_seconds", "timing", ("took", "_ms")), ("took", "timing", ("took", "_ms")),
        ("size_bytes_total", "count", ("size", "_bytes")), ("_s", "gauge", ("s", "")), ("9lives", "gauge", ("9lives", "")),
    ],
)  # fmt: skip
def test_names(name: str, what: Any, ours: tuple[str, str]) -> None:
    assert our_name(name, what) == ours


@pytest.mark.parametrize("name", ["", "...", "___", "äöü", "{}"])
def test_names_of_nothing(name: str) -> None:
    for make in (our_name, label):
        with pytest.raises(ValueError, match="expected the name of"):
            make(name)


@pytest.mark.parametrize("totals", [(100, 50, 60), (1e18, 0, 10), (0, 0, 10)])
def test_totals_that_begin_anew_give_no_negative_rates(totals: tuple[float, ...]) -> None:
    pushed = Pushed(10, 300)
    for at, total in enumerate(totals):
        assert pushed.take(Fresh("total", "a", total), at * 10.0)
        assert all(0 <= value <= 1 for value in pushed.look(at * 10.0).values())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1.0])
def test_what_is_no_count(value: float) -> None:
    pushed = Pushed(10, 300)
    for what in ("total", "count", "timing", "spread"):
        assert not pushed.take(Fresh(what, "a", value), 1.0)
    assert pushed.refused == 4
    assert pushed.look(2.0) == {}


def test_totals_that_come_seldom_keep_their_rate_between() -> None:
    pushed = Pushed(10, 300)
    pushed.look(0.0)
    for at, total in ((0.0, 0.0), (60.0, 600.0)):
        pushed.take(Fresh("total", "a", total), at)
    assert [pushed.look(at) for at in (60.0, 75.0, 90.0)] == [{"custom.a_per_s": 10}] * 3


def test_the_same_request_in_both_forms_says_the_same() -> None:
    made = request(1)
    assert list(read_protobuf(made)) == list(read_plain(as_json(made)))
    assert list(read_datagram(b"\n\n_e{1,1}:a|b\n_sc|x|0")) == []
    assert [f.name for f in read_text("a 1\nb 2\n", ("b",))] == ["b"]
