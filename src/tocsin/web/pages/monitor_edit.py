"""A monitor's form: new and edit, made from its check type; "In plain words"; trying it without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tocsin import checks
from tocsin.core.alert import Channel
from tocsin.core.monitor import Monitor
from tocsin.core.shape import dump, fields, hide, read
from tocsin.errors import Conflict, Invalid, NotFound
from tocsin.web.api import monitors
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import address, attempt, depends, form, plain_words, rules, view, words

NUMBERS = (
    "interval_s",
    "timeout_s",
    "retries",
    "retry_interval_s",
    "failure_threshold",
    "degraded_threshold",
    "recovery_threshold",
    "recovery_s",
    "reminder_s",
    "reopen_s",
)


class NewQuery(Struct, frozen=True, kw_only=True):
    """What a link to the form may set beforehand."""

    type: str = "http"


def _start(call: Call, type_: str) -> dict[str, Any]:
    """What a new monitor's form begins with."""
    settings = call.parts.settings
    interval = settings["DEFAULT_INTERVAL_S"]
    return {
        "name": "",
        "type": type_,
        "target": {},
        "interval_s": interval,
        "retries": 1,
        "failure_threshold": 1 if type_ == "push" else 2,
        "timeout_s": min(settings["CHECK_TIMEOUT_S"], 0.8 * interval),
        "retry_interval_s": min(15, interval / 2),
        "degraded_threshold": 2,
        "recovery_threshold": 1,
        "recovery_s": 0,
        "reminder_s": 0,
        "reopen_s": 300,
        "tags": [],
        "parents": [],
        "assertions": [],
        "channels": None,
        "notify_on_resolve": True,
        "flap_detection": True,
    }


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a form that was sent."""
    given = dict(reversed(call.form))
    type_ = view.first(call, "type", "http")
    known = type_ in checks.REGISTRY
    target_ = form.read_back(fields(checks.kind(type_).target), given, "target.") if known else {}
    if type_ == "push":
        target_.pop("token", None)  # ours to make, never typed
    data: dict[str, Any] = {
        "name": view.first(call, "name"),
        "type": type_,
        "target": target_,
        "tags": [t.strip() for t in given.get("tags", "").split(",") if t.strip()],
        "parents": depends.read_back(view.first(call, "parents"), _family(call)),
        "assertions": rules.read_back(call),
        "notify_on_resolve": view.ticked(call, "notify_on_resolve"),
        "flap_detection": view.ticked(call, "flap_detection"),
    }
    for name in NUMBERS:
        if (text := given.get(name, "").strip()) != "":
            data[name] = form.number(text)
    mode = view.first(call, "channels_mode", "default")
    data["channels"] = None if mode == "default" else [] if mode == "none" else view.every(call, "channels")
    return data


def of(monitor: Monitor) -> dict[str, Any]:
    """The form's plain data of a monitor that exists, secrets hidden."""
    data: dict[str, Any] = dump(monitor)
    data["target"] = hide(checks.kind(monitor.type).target, data["target"])
    data["channels"] = None if monitor.channels is None else list(monitor.channels)
    data["parents"] = list(monitor.parents)
    return data


def words_of(call: Call, data: Mapping[str, Any]) -> list[str]:
    """The set-up in sentences."""
    shown, whole = "", data
    try:
        type_ = checks.kind(str(data["type"])).target
        usual = {f.name: f.default for f in fields(type_) if not f.required}
        whole = {**data, "target": usual | dict(data["target"] or {})}
        shown = checks.show(str(data["type"]), read(type_, data["target"]))
    except (Invalid, NotFound):
        pass
    parents = depends.shown(data.get("parents") or (), _family(call)).splitlines()
    return plain_words.sentences(whole, shown, _names(call, data.get("channels"))) + depends.sentences(parents)


def _family(call: Call) -> dict[str, str]:
    return depends.labels(w.monitor for w in call.parts.corridor.watchlist.of(call.who.workspace_id))


def _names(call: Call, chosen: list[str] | None) -> list[str]:
    channels = call.parts.corridor.watchlist.channels(call.who.workspace_id)
    return [c.name for c in channels if (c.default if chosen is None else c.id in chosen)]


def _form(
    call: Call,
    data: Mapping[str, Any],
    errors: Mapping[str, str],
    *,
    monitor: Monitor | None = None,
    said: str = "",
    status: int = 200,
) -> Reply:
    channels: tuple[Channel, ...] = call.parts.corridor.watchlist.channels(call.who.workspace_id)
    return view.page(
        call,
        "monitor_edit.html",
        section="overview",
        status=status,
        monitor=monitor,
        data=data,
        errors=errors,
        said=said,
        channels=channels,
        words=words_of(call, data),
        parents=depends.shown(data.get("parents") or (), _family(call)),
        parent_errors=[text for path, text in errors.items() if path.startswith("parents")],
        types=[checks.kind(n) for n in checks.names()],
        rules=rules.rows(data.get("assertions") or (), errors),
        rule_types=rules.TYPES,
        rule_ops=rules.OPS,
        settings=call.parts.settings,
        hidden_errors=[f for f in errors if not _on_page(f)],
        **_inputs(data, errors),
    )


