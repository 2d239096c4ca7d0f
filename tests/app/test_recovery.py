from __future__ import annotations

from pathlib import Path

import pytest

from real import FIRST, ask, given, running
from tocsin.app.recovery import reset_password
from tocsin.errors import Invalid, NotFound, SettingsError


async def sign_in(port: int, password: str) -> int:
    return (await ask(port, "POST", "/api/v1/auth/login", {"email": FIRST["email"], "password": password}))[0]


async def test_a_new_password_works_and_old_sessions_do_not(tmp_path: Path) -> None:
    made = given(tmp_path)
    async with running(made) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        with pytest.raises(SettingsError, match="process"):
            await reset_password(made, FIRST["email"], "a different sentence")
    await reset_password(made, FIRST["email"].upper(), "a different sentence")
    async with running(made) as server:
        assert await sign_in(server.port, FIRST["password"]) == 401
        assert await sign_in(server.port, "a different sentence") == 200
        assert (await ask(server.port, "GET", "/api/v1/me", None, token))[0] == 401


async def test_wrong_uses_are_named(tmp_path: Path) -> None:
    made = given(tmp_path)
    async with running(made):
        pass
    with pytest.raises(NotFound, match="nobody here has the address"):
        await reset_password(made, "nobody@example.org", "a different sentence")
    with pytest.raises(Invalid, match="password"):
        await reset_password(made, FIRST["email"], "short")
