"""What a monitor depends on, as text: one a line, "or" between those of a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tocsin.core.monitor import Monitor

_OR = " or "


def labels(monitors: Iterable[Monitor]) -> dict[str, str]:
    """What each monitor is called here, by id: its name, with the id behind it where several have that name."""
    known = {m.id: " ".join(m.name.split()) for m in monitors}
    often = Counter(name.casefold() for name in known.values())
    return {id: name if often[name.casefold()] == 1 else f"{name} ({id})" for id, name in known.items()}


def shown(parents: Sequence[str | Sequence[str]], called: Mapping[str, str]) -> str:
    """The parents as text."""
    lines = [[parent] if isinstance(parent, str) else parent for parent in parents]
    return "\n".join(_OR.join(called.get(id, id) for id in line) for line in lines)


def read_back(text: str, called: Mapping[str, str]) -> list[str | list[str]]:
    """The parents that a text means. What is no monitor stays as it is, so that the one reader of monitors says so."""
    ids = {name.casefold(): id for id, name in called.items()}
    parents: list[str | list[str]] = []
    for line in (" ".join(line.split()) for line in text.splitlines()):
        if not line:
            continue
        whole = ids.get(line.casefold())
        names = [line] if whole is not None else [name.strip() for name in line.split(_OR)]
        group = [ids.get(name.casefold(), name[:64]) for name in names if name]
        parents.append(group[0] if len(group) == 1 else group)
    return parents


def sentences(lines: Sequence[str]) -> list[str]:
    """The same in plain words."""
    if not lines:
        return []
    return [f"While {' is down, or '.join(lines)} is down, nobody is told of it."]