def _on_page(path: str) -> bool:
    return path.startswith(("target.", "assertions[", "parents")) or path in (*NUMBERS, "name", "tags", "channels")


def _inputs(data: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    kind = checks.kind(str(data["type"]))
    made = form.inputs(fields(kind.target), data.get("target") or {}, "target.", errors)
    if kind.name == "push":  # its token is ours to make, nothing to type
        made = [i for i in made if i.name != "target.token"]
    needed = [i for i in made if i.required] or made[:1]
    return {
        "needed": needed,
        "more": [i for i in made if i not in needed],
        "more_open": any(i.error for i in made if not i.required),
        "label": kind.label,
    }


async def new(call: Call) -> Reply:
    """The empty form."""
    wanted: NewQuery = call.query or NewQuery()
    if wanted.type not in checks.REGISTRY:
        raise NotFound(f"there is no check type {wanted.type}")
    return _form(call, _start(call, wanted.type), {})


async def create(call: Call) -> Reply:
    """Make the monitor, or show the form again with what is wrong."""
    data = typed(call)
    if data["type"] not in checks.REGISTRY:
        raise NotFound(f"there is no check type {data['type']}")
    data["paused"] = view.first(call, "save") == "paused"
    try:
        made = await monitors.create(call.parts, call.who, data | {"name": _name(data)})
    except Invalid as error:
        return _form(call, _start(call, data["type"]) | data, view.problems(error), status=422)
    except Conflict as error:
        return _form(call, _start(call, data["type"]) | data, {"name": words.sentence(error)}, status=409)
    return view.see_other(f"/monitors/{made.id}?did=created")


async def edit(call: Call) -> Reply:
    """The form of a monitor that exists."""
    monitor = _known(call)
    return _form(call, of(monitor), {}, monitor=monitor)


async def change(call: Call) -> Reply:
    """Change the monitor, or show the form again with what is wrong."""
    monitor = _known(call)
    data = typed(call)
    data["type"] = monitor.type
    try:
        await monitors.change(call.parts, call.who, monitor.id, data | {"name": _name(data)})
    except Invalid as error:
        return _form(call, of(monitor) | data, view.problems(error), monitor=monitor, status=422)
    except Conflict as error:
        return _form(call, of(monitor) | data, {}, monitor=monitor, said=words.sentence(error), status=409)
    return view.see_other(f"/monitors/{monitor.id}?did=saved")


def _name(data: Mapping[str, Any]) -> str:
    """The name that was typed, or one made of the address."""
    return data["name"] or address.name_of(data["type"], data["target"])


def _known(call: Call) -> Monitor:
    return monitors.watched(call.parts, call.who, call.path["id"]).monitor


async def in_words(call: Call) -> Reply:
    """The fragment "In plain words" of a form as it stands."""
    data = typed(call)
    return view.html(view.render("plain_words.html", words=words_of(call, data)))


async def target(call: Call) -> Reply:
    """The fragment with the fields of another check type, keeping what fits."""
    data = typed(call)
    if data["type"] not in checks.REGISTRY:
        raise NotFound(f"there is no check type {data['type']}")
    return view.html(view.render("target_fields.html", data=data, errors={}, **_inputs(data, {})))


async def try_it(call: Call) -> Reply:
    """The fragment with what one check gives; nothing is stored."""
    shown = await attempt.once(call, typed(call))
    return view.html(view.render("attempt.html", tried=shown))


_PAGE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
ROUTES = [
    Route(method="GET", path="/monitors/new", run=new, summary="New monitor", query=NewQuery, loose=True, **_PAGE),
    Route(method="POST", path="/monitors/new", run=create, summary="Make a monitor", **_PAGE),
    Route(method="POST", path="/monitors/new/words", run=in_words, summary="The form in plain words", **_PAGE),
    Route(method="POST", path="/monitors/new/target", run=target, summary="The fields of a check type", **_PAGE),
    Route(method="POST", path="/monitors/new/try", run=try_it, summary="Try a check once", **_PAGE),
    Route(method="GET", path="/monitors/{id}/edit", run=edit, summary="Edit a monitor", **_PAGE),
    Route(method="POST", path="/monitors/{id}/edit", run=change, summary="Change a monitor", **_PAGE),
]
