from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tocsin.web import passwords, signin, tokens
from web.conftest import PASSWORD, Alice, House, set_up


async def test_who_set_up_reads_the_own_account(alice: Alice) -> None:
    answer = await alice.api.get("/api/v1/me")
    assert answer.status == 200
    assert answer.data["email"] == "alice@example.org"
    assert answer.data["workspace"] == {"id": alice.workspace_id, "name": "Home"}


async def test_of_fifty_setups_at_once_one_makes_an_admin(house: House) -> None:
    wanted = [{"email": f"p{n}@example.org", "password": PASSWORD, "workspace": "Home"} for n in range(50)]
    answers = await asyncio.gather(*(house.caller().post("/api/v1/setup", w) for w in wanted))
    assert sorted(a.status for a in answers) == [201] + [409] * 49
    users = await house.parts.store.everything().read(lambda s: s.accounts.users())
    assert len(users) == 1
    assert (await house.caller().get("/api/v1/setup")).data == {"open": False, "needs_token": False}


async def test_setup_on_a_public_address_needs_the_token(build: Callable[..., Any]) -> None:
    house = await build(setup_token="the setup token")
    wanted = {"email": "a@example.org", "password": PASSWORD, "workspace": "Home"}
    assert (await house.caller().post("/api/v1/setup", wanted)).status == 403
    assert (await house.caller().post("/api/v1/setup", wanted | {"setup_token": "another"})).status == 403
    assert (await house.caller().post("/api/v1/setup", wanted | {"setup_token": "the setup token"})).status == 201


async def test_setup_names_every_wrong_field(house: House) -> None:
    answer = await house.caller().post("/api/v1/setup", {"email": "nobody", "password": "short", "workspace": " "})
    assert answer.status == 422
    assert answer.fields == ["email", "password", "workspace"]
    assert "short" not in answer.text


@pytest.mark.parametrize(
    ("email", "password"),
    [("alice@example.org", "wrong wrong wrong"), ("nobody@example.org", PASSWORD), ("alice@example.org", "x" * 4096)],
)
async def test_a_wrong_pair_says_nothing_about_which(alice: Alice, email: str, password: str) -> None:
    answer = await alice.house.caller().post("/api/v1/auth/login", {"email": email, "password": password})
    assert answer.status == 401
    assert answer.data["detail"] == "e-mail address and password do not belong together"


