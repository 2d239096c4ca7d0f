"""What an agent looks at, as text in a form: YAML as in the agent's own file, read as strictly; JSON is YAML, too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tocsin.agent import strict_yaml
from tocsin.core.plain import as_list, as_map, found
from tocsin.errors import Invalid, Problem


def read(text: str, field: str = "monitors") -> list[Any]:
    """The entries of that field. Raises Invalid; what is wrong is said with its line."""
    if not text.strip():
        return []
    try:
        data: object = strict_yaml.loads(text.encode("utf-8", "replace")).data
    except Invalid as error:
        raise Invalid(*(Problem(field, f"YAML ({p.field}: {p.expected})", p.found) for p in error.problems)) from None
    whole = as_map(data)
    if whole is not None and list(whole) == [field]:
        data = [] if whole[field] is None else whole[field]
    entries = as_list(data)
    if entries is None:
        raise Invalid(Problem(field, "a list of entries, each beginning with -", found(data)))
    return list(entries)


def written(monitors: Sequence[Any]) -> str:
    """The entries as they would stand in the agent's file."""
    lines: list[str] = []
    for entry in monitors:
        for n, (key, value) in enumerate((as_map(entry) or {}).items()):
            lines.append(f"{'- ' if n == 0 else '  '}{key}: {_value(value)}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    """On one line: what YAML and JSON write alike."""
    if isinstance(value, str) and value and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    """Whether it is the same without quotes."""
    if not all(c.isalnum() or c in "_-./" for c in text) or text[0] in "-.":
        return False
    try:
        return strict_yaml.loads(text.encode()).data == text
    except Invalid:
        return False
