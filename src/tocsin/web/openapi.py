"""The OpenAPI 3.1 document, made of the routes themselves, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

import msgspec

from tocsin import __version__
from tocsin.core import shape
from tocsin.web.call import Call, Reply, Route

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "expected", "found"],
                "properties": {name: {"type": "string"} for name in ("field", "expected", "found")},
            },
        },
    },
}
_OPEN_MEDIA = {"/metrics": "text/plain", "/ping/{token}": "text/plain", "/ping/{token}/{word}": "text/plain"}
_ALWAYS = {
    "400": "the request cannot be read",
    "413": "too large",
    "429": "too many requests",
    "503": "try again later",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of these routes (pages are left out)."""
    paths: dict[str, Any] = {}
    for route in routes:
        if route.kind != "page" and route.tag != "pages":
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tocsin",
            "version": __version__,
            "description": "Watches what you name and tells the right person once. Times are UTC in ISO 8601, "
            "durations end in _s or _ms, ids are opaque. "
            "Errors are application/problem+json with one entry in errors for "
            "each wrong field.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [
            {"name": name} for name in dict.fromkeys(r.tag for r in routes if r.kind != "page" and r.tag != "pages")
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "an access token of POST /auth/login, or an API key",
                }
            },
            "schemas": {"Problem": _PROBLEM},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        described = shape.schema(route.query)
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
            for name, schema in described["properties"].items()
        ]
    writes = route.method != "GET"
    if writes and route.kind == "api" and route.permission != "public":
        parameters.append({
            "name": "Idempotency-Key", "in": "header", "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "the same key and body within a day is answered the same and done once",
        })  # fmt: skip
    made: dict[str, Any] = {
        "operationId": _name(route), "summary": route.summary, "tags": [route.tag], "responses": _responses(route)
    }  # fmt: skip
    if parameters:
        made["parameters"] = parameters
    if route.body is not None and route.kind == "api":
        schema = shape.schema(route.body)
        if route.partial:
            schema = {k: v for k, v in schema.items() if k != "required"}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.permission == "public":
        made["security"] = []
    else:
        made["description"] = f"Needs the permission {route.permission}."
    return made


def _name(route: Route) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", route.path.removeprefix("/api/v1").lower()).strip("_")
    return f"{route.method.lower()}_{words}" if words else route.method.lower()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In a query string there is no null: an optional parameter is left out."""
    made = {k: v for k, v in schema.items() if k != "default" or v is not None}
    if isinstance(made.get("type"), list):
        rest: list[Any] = [t for t in made["type"] if t != "null"]
        made["type"] = rest[0] if len(rest) == 1 else rest
    if "anyOf" in made:
        rest = [o for o in made["anyOf"] if o != {"type": "null"}]
        if len(rest) == 1:
            made = {k: v for k, v in made.items() if k != "anyOf"} | rest[0]
    return made


def _responses(route: Route) -> dict[str, Any]:
    media = _OPEN_MEDIA.get(route.path, "application/json")
    good: dict[str, Any] = {"description": "done"}
    if route.status != 204:
        good["content"] = {media: {"schema": shape.schema(route.answer) if route.answer is not None else {}}}
    told = dict(_ALWAYS)
    if route.permission != "public":
        told |= {"401": "nobody is signed in, or the token is not valid", "403": "the caller may not do this"}
    if "{" in route.path:
        told["404"] = "there is no such thing in this workspace"
    if route.method != "GET":
        told |= {"409": "not possible in the present state", "415": "not application/json"}
    told["422"] = "wrong fields, each named in errors"
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(route.status): good} | {
        code: {"description": text, "content": problem} for code, text in sorted(told.items())
    }


def routes(known: Sequence[Route]) -> list[Route]:
    """The routes of the document and its page, over the routes known so far and these two themselves."""
    whole: list[Route] = [*known]

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(document(whole))

    @cache
    def page() -> bytes:
        return _page(document(whole)).encode()

    async def show(call: Call) -> Reply:
        return Reply(content=encoded())

    async def read(call: Call) -> Reply:
        return Reply(content=page(), media_type="text/html; charset=utf-8")

    made = [
        Route(
            method="GET", path="/api/v1/openapi.json", run=show, permission="public", tag="documents", loose=True,
            summary="This API as an OpenAPI 3.1 document",
        ),
        Route(
            method="GET", path="/api/docs", run=read, permission="public", kind="page", tag="documents",
            summary="This API as a page",
        ),
    ]  # fmt: skip
    whole.extend(made)
    return made


def _page(doc: dict[str, Any]) -> str:
    """The document as one plain page: no script, no style of its own, nothing from elsewhere."""
    from tocsin.web.pages.assets import assets

    groups: dict[str, list[str]] = {}
    for path, operations in doc["paths"].items():
        for method, op in operations.items():
            groups.setdefault(op["tags"][0], []).append(_section(path, method, op))
    index = " · ".join(f'<a href="#tag-{escape(tag)}">{escape(tag)}</a>' for tag in groups)
    body = "".join(f'<h2 id="tag-{escape(tag)}">{escape(tag)}</h2>{"".join(items)}' for tag, items in groups.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API · Tocsin</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{escape(assets().url("tocsin.css"))}"></head><body><main class="docs">'
        f"<h1>Tocsin API</h1><p>{escape(doc['info']['description'])}</p><p>Version {escape(doc['info']['version'])} · "
        '<a href="/api/v1/openapi.json">OpenAPI document</a> · <a href="/">Back to Tocsin</a></p>'
        "<p>Send <code>Authorization: Bearer</code> with an access token of <code>POST /api/v1/auth/login</code> or "
        f'an API key.</p><nav aria-label="Routes"><p>{index}</p></nav>{body}</main></body></html>'
    )


def _section(path: str, method: str, op: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(_words(p['schema']))}</td></tr>"
        for p in op.get("parameters", [])
    )
    table = (
        f"<table><thead><tr><th>Parameter</th><th>In</th><th>Type</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    body = ""
    if "requestBody" in op:
        body = "<h4>Body</h4>" + _fields(op["requestBody"]["content"]["application/json"]["schema"])
    answers = "".join(
        f"<li><code>{escape(code)}</code> {escape(r['description'])}</li>" for code, r in op["responses"].items()
    )
    good = next(iter(op["responses"].values())).get("content", {}).get("application/json", {}).get("schema", {})
    answer = f"<h4>Answer</h4>{_fields(good)}" if good.get("properties") else ""
    name = escape(op["operationId"])
    return (
        f'<details class="route" id="{name}"><summary><h3><code>{method.upper()} {escape(path)}</code></h3> '
        f"{escape(op['summary'])}</summary><p>{escape(op.get('description', ''))}</p>{table}{body}{answer}"
        f"<h4>Statuses</h4><ul>{answers}</ul></details>"
    )


def _fields(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' required' if name in required else ''}</td>"
        f"<td>{escape(_words(field))}</td><td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table><thead><tr><th>Field</th><th>Type</th><th></th></tr></thead><tbody>{rows}</tbody></table>"


def _words(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "enum" in schema:
        return " | ".join(str(v) for v in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_words(s) for s in schema["anyOf"])
    kinds: Any = schema.get("type", "anything")
    kind: str = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if kind == "array":
        return f"list of {_words(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    span = (
        f" {low if low is not None else ''}…{high if high is not None else ''}"
        if low is not None or high is not None
        else ""
    )
    default = f" (default {schema['default']})" if schema.get("default") not in (None, [], {}, "") else ""
    return f"{kind}{span}{default}"
