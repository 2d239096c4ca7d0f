"""What a route is, what its function gets (a Call) and gives (a Reply); only routes.py and live.py know ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tocsin.core.access import Permission, Principal

if TYPE_CHECKING:
    from tocsin.web.parts import Parts


@dataclass(slots=True, kw_only=True)
class Call:
    """One request, already authenticated and checked.

    `principal` is None only on routes with permission "public". `path` holds the path's parameters, `query` the
    validated query (an instance of Route.query, or None), `body` the validated body (an instance of Route.body), `data`
    the same body as plain JSON data, `form` a page's form fields (strings, in order). `client` is the address of the
    caller behind trusted proxies. `secure`: the caller came by https.
    """

    parts: Parts
    principal: Principal | None
    now: datetime
    method: str
    url_path: str
    client: str
    headers: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    path: Mapping[str, str]
    query: Any = None
    body: Any = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    raw: bytes = field(default=b"", repr=False)
    secure: bool = False

    @property
    def who(self) -> Principal:
        """The caller, on a route that is not public."""
        assert self.principal is not None
        return self.principal


@dataclass(slots=True, kw_only=True)
class Reply:
    """What goes back. `data` is encoded as JSON unless `content` is given;
    `html` replies set content and media_type."""

    data: Any = None
    status: int = 200
    content: bytes | None = None
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One URL. Who may call it is part of it: a route without `permission` cannot be written.

    `body`, `query`, `answer` are msgspec Structs (strict, unknown fields refused); they make the OpenAPI document too.
    `kind`: api (problem+json, bearer token), page (cookie, HTML errors, form bodies, Origin checked on writes), open
    (outside contracts such as /health and /metrics). `reads` False: the action reads `Call.data` itself, all problems
    at once, and `body` only describes it. `loose`: unknown query parameters pass, as callers of that contract expect.
    `partial`: every field of `body` may be left out. `status` is that of success, for the document.
    """

    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    path: str
    run: Callable[[Call], Awaitable[Reply]]
    permission: Permission
    summary: str
    kind: Literal["api", "page", "open"] = "api"
    body: Any = None
    query: Any = None
    answer: Any = None
    tag: str = ""
    status: int = 200
    reads: bool = True
    loose: bool = False
    partial: bool = False
    max_body: int = 1 << 20
