"""A host is added (key, command, and it appears), and its agent is set: what it looks at, whom it tells, its keys."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from msgspec import Struct

from tocsin.agent.settled import DIRECT
from tocsin.collectors import REGISTRY, kind, names
from tocsin.errors import Conflict, Invalid, NotFound
from tocsin.pipeline.hosts import HostNow
from tocsin.web.api import host_config, hosts
from tocsin.web.api.host_data import editable, state_of
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, monitors_text, view, words

_DONE = {
    "rotated": "Its agent takes a new key with its next heartbeat.",
    "config": "Saved. Its agent hears of it with its next heartbeat.",
}


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


# Adding one ---------------------------------------------------------------------------------------------------------
async def new(call: Call) -> Reply:
    """The form: a name is enough."""
    return await _new(call, {}, {})


async def _new(call: Call, data: Mapping[str, Any], errors: Mapping[str, str]) -> Reply:
    groups = sorted({now.host.group for now in call.parts.corridor.hosts.of(call.who.workspace_id)} - {""})
    keys = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.enrolment_keys.list())
    return view.page(
        call, "host_new.html", section="hosts", status=422 if errors else 200, data=data, errors=errors, groups=groups,
        keys=[key for key in reversed(keys) if key.host_id is None and not key.refusal(call.now)],
    )  # fmt: skip


async def create(call: Call) -> Reply:
    """Make the host; what shows its key and the command is a page of its own, so that a reload makes no second one."""
    data = {
        "name": view.first(call, "name"),
        "tags": _words(view.first(call, "tags")),
        "group": view.first(call, "group"),
    }
    try:
        host, secret = await hosts.create(call.parts, call.who, data)
    except Invalid as error:
        return await _new(call, data, view.problems(error))
    return _given(call, host.id, secret)


async def many(call: Call) -> Reply:
    """A key that any number of hosts enrol with, shown this once."""
    name = view.first(call, "key_name")
    tags, group = _words(view.first(call, "tags")), view.first(call, "group")
    try:
        key, secret = await hosts.enrolment(call.parts, call.who, {"name": name, "tags": tags, "group": group})
    except Invalid as error:
        wrong = {"key_name" if field == "name" else field: text for field, text in view.problems(error).items()}
        return await _new(call, {"key_name": name}, wrong)
    call.parts.memory.shown.keep(call.who.name, key.id, secret, call.parts.clock.monotonic())
    return view.see_other(f"/hosts/keys/{key.id}")


async def many_given(call: Call) -> Reply:
    """The key that was just made, and the command."""
    id, base = call.path["id"], call.parts.urls[0].rstrip("/")
    secret = call.parts.memory.shown.get(call.who.name, id, call.parts.clock.monotonic())
    keys = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.enrolment_keys.list())
    key = next((key for key in keys if key.id == id), None)
    if key is None:
        raise NotFound(f"there is no enrolment key {id[:64]}")
    if not secret:
        return view.see_other("/hosts/new")
    return view.page(call, "host_key.html", section="hosts", key=key, secret=secret, base=base)


async def end_key(call: Call) -> Reply:
    """Let nobody enrol with it any more."""
    await hosts.end_enrolment(call.parts, call.who, call.path["id"])
    return view.see_other("/hosts/new")


def _given(call: Call, host_id: str, secret: str) -> Reply:
    call.parts.memory.shown.keep(call.who.name, host_id, secret, call.parts.clock.monotonic())
    return view.see_other(f"/hosts/{host_id}/added")


async def added(call: Call) -> Reply:
    """Its key and the command, for a minute after they were made, and whether its agent is there."""
    secret = call.parts.memory.shown.get(call.who.name, call.path["id"], call.parts.clock.monotonic())
    return _arrival(call, secret)


async def arrival(call: Call) -> Reply:
    """Whether its agent is there: what the page that waits for it asks for."""
    return _arrival(call, "")


def _arrival(call: Call, secret: str) -> Reply:
    now = call.parts.corridor.hosts.get(call.who.workspace_id, call.path["id"])
    base = call.parts.urls[0].rstrip("/") if secret else ""
    return view.page(
        call, "host_given.html", section="hosts", host=now.host, secret=secret, base=base, arrived=_arrived(call, now)
    )


def _arrived(call: Call, now: HostNow) -> str:
    """ "", "enrolled", "heard" or "figures": how far it has come."""
    state = state_of(now, call.parts.corridor.hosts.since, call.parts.clock.monotonic())
    if now.latest:
        return "figures"
    return "heard" if state not in ("new", "off") else "enrolled" if now.host.enrolled_at is not None else ""


# Setting its agent ----------------------------------------------------------------------------------------------------
async def edit(call: Call) -> Reply:
    """The forms."""
    return await _edit(call)


async def _edit(
    call: Call, *, data: Mapping[str, Any] | None = None, text: str | None = None,
    rules_text: str | None = None, intervals: Mapping[str, Any] | None = None, errors: Mapping[str, str] | None = None,
    said: str = "",
) -> Reply:  # fmt: skip
    now = call.parts.corridor.hosts.get(call.who.workspace_id, call.path["id"])
    config = await host_config.shown(call.parts, call.who, now.host.id)
    done: Done = call.query if isinstance(call.query, Done) else Done()
    channels = [c for c in call.parts.corridor.watchlist.channels(call.who.workspace_id) if c.type in DIRECT]
    return view.page(
        call, "host_edit.html", section="hosts", status=422 if errors else 409 if said else 200, host=now.host,
        data=editable(now.host) | dict(data or {}), config=config | dict(intervals or {}), errors=errors or {}, said=said,
        text=monitors_text.written(config["monitors"]) if text is None else text, channels=channels,
        rules_text=monitors_text.written(config["rules"]) if rules_text is None else rules_text,
        rules=_direct_rules(call), kinds=_kinds(), did=_DONE.get(done.did, ""),
    )  # fmt: skip


def _kinds() -> list[tuple[str, str]]:
    """(name, what it sees) of every collector that may be set from here."""
    found: list[tuple[str, str]] = []
    for name in names():
        try:
            if getattr(import_module(REGISTRY[name]), "LOCAL_ONLY", ()) is not True:
                found.append((name, kind(name).says))
        except ImportError:  # a library of its own that only agents need
            found.append((name, ""))
    return found


def _direct_rules(call: Call) -> int:
    return sum(
        rule.direct and rule.enabled for rule in call.parts.corridor.watchlist.telling(call.who.workspace_id).rules
    )


async def change(call: Call) -> Reply:
    """What is known of the host itself: name, group, tags, addresses, who its agent may tell."""
    data = {
        "name": view.first(call, "name"), "group": view.first(call, "group"), "tags": _words(view.first(call, "tags")),
        "addresses": [line.strip() for line in view.first(call, "addresses").splitlines() if line.strip()],
        "direct_channels": view.every(call, "direct_channels"), "enabled": view.ticked(call, "enabled"),
    }  # fmt: skip
    try:
        await hosts.change(call.parts, call.who, call.path["id"], data)
    except Invalid as error:
        return await _edit(call, data=data, errors=view.problems(error))
    return view.see_other(f"/hosts/{call.path['id']}?did=saved")


async def configure(call: Call) -> Reply:
    """What its agent looks at, and how often it speaks."""
    text, rules = (view.first(call, name).replace("\r\n", "\n") for name in ("monitors", "rules"))
    intervals = {
        name: form.number(view.first(call, name)) for name in ("heartbeat_interval_s", "metrics_push_interval_s")
    }  # fmt: skip
    try:
        await host_config.put(
            call.parts,
            call.who,
            call.path["id"],
            {"monitors": monitors_text.read(text), "rules": monitors_text.read(rules, "rules"), **intervals},
        )
    except Invalid as error:
        return await _edit(call, text=text, rules_text=rules, intervals=intervals, errors=view.problems(error))
    return view.see_other(f"/hosts/{call.path['id']}/edit?did=config")


async def maintenance(call: Call) -> Reply:
    """Begin or end its maintenance."""
    host = call.parts.corridor.hosts.get(call.who.workspace_id, call.path["id"]).host
    await hosts.change(call.parts, call.who, host.id, {"maintenance": not host.maintenance})
    return view.see_other(f"/hosts/{host.id}?did={'back' if host.maintenance else 'maintenance'}")


async def key(call: Call) -> Reply:
    """A new key that its agent enrols with, shown this once."""
    return _given(call, call.path["id"], await hosts.invite(call.parts, call.who, call.path["id"]))


async def rotate(call: Call) -> Reply:
    """Have its agent take a new key."""
    await hosts.rotate(call.parts, call.who, call.path["id"])
    return view.see_other(f"/hosts/{call.path['id']}/edit?did=rotated")


async def revoke(call: Call) -> Reply:
    """Let its agent in no more; what it enrols with anew is shown."""
    if not await hosts.revoke(call.parts, call.who, call.path["id"]):
        return await _edit(call, said="No key of its agent counts now.")
    return _given(call, call.path["id"], await hosts.invite(call.parts, call.who, call.path["id"]))


async def release(call: Call) -> Reply:
    """Say which of two agents is the host."""
    try:
        await hosts.release(call.parts, call.who, call.path["id"], view.first(call, "incarnation"))
    except (Invalid, Conflict) as error:
        return await _edit(call, said=words.sentence(error))
    return view.see_other(f"/hosts/{call.path['id']}?did=released")


async def delete(call: Call) -> Reply:
    """Forget it."""
    await hosts.delete(call.parts, call.who, call.path["id"])
    return view.see_other("/hosts?did=deleted")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
_ADMIN: dict[str, Any] = {"kind": "page", "permission": "admin", "tag": "pages"}
_ONE = "/hosts/{id}"
ROUTES = [
    Route(method="GET", path="/hosts/new", run=new, summary="Add a host", **_WRITE),
    Route(method="POST", path="/hosts/new", run=create, summary="Make a host and its key", **_WRITE),
    Route(method="POST", path="/hosts/keys", run=many, summary="A key for many hosts", **_ADMIN),
    Route(
        method="GET", path="/hosts/keys/{id}", run=many_given, summary="A key for many hosts that was made", **_ADMIN
    ),
    Route(method="POST", path="/hosts/keys/{id}/delete", run=end_key, summary="End a key for many hosts", **_ADMIN),
    Route(method="GET", path=_ONE + "/added", run=added, summary="The key of a host that was added", **_WRITE),
    Route(method="GET", path=_ONE + "/arrival", run=arrival, summary="Whether its agent is there", **_WRITE),
    Route(method="GET", path=_ONE + "/edit", run=edit, summary="Configure an agent", query=Done, loose=True, **_WRITE),
    Route(method="POST", path=_ONE + "/edit", run=change, summary="Change a host", **_WRITE),
    Route(method="POST", path=_ONE + "/maintenance", run=maintenance, summary="Begin or end its maintenance", **_WRITE),
    Route(method="POST", path=_ONE + "/config", run=configure, summary="Set what its agent looks at", **_ADMIN),
    Route(method="POST", path=_ONE + "/key", run=key, summary="A key that its agent enrols with", **_WRITE),
    Route(method="POST", path=_ONE + "/rotate", run=rotate, summary="Replace its agent's key", **_ADMIN),
    Route(method="POST", path=_ONE + "/revoke", run=revoke, summary="Let its agent in no more", **_ADMIN),
    Route(method="POST", path=_ONE + "/release", run=release, summary="Say which agent is the host", **_ADMIN),
    Route(method="POST", path=_ONE + "/delete", run=delete, summary="Forget a host", **_WRITE),
]
