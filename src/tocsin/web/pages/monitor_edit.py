"""A monitor's form: new and edit, made from its check type; "In plain words"; trying it without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tocsin import checks
from tocsin.core import assertion_terms
from tocsin.core.alert import Channel
from tocsin.core.monitor import Monitor
from tocsin.core.shape import dump, fields, hide, keep_hidden, read
from tocsin.errors import Conflict, Invalid, NotFound
from tocsin.web.api import escalation, monitors
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import address, assertions, attempt, depends, form, plain_words, view, whence, words
from tocsin.web.pages.escalation import sentences as policy_sentences

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
    settings, own = call.parts.settings, checks.kind(type_).start
    interval = max(settings["DEFAULT_INTERVAL_S"], own.get("interval_s", 0))
    usual: dict[str, Any] = {
        "name": "",
        "type": type_,
        "target": {},
        "interval_s": interval,
        "retries": 1,
        "failure_threshold": 2,
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
        "escalation_policy": None,
        "monitoring_type": "local",
        "locations": [],
        "quorum": "majority",
        "notify_on_resolve": True,
        "flap_detection": True,
    }
    return usual | {k: v for k, v in own.items() if k != "interval_s"}


def typed(call: Call, type_: str = "") -> dict[str, Any]:
    """The plain data of a form that was sent, with the fields of that type (else of the one that is chosen)."""
    given = dict(reversed(call.form))
    type_ = type_ or view.first(call, "type", "http")
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
        "assertions": assertions.read_back(call),
        "notify_on_resolve": view.ticked(call, "notify_on_resolve"),
        "flap_detection": view.ticked(call, "flap_detection"),
    }
    for name in NUMBERS:
        if (text := given.get(name, "").strip()) != "":
            data[name] = form.number(text)
    mode = view.first(call, "channels_mode", "default")
    data["channels"] = None if mode == "default" else [] if mode == "none" else view.every(call, "channels")
    data["escalation_policy"] = view.first(call, "escalation_policy") or None
    return data | whence.read_back(call)


def of(monitor: Monitor) -> dict[str, Any]:
    """The form's plain data of a monitor that exists, secrets hidden."""
    data: dict[str, Any] = dump(monitor)
    data["target"] = hide(checks.kind(monitor.type).target, data["target"])
    data["channels"] = None if monitor.channels is None else list(monitor.channels)
    data["parents"] = list(monitor.parents)
    return data


def words_of(call: Call, data: Mapping[str, Any], monitor: Monitor | None = None) -> list[str]:
    """The set-up in sentences. `monitor`: the one whose secrets are meant where the data says ***."""
    shown, whole = "", data
    try:
        type_ = checks.kind(str(data["type"])).target
        usual = {f.name: f.default for f in fields(type_) if not f.required}
        whole = {**data, "target": usual | dict(data["target"] or {})}
        target_ = data["target"] if monitor is None else keep_hidden(type_, data["target"], monitor.target)
        shown = checks.show(str(data["type"]), read(type_, target_))
    except (Invalid, NotFound):
        pass
    parents = depends.shown(data.get("parents") or (), _family(call)).splitlines()
    extra = whence.sentences(call, data) + depends.sentences(parents)
    told = plain_words.sentences(whole, shown, _names(call, data.get("channels")))
    return told + policy_sentences(call, data.get("escalation_policy")) + extra


def _family(call: Call) -> dict[str, str]:
    return depends.labels(w.monitor for w in call.parts.corridor.watchlist.of(call.who.workspace_id))


def _names(call: Call, chosen: list[str] | None) -> list[str]:
    channels = call.parts.corridor.watchlist.channels(call.who.workspace_id)
    told = [c for c in channels if (c.default if chosen is None else c.id in chosen)]
    return [c.name if c.enabled else f"{c.name} (switched off)" for c in told]


def _form(
    call: Call,
    data: Mapping[str, Any],
    errors: Mapping[str, str],
    *,
    monitor: Monitor | None = None,
    said: str = "",
    status: int = 200,
) -> Reply:
    return view.page(
        call,
        "monitor_edit.html",
        section="overview",
        status=status,
        monitor=monitor,
        said=said,
        words=words_of(call, data, monitor),
        types=[checks.kind(n) for n in checks.names()],
        hidden_errors=[f for f in errors if not _on_page(f)],
        **_parts(call, data, errors),
    )


