"""Users' JSONPath (RFC 9535) and JSON Schema (nothing fetched) over bodies that strangers send, in bounded work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn, cast

import msgspec

from tocsin.core.pattern import check_pattern, search
from tocsin.core.plain import as_list, as_map, clip, found
from tocsin.errors import Problem

MAX_PATH = 500
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_SCHEMA = 64 * 1024
MAX_EVALUATIONS = 5_000_000


class NotJson(Exception):
    """The body cannot be read as JSON; the text says why, for people."""


class TooCostly(Exception):
    """The query would cost more than one check may."""


# --- reading a body ---


def read_body(body: bytes) -> tuple[Any, int]:
    """The body's JSON value and how deep it is. More lenient than `plain.loads`: the target may do as it likes."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(
            "not JSON: " + clip(str(error).removeprefix("JSON is malformed: "), 80) if body else "an empty body"
        ) from None
    except RecursionError:
        raise NotJson("JSON nested too deep") from None
    depth = _depth(data)
    if depth > MAX_DEPTH:
        raise NotJson(f"JSON nested deeper than {MAX_DEPTH} levels")
    return data, depth


def _depth(data: Any) -> int:
    level: list[Any] = [data]
    depth = 0
    while level:
        inner: list[Any] = []
        for value in level:
            entries = as_map(value)
            inner += (as_list(value) or ()) if entries is None else entries.values()
        depth += 1
        level = [v for v in inner if isinstance(v, (dict, list))]
        if depth > MAX_DEPTH:
            break
    return depth


# --- JSONPath ---


class _Budget(dict[str, Any]):
    """What travels along one evaluation and counts its nodes (as the library's filter context)."""

    left = MAX_NODES


@lru_cache(maxsize=1)
def _environment() -> tuple[Any, Any]:
    """The library with RE2 in it, and its node class that counts. Queries inside filters make nodes that do not count:
    `_too_heavy` keeps those linear."""
    import jsonpath
    from jsonpath.function_extensions import ExpressionType, FilterFunction

    class Matches(FilterFunction):
        """match() and search() on RE2: the library's own engine backtracks."""

        @property
        def arg_types(self) -> list[ExpressionType]:
            return [ExpressionType.VALUE, ExpressionType.VALUE]

        @property
        def return_type(self) -> ExpressionType:
            return ExpressionType.LOGICAL

        def __init__(self, *, whole: bool) -> None:
            self.whole = whole

        def __call__(self, *args: Any) -> bool:
            value, pattern = args
            if not isinstance(value, str) or not isinstance(pattern, str) or check_pattern(pattern, ""):
                return False
            return search(rf"\A(?:{pattern})\z" if self.whole else pattern, value.encode("utf-8", "replace")).hit

    class Match(jsonpath.JSONPathMatch):
        """A node that counts itself."""

        __slots__ = ()

        def __init__(self, *, filter_context: Any, **more: Any) -> None:
            filter_context.left -= 1
            if filter_context.left < 0:
                raise TooCostly(f"the path visits more than {MAX_NODES} nodes")
            super().__init__(filter_context=filter_context, **more)

    environment = jsonpath.JSONPathEnvironment(strict=True)
    environment.function_extensions["match"] = Matches(whole=True)
    environment.function_extensions["search"] = Matches(whole=False)
    return environment, Match


@lru_cache(maxsize=2048)
def _path(path: str) -> Any:
    return _environment()[0].compile(path)


_BROKEN = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What the library lets out of paths such as $[1e0] and $[?@.a < 1e310]."""
_STRINGS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def _too_heavy(path: str) -> str | None:
    """What in the path could make a filter's work grow faster than the body, for people; None when nothing does."""
    bare = _STRINGS.sub("'", path)
    before, mark, inside = bare.partition("?")
    if not mark:
        return None
    if before.count("..") > 1 or ".." in inside:
        return "a filter with more than one .. before it, or one inside or after it"
    if "$" in inside and set(inside.partition("$")[2]) & set("*:?"):
        return "a filter with a query of many values that starts at $"
    brackets: list[str] = []
    for char in bare:
        if char in "[(":
            brackets.append(char)
        elif char in "])" and brackets:
            brackets.pop()
        elif char == "," and brackets[-1:] == ["["]:
            return "several selectors in one bracket together with a filter"
    return None


