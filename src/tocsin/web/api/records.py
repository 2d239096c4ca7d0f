"""The routes of what users write down whole: alert rules, maintenance windows, escalation policies, on-call schedules.

Each is listed, made, shown, changed and forgotten in the same way around its own reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tocsin.core.access import Principal
from tocsin.store import Session
from tocsin.store.records import Kept
from tocsin.web.api.given import as_object
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

T = TypeVar("T")
K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, kw_only=True)
class Noun(Generic[K]):
    """One of them: what reads, keeps and shows it, and the types that describe it. `says` are the summaries of its routes
    in their order: all, add, one, change, forget."""

    path: str
    tag: str
    says: tuple[str, str, str, str, str]
    body: Any
    answer: Any
    listed: Any
    visible: Callable[[Parts, Principal], Sequence[K]]
    one: Callable[[Parts, Principal, str], K]
    create: Callable[[Parts, Principal, dict[str, Any]], Awaitable[K]]
    change: Callable[[Parts, Principal, str, dict[str, Any]], Awaitable[K]]
    delete: Callable[[Parts, Principal, str], Awaitable[None]]
    json: Callable[[Parts, Principal, K], dict[str, Any]]


async def write_down(parts: Parts, who: Principal, work: Callable[[Session], T]) -> T:
    """What the work gives, once it is kept and the corridor knows of it."""
    made = await parts.store.of(who.workspace_id, by=who.name).write(work)
    await parts.corridor.telling_changed(who.workspace_id)
    return made


def routes(noun: Noun[Any]) -> list[Route]:
    """Its five routes."""

    def shown(call: Call, thing: Any) -> dict[str, Any]:
        return noun.json(call.parts, call.who, thing)

    async def index(call: Call) -> Reply:
        items = [shown(call, thing) for thing in noun.visible(call.parts, call.who)]
        return Reply(data={"items": items, "next_cursor": None})

    async def make(call: Call) -> Reply:
        thing = await noun.create(call.parts, call.who, as_object(call.data))
        return Reply(data=shown(call, thing), status=201, headers={"location": f"{noun.path}/{thing.id}"})

    async def show(call: Call) -> Reply:
        return Reply(data=shown(call, noun.one(call.parts, call.who, call.path["id"])))

    async def edit(call: Call) -> Reply:
        return Reply(data=shown(call, await noun.change(call.parts, call.who, call.path["id"], as_object(call.data))))

    async def remove(call: Call) -> Reply:
        await noun.delete(call.parts, call.who, call.path["id"])
        return Reply(status=204)

    all_, one, (list_, add, read, change, forget) = noun.path, noun.path + "/{id}", noun.says
    writes: dict[str, Any] = {"permission": "write", "tag": noun.tag}
    fields: dict[str, Any] = {"body": noun.body, "answer": noun.answer, "reads": False}
    reads: dict[str, Any] = {"permission": "read", "tag": noun.tag}
    return [
        Route(method="GET", path=all_, run=index, answer=noun.listed, summary=list_, **reads),
        Route(method="POST", path=all_, run=make, status=201, summary=add, **fields, **writes),
        Route(method="GET", path=one, run=show, answer=noun.answer, summary=read, **reads),
        Route(method="PATCH", path=one, run=edit, partial=True, summary=change, **fields, **writes),
        Route(method="DELETE", path=one, run=remove, status=204, summary=forget, **writes),
    ]
