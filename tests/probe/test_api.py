"""A probe's own server at work and under bad input, over real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from probe.hub import KEY, Listener, a_listener, a_worker, raw
from tocsin import telemetry
from tocsin.errors import SettingsError
from tocsin.net import Net
from tocsin.probe import api
from tocsin.probe.api import read_allow, read_keys
from tocsin.secret import Secret
from world import Web

RULE = {"type": "x", "op": "eq"}
AUTH = {"Authorization": f"Bearer {KEY}"}


async def ask(
    probe: Listener, method: str, path: str, body: bytes | dict[str, Any] = b"", *, tls: bool = True, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, data and headers of one request."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    payload = json.dumps(body).encode() if isinstance(body, dict) else body
    given = {"Host": "x", "Connection": "close", "Content-Length": str(len(payload))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in given.items()),
        "",
        "",
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", probe.port, ssl=context if tls else None)
    try:
        writer.write("\r\n".join(lines).encode() + payload)
        answer = await reader.read()
    finally:
        writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *more = head.decode().split("\r\n")
    told = {name.lower(): value for name, _, value in (line.partition(": ") for line in more)}
    kind = told.get("content-type", "")
    return int(first.split()[1]), json.loads(rest) if "json" in kind else rest.decode(), told


def order(url: str, job_id: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "jobId": job_id,
        "monitorId": 7,
        "monitorType": "http",
        "config": {"url": url},
        "validationRules": [],
    } | more


async def test_the_outside_contract(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        status, up, headers = await ask(probe, "POST", "/execute", order(web.url), **AUTH)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert (up["jobId"], up["region"], up["status"], up["statusCode"]) == ("1", "europe", "success", 200)
        assert up["responseTimeMs"] > 0
        assert up["bodySizeBytes"] == 5
        assert up["headers"]["content-length"] == "5"
        assert set(up["timing"]) >= {"dnsMs", "connectMs", "ttfbMs", "transferMs"}
        assert "error" not in up
        rules = [{"type": "body", "op": "contains", "value": "absent"}]
        _, down, _ = await ask(probe, "POST", "/execute", order(web.url, "2", validationRules=rules), **AUTH)
        assert (down["status"], down["error"]["type"]) == ("failure", "assertion")
        assert down["outcome"]["assertions"][1]["ok"] is False
        web.hang = asyncio.Event()
        _, late, _ = await ask(probe, "POST", "/execute", order(web.url, "3", timeoutMs=200), **AUTH)
        assert (late["status"], late["error"]["type"]) == ("timeout", "timeout")
        _, unfair, _ = await ask(probe, "POST", "/execute", order("http://169.254.169.254/", "4"), **AUTH)
        assert (unfair["status"], unfair["error"]["type"]) == ("failure", "invalid")


async def test_a_job_is_run_once_however_often_it_is_ordered(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        web.hang = asyncio.Event()
        asking = [asyncio.create_task(ask(probe, "POST", "/execute", order(web.url), **AUTH)) for _ in range(3)]
        while len(web.calls) < 1 or worker.in_flight < 1:
            await asyncio.sleep(0.01)
        web.hang.set()
        answers = [said for _, said, _ in await asyncio.gather(*asking)]
        answers.append((await ask(probe, "POST", "/execute", order(web.url), **AUTH))[1])
    assert len(web.calls) == 1
    assert all(said == answers[0] for said in answers)


async def test_two_keys_hold_while_one_takes_the_place_of_the_other(tmp_path: Path) -> None:
    keys = read_keys(Secret(f"{KEY}, the next key of enough length"))
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker, keys=keys) as probe:
        seen = [
            (await ask(probe, "GET", "/health", **({"Authorization": f"Bearer {key}"} if key else {})))
            for key in (*keys, "neither of the two keys", "")
        ]
        assert [status for status, _, _ in seen] == [200, 200, 401, 200]
        assert "types" in seen[0][1]
        assert seen[3][1] == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "words"),
    [
        ("POST", "/execute", {}, 401, "Bearer"),
        ("POST", "/execute", {"Authorization": "Basic eDp5"}, 401, "Bearer"),
        ("POST", "/execute", {"Authorization": "Bearer nobody's key"}, 401, "Bearer"),
        ("GET", "/metrics", {}, 401, "Bearer"),
        ("GET", "/execute", AUTH, 405, "expected POST"),
        ("POST", "/health", AUTH, 405, "expected GET"),
        ("GET", "/other", AUTH, 404, "/execute"),
        ("POST", "/execute", AUTH | {"Content_Encoding": "gzip"}, 415, "content-encoding"),
        ("POST", "/execute", AUTH | {"Content_Length": "99999999"}, 413, "1048576 bytes"),
    ],
)
async def test_a_refusal_says_why(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        found, said, told = await ask(probe, method, path, b"{}", **headers)
        again, _, _ = await ask(probe, "GET", "/health")
    assert (found, said["status"], told["content-type"]) == (status, status, "application/problem+json")
    assert words in said["detail"]
    assert again == 200


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"[]", 400, ""),
        (b'{"jobId": "1", "jobId": "2"}', 422, "jobId"),
        (b"\xff\xfe", 400, ""),
        (b"[" * 100_000, 400, ""),
        (json.dumps(order("http://a.example/") | {"jobId": 5}).encode(), 422, "jobId"),
        (json.dumps(order("http://a.example/") | {"monitorType": "gopher"}).encode(), 422, "monitorType"),
        (json.dumps(order("http://a.example/") | {"monitorType": "push"}).encode(), 422, "monitorType"),
        (json.dumps(order("file:///etc/passwd")).encode(), 422, "config.url"),
        (json.dumps(order("http://a.example/") | {"config": {"url": 5, "more": 1}}).encode(), 422, "config.url"),
        (json.dumps(order("http://a.example/") | {"timeoutMs": 0}).encode(), 422, "timeoutMs"),
        (json.dumps(order("http://a.example/", validationRules=[RULE])).encode(), 422, "validationRules[0].type"),
        (json.dumps(order("http://a.example/") | {"config": None}).encode(), 422, "config"),
    ],
)  # fmt: skip
async def test_an_order_that_cannot_be_read_is_refused_by_field(
    tmp_path: Path, body: bytes, status: int, field: str
) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        found, said, _ = await ask(probe, "POST", "/execute", body, **AUTH)
        assert worker.in_flight == 0
    assert found == status
    assert field in {error["field"] for error in said["errors"]}, said


async def test_bodies_that_are_cut_off_or_drip_or_have_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BODY_S", 0.3)
    head = f"POST /execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        dripping = await raw(probe.port, f"{head}Content-Length: 50\r\n\r\n{{".encode())
        endless = await raw(
            probe.port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"80000\r\n" + b" " * 0x80000 + b"\r\n"
            + b"90000\r\n" + b" " * 0x90000 + b"\r\n",
        )  # fmt: skip
        nonsense = await raw(probe.port, b"\x00\x01\x02\r\n\r\n")
        assert (await ask(probe, "GET", "/health"))[0] == 200
    assert dripping.startswith(b"HTTP/1.1 408")
    assert endless.startswith(b"HTTP/1.1 413")
    assert nonsense.startswith(b"HTTP/1.1 400")


async def test_only_allowed_addresses_and_no_forged_ones(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker:
        async with a_listener(tmp_path, worker, allow=read_allow("192.0.2.0/24")) as probe:
            status, said, _ = await ask(probe, "GET", "/metrics", **AUTH)
            assert (status, "TOCSIN_PROBE_ALLOW" in said["detail"]) == (403, True)
            forged = await ask(probe, "GET", "/metrics", X_Forwarded_For="192.0.2.7", **AUTH)
            assert forged[0] == 403
            assert (await ask(probe, "GET", "/health"))[0] == 200  # this machine may always ask how it is
        allow = read_allow("192.0.2.0/24")
        async with a_listener(tmp_path, worker, allow=allow, trusted_proxies=1, plain=True) as probe:
            by_proxy = await ask(probe, "GET", "/metrics", tls=False, X_Forwarded_For="10.0.0.1, 192.0.2.7", **AUTH)
            assert by_proxy[0] == 200
            forged = await ask(probe, "GET", "/metrics", tls=False, X_Forwarded_For="192.0.2.7, 10.0.0.1", **AUTH)
            assert forged[0] == 403
        async with a_listener(tmp_path, worker, trusted_proxies=1) as probe:  # a proxy that speaks plainly with us
            plain = await ask(probe, "GET", "/metrics", tls=False, X_Forwarded_For="192.0.2.7", **AUTH)
            assert (plain[0], "TLS" in plain[1]["detail"]) == (403, True)


async def test_who_comes_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker:
        async with a_listener(tmp_path, worker, per_minute=3) as probe:
            seen = [await ask(probe, "GET", "/health") for _ in range(4)]
            assert [status for status, _, _ in seen] == [200, 200, 200, 429]
            assert int(seen[3][2]["retry-after"]) >= 1
        async with a_listener(tmp_path, worker) as probe:
            guesses = [
                (await ask(probe, "GET", "/metrics", tls=False, Authorization=f"Bearer guess {n}"))[0]
                for n in range(22)
            ]
            assert guesses == [401] * 20 + [429] * 2
            assert (await ask(probe, "GET", "/metrics", tls=False, **AUTH))[0] == 200  # who has the key may come


async def test_metrics_can_be_read_and_count_refusals(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker:
        async with a_listener(tmp_path, worker, metrics_token=Secret("only for the metrics")) as probe:
            before = telemetry.probe_requests.labels("wrong_key")._value.get()
            await ask(probe, "GET", "/metrics", Authorization="Bearer wrong")
            await ask(probe, "POST", "/execute", order(web.url, "m"), **AUTH)
            status, text, told = await ask(probe, "GET", "/metrics", Authorization="Bearer only for the metrics")
            assert (await ask(probe, "POST", "/execute", {}, Authorization="Bearer only for the metrics"))[0] == 401
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert (status, told["content-type"].split(";")[0]) == (200, "text/plain")
    counts = {
        s.labels["outcome"]: s.value for s in families["tocsin_probe_requests"].samples if s.name.endswith("_total")
    }
    assert counts["wrong_key"] == before + 1
    assert "tocsin_probe_jobs" in families
    assert "active_incidents" not in families  # a probe has none


async def test_no_key_is_ever_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "s3cr3t-in-a-target"
    async with Net() as net, Web() as web, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        wanted = order(web.url, config={"url": web.url, "headers": {"X-Api-Key": secret}})
        _, said, _ = await ask(probe, "POST", "/execute", wanted, **AUTH)
        await ask(probe, "POST", "/execute", wanted | {"timeoutMs": "soon", "jobId": "2"}, **AUTH)
    shown = json.dumps(said) + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert secret not in shown
    assert KEY not in shown


def test_keys_and_networks_are_read_strictly() -> None:
    assert read_keys(None) == ()
    assert len(read_keys(Secret("k" * 16 + "," + "l" * 16))) == 2
    for wrong in ("tiny", "k" * 16 + ",tiny", ",".join(["k" * 16] * 3), "with a line\nbreak in it"):
        with pytest.raises(SettingsError, match="TOCSIN_PROBE_KEY") as caught:
            read_keys(Secret(wrong))
        assert wrong not in str(caught.value)
    assert [str(n) for n in read_allow(" 10.1.2.3/8, ::1 ")] == ["10.0.0.0/8", "::1/128"]
    with pytest.raises(SettingsError, match="TOCSIN_PROBE_ALLOW"):
        read_allow("10.0.0.0/8,nobody")
