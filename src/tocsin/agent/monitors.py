"""What an agent looks at: entries of its file, and of what the server sets, as collectors with their options."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Struct

from tocsin import collectors
from tocsin.core import shape
from tocsin.core.marks import Length, Name, Range
from tocsin.core.plain import as_map, found, join
from tocsin.errors import Invalid, NotFound, Problem

_KEYS = ("type", "enabled", "name", "check_interval")


class Monitor(Struct, frozen=True, kw_only=True):
    """One source to look at. `id` is the collector's name, or the one its entry gives it; the same from start to start."""

    id: str
    type: str
    every_s: float
    options: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    type: Annotated[str, Length(1, 40)]
    enabled: bool = True
    name: Annotated[str | None, Name, Length(1, 60)] = None
    check_interval: Annotated[float | None, Range(1, 86_400)] = None


def read_monitors(
    lines: Sequence[Any], where: str, problems: list[Problem], *, from_afar: bool = False
) -> tuple[Monitor, ...]:
    """The entries that are enabled; what is wrong goes into `problems`. `from_afar`: the server wrote them, so none may
    set what only the agent's own file may."""
    made: dict[str, Monitor] = {}
    for i, line in enumerate(lines):
        place = f"{where}[{i}]"
        try:
            one = _read(line, place, from_afar)
        except Invalid as error:
            problems += error.problems
            continue
        if one is None:
            continue
        if one.id in made:
            problems.append(Problem(join(place, "name"), f"a name of its own beside the other {one.id}", found(one.id)))
        made[one.id] = one
    return tuple(made.values())


def _read(line: Any, place: str, from_afar: bool) -> Monitor | None:
    entries = as_map(line)
    if entries is None:
        raise Invalid(Problem(place, "an object with a type", found(line)))
    head = shape.read(_Line, {k: entries[k] for k in _KEYS if k in entries}, where=place)
    if head.type not in collectors.REGISTRY:
        raise Invalid(Problem(join(place, "type"), _one_of(head.type), found(head.type)))
    if not head.enabled:
        return None
    kind = _kind(head.type, place)
    rest = {k: v for k, v in entries.items() if k not in _KEYS}
    _refuse_mistyped(rest, kind, place)
    if from_afar:
        refuse_local(head.type, rest, place)
    options = shape.read(kind.options, rest, where=place)
    return Monitor(
        id=head.name or head.type, type=head.type, every_s=head.check_interval or kind.every_s, options=options
    )


def _kind(name: str, place: str) -> collectors.Kind:
    try:
        return collectors.kind(name)
    except NotFound as error:
        raise Invalid(Problem(join(place, "type"), str(error), found(name))) from None
    except ImportError as error:
        missing = error.name or "a library"
        wanted = f"{missing} to be installed (pip install 'tocsin[agent]')"
        raise Invalid(Problem(join(place, "type"), wanted, "none")) from None


def _one_of(name: str) -> str:
    from difflib import get_close_matches

    names = collectors.names()
    near = get_close_matches(name, names, 1)
    return f"one of {', '.join(names) or 'none yet'}" + (f" (did you mean {near[0]}?)" if near else "")


def _refuse_mistyped(rest: dict[Any, Any], kind: collectors.Kind, place: str) -> None:
    """A key that is nearly one of those that every entry has is said to be that one."""
    from difflib import get_close_matches

    own = {f.name for f in shape.fields(kind.options)}
    for key, value in rest.items():
        if isinstance(key, str) and key not in own and not get_close_matches(key, own, 1):
            near = get_close_matches(key, _KEYS, 1)
            if near:
                raise Invalid(Problem(join(place, key), f"a known field (did you mean {near[0]}?)", found(value)))


def refuse_local(type_: str, options: dict[Any, Any], place: str) -> None:
    """Raises Invalid when the options set what only the agent's own file may set: a command, a path."""
    local: Any = getattr(importlib.import_module(collectors.REGISTRY[type_]), "LOCAL_ONLY", ())
    if local is True:
        raise Invalid(Problem(join(place, "type"), "one that may be set from afar", f"{type_}, which only a file may"))
    for name in local:
        if name in options:
            raise Invalid(Problem(join(place, name), "nothing: only the agent's own file may set it", "a value"))


def default_monitors() -> tuple[Monitor, ...]:
    """What is looked at where nobody said anything: the host itself."""
    problems: list[Problem] = []
    return read_monitors([{"type": "system"}] if "system" in collectors.REGISTRY else [], "monitors", problems)