def _parts(call: Call, data: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    """What the parts of the form need that the check type changes."""
    channels: tuple[Channel, ...] = call.parts.corridor.watchlist.channels(call.who.workspace_id)
    offers = checks.kind(str(data["type"])).offers
    used = {str(a.get("type")) for a in data.get("assertions") or ()}
    return {
        "data": data,
        "errors": errors,
        "channels": channels,
        "policies": escalation.visible(call.parts, call.who),
        "parents": depends.shown(data.get("parents") or (), _family(call)),
        "parent_errors": [text for path, text in errors.items() if path.startswith("parents")],
        "assertions": assertions.rows(data.get("assertions") or (), errors),
        "assertion_types": {k: v for k, v in assertions.TYPES.items() if k in offers or k in used},
        "assertion_ops": assertions.OPS,
        "fitting": assertion_terms.OPS,
        "settings": call.parts.settings,
        **whence.shown(call, data, errors),
        **_inputs(data, errors),
    }


def _on_page(path: str) -> bool:
    named = (*NUMBERS, "name", "tags", "channels", "escalation_policy")
    return path.startswith(("target.", "assertions[", "parents", "locations", "quorum", "monitoring")) or path in named


def _inputs(data: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    kind = checks.kind(str(data["type"]))
    made = form.inputs(fields(kind.target), data.get("target") or {}, "target.", errors)
    if kind.name == "push":  # its token is ours to make, nothing to type
        made = [i for i in made if i.name != "target.token"]
    return {
        "needed": [i for i in made if i.front],
        "more": (more := [i for i in made if not i.front]),
        "more_words": ", ".join(words.within(i.label) for i in more[:5]) + (" …" if len(more) > 5 else ""),
        "more_open": any(i.error for i in made if not i.front),
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
        return _form(call, _start(call, data["type"]) | data, _told(data, error), status=422)
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
        return _form(call, of(monitor) | data, _told(data, error), monitor=monitor, status=422)
    except Conflict as error:
        return _form(call, of(monitor) | data, {}, monitor=monitor, said=words.sentence(error), status=409)
    return view.see_other(f"/monitors/{monitor.id}?did=saved")


def _told(data: Mapping[str, Any], error: Invalid) -> dict[str, str]:
    """What is wrong with each field. A name left empty is no fault as long as the address that it would be made of is."""
    errors = view.problems(error)
    if not data["name"] and "name" in errors:
        errors["name"] = "Give it a name: there is no address to call it after."
        if any(field.startswith("target.") for field in errors):
            del errors["name"]
    return errors


def _name(data: Mapping[str, Any]) -> str:
    """The name that was typed, or one made of the address."""
    return data["name"] or address.name_of(data["type"], data["target"])


def _edited(call: Call) -> Monitor | None:
    """The monitor that this form changes; None when it makes a new one."""
    try:
        monitor = monitors.watched(call.parts, call.who, view.first(call, "monitor_id")).monitor
    except NotFound:
        return None
    return monitor if monitor.type == view.first(call, "type") else None


def _known(call: Call) -> Monitor:
    return monitors.watched(call.parts, call.who, call.path["id"]).monitor


async def in_words(call: Call) -> Reply:
    """The fragment "In plain words" of a form as it stands."""
    data = typed(call)
    return view.html(view.render("plain_words.html", words=words_of(call, data, _edited(call))))


async def target(call: Call) -> Reply:
    """The fragments that another check type changes: its fields, how often, what is a good answer, when to ring."""
    type_ = view.first(call, "type", "http")
    if type_ not in checks.REGISTRY:
        raise NotFound(f"there is no check type {type_}")
    return view.html(view.render("monitor_type.html", **_parts(call, _switched(call, type_), {})))


def _switched(call: Call, type_: str) -> dict[str, Any]:
    """The form of another type: what was changed by hand and fits stays, the rest begins as that type does."""
    before = view.first(call, "shown_type", type_)
    if before not in checks.REGISTRY:
        before = type_
    data, old, started = typed(call, before), _start(call, before), _start(call, type_)
    changed = {k: v for k, v in data.items() if k not in NUMBERS or v != old[k]}
    fit = [a for a in data["assertions"] if a.get("type") in checks.kind(type_).offers]
    kept = form.kept(fields(checks.kind(before).target), fields(checks.kind(type_).target), data["target"])
    return started | changed | {"type": type_, "target": kept, "assertions": fit}


async def try_it(call: Call) -> Reply:
    """The fragment with what one check gives; nothing is stored."""
    shown = await attempt.once(call, typed(call), _edited(call))
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
