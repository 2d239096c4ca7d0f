"""Writes the parts of docs/ that come from the code: settings, options of kinds, routes, roles, metrics.

A page keeps its prose; what stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
`python docs/generate.py` writes, `--check` only says which pages are out of date (exit code 1).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"(<!-- generated: ([\w:.-]+) -->\n).*?(<!-- end -->)", re.S)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; `|` in cells is escaped."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def code(value: object) -> str:
    """A value as inline code, or "" for nothing."""
    return "" if value in (None, "") else f"`{value}`"


def settings_table(_: str) -> str:
    from tocsin.settings import SETTINGS, Setting, shown

    def bounds(s: Setting) -> str:
        if s.choices:
            return " or ".join(code(c) for c in s.choices)
        if s.low is not None:
            return f"{s.low} to {s.high}" if s.high is not None else f"at least {s.low}"
        return {"path": "a path", "secret": "secret", "bool": "`true` or `false`"}.get(s.kind, s.kind)

    def others(s: Setting) -> str:
        return ", ".join(code(name) for name, _ in s.also)

    heads = ["environment", "in the file", "default", "values", "also read from", "meaning"]
    return table(
        heads,
        [
            [
                code(s.variable),
                code(s.key.lower()),
                code(None if s.default is None else shown(s.default)),
                bounds(s),
                others(s),
                s.help,
            ]
            for s in SETTINGS
        ],
    )


def _fields(type_: Any, path: Sequence[str] = ()) -> str:
    """The fields of a type, or of what its field at `path` holds ("steps": what one step may have)."""
    from tocsin.core.shape import fields

    shapes = fields(type_)
    for step in path:
        inner = next(f for f in shapes if f.name == step)
        shapes = list((inner.item or inner).members)

    def default(f: Any) -> str:
        if f.required:
            return "**required**"
        return (
            ""
            if f.default in (None, "", (), {}, [])
            else ", ".join(code(v) for v in f.default)
            if isinstance(f.default, tuple)
            else code(str(f.default).lower() if f.kind == "boolean" else f.default)
        )

    rows = [
        [code(f.name), default(f), f.expected + (" (write-only)" if f.marks.hidden else ""), f.help] for f in shapes
    ]
    return table(["field", "default", "expects", "meaning"], rows)


def check_fields(kind: str) -> str:
    from tocsin import checks

    name, *path = kind.split(".")
    return _fields(checks.kind(name).target, path)


def notifier_fields(kind: str) -> str:
    from tocsin import notifiers

    return _fields(notifiers.kind(kind).config)


def collector_fields(kind: str) -> str:
    from importlib import import_module

    from tocsin import collectors

    name, *path = kind.split(".")
    local = getattr(import_module(collectors.REGISTRY[name]), "LOCAL_ONLY", ())
    if local is True:
        words = "All of it can be set only in the agent's own file.\n\n"
    elif local:
        words = f"Only the agent's own file may set {', '.join(code(n) for n in local)}.\n\n"
    else:
        words = ""
    return ("" if path else words) + _fields(collectors.kind(name).options, path)


def collector_rules(kind: str) -> str:
    from tocsin import collectors
    from tocsin.core.host_rule import OnSample

    def when(rule: Any) -> str:
        c = rule.condition
        if not isinstance(c, OnSample):
            return f"{c.kind} is not as it should be" if c.name == "*" else f"{c.kind} {c.name} is not as it should be"
        limit, word = (c.above, "above") if c.above is not None else (c.below, "below")
        back = f", over at {c.clear:g}" if c.clear not in (None, limit) else ""
        return f"{code(c.metric)} {word} {limit:g}{back}"

    rows = [
        [code(r.id), r.name, when(r), f"{r.for_s:g} s" if r.for_s else "at once", r.severity]
        for r in collectors.kind(kind).rules
    ]
    return table(["rule", "says", "fires for", "after", "severity"], rows)


def collector_list(_: str) -> str:
    from tocsin import collectors

    rows = [
        [f"[{code(n)}](collectors/{n}.md)", collectors.kind(n).says, f"{collectors.kind(n).every_s:g} s"]
        for n in collectors.names()
    ]
    return table(["collector", "what it sees", "looks every"], rows)


def check_list(_: str) -> str:
    from tocsin import checks

    return table(
        ["check type", "what it watches"],
        [[f"[{code(n)}](checks/{n}.md)", checks.kind(n).label] for n in checks.names()],
    )


def notifier_list(_: str) -> str:
    from tocsin import notifiers

    names = sorted(notifiers.REGISTRY)
    return table(
        ["channel type", "where it goes"], [[f"[{code(n)}](notifiers/{n}.md)", notifiers.kind(n).label] for n in names]
    )


def route_table(kind: str) -> str:
    from tocsin.web.routes import ROUTES

    rows = [[code(f"{r.method} {r.path}"), r.permission, r.summary] for r in ROUTES if r.kind == kind]
    return table(["route", "who may", "what it does"], rows)


def role_table(_: str) -> str:
    from tocsin.core.access import ROLES, Permission, Principal, may

    def allowed(role: Any, permission: Any) -> str:
        who = Principal(kind="session", workspace_id="w", role=role, user_id="u", name="n")
        return "yes" if may(who, permission) else ""

    return table(
        ["permission", "nobody signed in", *ROLES],
        [[p, "yes" if may(None, p) else "", *[allowed(r, p) for r in ROLES]] for p in get_args(Permission)],
    )


def metric_table(_: str) -> str:
    from tocsin.telemetry import REGISTRY

    rows = [
        [code(m.name + ("_total" if m.type == "counter" else "")), m.type, m.documentation] for m in REGISTRY.collect()
    ]
    return table(["metric", "type", "meaning"], sorted(rows))


def error_list(_: str) -> str:
    from tocsin.core.result import ERROR_TYPES

    return ", ".join(code(name) for name in ERROR_TYPES) + "\n"


MAKERS: dict[str, Callable[[str], str]] = {
    "settings": settings_table,
    "check": check_fields,
    "notifier": notifier_fields,
    "collector": collector_fields,
    "collector-rules": collector_rules,
    "collectors": collector_list,
    "checks": check_list,
    "notifiers": notifier_list,
    "routes": route_table,
    "roles": role_table,
    "metrics": metric_table,
    "errors": error_list,
}


def written(page: str) -> str:
    """The page with its generated parts as the code says now."""

    def fill(found: re.Match[str]) -> str:
        name, _, rest = found[2].partition(":")
        return found[1] + MAKERS[name](rest) + found[3]

    return BLOCK.sub(fill, page)


def out_of_date() -> dict[Path, str]:
    """Pages that differ from what the code says, with what they should hold."""
    found: dict[Path, str] = {}
    for path in sorted(DOCS.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (now := written(page)) != page:
            found[path] = now
    return found


def main(words: list[str]) -> int:
    """Write the pages; with --check only name those that are out of date."""
    stale = out_of_date()
    for path, page in stale.items():
        print(("out of date: " if "--check" in words else "wrote ") + str(path.relative_to(DOCS.parent)))
        if "--check" not in words:
            path.write_text(page, encoding="utf-8")
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
