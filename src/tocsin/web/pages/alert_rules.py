"""Alert rules: what rings beside "down". List, make, change, try on the past, switch, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.condition import CONDITIONS, ON_HOSTS
from tocsin.core.plain import as_list, as_map
from tocsin.core.rule import AlertRule
from tocsin.errors import Invalid, NotFound
from tocsin.web.api import alert_rules
from tocsin.web.api.alert_rule_data import rule_fields
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, records, rule_words, view, words
from tocsin.web.pages.escalation import sentences as policy_sentences
from tocsin.web.parts import Parts

NUMBERS = ("for_s", "recovery_s", "reminder_s")
FIELDS = {
    "failures": ("count",),
    "response_time": ("over_ms", "percentile", "window_s", "back_ms"),
    "uptime": ("under", "window_s", "back"),
    "anomaly": ("sensitivity", "window_s", "weeks"),
    "sample": ("above", "below", "clear"),
    "heartbeat": ("warn_s", "down_s"),
}
SHARES = ("under", "back")
"""Typed as percent, kept from 0 to 1."""
START: dict[str, dict[str, Any]] = {
    "verdict": {"values": ["partial", "degraded"]},
    "failures": {"count": 5},
    "response_time": {"over_ms": 1000, "percentile": 95, "window_s": 300},
    "uptime": {"under": 0.999, "window_s": 86_400},
    "certificate": {"days": [30, 14, 7, 1]},
    "anomaly": {"sensitivity": 4, "window_s": 900, "weeks": 4},
    "sample": {"metric": "disk.used_percent", "above": 90},
    "service": {"kind": "unit", "name": "*"},
    "heartbeat": {"warn_s": 75, "down_s": 120},
}
"""What a new condition begins with."""


class New(Struct, frozen=True, kw_only=True):
    """What a link to the form may set beforehand."""

    type: str = "response_time"
    host: str = ""


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


async def index(call: Call) -> Reply:
    """The list."""
    done: Done = call.query or Done()
    names = _names(call)
    rows = [_row(call, rule, names) for rule in alert_rules.visible(call.parts, call.who)]
    firing = sum(row["firing"] for row in rows)
    on = sum(row["rule"].enabled for row in rows)
    verdict = (
        f"{words.count(firing, 'alert')} {'fires' if firing == 1 else 'fire'}."
        if firing
        else f"No rule fires. {words.count(on, 'rule')} {'watches' if on == 1 else 'watch'}." if on else "No rule watches."
    )  # fmt: skip
    did = {"saved": "Saved.", "deleted": "Deleted.", "switched": "Switched."}.get(done.did, "")
    return view.page(call, "alert_rules.html", section="alert-rules", rows=rows, verdict=verdict, did=did)


def _row(call: Call, rule: AlertRule, names: Mapping[str, str]) -> dict[str, Any]:
    incidents, data = alert_rules.fired(call.parts, rule), rule_fields(rule)
    return {
        "rule": rule,
        "when": words.sentence(f"when {rule_words.condition(data['condition'])}").removesuffix("."),
        "on": rule_words.scope(data, names),
        "firing": sum(i.open for i in incidents) if rule.enabled else 0,
        "thing": "host" if rule_words.on_hosts(data) else "monitor",
        "last": incidents[0] if incidents else None,
        "warnings": alert_rules.warnings_of(call.parts, rule),
    }


def _names(call: Call) -> dict[str, str]:
    """What monitors and hosts are called."""
    monitors = {w.monitor.id: w.monitor.name for w in call.parts.corridor.watchlist.of(call.who.workspace_id)}
    return monitors | {now.host.id: now.host.name for now in call.parts.corridor.hosts.of(call.who.workspace_id)}


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a form that was sent."""
    thing = "hosts" if view.first(call, "type") in ON_HOSTS else "monitors"
    mode, whom = view.first(call, "scope_mode", "everything"), view.first(call, "channels_mode", "default")
    tags = [t.strip() for t in view.first(call, "tags").split(",") if t.strip()]
    scope = {
        "everything": {"everything": True}, "tags": {"tags": tags},
        "named": {thing: view.every(call, thing)},
    }.get(mode, {"everything": True})  # fmt: skip
    data: dict[str, Any] = {
        "name": view.first(call, "name"),
        "scope": scope,
        "condition": _typed_condition(call),
        "severity": view.first(call, "severity", "warning"),
        "enabled": view.ticked(call, "enabled"),
        "channels": None if whom == "default" else [] if whom == "none" else view.every(call, "channels"),
        "policy": view.first(call, "policy") or None,
        "direct": view.ticked(call, "direct"),
    }
    for name in NUMBERS:
        if text := view.first(call, name):
            data[name] = form.number(text)
    return data


