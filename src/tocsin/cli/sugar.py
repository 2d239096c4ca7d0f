"""Short options for assertions: --keyword, --expect-status, --json-path '$.a == 1' … and what they stand for."""

from __future__ import annotations

import argparse
import re
from typing import Any

from tocsin import checks
from tocsin.core.shape import loads
from tocsin.errors import Invalid

_OPS = {"==": "eq", "!=": "ne", "<=": "lte", ">=": "gte", "<": "lt", ">": "gt", "contains": "contains", "=~": "matches"}
# The first operator outside brackets splits path and value.
_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|=~|<|>|\scontains\s)\s*")


def add_options(parser: argparse.ArgumentParser, check_type: str) -> None:
    """The options for assertions that a check of this type can meet."""
    offered = checks.kind(check_type).offers
    group = parser.add_argument_group("what must hold")

    def add(option: str, needs: str, metavar: str, text: str, convert: Any, *, keep: bool = True) -> None:
        if needs in offered:
            action = _Collect if keep else "store"
            group.add_argument(option, dest="assertions", action=action, type=convert, metavar=metavar, help=text)

    add("--expect-status", "status_code", "200-299,301", "status codes that are right", _status)
    add("--keyword", "body", "S", "the body contains S", _text("body", "contains"))
    add("--not-keyword", "body", "S", "the body does not contain S", _text("body", "not_contains"))
    add("--regex", "body", "R", "the body matches R (RE2)", _text("body", "matches"))
    add("--not-regex", "body", "R", "the body does not match R", _text("body", "not_matches"))
    add("--header-regex", "header", "'K: R'", "the header K matches R", _header)
    add("--json-schema", "json_schema", "FILE", "the body is valid by this JSON Schema", _schema)
    add("--json-path", "json_path", "'$.a == 1'", "a value in the JSON body: == != < <= > >= =~ contains", _json_path)
    add(
        "--max-response-ms",
        "response_time_ms",
        "N",
        "the whole check takes at most N ms",
        _limit("response_time_ms", "lte"),
    )
    add("--cert-warn-days", "certificate_days", "N", "degraded when fewer days are left", _days)
    add("--expect", "dns_answer", "V", "the whole answer, in any order; repeatable", _answer)


class _Collect(argparse.Action):
    """Gathers assertions with the option that each came from."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        kept: list[Any] = getattr(namespace, self.dest, None) or []
        setattr(namespace, self.dest, [*kept, values])


def assertions(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The assertions that were asked for, as plain data; several --expect are one."""
    given: list[dict[str, Any]] = list(getattr(args, "assertions", None) or [])
    answers = [a["value"] for a in given if a["type"] == "dns_answer"]
    rest = [a for a in given if a["type"] != "dns_answer"]
    return [*rest, {"type": "dns_answer", "op": "eq", "value": answers}] if answers else rest


def option_of(field: str) -> str:
    """How people know the assertion whose field this is: "assertion[0].value" is "assertion 1, value"."""
    number, _, rest = field.removeprefix("assertion[").partition("]")
    return f"assertion {int(number) + 1}" + (", " + rest.lstrip(".") if rest else "") if number.isdigit() else field


def _status(text: str) -> dict[str, Any]:
    return {"type": "status_code", "op": "in", "value": [part.strip() for part in text.split(",")]}


def _text(type_: str, op: str) -> Any:
    def convert(text: str) -> dict[str, Any]:
        return {"type": type_, "op": op, "value": text}

    return convert


def _header(text: str) -> dict[str, Any]:
    name, colon, pattern = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"expected 'Name: regex', found {text!r}")
    return {"type": "header", "op": "matches", "name": name.strip(), "value": pattern.strip()}


def _schema(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            value = loads(file.read((1 << 20) + 1))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"expected a readable file, found {path!r}: {error.strerror}") from None
    except Invalid as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    return {"type": "json_schema", "op": "valid", "value": value}


def _json_path(text: str) -> dict[str, Any]:
    for match in _COMPARISON.finditer(text):
        path, value = text[: match.start()].strip(), text[match.end() :].strip()
        if path.count("[") == path.count("]") and path.count("'") % 2 == 0 and value:
            op = _OPS[match[1].strip()]
            return {"type": "json_path", "op": op, "path": path, "value": _value(value, op)}
    raise argparse.ArgumentTypeError(f"expected a comparison such as '$.a == 1', found {text!r}")


def _value(text: str, op: str) -> Any:
    """JSON when it is JSON, else the text itself, so that quotes may be left out."""
    if op == "matches":
        return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "/" else text  # the way sed and others write it
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return loads(text)
    except Invalid:
        return text


def _limit(type_: str, op: str) -> Any:
    def convert(text: str) -> dict[str, Any]:
        try:
            return {"type": type_, "op": op, "value": float(text) if "." in text else int(text)}
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None

    return convert


def _days(text: str) -> dict[str, Any]:
    return {**_limit("certificate_days", "gte")(text), "on_fail": "degrade"}


def _answer(text: str) -> dict[str, Any]:
    return {"type": "dns_answer", "op": "eq", "value": text}
