"""What holds for every answer, and the outside contracts about the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tocsin.core import limits
from tocsin.web import openapi
from tocsin.web.routes import ROUTES
from web.conftest import Alice, House, set_up


@pytest.mark.parametrize("path", ["/health", "/api/v1/monitors", "/nothing", "/api/v1/nothing", "/login", "/api/docs"])
async def test_every_answer_carries_security_headers(house: House, path: str) -> None:
    answer = await house.caller().get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-request-id"]
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


async def test_health_needs_no_token_and_the_rest_does(house: House) -> None:
    caller = house.caller()
    assert (await caller.get("/health")).data["status"] == "ok"
    assert (await caller.get("/health/ready")).status == 200
    assert (await caller.get("/monitoring/health")).data["healthy"] is True
    for path in ("/metrics", "/monitoring/status", "/site-stats", "/site-stats/x"):
        assert (await caller.get(path)).status == 401
    for path in ("/monitoring/trigger", "/monitoring/test", "/site-stats/x/refresh"):
        assert (await caller.post(path)).status == 401


async def test_a_server_whose_checks_stand_still_is_not_ready_and_says_so(house: House) -> None:
    caller, scheduler = house.caller(), house.parts.corridor.scheduler
    scheduler._tasks[0].cancel()
    await asyncio.gather(scheduler._tasks[0], return_exceptions=True)
    answer = await caller.get("/health/ready")
    assert answer.status == 503
    assert answer.data["problems"] == ["checks have not been started any more: the scheduler has ended"]
    assert (await caller.get("/health")).data["status"] == "degraded"
    assert (await caller.get("/monitoring/health")).data["healthy"] is False


async def test_metrics_open_with_their_token_and_count_by_route(build: Callable[..., Any]) -> None:
    house = await build(METRICS_TOKEN="metrics-token-of-the-scraper")
    scraper = house.caller("metrics-token-of-the-scraper")
    for n in range(50):
        await scraper.get(f"/odd/{n}")
    answer = await scraper.get("/metrics")
    assert answer.status == 200
    assert 'http_requests_total{method="GET",route="unmatched",status="404"}' in answer.text
    assert "/odd/" not in answer.text
    assert (await scraper.get("/api/v1/monitors")).status == 401
    assert (await house.caller("metrics-token-of-the-scrapeR").get("/metrics")).status == 401


async def test_site_stats_speak_the_outside_contract(alice: Alice) -> None:
    wanted = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made = (await alice.api.post("/api/v1/monitors", wanted)).data["id"]
    (one,) = (await alice.api.get("/site-stats")).data
    assert one["siteId"] == made
    names = {"uptime1h", "uptime24h", "uptime7d", "avgResponseTime1h", "avgResponseTime24h", "avgResponseTime7d"}
    assert names | {"currentStatus", "lastChecked"} <= set(one)
    assert (await alice.api.get(f"/site-stats/{made}")).data == one


async def test_large_answers_are_packed_and_known_ones_not_sent_again(alice: Alice) -> None:
    plain = await alice.api.get("/api/v1/openapi.json")
    packed = await alice.api.get("/api/v1/openapi.json", accept_encoding="gzip, br")
    assert packed.headers["content-encoding"] == "br"
    assert packed.plain == plain.body
    assert len(packed.body) < len(plain.body) / 5
    again = await alice.api.get("/api/v1/openapi.json", if_none_match=plain.headers["etag"])
    assert again.status == 304
    assert again.body == b""


async def test_who_comes_too_often_waits(build: Callable[..., Any]) -> None:
    house = await build(REQUESTS_PER_MINUTE="10")
    alice = await set_up(house)
    answers = [await alice.api.get("/api/v1/monitors") for _ in range(15)]
    assert [a.status for a in answers[:10]] == [200] * 10
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await house.caller().get("/health")).status == 200


def test_the_caller_is_whom_our_own_proxy_saw() -> None:
    def seen(forwarded: str, proxies: int) -> str:
        return limits.client_address("10.0.0.1", {"x-forwarded-for": forwarded}, proxies)

    assert seen("1.1.1.1", 0) == "10.0.0.1"
    assert seen("1.1.1.1, 2.2.2.2", 1) == "2.2.2.2"
    assert seen("1.1.1.1, 2.2.2.2, 3.3.3.3", 2) == "2.2.2.2"
    assert seen("", 1) == "10.0.0.1"
    assert seen("2.2.2.2", 2) == "10.0.0.1"
    assert seen("127.0.0.1, evil", 1) == "10.0.0.1"
    assert seen("[2001:db8::1]", 1) == "2001:db8::1"
    assert (
        limits.address_name("2001:db8::1") == limits.address_name("2001:db8::2") != limits.address_name("2001:db9::1")
    )
    assert limits.address_name("::ffff:192.0.2.1") == limits.address_name("192.0.2.1")


def test_limits_forget_whom_they_have_not_seen_for_long() -> None:
    buckets, attempts = limits.Buckets(60), limits.Attempts(1)
    for n in range(30_000):
        buckets.take(str(n), 0.0)
        attempts.count(str(n), 0.0)
    assert len(buckets._left) <= 20_000
    assert len(attempts._times) <= 20_000
    with pytest.raises(limits.TooMany):
        attempts.count("29999", 59.0)
    attempts.count("29999", 61.0)


def test_the_document_describes_every_route() -> None:
    document = openapi.document(ROUTES)
    assert document["openapi"] == "3.1.0"
    described = {(m.upper(), p) for p, operations in document["paths"].items() for m in operations}
    assert described == {(r.method, r.path) for r in ROUTES if r.kind != "page" and r.tag != "pages"}
    names = [op["operationId"] for operations in document["paths"].values() for op in operations.values()]
    assert len(names) == len(set(names))
