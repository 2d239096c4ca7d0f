"""Channels: where the bell rings. List, make, change, test, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tocsin import notifiers
from tocsin.core import shape, template
from tocsin.core.alert import Channel, Template
from tocsin.core.shape import fields
from tocsin.core.wording import moment
from tocsin.errors import Invalid, NotFound, StoreUnavailable, TocsinError
from tocsin.web.api import channels
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, view

SAID = {
    "webhook": "a signed call to your URL",
    "email": "a letter",
    "slack": "a message in a channel",
    "discord": "a message in a channel",
    "telegram": "a message in a chat",
    "teams": "a card in a channel or chat",
    "pagerduty": "an alert, until it is over",
    "opsgenie": "an alert, until it is over",
    "ntfy": "a notification on phones",
    "twilio": "a text message (SMS)",
    "alertmanager": "an alert for its routes",
    "apprise": "a hundred other services",
}


LABELS = {"pagerduty": "PagerDuty", "ntfy": "ntfy", "twilio": "SMS (Twilio)"}
"""Kinds whose name people write otherwise than with one capital."""
SHOWN = {"incident.opened": "It opens", "incident.resolved": "It is over", "digest": "Many at once", "test": "A test"}
"""The messages that the form shows a template for."""


class New(Struct, frozen=True, kw_only=True):
    """What a link to the form may set beforehand."""

    type: str = "webhook"


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


async def index(call: Call) -> Reply:
    """The list."""
    done: Done = call.query or Done()
    return await _list(call, did={"saved": "Saved.", "deleted": "Deleted."}.get(done.did, ""))


async def _list(call: Call, *, did: str = "", tested: Mapping[str, Any] | None = None, tested_id: str = "") -> Reply:
    found = channels.visible(call.parts, call.who)
    told = sum(c.enabled for c in found)
    verdict = "Nobody is told yet." if not told else f"{told} {'channel rings' if told == 1 else 'channels ring'}."
    lately = {id: how for id, how in (await channels.lately_of(call.parts, call.who)).items() if not how.well}
    if failing := sum(c.enabled and c.id in lately for c in found):
        verdict += f" {failing} {'does' if failing == 1 else 'do'} not take messages."
    used = {c.id: _used(call, c) for c in found}
    return view.page(
        call,
        "channels.html",
        section="channels",
        channels=found,
        labels={name: label(name) for name in notifiers.REGISTRY},
        verdict=verdict,
        failing=lately,
        used=used,
        canaries=await _canaries(call, found),
        names={c.id: c.name for c in found},
        did=did,
        tested=tested,
        tested_id=tested_id,
    )


async def _canaries(call: Call, found: Sequence[Channel]) -> dict[str, tuple[str, str]]:
    """What came of each channel's latest canary: (a state for colours, a sentence)."""
    try:
        rows = await call.parts.corridor.canary.latest(found)
    except StoreUnavailable:
        return {}
    said: dict[str, tuple[str, str]] = {}
    for id, row in rows.items():
        match row.state:
            case "sent":
                said[id] = "up", f"Canary arrived {moment(row.done_at or row.created_at)}"
            case "pending":
                said[id] = "nodata", f"Canary on its way{': ' + row.last_error if row.last_error else ''}"
            case _:
                said[id] = "down", f"Canary did not arrive: {row.last_error or 'dropped'}"
    return said


def _used(call: Call, channel: Channel) -> int:
    watched = call.parts.corridor.watchlist.of(call.who.workspace_id)
    return sum(channel.default if w.monitor.channels is None else channel.id in w.monitor.channels for w in watched)


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a form that was sent."""
    given, type_ = dict(reversed(call.form)), view.first(call, "type", "webhook")
    known = type_ in notifiers.REGISTRY
    return {
        "name": view.first(call, "name"),
        "type": type_,
        "config": form.read_back(fields(notifiers.kind(type_).config), given, "config.") if known else {},
        "default": view.ticked(call, "default"),
        "enabled": view.ticked(call, "enabled"),
        "fallback": view.first(call, "fallback") or None,
        "canary_s": _seconds(view.first(call, "canary_h")),
        "least": view.first(call, "least") or None,
        "template": words(call),
    }


def words(call: Call) -> dict[str, str] | None:
    """The template that was typed, or None where there is none."""
    typed = {name: view.first(call, f"template.{name}").replace("\r\n", "\n") for name in ("title", "text")}
    return typed if any(typed.values()) else None


def _seconds(hours: str) -> object:
    """Seconds of so many hours; what is no number stays as it was typed, for the reader to refuse."""
    try:
        return round(float(hours or "0") * 3600)
    except (ValueError, OverflowError):
        return hours


def inputs(data: Mapping[str, Any], errors: Mapping[str, str]) -> list[form.Input]:
    """The inputs of a channel's own fields."""
    return form.inputs(fields(notifiers.kind(str(data["type"])).config), data.get("config") or {}, "config.", errors)


def types() -> list[tuple[str, str, str]]:
    """Every kind of channel: its name, as people write it, and what it is in a few words."""
    return [(name, label(name), SAID.get(name, "")) for name in notifiers.REGISTRY]


