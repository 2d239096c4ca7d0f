"""Control characters never come as far as the database, pages, messages or logs."""

from __future__ import annotations

import pytest

from tocsin.web.call import Route
from tocsin.web.routes import ROUTES
from web.conftest import PASSWORD, Alice, House

NUL, ESC = "\x00", "\x1b"
GOOD = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}


@pytest.mark.parametrize("sign", [NUL, ESC, "\x08"])
async def test_no_json_body_carries_them(alice: Alice, sign: str) -> None:
    tried = [
        ("/api/v1/monitors", GOOD | {"name": f"a{sign}b"}),
        ("/api/v1/monitors", GOOD | {"tags": [f"a{sign}b"]}),
        ("/api/v1/monitors", GOOD | {"target": {"url": f"http://x/{sign}"}}),
        ("/api/v1/channels", {"name": f"a{sign}", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}),
        ("/api/v1/api-keys", {"name": f"a{sign}"}),
        ("/api/v1/auth/login", {"email": f"a{sign}@example.org", "password": PASSWORD}),
    ]
    for path, body in tried:
        answer = await alice.api.post(path, body)
        assert answer.status == 400, (path, answer.text)
        assert answer.data["errors"], path
        assert sign not in answer.text
    assert alice.house.parts.store.breaker.state == "closed"


async def test_names_have_one_line(alice: Alice) -> None:
    for path, body in (("/api/v1/monitors", GOOD), ("/api/v1/api-keys", {})):
        answer = await alice.api.post(path, body | {"name": "two\nlines"})
        assert (answer.status, answer.fields) == (422, ["name"])
    answer = await alice.api.post("/api/v1/monitors", GOOD | {"tags": ["two\nlines"]})
    assert answer.fields == ["tags[0]"]


@pytest.mark.parametrize("route", [r for r in ROUTES if "{" in r.path], ids=lambda r: f"{r.method} {r.path}")
async def test_no_path_carries_them(alice: Alice, route: Route) -> None:
    path = route.path
    for name in ("id", "token", "word", "name"):
        path = path.replace("{" + name + "}", f"a{NUL}b")
    answer = await alice.api.send(route.method, path, raw=b"")
    assert answer.status in (401, 403, 404), answer.text


async def test_no_query_string_carries_them(alice: Alice) -> None:
    for path in ("/api/v1/monitors?q=a%00b", "/api/v1/incidents?monitor=%00", "/api/v1/monitors?%1b=1"):
        answer = await alice.api.get(path)
        assert answer.status == 422, answer.text
        assert answer.data["errors"]


async def test_no_form_carries_them(house: House) -> None:
    raw = b"email=a%00@example.org&password=x"
    answer = await house.caller(origin="http://tocsin.test", content_type="application/x-www-form-urlencoded").send(
        "POST", "/login", raw=raw
    )
    assert answer.status == 422
