"""The pages of what users write down whole: alert rules, maintenance windows, escalation policies, on-call schedules.

Each has a form that is made, changed and shown again with what is wrong in the same way around its own reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.core.access import Permission, Principal
from tocsin.errors import Conflict, Invalid
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view, words
from tocsin.web.parts import Parts


@dataclass(frozen=True, kw_only=True)
class Form:
    """One of them. `typed`: the plain data of a form that was sent; `shown`: that of one that exists; `form`: its page,
    given (call, data, errors) and what it is of, what is said above it, and the status; `after`: where a save leads;
    `says` are the summaries of its routes: make, see, change, delete."""

    path: str
    gone: str
    says: tuple[str, str, str, str]
    one: Callable[[Parts, Principal, str], Any]
    create: Callable[[Parts, Principal, dict[str, Any]], Awaitable[Any]]
    change: Callable[[Parts, Principal, str, dict[str, Any]], Awaitable[Any]]
    delete: Callable[[Parts, Principal, str], Awaitable[None]]
    typed: Callable[[Call], dict[str, Any]]
    shown: Callable[[Call, Any], Mapping[str, Any]]
    form: Callable[..., Reply]
    after: Callable[[Any], str]
    seen_by: Permission = "write"


def routes(kind: Form) -> list[Route]:
    """Its routes but the list and the empty form, which are its own."""

    async def tried(call: Call, thing: Any, save: Callable[[dict[str, Any]], Awaitable[Any]]) -> Reply:
        data = kind.typed(call)
        try:
            kept = await save(data)
        except Invalid as error:
            return kind.form(call, data, view.problems(error), thing=thing, status=422)
        except Conflict as error:
            return kind.form(call, data, {}, thing=thing, said=words.sentence(error), status=409)
        return view.see_other(kind.after(kept))

    async def create(call: Call) -> Reply:
        return await tried(call, None, lambda data: kind.create(call.parts, call.who, data))

    async def edit(call: Call) -> Reply:
        thing = kind.one(call.parts, call.who, call.path["id"])
        return kind.form(call, kind.shown(call, thing), {}, thing=thing)

    async def change(call: Call) -> Reply:
        thing = kind.one(call.parts, call.who, call.path["id"])
        return await tried(call, thing, lambda data: kind.change(call.parts, call.who, thing.id, data))

    async def delete(call: Call) -> Reply:
        thing = kind.one(call.parts, call.who, call.path["id"])
        try:
            await kind.delete(call.parts, call.who, thing.id)
        except Conflict as error:
            return kind.form(call, kind.shown(call, thing), {}, thing=thing, said=words.sentence(error), status=409)
        return view.see_other(kind.gone)

    one, (make, see, edits, forget) = kind.path + "/{id}", kind.says
    page: dict[str, Any] = {"kind": "page", "tag": "pages"}
    writes: dict[str, Any] = {"permission": "write", **page}
    return [
        Route(method="POST", path=kind.path + "/new", run=create, summary=make, **writes),
        Route(method="GET", path=one, run=edit, summary=see, permission=kind.seen_by, **page),
        Route(method="POST", path=one, run=change, summary=edits, **writes),
        Route(method="POST", path=one + "/delete", run=delete, summary=forget, **writes),
    ]