def _typed_condition(call: Call) -> dict[str, Any]:
    type_ = view.first(call, "type", "response_time")
    data: dict[str, Any] = {"type": type_}
    if type_ == "verdict":
        data["values"] = view.every(call, "values")
    elif type_ == "certificate":
        data["days"] = [form.number(part) for part in view.first(call, "days").split(",") if part.strip()]
    elif type_ == "sample":
        data |= {"metric": view.first(call, "metric"), "labels": _labels(view.first(call, "labels"))}
    elif type_ == "service":
        data |= {name: view.first(call, name) or "*" for name in ("kind", "name_like")}
        data["name"] = data.pop("name_like")
    for name in FIELDS.get(type_, ()):
        text = view.first(call, name)
        value = form.number(text.removesuffix("%") if name in SHARES else text)
        if name in SHARES and isinstance(value, int | float):
            value = round(value / 100, 9)
        if text or name in ("count", "over_ms", "under"):
            data[name] = value
    return data


def _labels(text: str) -> dict[str, str]:
    """Labels as they are typed: "mount=/var, device=vd*"; one without = is kept, for the reader to complain of."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): pattern.strip() for name, _, pattern in pairs}


def shown(data: Mapping[str, Any]) -> dict[str, str]:
    """The condition's values as the form shows them."""
    made: dict[str, str] = {}
    for name, value in (as_map(data.get("condition")) or {}).items():
        if name in SHARES and isinstance(value, int | float):
            value = f"{value * 100:.10g}"
        elif name == "days":
            value = ", ".join(str(v) for v in as_list(value) or ())
        elif name == "labels":
            value = ", ".join(f"{label}={pattern}" for label, pattern in (as_map(value) or {}).items())
        made[str(name)] = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    return made


def _form(
    call: Call, data: Mapping[str, Any], errors: Mapping[str, str], *, thing: AlertRule | None = None,
    said: str = "", status: int = 200,
) -> Reply:  # fmt: skip
    parts, data = call.parts, (_start("response_time") if thing is None else rule_fields(thing)) | dict(data)
    telling = parts.corridor.watchlist.telling(call.who.workspace_id)
    watched = {w.monitor.id for w in parts.corridor.watchlist.of(call.who.workspace_id)}
    things = sorted(_names(call).items(), key=lambda pair: pair[1].casefold())
    lists = {"monitors": [t for t in things if t[0] in watched], "hosts": [t for t in things if t[0] not in watched]}
    return view.page(
        call, "alert_rule_edit.html", section="alert-rules", status=status, rule=thing, data=data, errors=errors,
        said=said, types=rule_words.TYPES, lists=lists, on_hosts=rule_words.on_hosts(data), channels=telling.channels,
        policies=sorted(telling.policies.values(), key=lambda p: p.name), words=_words(call, data),
        warnings=alert_rules.warnings_of(parts, thing) if thing is not None and not errors else (),
        **_scope(data), **_fields(data, errors),
    )  # fmt: skip


def _scope(data: Mapping[str, Any]) -> dict[str, Any]:
    given = as_map(data.get("scope")) or {}
    whole = {"everything": False, "monitors": (), "hosts": (), "tags": ()} | given
    mode = next(
        (name for name in ("everything", "monitors", "hosts", "tags") if whole[name]), next(iter(given), "everything")
    )
    return {"scope": whole, "mode": "named" if mode in ("monitors", "hosts") else mode}


def _fields(data: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, Any]:
    given = as_map(data.get("condition")) or {}
    wrong = {path.removeprefix("condition."): text for path, text in errors.items() if path.startswith("condition.")}
    lists = {name: text for path, text in wrong.items() if (name := path.partition("[")[0]) != path}
    return {
        "type": str(given.get("type", "")), "c": shown(data), "chosen": [str(v) for v in given.get("values") or ()],
        "wrong": lists | wrong, "verdicts": rule_words.VERDICTS,
    }  # fmt: skip


def _words(call: Call, data: Mapping[str, Any]) -> list[str]:
    named: list[str] | None = data.get("channels")
    known = call.parts.corridor.watchlist.channels(call.who.workspace_id)
    channels = None if named is None else [c.name for c in known if c.id in named]
    return rule_words.sentences(data, _names(call), channels) + policy_sentences(call, data.get("policy"))


def _start(type_: str) -> dict[str, Any]:
    if type_ not in CONDITIONS | ON_HOSTS:
        raise NotFound(f"there is no kind of condition {type_[:40]}")
    return {
        "name": "", "scope": {"everything": True}, "condition": {"type": type_} | START[type_], "severity": "warning",
        "enabled": True, "for_s": 0, "recovery_s": 0, "reminder_s": 0, "channels": None, "policy": None,
        "direct": False,
    }  # fmt: skip