def label(name: str) -> str:
    """A kind's name as people write it."""
    return LABELS.get(name) or name.capitalize()


def previews(typed: Mapping[str, str] | None) -> dict[str, Any]:
    """What the form shows of a template: {"errors": by field, "told": [(when, title, text)]}."""
    own = Template(**typed) if typed else Template()
    try:
        shape.read(Template, typed or {}, where="template")
        made = {m.event: template.render(own, m) for m in template.samples()}
    except Invalid as error:
        return {"errors": view.problems(error), "told": []}
    return {"errors": {}, "told": [(when, *made[event]) for event, when in SHOWN.items()]}


def _form(
    call: Call, data: Mapping[str, Any], errors: Mapping[str, str], *, channel: Channel | None = None, status: int = 200
) -> Reply:
    return view.page(
        call,
        "channel_edit.html",
        section="channels",
        status=status,
        channel=channel,
        data=data,
        errors=errors,
        inputs=inputs(data, errors),
        types=types(),
        preview=previews(data.get("template")),
        named=template.FIELDS,
        others=[
            (c.id, c.name) for c in channels.visible(call.parts, call.who) if channel is None or c.id != channel.id
        ],
    )


async def new(call: Call) -> Reply:
    """The empty form."""
    wanted: New = call.query or New()
    if wanted.type not in notifiers.REGISTRY:
        raise NotFound(f"there is no kind of channel {wanted.type}")
    first = not channels.visible(call.parts, call.who)
    empty: dict[str, Any] = {"name": "", "type": wanted.type, "config": {}, "default": first, "enabled": True}
    return _form(call, empty | {"template": None, "fallback": None, "canary_s": 0, "least": None}, {})


async def create(call: Call) -> Reply:
    """Make it, or show the form again with what is wrong."""
    data = typed(call)
    if data["type"] not in notifiers.REGISTRY:
        raise NotFound(f"there is no kind of channel {data['type']}")
    try:
        await channels.create(call.parts, call.who, data)
    except Invalid as error:
        return _form(call, data, view.problems(error), status=422)
    return view.see_other("/channels?did=saved")


async def edit(call: Call) -> Reply:
    """The form of a channel that exists, its secrets hidden."""
    channel = channels.channel_of(call.parts, call.who, call.path["id"])
    return _form(call, channels.channel_json(channel, writes=True), {}, channel=channel)


async def change(call: Call) -> Reply:
    """Change it, or show the form again with what is wrong."""
    channel = channels.channel_of(call.parts, call.who, call.path["id"])
    data = typed(call) | {"type": channel.type}
    try:
        await channels.change(call.parts, call.who, channel.id, data)
    except Invalid as error:
        return _form(call, data, view.problems(error), channel=channel, status=422)
    return view.see_other("/channels?did=saved")


async def config(call: Call) -> Reply:
    """The fragment with the fields of another kind."""
    data = typed(call)
    if data["type"] not in notifiers.REGISTRY:
        raise NotFound(f"there is no kind of channel {data['type']}")
    return view.html(view.render("channel_fields.html", inputs=inputs(data, {})))


async def preview(call: Call) -> Reply:
    """The fragment with what a template makes of a few messages."""
    return view.html(view.render("channel_preview.html", preview=previews(words(call))))


async def test(call: Call) -> Reply:
    """Send one test message and say what came of it."""
    return await _list(call, tested=await send_test(call, call.path["id"]), tested_id=call.path["id"])


async def send_test(call: Call, channel_id: str) -> Mapping[str, Any]:
    """{ok, detail, took_ms} of a test message."""
    try:
        return await channels.test(call.parts, call.who, channel_id)
    except NotFound:
        raise
    except TocsinError as error:
        return {"ok": False, "detail": str(error), "took_ms": 0.0}


async def delete(call: Call) -> Reply:
    """Forget it."""
    await channels.delete(call.parts, call.who, call.path["id"])
    return view.see_other("/channels?did=deleted")


_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
_ONE = "/channels/{id}"
ROUTES = [
    Route(
        method="GET",
        path="/channels",
        run=index,
        permission="read",
        summary="Channels",
        query=Done,
        loose=True,
        kind="page",
        tag="pages",
    ),
    Route(method="GET", path="/channels/new", run=new, summary="New channel", query=New, loose=True, **_WRITE),
    Route(method="POST", path="/channels/new", run=create, summary="Make a channel", **_WRITE),
    Route(method="POST", path="/channels/new/config", run=config, summary="The fields of a kind of channel", **_WRITE),
    Route(method="POST", path="/channels/new/preview", run=preview, summary="What a template makes", **_WRITE),
    Route(method="GET", path=_ONE, run=edit, summary="Edit a channel", **_WRITE),
    Route(method="POST", path=_ONE, run=change, summary="Change a channel", **_WRITE),
    Route(method="POST", path=_ONE + "/test", run=test, summary="Send a test", **_WRITE),
    Route(method="POST", path=_ONE + "/delete", run=delete, summary="Delete a channel", **_WRITE),
]
