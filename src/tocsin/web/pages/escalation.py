"""The form of an escalation policy: steps in their order, more of them by a button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.clock import new_id
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.wording import span
from tocsin.web.api import escalation, on_call
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, records, view, words

_KINDS = {"c": "channels", "p": "people", "s": "schedules"}


def steps_in_words(call: Call, policy: EscalationPolicy) -> list[str]:
    """Its steps one by one: when each is told, and whom it tells."""
    return [_step_words(call, step) for step in policy.steps]


def _step_words(call: Call, step: EscalationStep) -> str:
    telling = on_call.telling_of(call.parts, call.who)
    people = on_call.people_of(call.parts, call.who)
    channels = {channel.id: channel.name for channel in telling.channels}
    names = [channels.get(id, "a channel that is gone") for id in step.channels]
    names += [people.get(id, "a former member") for id in step.people]
    named = [telling.schedules.get(id) for id in step.schedules]
    names += [f"{s.name} (on call)" if s is not None else "a schedule that is gone" for s in named]
    return f"after {span(step.delay_s)}: {words.listed(names)}" if step.delay_s else f"at once: {words.listed(names)}"


def sentences(call: Call, policy_id: str | None) -> list[str]:
    """What a policy does when nobody acknowledges, in plain words; none where there is no policy."""
    policy = on_call.telling_of(call.parts, call.who).policy(policy_id)
    if policy is None:
        return []
    again = f"; all again {words.count(policy.repeat, 'time')}" if policy.repeat else ""
    steps = "; then ".join(steps_in_words(call, policy))
    return [f"When nobody acknowledges, it goes on as “{policy.name}” says: {steps}{again}."]


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a form that was sent."""
    return {
        "name": view.first(call, "name"),
        "repeat": form.number(view.first(call, "repeat", "0") or "0"),
        "steps": [_step(call, key) for key in view.every(call, "step")[:40]],
    }


def _step(call: Call, key: str) -> dict[str, Any]:
    minutes = form.number(view.first(call, f"s.{key}.minutes", "0") or "0")
    data: dict[str, Any] = {"delay_s": round(minutes * 60) if isinstance(minutes, int | float) else minutes}
    for letter, name in _KINDS.items():
        chosen = [value for value in view.every(call, f"s.{key}.whom") if value.startswith(letter + ".")]
        data[name] = [value[2:] for value in chosen]
    return data


def step_row(data: Mapping[str, Any], error: str = "") -> dict[str, Any]:
    """What a step's row of the form shows."""
    delay = data.get("delay_s", 0)
    minutes = delay / 60 if isinstance(delay, int | float) else delay
    whom = {f"{letter}.{id}" for letter, name in _KINDS.items() for id in data.get(name, ())}
    plain = int(minutes) if isinstance(minutes, float) and minutes.is_integer() else minutes
    return {"key": new_id(), "minutes": plain, "whom": whom, "error": error}


def _whom(call: Call) -> list[tuple[str, list[tuple[str, str]]]]:
    """What a step may tell: (heading, [(value, name)])."""
    telling = on_call.telling_of(call.parts, call.who)
    people = sorted(on_call.people_to_choose(call.parts, call.who).items(), key=lambda pair: pair[1])
    groups = [
        ("On call", [(f"s.{s.id}", s.name) for s in on_call.visible(call.parts, call.who)]),
        ("Members", [(f"p.{id}", email) for id, email in people]),
        ("Channels", [(f"c.{c.id}", c.name) for c in telling.channels]),
    ]
    return [(head, names) for head, names in groups if names]


def errors_of(told: Mapping[str, str], where: str) -> str:
    """What is wrong with one row, in one line."""
    return " ".join(dict.fromkeys(text for path, text in told.items() if path.startswith(where)))


def _form(
    call: Call, data: Mapping[str, Any], told: Mapping[str, str], *, thing: EscalationPolicy | None = None,
    said: str = "", status: int = 200,
) -> Reply:  # fmt: skip
    rows = [step_row(step, errors_of(told, f"steps[{n}]")) for n, step in enumerate(data.get("steps", ()))]
    return view.page(
        call, "policy_edit.html", section="on-call", status=status, policy=thing, data=data, errors=told, error=said,
        rows=rows, whom=_whom(call),
        warnings=[] if thing is None else escalation.warnings(call.parts, call.who, thing),
        used=[] if thing is None else escalation.used_by(call.parts, call.who, thing.id),
    )  # fmt: skip


async def new(call: Call) -> Reply:
    """The empty form."""
    return _form(call, {"name": "", "repeat": 0, "steps": [{"delay_s": 300}]}, {})


async def step(call: Call) -> Reply:
    """The fragment of one more step."""
    return view.html(view.render("step.html", row=step_row({"delay_s": 600}), whom=_whom(call)))


_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
ROUTES = [
    Route(method="GET", path="/on-call/policies/new", run=new, summary="New escalation policy", **_WRITE),
    Route(method="POST", path="/on-call/policies/new/step", run=step, summary="One more step", **_WRITE),
    *records.routes(
        records.Form(
            path="/on-call/policies",
            gone="/on-call?did=deleted",
            one=escalation.policy_of,
            create=escalation.create,
            change=escalation.change,
            delete=escalation.delete,
            typed=typed,
            form=_form,
            shown=lambda call, policy: escalation.policy_json(call.parts, call.who, policy),
            after=lambda _: "/on-call?did=saved",
            says=(
                "Make an escalation policy",
                "Edit an escalation policy",
                "Change an escalation policy",
                "Delete an escalation policy",
            ),
        )
    ),
]
