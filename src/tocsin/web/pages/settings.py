"""Settings: one's account and password, API keys, the workspace and its people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.access import BY_ROLE, ROLES
from tocsin.core.limits import TooMany
from tocsin.errors import Denied, Invalid
from tocsin.web import signin
from tocsin.web.api import keys, locations, me, members, preferences
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


async def index(call: Call) -> Reply:
    """The page."""
    done: Done = call.query or Done()
    said = {
        "password": "Password changed. Every other sign-in has ended.",
        "revoked": "Key revoked.",
        "settled": "Saved.",
    }.get(done.did, "")
    return await _page(call, did=said)


async def _page(
    call: Call,
    *,
    errors: Mapping[str, str] | None = None,
    made: str = "",
    key_name: str = "",
    did: str = "",
    status: int = 200,
) -> Reply:
    account = await me.describe(call.parts, call.who) if call.who.user_id else None
    return view.page(
        call,
        "settings.html",
        section="settings",
        status=status,
        account=account,
        keys=await keys.visible(call.parts, call.who),
        people=await members.visible(call.parts, call.who),
        errors=errors or {},
        made=made,
        key_name=key_name,
        did=did,
        places=locations.visible(call.parts, call.who),
        partial_is_down=not preferences.partial_is_up(call.parts, call.who.workspace_id),
        roles=[r for r in ROLES if BY_ROLE[r] <= BY_ROLE[call.who.role]],
    )


async def password(call: Call) -> Reply:
    """Set another password; every other sign-in ends."""
    current = next((v for k, v in call.form if k == "current"), "")
    new = next((v for k, v in call.form if k == "new"), "")
    try:
        given = await signin.change_password(call.parts, call.who, current=current, new=new, now=call.now)
    except Invalid as error:
        told = view.problems(error)
        if "password.current" in told:
            return await _page(call, errors={"current": "That is not the present password."}, status=422)
        return await _page(call, errors={"new": " ".join(told.values())}, status=422)
    except TooMany as error:
        wait = max(1, math.ceil(error.retry_after_s))
        return await _page(call, errors={"current": f"Too many tries. Try again in {wait} s."}, status=429)
    except Denied:
        return await _page(call, errors={"current": "That is not the present password."}, status=403)
    return view.see_other("/settings?did=password", cookies=signin.cookies_for(given, secure=call.secure))


async def settle(call: Call) -> Reply:
    """Say how partial counts."""
    down = view.ticked(call, "partial_is_down")
    await preferences.change(call.parts, call.who, lambda settled: replace(settled, partial_is_down=down))
    return view.see_other("/settings?did=settled")


async def place(call: Call) -> Reply:
    """Say what fails together with each location."""
    names, given = view.every(call, "place"), view.every(call, "domain")
    domains = {name: text.strip() or None for name, text in zip(names, given, strict=False)}
    try:
        await locations.set_domains(call.parts, call.who, domains)
    except Invalid as error:
        told = view.problems(error)
        errors = {"place " + field.removesuffix(".failure_domain"): text for field, text in told.items()}
        return await _page(call, errors=errors, status=422)
    return view.see_other("/settings?did=settled#locations")


async def make_key(call: Call) -> Reply:
    """Make an API key and show it this once."""
    name = view.first(call, "name")
    try:
        _, secret = await keys.create(
            call.parts, call.who, {"name": name, "role": view.first(call, "role") or None}, call.now
        )
    except Invalid as error:
        told = view.problems(error)
        return await _page(
            call, errors={"key_name": told.get("name") or " ".join(told.values())}, key_name=name, status=422
        )
    return await _page(call, made=secret)


async def revoke_key(call: Call) -> Reply:
    """End a key at once."""
    await keys.revoke(call.parts, call.who, call.path["id"], call.now)
    return view.see_other("/settings?did=revoked#api-keys")


_SELF: dict[str, Any] = {"kind": "page", "tag": "pages"}
ROUTES = [
    Route(
        method="GET",
        path="/settings",
        run=index,
        permission="read",
        summary="Settings",
        query=Done,
        loose=True,
        **_SELF,
    ),
    Route(
        method="POST",
        path="/settings/password",
        run=password,
        permission="self",
        summary="Change the password",
        **_SELF,
    ),
    Route(
        method="POST",
        path="/settings/preferences",
        run=settle,
        permission="admin",
        summary="How partial counts",
        **_SELF,
    ),
    Route(
        method="POST",
        path="/settings/locations",
        run=place,
        permission="admin",
        summary="What fails together",
        **_SELF,
    ),
    Route(method="POST", path="/settings/keys", run=make_key, permission="write", summary="Make an API key", **_SELF),
    Route(
        method="POST",
        path="/settings/keys/{id}/revoke",
        run=revoke_key,
        permission="write",
        summary="Revoke an API key",
        **_SELF,
    ),
]
