"""The first three minutes: an account, a first monitor, and where the bell rings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tocsin import checks, notifiers
from tocsin.core.limits import TooMany
from tocsin.core.shape import read
from tocsin.errors import Conflict, Denied, Invalid, NotFound
from tocsin.web import signin, site
from tocsin.web.api import channels as channels_api
from tocsin.web.api import monitors
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import address, attempt, channels, plain_words, view

INTERVALS = (30, 60, 300, 900)


def _page(call: Call, step: int, *, status: int = 200, **values: Any) -> Reply:
    known: dict[str, Any] = {
        "step": step,
        "errors": {},
        "data": {},
        "email": "",
        "workspace": "",
        "needs_token": call.parts.setup_token is not None,
        "intervals": _intervals(call),
        "tried": None,
        "words": (),
        "inputs": (),
        "types": (),
        "name": "",
        "said": "",
        "channel": None,
        "tested": None,
    }
    return view.html(view.render("setup.html", frame=None, **(known | values)), status=status)


def _intervals(call: Call) -> list[int]:
    least: int = call.parts.settings["MINIMUM_INTERVAL_S"]
    return [i for i in (least, *INTERVALS) if i >= least][:1] + [i for i in INTERVALS if i > least]


async def show(call: Call) -> Reply:
    """Step 1, as long as nobody has an account."""
    if await signin.setup_open(call.parts):
        return _page(call, 1, workspace="Home")
    return view.see_other("/" if call.principal is not None else "/login")


async def account(call: Call) -> Reply:
    """Make the first account and sign it in."""
    site.check_setup(call.parts, call.headers)
    email, workspace = view.first(call, "email"), view.first(call, "workspace")
    password = next((v for k, v in call.form if k == "password"), "")
    kept: dict[str, Any] = {"email": email, "workspace": workspace}
    try:
        given = await signin.setup(
            call.parts,
            email=email,
            password=password,
            workspace=workspace,
            setup_token=view.first(call, "setup_token") or None,
            client=call.client,
            now=call.now,
            agent=call.headers.get("user-agent", ""),
        )
    except Invalid as error:
        return _page(call, 1, errors=view.problems(error), status=422, **kept)
    except TooMany as error:
        wait = max(1, math.ceil(error.retry_after_s))
        return _page(call, 1, errors={"setup_token": f"Too many tries. Try again in {wait} s."}, status=429, **kept)
    except Denied:
        wrong = {"setup_token": "That is not the token. It stands in the server's output, where it says First account."}
        return _page(call, 1, errors=wrong, status=403, **kept)
    except Conflict:
        return view.see_other("/login")
    return view.see_other("/setup/monitor", cookies=signin.cookies_for(given, secure=call.secure))


async def monitor(call: Call) -> Reply:
    """Step 2."""
    return _page(
        call, 2, data={"address": "", "interval_s": call.parts.settings["DEFAULT_INTERVAL_S"]}, name=call.who.name
    )


def _typed(call: Call) -> dict[str, Any]:
    interval = view.first(call, "interval_s")
    given: int = (
        int(interval) if interval.isdigit() and len(interval) < 7 else call.parts.settings["DEFAULT_INTERVAL_S"]
    )
    return {"address": view.first(call, "address"), "interval_s": given}


async def add(call: Call) -> Reply:
    """Make the first monitor; with the button "Try it" only look once."""
    data = _typed(call)
    try:
        type_, target, name = address.guess(data["address"])
        wanted = {"type": type_, "target": target}
        if view.first(call, "do") == "try":
            return await _tried(call, data, wanted)
        await monitors.create(call.parts, call.who, {"name": name, "interval_s": data["interval_s"], **wanted})
    except Invalid as error:
        told = view.problems(error)
        shown = told.get("address") or " ".join(t for f, t in told.items() if f != "interval_s")
        wrong = {"address": shown} if shown else {}
        if "interval_s" in told:
            wrong["interval_s"] = told["interval_s"]
        if "hx-request" in call.headers:
            return view.html(
                view.render("attempt.html", tried=attempt.Tried(st="slow", title="Not an address yet", text=shown))
            )
        return _page(call, 2, data=data, errors=wrong, name=call.who.name, status=422)
    return view.see_other("/setup/channel")


async def _tried(call: Call, data: Mapping[str, Any], wanted: Mapping[str, Any]) -> Reply:
    tried = await attempt.once(call, wanted)
    words = plain_words.sentences(
        {
            "interval_s": data["interval_s"],
            "failure_threshold": 2,
            "retries": 1,
            "retry_interval_s": 15,
            "timeout_s": 10,
            **wanted,
        },
        _shown(wanted),
        None,
    )
    if "hx-request" in call.headers:
        return view.html(view.render("attempt.html", tried=tried, words=words))
    return _page(call, 2, data=data, tried=tried, words=words, name=call.who.name)


def _shown(wanted: Mapping[str, Any]) -> str:
    try:
        return checks.show(wanted["type"], read(checks.kind(wanted["type"]).target, wanted["target"]))
    except (Invalid, NotFound):
        return ""


async def channel(call: Call) -> Reply:
    """Step 3."""
    type_ = "email" if call.parts.settings["SMTP_URL"] else "webhook"
    return _channel(call, {"name": "", "type": type_, "config": {}})


def _channel(
    call: Call,
    data: Mapping[str, Any],
    *,
    errors: Mapping[str, str] | None = None,
    tested: Mapping[str, Any] | None = None,
    made: Any = None,
    status: int = 200,
) -> Reply:
    return _page(
        call,
        3,
        data=data,
        errors=errors or {},
        inputs=channels.inputs(data, errors or {}),
        types=channels.types(),
        name=call.who.name,
        tested=tested,
        channel=made,
        status=status,
    )


async def add_channel(call: Call) -> Reply:
    """Make the first channel, send one test through it, and say whether it arrived."""
    data = channels.typed(call) | {"default": True, "enabled": True}
    if data["type"] not in notifiers.REGISTRY:
        raise NotFound(f"there is no kind of channel {data['type']}")
    data["name"] = data["name"] or str(data["type"]).capitalize()
    try:
        if known := view.first(call, "channel"):
            made = await channels_api.change(call.parts, call.who, known, data)
        else:
            made = await channels_api.create(call.parts, call.who, data)
    except Invalid as error:
        return _channel(call, data, errors=view.problems(error), status=422)
    shown = channels_api.channel_json(made, writes=True)
    return _channel(call, shown, tested=await channels.send_test(call, made.id), made=made)


_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
ROUTES = [
    Route(method="GET", path="/setup", run=show, permission="public", summary="Set-up", kind="page", tag="pages"),
    Route(
        method="POST",
        path="/setup",
        run=account,
        permission="public",
        summary="Make the first account",
        kind="page",
        tag="pages",
    ),
    Route(method="GET", path="/setup/monitor", run=monitor, summary="Set-up, step 2", **_WRITE),
    Route(method="POST", path="/setup/monitor", run=add, summary="Make the first monitor", **_WRITE),
    Route(method="GET", path="/setup/channel", run=channel, summary="Set-up, step 3", **_WRITE),
    Route(method="POST", path="/setup/channel", run=add_channel, summary="Make the first channel", **_WRITE),
]