async def new(call: Call) -> Reply:
    """The empty form."""
    wanted: New = call.query or New()
    start = _start(wanted.type)
    known = {now.host.id for now in call.parts.corridor.hosts.of(call.who.workspace_id)}
    return _form(call, start | ({"scope": {"hosts": [wanted.host]}} if wanted.host in known else {}), {})


async def _create(parts: Parts, who: Principal, data: dict[str, Any]) -> AlertRule:
    return await alert_rules.create(parts, who, _named(data))


async def _change(parts: Parts, who: Principal, id: str, data: dict[str, Any]) -> AlertRule:
    return await alert_rules.change(parts, who, id, _named(data))


def _named(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"name": data["name"] or rule_words.name(data)}


async def switch(call: Call) -> Reply:
    """Switch it on or off."""
    rule = alert_rules.rule_of(call.parts, call.who, call.path["id"])
    await alert_rules.change(call.parts, call.who, rule.id, {"enabled": view.first(call, "to") == "on"})
    return view.see_other("/alert-rules?did=switched")


async def condition(call: Call) -> Reply:
    """The fragment with the fields of another kind of condition."""
    type_ = view.first(call, "type")
    return view.html(view.render("alert_rule_fields.html", **_fields(_start(type_), {})))


async def in_words(call: Call) -> Reply:
    """The fragment "In plain words" of a form as it stands."""
    return view.html(view.render("plain_words.html", words=_words(call, typed(call))))


async def try_it(call: Call) -> Reply:
    """The fragment with what the rule would have told; nothing is stored."""
    hours = form.number(view.first(call, "hours", "24"))
    asked: dict[str, Any] = {"rule": typed(call) | {"enabled": True}, "hours": hours}
    asked["rule"]["name"] = asked["rule"]["name"] or "New"
    if id := view.first(call, "id"):
        asked["id"] = id
    try:
        tried = await alert_rules.attempt(call.parts, call.who, asked)
    except Invalid as error:
        told = [f"{path.removeprefix('rule.')}: {text}" for path, text in view.problems(error).items()]
        return view.html(view.render("alert_rule_tried.html", errors=told, lines=(), tried=None))
    on_hosts = asked["rule"]["condition"].get("type") in ON_HOSTS
    return view.html(
        view.render("alert_rule_tried.html", errors=(), tried=tried, lines=_lines(tried), on_hosts=on_hosts)
    )


def _lines(tried: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every message, newest first, with how it differs from what is told now."""
    appear, vanish = _keys(tried["appear"]), _keys(tried["vanish"])
    compared = bool(tried["now"])
    lines = [(m, "new" if compared and _key(m) in appear else "") for m in tried["would"]]
    lines += [(m, "no longer") for m in tried["vanish"] if _key(m) in vanish]
    lines.sort(key=lambda line: line[0]["at"], reverse=True)
    return [
        {
            "at": datetime.fromisoformat(m["at"]), "name": (m["monitor"] or m["host"])["name"],
            "what": rule_words.WHAT[m["what"]], "reason": m["reason"], "tag": tag,
            "st": "up" if m["what"] in ("resolved", "calm") else "down",
        }
        for m, tag in lines[:200]
    ]  # fmt: skip


def _keys(messages: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {_key(m) for m in messages}


def _key(m: Mapping[str, Any]) -> tuple[str, str, str]:
    if m["monitor"] is None:
        return m["at"], m["host"]["id"], f"{m['what']} {m['reason']}"
    return m["at"], m["monitor"]["id"], m["what"]


_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
_ALL, _NEW, _ONE = "/alert-rules", "/alert-rules/new", "/alert-rules/{id}"
ROUTES = [
    Route(
        method="GET", path=_ALL, run=index, permission="read", summary="Alert rules", query=Done, loose=True,
        kind="page", tag="pages",
    ),
    Route(method="GET", path=_NEW, run=new, summary="New alert rule", query=New, loose=True, **_WRITE),
    Route(method="POST", path=_NEW + "/condition", run=condition, summary="The fields of a condition", **_WRITE),
    Route(method="POST", path=_NEW + "/words", run=in_words, summary="The rule in plain words", **_WRITE),
    Route(method="POST", path=_NEW + "/try", run=try_it, summary="Try a rule on the past", **_WRITE),
    Route(method="POST", path=_ONE + "/switch", run=switch, summary="Switch an alert rule on or off", **_WRITE),
    *records.routes(
        records.Form(
            path=_ALL, gone="/alert-rules?did=deleted", one=alert_rules.rule_of, create=_create, change=_change,
            delete=alert_rules.delete, typed=typed, shown=lambda _, rule: rule_fields(rule), form=_form,
            after=lambda _: "/alert-rules?did=saved",
            says=("Make an alert rule", "Edit an alert rule", "Change an alert rule", "Delete an alert rule"),
        )
    ),
]  # fmt: skip
