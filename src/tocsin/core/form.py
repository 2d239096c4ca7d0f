"""What a type looks like to others: its fields for forms and options, JSON Schema, plain data, hidden values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from msgspec import UNSET, Struct

from tocsin.core.marks import HIDDEN_TEXT, MAX_TEXT, Kind, Marks, Member, Node, node_of
from tocsin.core.plain import as_list, as_map, loads, quiet_url
from tocsin.core.result import iso
from tocsin.secret import Secret


class FieldShape(Struct, frozen=True, kw_only=True):
    """One field as forms and the command line need it. `item` is what a list or map holds, `members` are the fields
    of an object, `options` the kinds of a union, `expected` is the sentence that a Problem would show."""

    name: str
    kind: Kind
    required: bool
    default: Any
    optional: bool
    help: str
    expected: str
    marks: Marks
    item: FieldShape | None = None
    members: tuple[FieldShape, ...] = ()
    options: tuple[Kind, ...] = ()


def fields(type_: Any) -> list[FieldShape]:
    """The fields of a dataclass or struct, in their order."""
    return [_field_shape(m.name, m.node, m) for m in node_of(type_).members]


def _field_shape(name: str, node: Node, member: Member | None = None) -> FieldShape:
    default = None if member is None or member.required else member.factory() if member.factory else member.default
    return FieldShape(
        name=name,
        kind=node.kind,
        required=member is not None and member.required,
        default=None if default is UNSET else default,
        optional=node.optional or node.absent,
        help=node.marks.help,
        expected=node.says,
        marks=node.marks,
        item=None if node.item is None else _field_shape("", node.item),
        members=tuple(_field_shape(m.name, m.node, m) for m in node.members),
        options=tuple(option.kind for option in node.options),
    )


def schema(type_: Any) -> dict[str, Any]:
    """JSON Schema (2020-12) of the type, everything in place."""
    return _schema(node_of(type_))


def _schema(node: Node) -> dict[str, Any]:
    m = node.marks
    made = _bare_schema(node)
    if node.optional:
        made = (
            {**made, "type": [made["type"], "null"]}
            if isinstance(made.get("type"), str) and "enum" not in made
            else {"anyOf": [made, {"type": "null"}]}
        )
    example = {"examples": [m.example if node.kind == "text" else loads(m.example)]} if m.example else {}
    return made | ({"description": m.help} if m.help else {}) | ({"writeOnly": True} if m.hidden else {}) | example


def _bare_schema(node: Node) -> dict[str, Any]:
    m = node.marks
    match node.kind:
        case "integer" | "number":
            return (
                {"type": node.kind}
                | ({"minimum": m.low} if m.low is not None else {})
                | ({"maximum": m.high} if m.high is not None else {})
            )
        case "text":
            lengths = ({"minLength": m.min_length} if m.min_length else {}) | {"maxLength": m.max_length or MAX_TEXT}
            return {"type": "string"} | lengths | ({"pattern": m.pattern} if m.pattern else {})
        case "choice":
            return {"enum": list(m.choices)}
        case "time":
            return {"type": "string", "format": "date-time"}
        case "list":
            sizes = ({"minItems": m.min_length} if m.min_length else {}) | (
                {"maxItems": m.max_length} if m.max_length is not None else {}
            )
            return {"type": "array", "items": _schema(cast("Node", node.item))} | sizes
        case "tuple":
            return {
                "type": "array",
                "prefixItems": [_schema(o) for o in node.options],
                "minItems": len(node.options),
                "maxItems": len(node.options),
            }
        case "map":
            sizes = {"maxProperties": m.max_length} if m.max_length is not None else {}
            return {"type": "object", "additionalProperties": _schema(cast("Node", node.item))} | sizes
        case "object":
            return _object_schema(node)
        case "union":
            return {"anyOf": [_schema(o) for o in node.options]}
        case _:
            return {"boolean": {"type": "boolean"}, "null": {"type": "null"}}.get(node.kind, {})


def _object_schema(node: Node) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for member in node.members:
        made = _schema(member.node)
        default = member.factory() if member.factory else member.default
        if not member.required and default is not UNSET:
            made = made | {"default": dump(default)}
        properties[member.name] = made
    made = {"type": "object", "properties": properties, "additionalProperties": False}
    required = [m.name for m in node.members if m.required]
    text: str = node.cls.__doc__ or ""
    words = "" if text.startswith(node.cls.__name__ + "(") else text.strip().split("\n")[0]
    return (
        {"title": node.cls.__name__}
        | ({"description": words} if words else {})
        | made
        | ({"required": required} if required else {})
    )


def dump(value: object) -> Any:
    """Plain data of a value: objects as dicts, times as ISO 8601, Unset fields left out, a Secret as "***"."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return iso(value)
        case list() | tuple() | set() | frozenset():
            return [dump(x) for x in cast("Sequence[Any]", value)]
        case dict():
            return {str(k): dump(v) for k, v in cast("dict[Any, Any]", value).items() if v is not UNSET}
        case Secret():
            return HIDDEN_TEXT
        case _:
            pass
    members = node_of(type(value)).members
    return {m.name: dump(v) for m in members if (v := getattr(value, m.attribute)) is not UNSET}


def hide(type_: Any, data: Any, *, private: bool = False) -> Any:
    """The plain data of a `type_` as callers may see it: hidden values are "***" (empty and null ones stay). With
    `private` so are the private ones; of a URL only the values in its query, which stand as "…"."""
    return _walk_hidden(node_of(type_), data, lambda old, path: HIDDEN_TEXT, private=private)


def keep_hidden(type_: Any, new: Any, old: Any) -> Any:
    """New plain data in which every hidden "***" is what `old` has at the same place (to be called before `read`)."""

    def kept(value: Any, path: tuple[str | int, ...]) -> Any:
        if value != HIDDEN_TEXT:
            return value
        place = old
        for step in path:
            try:
                place = place[step]
            except (KeyError, IndexError, TypeError):
                return value
        return place

    return _walk_hidden(node_of(type_), new, kept)


_Change = Callable[[Any, tuple[str | int, ...]], Any]


def _walk_hidden(
    node: Node, data: Any, change: _Change, path: tuple[str | int, ...] = (), *, private: bool = False
) -> Any:
    if node.kind == "union":
        near = like(node, data)
        if near is not None:
            return _walk_hidden(near, data, change, path, private=private)

    def walk(inner: Node | None, value: Any, step: str | int) -> Any:
        return value if inner is None else _walk_hidden(inner, value, change, (*path, step), private=private)

    entries, items = as_map(data), as_list(data)
    if entries is not None and node.kind == "object":
        names = node.by_name
        return {k: walk(names[k].node if k in names else None, v, k) for k, v in entries.items()}
    if entries is not None and node.kind == "map":
        return {k: walk(node.item, v, k) for k, v in entries.items()}
    if items is not None and node.kind == "list":
        return [walk(node.item, v, i) for i, v in enumerate(items)]
    if data in (None, "", [], {}):
        return data
    if private and node.marks.private and isinstance(data, str):
        return quiet_url(data) if path[-1:] == ("url",) else HIDDEN_TEXT
    return change(data, path) if node.marks.hidden else data


def like(node: Node, data: object) -> Node | None:
    """The one member of a union that has the data's outline (an object, a list), else None."""
    outlines = (
        ("object", "map") if isinstance(data, dict) else ("list", "tuple") if isinstance(data, (list, tuple)) else ()
    )
    near = [o for o in node.options if o.kind in outlines]
    return near[0] if len(near) == 1 else None