async def test_an_unknown_user_costs_the_same_hash(alice: Alice, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: list[str | None] = []
    real = passwords.verified

    async def counted(memory: Any, password: str, known: str | None) -> bool:
        hashes.append(known)
        return await real(memory, password, known)

    monkeypatch.setattr(passwords, "verified", counted)
    for email in ("nobody@example.org", "alice@example.org"):
        await alice.house.caller().post("/api/v1/auth/login", {"email": email, "password": "wrong"})
    assert len(hashes) == 2
    assert hashes[0] is None


async def test_the_eleventh_attempt_in_a_minute_never_reaches_the_hash(
    alice: Alice, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []
    real = passwords.verified

    async def counted(memory: Any, password: str, known: str | None) -> bool:
        reached.append(password)
        return await real(memory, password, known)

    monkeypatch.setattr(passwords, "verified", counted)
    caller = alice.house.caller()
    for n in range(40):  # one account, from ever other addresses
        caller.address = f"198.51.100.{n}"
        last = await caller.post("/api/v1/auth/login", {"email": "Alice@Example.org", "password": "wrong"})
    assert len(reached) == 10
    assert last.status == 429
    assert int(last.headers["retry-after"]) <= 60
    caller.address = "198.51.100.200"
    for n in range(40):  # one address, ever other accounts
        await caller.post("/api/v1/auth/login", {"email": f"p{n}@example.org", "password": "wrong"})
    assert len(reached) == 20


async def test_signing_in_well_is_not_counted(alice: Alice) -> None:
    for _ in range(15):
        await alice.house.sign_in("alice@example.org")
    assert (await alice.api.get("/api/v1/me")).status == 200


async def test_a_one_time_code_that_is_not_set_up_is_refused(alice: Alice) -> None:
    wanted = {"email": "alice@example.org", "password": PASSWORD, "totp": "123456"}
    answer = await alice.house.caller().post("/api/v1/auth/login", wanted)
    assert answer.status == 422
    assert answer.fields == ["totp"]


async def test_bcrypt_hashes_still_open(alice: Alice) -> None:
    from pwdlib.hashers.bcrypt import BcryptHasher

    memory, old = alice.house.parts.memory, BcryptHasher(rounds=4).hash(PASSWORD)
    assert await passwords.verified(memory, PASSWORD, old)
    assert not await passwords.verified(memory, PASSWORD + "x", old)
    assert not await passwords.verified(memory, "y" * 100, old)
    assert (await passwords.hashed(memory, PASSWORD)).startswith("$argon2id$")


async def test_a_refresh_token_works_once(alice: Alice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "GRACE_S", -1)
    caller = alice.house.caller()
    second = await caller.post("/api/v1/auth/refresh", {"refresh_token": alice.refresh_token})
    assert second.status == 200
    third = await caller.post("/api/v1/auth/refresh", {"refresh_token": second.data["refresh_token"]})
    assert third.status == 200
    reuse = await caller.post("/api/v1/auth/refresh", {"refresh_token": alice.refresh_token})
    assert reuse.status == 401
    for token in (third.data["refresh_token"], second.data["refresh_token"]):
        assert (await caller.post("/api/v1/auth/refresh", {"refresh_token": token})).status == 401
    assert (await alice.api.get("/api/v1/me")).status == 401


async def test_two_tabs_that_renew_at_once_stay_signed_in(alice: Alice) -> None:
    caller = alice.house.caller()
    wanted = {"refresh_token": alice.refresh_token}
    answers = await asyncio.gather(*(caller.post("/api/v1/auth/refresh", wanted) for _ in range(5)))
    assert {a.status for a in answers} == {200}
    assert len({a.data["refresh_token"] for a in answers}) == 1
    last = await caller.post("/api/v1/auth/refresh", {"refresh_token": answers[0].data["refresh_token"]})
    assert last.status == 200


async def test_a_guessed_refresh_token_signs_nobody_out(alice: Alice) -> None:
    session = alice.refresh_token.split(".")[0]
    for token in (f"{session}.{'a' * 43}.{'0' * 32}", f"{session}.x", "x", "." * 40, "ä.b.c", "x" * 4096):
        assert (await alice.house.caller().post("/api/v1/auth/refresh", {"refresh_token": token})).status == 401
    assert (await alice.api.get("/api/v1/me")).status == 200


async def test_signing_out_ends_both_tokens(alice: Alice) -> None:
    assert (await alice.api.post("/api/v1/auth/logout")).status == 204
    assert (await alice.api.get("/api/v1/me")).status == 401
    again = await alice.house.caller().post("/api/v1/auth/refresh", {"refresh_token": alice.refresh_token})
    assert again.status == 401


async def test_another_password_ends_every_other_session(alice: Alice) -> None:
    other = alice.house.caller(await alice.house.sign_in("alice@example.org"))
    wrong = await alice.api.patch("/api/v1/me", {"password": {"current": "not this", "new": "a new password"}})
    assert wrong.status == 422
    assert wrong.fields == ["password.current"]
    changed = await alice.api.patch("/api/v1/me", {"password": {"current": PASSWORD, "new": "a new password"}})
    assert changed.status == 200
    assert (await other.get("/api/v1/me")).status == 401
    assert (await alice.api.get("/api/v1/me")).status == 401
    assert (await alice.house.caller(changed.data["access_token"]).get("/api/v1/me")).status == 200
    assert await alice.house.sign_in("alice@example.org", "a new password")
    old = await alice.house.caller().post("/api/v1/auth/refresh", {"refresh_token": alice.refresh_token})
    assert old.status == 401


def _token(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)


async def test_forged_access_tokens_open_nothing(alice: Alice) -> None:
    from joserfc import jwt
    from joserfc.jwk import OctKey, RSAKey

    parts = alice.house.parts
    now = parts.clock.now()
    genuine = alice.api.token or ""
    head, body, mark = genuine.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    key = OctKey.import_key(tokens.derived(parts.signing_key, "user access token"))
    assert tokens.read_access_token(parts.signing_key, jwt.encode(header, claims, key), now) is not None
    exp = claims["exp"]
    forged = {
        "alg none": _token({"alg": "none"}, claims),
        "alg none with our kid": _token(header | {"alg": "none"}, claims),
        "no signature": f"{head}.{body}.",
        "altered": f"{head}.{_token({}, claims | {'sub': 'x'}).split('.')[1]}.{mark}",
        "wrong audience": jwt.encode(header, claims | {"aud": "agent"}, key),
        "audience list": jwt.encode(header, claims | {"aud": ["user"]}, key),
        "wrong issuer": jwt.encode(header, claims | {"iss": "other"}, key),
        "wrong kid": jwt.encode(header | {"kid": "0" * 16}, claims, key),
        "no kid": jwt.encode({"alg": "HS256"}, claims, key),
        "expired": jwt.encode(header, claims | {"exp": claims["iat"] - 1, "iat": claims["iat"] - 901}, key),
        "for years": jwt.encode(header, claims | {"exp": exp + 10**9}, key),
        "text expiry": jwt.encode(header, claims | {"exp": str(exp)}, key),
        "no expiry": jwt.encode(header, {k: v for k, v in claims.items() if k != "exp"}, key),
        "another key": jwt.encode(header, claims, OctKey.import_key(b"another key of thirty-two bytes!")),
        "the signing key itself": jwt.encode(header, claims, OctKey.import_key(parts.signing_key)),
        "RS256": jwt.encode(header | {"alg": "RS256"}, claims, RSAKey.generate_key(2048)),
        "old token version": jwt.encode(header, claims | {"tv": claims["tv"] - 1}, key),
        "another workspace": jwt.encode(header, claims | {"ws": "elsewhere"}, key),
        "another user": jwt.encode(header, claims | {"sub": "somebody"}, key),
        "one megabyte": genuine + "a" * (1 << 20),
        "large header": _token(header | {"x": "y" * 5000}, claims),
        "not a token": "....",
        "null": _token({"alg": "HS256", "kid": None}, claims),
    }
    for what, token in forged.items():
        answer = await alice.house.caller(token).get("/api/v1/me")
        assert answer.status == 401, what
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_cookies_renew_in_silence(alice: Alice) -> None:
    house = alice.house
    caller = house.caller()
    caller.cookies = {"tocsin_refresh": alice.refresh_token}
    answer = await caller.get("/api/v1/me")
    assert answer.status == 200
    assert {c.split("=")[0] for c in answer.cookies} == {"tocsin_session", "tocsin_refresh"}
    assert all("HttpOnly; SameSite=Lax" in c for c in answer.cookies)
    again = await caller.get("/api/v1/me")
    assert again.status == 200
    assert again.cookies == []


async def test_cookies_are_secure_behind_https(build: Callable[..., Any]) -> None:
    house = await build(TRUSTED_PROXIES="1")
    alice = await set_up(house)
    caller = house.caller(x_forwarded_proto="https")
    caller.cookies = {"tocsin_refresh": alice.refresh_token}
    answer = await caller.get("/api/v1/me")
    assert answer.status == 200
    assert all(c.endswith("; Secure") for c in answer.cookies)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://tocsin.test.evil.example", "http://tocsin.test/x"]
)
async def test_a_write_by_cookie_from_another_site_is_refused(alice: Alice, origin: str) -> None:
    caller = alice.house.caller()
    caller.cookies = {"tocsin_session": alice.api.token or ""}
    refused = await caller.post("/api/v1/api-keys", {"name": "x"}, origin=origin)
    assert refused.status == 403
    assert (await caller.post("/api/v1/api-keys", {"name": "x"})).status == 403
    assert (await caller.post("/api/v1/api-keys", {"name": "x"}, origin="http://tocsin.test")).status == 201


async def test_addresses_are_kept_in_one_form() -> None:
    assert signin.email_of("  Alice@Example.ORG ") == "alice@example.org"
