"""Rooms stay small enough to read."""

from __future__ import annotations

import ast

from house.source import modules

FILE_LINES = 400
FUNCTION_LINES = 60


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
