"""Marks that annotations carry (Range, Length, Help …), and types taken apart into the tree that reading works from."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct, UnsetType, field, structs

Kind = Literal[
    "text", "integer", "number", "boolean", "null", "choice", "time", "list", "tuple", "map", "object", "union", "any"
]
MAX_TEXT = 64 * 1024
MAX_NAME = 200
HIDDEN_TEXT = "***"


def Range(low: float | None = None, high: float | None = None) -> Meta:
    """A number from `low` to `high`, both included."""
    return Meta(ge=low, le=high)


def Length(low: int = 0, high: int | None = None) -> Meta:
    """Text of `low` to `high` characters, or a list or map with so many entries."""
    return Meta(min_length=low, max_length=high)


def Pattern(regex: str, says: str = "") -> Meta:
    """Text that matches the whole of `regex`; `says` tells people what that is ("a host name")."""
    return Meta(pattern=f"^(?:{regex})$", extra={"says": says, "regex": re.compile(regex)})


def Holds(test: Callable[[str], bool], says: str) -> Meta:
    """Text for which `test` is true, where a pattern cannot say what is meant; `says` tells people what that is."""
    return Meta(extra={"test": test, "says": says})


def Choice(*values: str | int) -> Meta:
    """One of these values (where Literal cannot be written because the list is made elsewhere)."""
    return Meta(extra={"choices": values})


def Help(text: str) -> Meta:
    """One line for forms, documents and the command line."""
    return Meta(description=text)


def Example(text: str) -> Meta:
    """How it may look, for who has to write it (JSON text, where it is no plain text)."""
    return Meta(extra={"example": text})


Front = Meta(extra={"front": True})  # forms show it at once, not under More
Long = Meta(extra={"long": True})  # text of several lines: forms give it room
Private = Meta(extra={"private": True})  # shown only to who may write it
Hidden = Meta(extra={"hidden": True}, extra_json_schema={"writeOnly": True})
_INK = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # what a name has none of: control, line, direction
Name = Annotated[
    str, Length(1, MAX_NAME), Pattern(rf"[^{_INK}]*[^\s{_INK}][^{_INK}]*", "a name on one line, printable")
]


class Marks(Struct, frozen=True):
    """The marks of one field, gathered."""

    low: float | None = None
    high: float | None = None
    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    regex: re.Pattern[str] | None = None
    test: Callable[[str], bool] | None = None
    says: str = ""
    choices: tuple[Any, ...] = ()
    help: str = ""
    hidden: bool = False
    private: bool = False
    example: str = ""
    front: bool = False
    long: bool = False


def _add(marks: Marks, meta: object) -> Marks:
    if not isinstance(meta, Meta):
        return marks
    given = {
        "low": meta.ge,
        "high": meta.le,
        "min_length": meta.min_length,
        "max_length": meta.max_length,
        "pattern": meta.pattern,
        "help": meta.description,
    }
    new = dict(meta.extra or {}) | {name: value for name, value in given.items() if value is not None}
    known = {k: v for k, v in new.items() if k in Marks.__struct_fields__}
    return structs.replace(marks, **known)


class Node(Struct, frozen=True):
    """One type, taken apart. `options` are a union's members but None and Unset (`optional`, `absent` say those)."""

    kind: Kind
    marks: Marks = field(default_factory=Marks)
    optional: bool = False
    absent: bool = False
    options: tuple[Node, ...] = ()
    item: Node | None = None
    cls: Any = None
    members: tuple[Member, ...] = ()
    says: str = ""
    by_name: Mapping[str, Member] = field(default_factory=dict[str, "Member"])


class Member(Struct, frozen=True):
    """One field of an object: its name in the data, its attribute, its type, its default (NODEFAULT if none)."""

    name: str
    attribute: str
    node: Node
    default: Any
    factory: Callable[[], Any] | None = None

    @property
    def required(self) -> bool:
        return self.default is NODEFAULT and self.factory is None


_SIMPLE: dict[Any, Kind] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    datetime: "time",
    Any: "any",
    object: "any",
}


@lru_cache(maxsize=1024)
def node_of(annotation: Any) -> Node:
    """The type, taken apart; TypeError when it is one that outside data cannot have."""
    return _node(annotation, Marks())


