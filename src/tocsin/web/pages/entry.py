"""The door: sign in, go to another workspace, sign out."""

from __future__ import annotations

import math

from msgspec import Struct

from tocsin.core.limits import TooMany
from tocsin.errors import Denied, Invalid
from tocsin.web import signin
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view, words


class Next(Struct, frozen=True, kw_only=True):
    """Where to go after signing in: a path on this server."""

    next: str = ""


async def show(call: Call) -> Reply:
    """The sign-in page; on a new server the way to set-up."""
    if await signin.setup_open(call.parts):
        return view.see_other("/setup")
    to = view.safe_path(call.query.next if call.query else "")
    return view.see_other(to) if call.principal is not None else _form(call, to)


def _form(call: Call, to: str, *, email: str = "", error: str = "", status: int = 200) -> Reply:
    where = call.headers.get("host", "")
    return view.html(view.render("login.html", frame=None, to=to, email=email, error=error, where=where), status=status)


async def sign_in(call: Call) -> Reply:
    """Sign in and go where one wanted to go."""
    email, to = view.first(call, "email"), view.safe_path(view.first(call, "next"))
    password = next((v for k, v in call.form if k == "password"), "")
    try:
        given = await signin.sign_in(
            call.parts,
            email=email,
            password=password,
            totp=None,
            client=call.client,
            now=call.now,
            agent=call.headers.get("user-agent", ""),
        )
    except TooMany as error:
        wait = max(1, math.ceil(error.retry_after_s))
        return _form(call, to, email=email, error=f"Too many tries. Try again in {wait} s.", status=429)
    except Invalid as error:
        return _form(call, to, email=email, error=" ".join(view.problems(error).values()), status=422)
    except Denied as error:
        return _form(call, to, email=email, error=_said(error), status=401)
    return view.see_other(to, cookies=signin.cookies_for(given, secure=call.secure))


def _said(error: Denied) -> str:
    return "That email and password do not match." if not error.authenticated else words.sentence(error)


async def sign_out(call: Call) -> Reply:
    """End the session and forget its cookies."""
    if call.principal is not None and call.principal.session_id is not None:
        await signin.sign_out(call.parts, call.principal, call.now)
    return view.see_other("/login", cookies=signin.cleared_cookies())


async def go_to(call: Call) -> Reply:
    """A session in another workspace of the caller's, and its overview."""
    place, agent = view.first(call, "workspace"), call.headers.get("user-agent", "")
    if place == call.who.workspace_id:
        return view.see_other("/")
    given = await signin.move(call.parts, call.who, place, call.now, agent)
    return view.see_other("/", cookies=signin.cookies_for(given, secure=call.secure))


ROUTES = [
    Route(
        method="POST",
        path="/workspaces/enter",
        run=go_to,
        permission="self",
        summary="Go to another workspace",
        kind="page",
        tag="pages",
    ),
    Route(
        method="GET",
        path="/login",
        run=show,
        permission="public",
        summary="Sign-in page",
        kind="page",
        query=Next,
        loose=True,
        tag="pages",
    ),
    Route(method="POST", path="/login", run=sign_in, permission="public", summary="Sign in", kind="page", tag="pages"),
    Route(
        method="POST", path="/logout", run=sign_out, permission="public", summary="Sign out", kind="page", tag="pages"
    ),
]
