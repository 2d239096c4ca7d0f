"""Where an invitation leads: set a password, or show the one there is, and be in.

Looking changes nothing (mail scanners and previews open links); only the button accepts, and only once.
"""

from __future__ import annotations

import math
from typing import Any

from tocsin.core.limits import TooMany
from tocsin.errors import Denied, Invalid
from tocsin.web import signin
from tocsin.web.api import invitations
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view
from tocsin.web.problem import Refused


async def show(call: Call) -> Reply:
    """Who is asked in where, and the form; where another instance leads, the way to its page."""
    follows = view.follows(call)
    if follows is not None and follows.url:
        await _opened(call)
        return view.see_other(follows.url.rstrip("/") + call.url_path)
    return await _page(call)


async def _page(call: Call, *, error: str = "", status: int = 200) -> Reply:
    found = await _opened(call)
    here = call.principal is not None and found.user is not None and call.principal.user_id == found.user.id
    reply = view.html(
        view.render("join.html", frame=None, i=found.invitation, workspace=found.workspace, error=error,
                    how="here" if here else "known" if found.user is not None else "new"),
        status=status,
    )  # fmt: skip
    reply.headers["x-robots-tag"] = "noindex"
    return reply


async def _opened(call: Call) -> invitations.Opened:
    try:
        return await invitations.opened(call.parts, call.path["token"], call.client, call.now)
    except TooMany as error:
        wait = max(1, math.ceil(error.retry_after_s))
        raise Refused(429, f"too many wrong links; try again in {wait} s", headers={"retry-after": str(wait)}) from None


async def join(call: Call) -> Reply:
    """Accept it and go in."""
    await _opened(call)
    password = next((value for name, value in call.form if name == "password"), "")
    try:
        given = await invitations.accept(call.parts, call, call.path["token"], password)
    except Invalid as error:
        return await _page(call, error=" ".join(view.problems(error).values()), status=422)
    except TooMany as error:
        wait = max(1, math.ceil(error.retry_after_s))
        return await _page(call, error=f"Too many tries. Try again in {wait} s.", status=429)
    except Denied:
        return await _page(call, error="That is not the password of this account.", status=403)
    return view.see_other("/", cookies=signin.cookies_for(given, secure=call.secure))


_OPEN: dict[str, Any] = {"kind": "page", "permission": "public", "tag": "pages"}
ROUTES = [
    Route(method="GET", path="/invitations/{token}", run=show, summary="Where an invitation leads", **_OPEN),
    Route(method="POST", path="/invitations/{token}", run=join, summary="Accept an invitation", **_OPEN),
]
