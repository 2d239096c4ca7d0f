"""Whatever comes in: a 4xx that names every wrong field, never a 5xx."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tocsin.web.routes import ROUTES
from web.conftest import Alice

GOOD = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
WRITES = [r for r in ROUTES if r.kind == "api" and r.method in ("POST", "PATCH") and r.body is not None]
BODIES = {
    "truncated": b'{"name":"x"',
    "duplicate keys": b'{"name":"x","name":"y"}',
    "NaN": b'{"name":NaN}',
    "infinity": b'{"interval_s":Infinity}',
    "surrogate": b'{"name":"\\ud800"}',
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "two values": b"{} {}",
    "text": b"hello",
    "null byte": b'{"name":"a\x00b"}',
    "comment": b"{/* x */}",
    "huge number": b'{"interval_s":' + b"9" * 5000 + b"}",
    "huge exponent": b'{"interval_s":1e999}',
    "2^63": b'{"interval_s":9223372036854775808}',
    "list": b"[]",
    "number": b"5",
    "null": b"null",
    "quoted": b'"x"',
    "wrong types": b'{"name":5,"email":[],"password":{},"type":null,"target":"x","config":7,"text":false,"results":{}}',
    "unknown fields": b'{"surprise":1,"__proto__":{},"constructor":{}}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_none_is_refused_by_every_route(alice: Alice, name: str) -> None:
    wrong: list[str] = []
    for n, route in enumerate(WRITES):
        path = route.path.replace("{id}", "x")
        alice.api.address = f"203.0.113.{n}"
        answer = await alice.api.send(route.method, path, raw=BODIES[name])
        if not 400 <= answer.status < 500 or answer.headers["content-type"] != "application/problem+json":
            wrong.append(f"{route.method} {route.path} {answer.status}")
        elif answer.status in (400, 422) and not answer.data["errors"]:
            wrong.append(f"{route.method} {route.path} names nothing")
    assert wrong == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "  "), ("name", "x" * 1_000_000), ("name", 5), ("name", None), ("interval_s", "5"),
        ("interval_s", 5.0), ("interval_s", True), ("interval_s", 0), ("interval_s", -1),
        ("timeout_s", 60), ("timeout_s", 61), ("timeout_s", 0), ("retry_interval_s", 31), ("quorum", 2), ("quorum", 0),
        ("quorum", "most"), ("retries", 11), ("locations", ["mars"]), ("channels", ["nope"]), ("parents", ["nope"]),
        ("tags", ["x"] * 31), ("tags", "x"), ("type", "nope"), ("type", []), ("type", {}), ("target", {}),
        ("target", {"url": 5}),
        ("target", {"url": "file:///etc/passwd"}), ("target", {"url": "http://x/", "surprise": 1}),
        ("assertions", [{"type": "status_code"}]), ("assertions", [{"type": "body", "op": "matches", "value": "("}]),
        ("monitoring_type", "solar"), ("id", "mine"), ("surprise", 1), ("paused", "yes"), ("reminder_s", -1),
    ],
)  # fmt: skip
async def test_a_wrong_field_of_a_monitor_is_named(alice: Alice, field: str, value: Any) -> None:
    answer = await alice.api.post("/api/v1/monitors", GOOD | {field: value})
    assert answer.status == 422, answer.text[:300]
    assert all(named.startswith(field) for named in answer.fields), answer.fields
    assert (await alice.api.get("/api/v1/monitors")).data["items"] == []


@pytest.mark.parametrize("type_", [[], {}, ["http"], 5, None])
async def test_a_type_that_is_no_text_is_refused_everywhere(alice: Alice, type_: Any) -> None:
    made = (await alice.api.post("/api/v1/monitors", GOOD)).data["id"]
    rules = {"type": type_, "assertions": [{"type": "status_code", "op": "eq", "value": 200}]}
    answers = [
        await alice.api.post("/api/v1/monitors", GOOD | rules),
        await alice.api.patch(f"/api/v1/monitors/{made}", rules),
        await alice.api.post("/api/v1/checks", {"target": {"url": "http://127.0.0.1:9/"}} | rules),
        await alice.api.post("/api/v1/channels", {"name": "x", "config": {}, "type": type_}),
    ]
    assert [(a.status, "type" in a.fields) for a in answers] == [(422, True)] * 4


async def test_every_wrong_field_is_named_at_once(alice: Alice) -> None:
    wanted = {
        "name": "", "type": "http", "target": {"url": 5}, "interval_s": "60", "surprise": 1,
        "assertions": [{"type": "x", "op": "y"}],
    }  # fmt: skip
    answer = await alice.api.post("/api/v1/monitors", wanted)
    assert {"name", "interval_s", "surprise", "target.url", "assertions[0].type"} <= set(answer.fields)


async def test_the_media_type_must_be_json(alice: Alice) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonp"):
        answer = await alice.api.send(
            "POST", "/api/v1/monitors", raw=b'{"name":"x"}', headers={"content-type": media}
        )  # fmt: skip
        assert answer.status == 415, media
    answer = await alice.api.post("/api/v1/monitors", GOOD, content_type="application/json; charset=utf-8")
    assert answer.status == 201


async def test_a_body_that_is_too_large_is_cut_off(alice: Alice) -> None:
    answer = await alice.api.send("POST", "/api/v1/monitors", raw=b'{"name":"' + b"x" * (1 << 20) + b'"}')
    assert answer.status == 413
    told = await alice.api.send("POST", "/api/v1/monitors", raw=b"{}", headers={"content-length": str(1 << 40)})
    assert told.status == 413


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=ten", "limit=5&limit=6", "surprise=1", "verdict=sideways", "cursor=x", "limit=%FF",
     "cursor=W10", "cursor=WzEsMl0", "&".join(f"a{n}=1" for n in range(60))],
)  # fmt: skip
async def test_a_wrong_query_is_refused(alice: Alice, query: str) -> None:
    answer = await alice.api.get(f"/api/v1/monitors?{query}")
    assert answer.status == 422
    assert answer.data["errors"]


@pytest.mark.parametrize(
    "query",
    ["window=5", "window=0h", "window=99999y", "from=yesterday", "window=1h&to=2026-01-01T00:00:00Z",
     "from=2200-01-01T00:00:00Z", "from=0001-01-01T00:00:00Z", "from=2026-01-01T00:00:00", "to=0001-01-01T00:00:00Z"],
)  # fmt: skip
async def test_a_wrong_stretch_of_time_is_refused(alice: Alice, query: str) -> None:
    made = (await alice.api.post("/api/v1/monitors", GOOD)).data["id"]
    for what in ("uptime", "series"):
        assert (await alice.api.get(f"/api/v1/monitors/{made}/{what}?{query}")).status == 422


async def test_odd_urls_and_methods_are_told_so(alice: Alice) -> None:
    for path in (
        "/api/v1/nothing",
        "/api/v1/monitors/%00",
        "/api/v1/monitors/" + "x" * 5000,
        "/api/v1/monitors/../..//x",
    ):
        assert (await alice.api.get(path)).status == 404
    answer = await alice.api.send("PUT", "/api/v1/monitors")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]
    assert answer.headers["content-type"] == "application/problem+json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
FIELDS = [
    "name",
    "type",
    "target",
    "interval_s",
    "timeout_s",
    "quorum",
    "locations",
    "assertions",
    "channels",
    "tags",
    "config",
]


# Not shrunk: an example is four requests to a whole server, and it is small as it is.
@settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(field=st.sampled_from(FIELDS), value=JSON, raw=st.binary(max_size=60))
def test_no_body_is_ever_our_fault(alice_runner: Any, field: str, value: Any, raw: bytes) -> None:
    alice, run = alice_runner

    async def try_it() -> list[int]:
        answers = [
            await alice.api.post("/api/v1/monitors", GOOD | {field: value}),
            await alice.api.post("/api/v1/channels", {"name": "x", "type": "webhook", "config": {}} | {field: value}),
            await alice.api.post("/api/v1/checks", {"type": "push", "target": {}} | {field: value}),
            await alice.api.send("POST", "/api/v1/monitors", raw=raw or b"x"),
        ]
        return [a.status for a in answers]

    assert all(status < 500 for status in run(try_it()))


@pytest.fixture
def alice_runner(tmp_path: Any) -> Any:
    """Alice's server on a loop of its own, so that Hypothesis can call it from plain functions."""
    from web.conftest import servers, set_up

    with asyncio.Runner() as runner:
        made: Any = servers(tmp_path)
        make = runner.run(anext(made))
        house = runner.run(make())
        yield runner.run(set_up(house)), runner.run
        runner.run(made.aclose())
