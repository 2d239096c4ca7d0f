"""Rooms stay small enough to read."""

from __future__ import annotations

import ast

from house.source import modules

FILE_LINES = 400
FUNCTION_LINES = 40
PARAMETERS = 7
MANY_PARAMETERS = {
    "net/transfer.py: __init__": "one made for each exchange: a dataclass in between costs a thousand times a second",
    "pipeline/corridor.py: build": "where the corridor's parts and values meet; called once, by app",
    "pipeline/scheduler.py: __init__": "built once, by the corridor, out of its other parts",
    "store/store.py: __init__": "built once, by Store.open",
    "web/signin.py: setup": "the fields of the form and where it came from",
}
"""Functions with more parameters than that, and why."""


def test_no_file_is_too_long() -> None:
    assert [f"{m.name}: {n} lines" for m in modules() if (n := len(m.text.splitlines())) > FILE_LINES] == []


def test_no_function_is_too_long() -> None:
    long: list[str] = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body
                is_doc = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
                first = body[1] if is_doc and len(body) > 1 else body[0]
                lines = (node.end_lineno or 0) - first.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{module.name}:{node.lineno}: {node.name} has {lines} lines")
    assert long == []


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([a for a in given if a.arg not in ("self", "cls")])


def test_no_function_wants_too_much() -> None:
    """More mean that a dataclass is missing. An exception that no longer is one has to go from the list."""
    many = {
        f"{module.name}: {node.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _parameters(node) > PARAMETERS
    }
    assert many == set(MANY_PARAMETERS)


def test_every_public_thing_says_what_the_caller_gets() -> None:
    silent: list[str] = []
    for module in modules():
        if ast.get_docstring(module.tree) is None:
            silent.append(module.name)
        for node in module.tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{module.name}:{node.lineno}: {node.name}")
    assert silent == []
