"""Our own source as syntax trees, for the rules that an import graph cannot say."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tocsin"


@dataclass(frozen=True)
class Module:
    """One file of ours: `name` is its path below src/tocsin, such as "checks/tcp.py"."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split("/")[0]


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package."""
    found: list[Module] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(str(path.relative_to(PACKAGE)), text, ast.parse(text, str(path))))
    return tuple(found)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; "" of anything else (`f().b` gives ".b")."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def imports(tree: ast.AST) -> set[str]:
    """Every module name that is imported anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
