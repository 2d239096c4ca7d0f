"""Names: no word that says nothing, in files, folders, classes and functions."""

from __future__ import annotations

import ast
import re

from house.source import modules

EMPTY = {
    "manager", "service", "services", "helper", "helpers", "util", "utils", "utility", "handler", "handlers",
    "processor", "processors", "common", "base", "misc", "stuff",
}  # fmt: skip
MEANT = {"base_url", "Service", "OnService"}
"""Names where such a word is the thing itself."""


def words(name: str) -> set[str]:
    """The lower-case words of a snake_case or CamelCase name."""
    return {w.lower() for part in name.split("_") for w in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", part)}


def test_names_say_something() -> None:
    wrong: list[str] = []
    for module in modules():
        for part in module.name.removesuffix(".py").split("/"):
            if words(part) & EMPTY:
                wrong.append(f"{module.name}: its path")
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and words(node.name) & EMPTY
                and node.name not in MEANT
            ):
                wrong.append(f"{module.name}:{node.lineno}: {node.name}")
    assert wrong == []


def test_words_are_found_in_both_ways_of_writing() -> None:
    assert words("HTTPBaseThing") >= {"thing"}
    assert words("my_util_name") == {"my", "util", "name"}
    assert words("RequestHandler") == {"request", "handler"}