def check_path(path: object, where: str) -> list[Problem]:
    """What is wrong with a user's JSONPath: nothing, or one problem."""
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH:
        return [Problem(where, f"a JSONPath of 1 to {MAX_PATH} characters, such as $.status", found(path))]
    if (why := _too_heavy(path)) is not None:
        return [Problem(where, "a JSONPath that is cheap on any body", f"{found(path)}: {why}")]
    import jsonpath

    try:
        _path(path)
    except (jsonpath.JSONPathError, *_BROKEN) as error:
        why = clip(str(error).split("\n")[0], 80)
        return [Problem(where, "a JSONPath of RFC 9535, such as $.status", f"{found(path)} ({why})")]
    return []


def values_at(path: str, data: Any) -> list[Any]:
    """The values that the path selects, in order. TooCostly when the path visits too many nodes."""
    import jsonpath

    if isinstance(data, str):
        return [data] if path == "$" else []
    node = _environment()[1]
    nodes: Any = [
        node(filter_context=_Budget(counts=True), obj=data, parent=None, path="$", parts=(), root=data),
    ]
    try:
        for segment in _path(path).segments:
            nodes = segment.resolve(nodes)
        return [node.obj for node in nodes]
    except (jsonpath.JSONPathError, RecursionError) as error:
        raise TooCostly(clip(str(error).split("\n")[0], 80)) from None


# --- JSON Schema ---


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside the schema, and nothing is fetched")


class Schema:
    """A compiled schema. `errors(data, depth)` gives what is wrong with the data, shortest words first."""

    __slots__ = ("_back_references", "_expansions", "_validator")

    def __init__(self, schema: Any) -> None:
        import jsonschema_rs

        self._expansions, self._back_references = _weigh(schema)
        self._validator = jsonschema_rs.validator_for(
            schema,
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
        )

    def wrong(self, data: Any, depth: int) -> str | None:
        """The first thing that is wrong with the data, for people; None when it is valid."""
        if self._expansions * max(1, self._back_references) ** depth > MAX_EVALUATIONS:
            raise TooCostly(f"the schema refers to itself too often for data {depth} levels deep")
        for error in self._validator.iter_errors(data):
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
            return clip(f"${place}: {error.message}", 200)
        return None


def check_schema(schema: object, where: str) -> list[Problem]:
    """What is wrong with a user's schema: nothing, or one problem. References that leave the schema are wrong."""
    expected = "a JSON Schema"
    if not isinstance(schema, (dict, bool)):
        return [Problem(where, expected, found(schema))]
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA:
        return [Problem(where, f"a JSON Schema of at most {MAX_SCHEMA} bytes", "a larger one")]
    import jsonschema_rs

    try:
        Schema(schema)
    except TooCostly as error:
        return [Problem(where, "a JSON Schema whose references stay inside it and are few", str(error))]
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return [Problem(where, expected, "a mistake in it: " + clip(str(error).split("\n")[0], 120))]
    return []


_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def _weigh(schema: Any) -> tuple[int, int]:
    """How many schemas one pass over one value may evaluate, with references expanded, and how many references lead
    back into a schema that contains them (each may multiply the work at each level of the data)."""
    count, back = 0, 0

    def visit(node: Any, above: tuple[str, ...], levels: int) -> None:
        nonlocal count, back
        count += 1
        if count > 10_000 or levels > 200:
            raise TooCostly("references that expand to more than 10000 schemas")
        items, entries = as_list(node), as_map(node)
        for inner in items or ():
            visit(inner, above, levels + 1)
        for key, inner in (entries or {}).items():
            if key in _REFERENCES and isinstance(inner, str):
                if not (inner == "#" or inner.startswith("#/")):
                    raise TooCostly(f"{clip(inner)} in {key}")
                if inner in above:
                    back += 1
                else:
                    visit(_resolve(schema, inner), (*above, inner), levels + 1)
            elif key == "$id" and levels:
                raise TooCostly("an $id inside")
            elif key not in ("$defs", "definitions", "enum", "const", "default", "examples"):
                visit(inner, above, levels + 1)

    visit(schema, ("#",), 0)
    return count, back


def _resolve(schema: Any, pointer: str) -> Any:
    place: Any = schema
    for step in pointer[2:].split("/") if len(pointer) > 1 else ():
        name = step.replace("~1", "/").replace("~0", "~").replace("%25", "%")
        try:
            items = as_list(place)
            place = cast("Mapping[str, Any]", place)[name] if items is None else items[int(name)]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"Pointer {clip(pointer)} does not exist") from None
    return place
