"""POST /setup and /auth/…: the first account, signing in, staying signed in, signing out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from tocsin.core.shape import Help, Hidden, Length
from tocsin.web import signin, site
from tocsin.web.call import Call, Reply, Route

Email = Annotated[str, Length(1, 254), Help("e-mail address")]
Password = Annotated[str, Length(1, 4096), Hidden, Help("password")]


class SetupIn(Struct, frozen=True, kw_only=True):
    """The first account and its workspace."""

    email: Email
    password: Password
    workspace: Annotated[str, Length(1, 100), Help("name of the workspace")] = "Home"
    setup_token: Annotated[
        str | None, Length(0, 256), Hidden, Help("printed when the server starts on a public address")
    ] = None


class LoginIn(Struct, frozen=True, kw_only=True):
    """Who signs in."""

    email: Email
    password: Password
    totp: Annotated[str | None, Length(0, 16), Hidden, Help("one-time code, when a second factor is set up")] = None


class RefreshIn(Struct, frozen=True, kw_only=True):
    """A refresh token, good for one use."""

    refresh_token: Annotated[str, Length(1, 4096), Hidden, Help("the newest refresh token of the session")]


class SetupOpen(Struct, frozen=True, kw_only=True):
    """Whether the first account is still to be made, and whether that needs the setup token."""

    open: bool
    needs_token: bool


async def _see_setup(call: Call) -> Reply:
    return Reply(
        data=SetupOpen(open=await signin.setup_open(call.parts), needs_token=call.parts.setup_token is not None)
    )


async def _setup(call: Call) -> Reply:
    wanted: SetupIn = call.body
    site.check_setup(call.parts, call.headers)
    given = await signin.setup(
        call.parts, email=wanted.email, password=wanted.password, workspace=wanted.workspace,
        setup_token=wanted.setup_token, client=call.client, now=call.now, agent=call.headers.get("user-agent", ""),
    )  # fmt: skip
    return Reply(data=given, status=201)


async def _login(call: Call) -> Reply:
    wanted: LoginIn = call.body
    given = await signin.sign_in(
        call.parts, email=wanted.email, password=wanted.password, totp=wanted.totp, client=call.client, now=call.now,
        agent=call.headers.get("user-agent", ""),
    )  # fmt: skip
    return Reply(data=given)


async def _refresh(call: Call) -> Reply:
    wanted: RefreshIn = call.body
    return Reply(data=await signin.refresh(call.parts, wanted.refresh_token, call.now))


async def _logout(call: Call) -> Reply:
    await signin.sign_out(call.parts, call.who, call.now)
    return Reply(status=204, cookies=signin.cleared_cookies())


ROUTES = [
    Route(
        method="GET", path="/api/v1/setup", run=_see_setup, permission="public", answer=SetupOpen, tag="accounts",
        summary="Whether the first account is still to be made",
    ),
    Route(
        method="POST", path="/api/v1/setup", run=_setup, permission="public", body=SetupIn, answer=signin.SignedIn,
        tag="accounts", status=201, summary="Make the first account; once",
    ),
    Route(
        method="POST", path="/api/v1/auth/login", run=_login, permission="public", body=LoginIn, answer=signin.SignedIn,
        tag="accounts", summary="Sign in",
    ),
    Route(
        method="POST", path="/api/v1/auth/refresh", run=_refresh, permission="public", body=RefreshIn,
        answer=signin.SignedIn, tag="accounts", summary="The next pair of tokens",
    ),
    Route(
        method="POST", path="/api/v1/auth/logout", run=_logout, permission="self", tag="accounts", status=204,
        summary="End this session",
    ),
]  # fmt: skip
