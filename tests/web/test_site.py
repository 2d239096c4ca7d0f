"""Which names and origins are ours: other sites, moved names and lost encryption get nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from web.conftest import PASSWORD, Alice, House, set_up

FIRST = {"email": "eve@example.org", "password": PASSWORD, "workspace": "Home"}
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3001", "tocsin.test.evil.example", "", "a b", "u@tocsin.test"]
)
async def test_nobody_makes_the_first_account_under_a_name_that_is_not_ours(house: House, host: str) -> None:
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        answer = await house.caller().post("/api/v1/setup", FIRST, **headers)
        assert answer.status == 421, answer.text
        assert "TOCSIN_ALLOWED_HOSTS" in answer.data["detail"]
        form = b"email=eve@example.org&password=correct+horse+battery&workspace=Home"
        answer = await house.caller(content_type=FORM).send("POST", "/setup", raw=form, headers=headers)
        assert answer.status == 421, answer.text
    assert (await house.caller().get("/api/v1/setup")).data["open"] is True


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3001", "[::1]:3001", "localhost:3001", "192.168.7.9", "TOCSIN.test", "x.localhost"]
)
async def test_our_own_names_and_numbers_are_good(house: House, host: str) -> None:
    answer = await house.caller().post("/api/v1/setup", FIRST, host=host, origin=f"http://{host}")
    assert answer.status == 201, answer.text


async def test_further_names_can_be_allowed(build: Callable[..., Any]) -> None:
    house = await build(ALLOWED_HOSTS="watch.lan, nas")
    assert (await house.caller().post("/api/v1/setup", FIRST, host="bell.lan")).status == 421
    assert (await house.caller().post("/api/v1/setup", FIRST, host="nas:3001", origin="http://nas:3001")).status == 201


async def test_with_a_setup_token_any_name_will_do_for_a_program(build: Callable[..., Any]) -> None:
    house = await build(setup_token="t" * 32)
    wanted = FIRST | {"setup_token": "t" * 32}
    answer = await house.caller().post("/api/v1/setup", wanted, host="tocsin:3001")
    assert answer.status == 201, answer.text


async def test_a_moved_name_signs_nobody_in(alice: Alice) -> None:
    caller = alice.house.caller(host="evil.example", origin="http://evil.example", content_type=FORM)
    answer = await caller.send("POST", "/login", raw=b"email=alice@example.org&password=correct+horse+battery")
    assert (answer.status, answer.cookies) == (421, [])


@pytest.mark.parametrize(
    ("host", "origin", "good"),
    [
        ("tocsin.test", "http://tocsin.test", True), ("tocsin.test", "http://tocsin.test:80", True),
        ("tocsin.test", "https://tocsin.test", False), ("127.0.0.1:3001", "http://127.0.0.1:3001", True),
        ("127.0.0.1:3001", "http://127.0.0.1:8080", False), ("127.0.0.1:3001", "http://localhost:3001", False),
        ("tocsin.test", "http://tocsin.test:8080", False), ("evil.example", "http://tocsin.test", False),
    ],
)  # fmt: skip
async def test_origins_of_writes_by_cookie(alice: Alice, host: str, origin: str, good: bool) -> None:
    caller = alice.house.caller()
    caller.cookies["tocsin_session"] = alice.api.token or ""
    answer = await caller.post("/api/v1/api-keys", {"name": "x"}, host=host, origin=origin)
    assert (answer.status == 201) is good, answer.text


async def test_an_https_base_url_means_secure_cookies_and_https_origins(build: Callable[..., Any]) -> None:
    house = await build(BASE_URL="https://tocsin.test")
    alice = await set_up(house)
    answer = await house.caller(origin="https://tocsin.test", content_type=FORM).send(
        "POST", "/login", raw=b"email=alice@example.org&password=correct+horse+battery"
    )
    assert answer.status == 303, answer.text
    assert all("; Secure" in cookie for cookie in answer.cookies)
    assert "strict-transport-security" in answer.headers
    caller = house.caller()
    caller.cookies["tocsin_session"] = alice.api.token or ""
    assert (await caller.post("/api/v1/api-keys", {"name": "x"}, origin="http://tocsin.test")).status == 403


@pytest.mark.parametrize(("proxies", "secure"), [("0", False), ("1", True)])
async def test_a_proxy_is_believed_only_when_it_is_trusted(
    build: Callable[..., Any],
    proxies: str,
    secure: bool,
) -> None:
    house = await build(TRUSTED_PROXIES=proxies)
    await set_up(house)
    caller = house.caller(x_forwarded_proto="https", origin="http://tocsin.test", content_type=FORM)
    answer = await caller.send("POST", "/login", raw=b"email=alice@example.org&password=correct+horse+battery")
    assert answer.status == 303, answer.text
    assert all(("; Secure" in cookie) is secure for cookie in answer.cookies)
    assert ("strict-transport-security" in answer.headers) is secure
