"""POST /checks: one check that is not stored; GET /check-types: what can be checked, and how its target is written."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin import checks
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.plain import as_list, as_map, found
from tocsin.core.result import outcome_json
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.web.api.given import as_object
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class CheckIn(Struct, frozen=True, kw_only=True):
    """A check to make now."""

    type: Annotated[str, Length(1, 40), Help("check type; GET /check-types lists them")]
    target: Annotated[dict[str, Any], Help("what is looked at, as the check type says")]
    timeout_s: Annotated[int | float | None, Range(0.1, 300)] = None
    assertions: Annotated[tuple[dict[str, Any], ...], Length(0, 50)] = ()


class CheckType(Struct, frozen=True, kw_only=True):
    """A check type and the JSON Schema of its target."""

    type: str
    label: str
    target: dict[str, Any]


class CheckTypes(Struct, frozen=True, kw_only=True):
    """A page of check types; `next_cursor` leads to the next, null at the end."""

    items: list[CheckType]
    next_cursor: str | None


async def check_once(parts: Parts, who: Principal, data: dict[str, Any]) -> dict[str, Any]:
    """One check from here, as JSON data; nothing is kept of it. Raises Invalid with everything wrong at once."""
    problems: list[Problem] = []
    wanted: CheckIn | None = None
    target: Any = None
    assertions: Any = ()
    name, given, stated = data.get("type"), as_map(data.get("target")), as_list(data.get("assertions"))
    try:
        wanted = shape.read(CheckIn, data)
    except Invalid as error:
        problems.extend(error.problems)
    try:
        if isinstance(name, str) and given is not None:
            target = shape.read(checks.kind(name).target, given, where="target")
    except NotFound:
        problems.append(Problem("type", "one of " + ", ".join(checks.names()), found(name)))
    except Invalid as error:
        problems.extend(error.problems)
    try:
        known = name if isinstance(name, str) and name in checks.REGISTRY else None
        assertions = checks.check_assertions(stated, known) if stated else ()
    except Invalid as error:
        problems.extend(error.problems)
    if wanted is None or problems:
        raise Invalid(*{p.field: p for p in problems}.values())
    if wanted.type == "push":
        raise Conflict("a push monitor is not checked: it is called")
    order = checks.Order(
        wanted.type, target, float(wanted.timeout_s or parts.settings["CHECK_TIMEOUT_S"]), assertions,
        parts.corridor.runner.here,
    )  # fmt: skip
    return outcome_json(await parts.corridor.runner.try_check(order))


async def _make(call: Call) -> Reply:
    return Reply(data=await check_once(call.parts, call.who, as_object(call.data)))


async def _types(call: Call) -> Reply:
    kinds = [checks.kind(name) for name in checks.names()]
    items = [CheckType(type=k.name, label=k.label, target=shape.schema(k.target)) for k in kinds]
    return Reply(data=CheckTypes(items=items, next_cursor=None))


ROUTES = [
    Route(
        method="POST", path="/api/v1/checks", run=_make, permission="write", body=CheckIn, reads=False, tag="checks",
        summary="Check something now, without keeping anything",
    ),
    Route(
        method="GET", path="/api/v1/check-types", run=_types, permission="read", answer=CheckTypes, tag="checks",
        summary="What can be checked, with a JSON Schema of each target",
    ),
]  # fmt: skip