def _node(annotation: Any, marks: Marks) -> Node:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for meta in args[1:]:
            marks = _add(marks, meta)
        return _node(args[0], marks)
    if origin in (Union, types.UnionType):
        return _union(args, marks)
    if marks.choices or origin is Literal:
        return _with_words(Node("choice", structs.replace(marks, choices=marks.choices or args)))
    if annotation in _SIMPLE:
        return _with_words(Node(_SIMPLE[annotation], marks))
    inner = Marks(hidden=marks.hidden, private=marks.private)
    if origin in (list, Sequence) or (origin is tuple and args[-1:] == (...,)):
        return _with_words(Node("list", marks, item=_node(args[0], inner), cls=tuple if origin is tuple else list))
    if origin is tuple:
        return _with_words(Node("tuple", marks, options=tuple(_node(a, inner) for a in args)))
    if origin in (dict, Mapping) and args[0] is str:
        return _with_words(Node("map", marks, item=_node(args[1], inner)))
    if isinstance(annotation, type) and (
        issubclass(annotation, Struct) or dataclasses.is_dataclass(cast("Any", annotation))
    ):
        members = tuple(_members(annotation))
        return _with_words(Node("object", marks, cls=annotation, members=members, by_name={m.name: m for m in members}))
    raise TypeError(f"shape cannot read {annotation!r}")


def _union(args: tuple[Any, ...], marks: Marks) -> Node:
    rest = [a for a in args if a not in (type(None), UnsetType)]
    optional, absent = type(None) in args, UnsetType in args
    if len(rest) == 1:
        return structs.replace(n := _node(rest[0], marks), optional=optional or n.optional, absent=absent or n.absent)
    options = tuple(_node(a, marks) for a in rest)
    kinds = {o.kind for o in options}
    if kinds == {"integer", "number"}:
        return _with_words(Node("number", marks, optional=optional, absent=absent))
    return _with_words(Node("union", marks, optional=optional, absent=absent, options=options))


def _members(cls: Any) -> list[Member]:
    hints = get_type_hints(cls, include_extras=True)
    made: list[Member] = []
    if issubclass(cls, Struct):
        for f in msgspec.structs.fields(cls):
            factory = None if f.default_factory is NODEFAULT else cast("Callable[[], Any]", f.default_factory)
            made.append(Member(f.encode_name, f.name, node_of(hints[f.name]), f.default, factory))
        return made
    for f in dataclasses.fields(cls):
        if f.init:
            factory = None if f.default_factory is dataclasses.MISSING else f.default_factory
            default = NODEFAULT if f.default is dataclasses.MISSING else f.default
            made.append(Member(f.name, f.name, node_of(hints[f.name]), default, factory))
    return made


def _with_words(node: Node) -> Node:
    return structs.replace(node, says=_expected(node))


def _expected(node: Node) -> str:
    """What people are told was expected."""
    m = node.marks
    match node.kind:
        case "integer" | "number":
            what = "a whole number" if node.kind == "integer" else "a number"
            if m.low is not None and m.high is not None:
                return f"{what} from {m.low:.15g} to {m.high:.15g}"
            return what + (
                f", at least {m.low:.15g}"
                if m.low is not None
                else f", at most {m.high:.15g}"
                if m.high is not None
                else ""
            )
        case "text":
            if m.says:
                return m.says
            most = m.max_length or MAX_TEXT
            return f"text of {m.min_length} to {most} characters" if m.min_length or m.max_length else "text"
        case "choice":
            values = [str(c) for c in m.choices]
            return values[0] if len(values) == 1 else ", ".join(values[:-1]) + " or " + values[-1]
        case "list":
            if m.max_length is not None:
                return f"a list of {m.min_length} to {m.max_length}"
            return f"a list of at least {m.min_length}" if m.min_length else "a list"
        case "tuple":
            return f"a list of {len(node.options)}"
        case "map":
            return f"an object with at most {m.max_length} fields" if m.max_length is not None else "an object"
        case "object" if 0 < len(node.members) <= 4:
            return "an object with " + ", ".join(member.name for member in node.members)
        case "union":
            return " or ".join(dict.fromkeys(o.says for o in node.options))
        case _:
            return {
                "boolean": "true or false",
                "null": "null",
                "time": "a time in ISO 8601 with its zone",
                "any": "plain data",
            }.get(node.kind, "an object")
