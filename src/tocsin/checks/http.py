"""HTTP and HTTPS: one request over a fresh connection, redirects followed, judged by its assertions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Headers,
    IpVersion,
    Pins,
    VerifyTls,
    wrong_headers,
    wrong_pins,
)
from tocsin.core.assertion_terms import STATUS_2XX
from tocsin.core.header import is_value
from tocsin.core.plain import found, quiet_url
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Hidden, Length, Long, Pattern, Private, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Net
from tocsin.net.http import Grant, HttpRequest, Login
from tocsin.net.url import parse

TITLE, SAYS = "HTTP", "status, body, timing"

OFFERS = ("status_code", "body", "header", "json_path", "json_schema", "body_bytes", "certificate_days")
DEFAULTS = STATUS_2XX

GRACE_S = 0.3  # libcurl keeps the deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A web address that should answer over HTTP or HTTPS."""

    url: Annotated[str, Private, Length(1, 8192), Help("The http or https URL to fetch")]
    method: Annotated[
        str, Pattern(r"[A-Z][A-Z-]{0,30}", "a method in capitals, such as GET"), Help("Request method")
    ] = "GET"
    headers: Headers = field(default_factory=dict[str, str])
    body: Annotated[str | None, Private, Long, Length(0, 65_536), Help("Request body, sent as UTF-8")] = None
    max_body: Annotated[int, Range(0, 16_777_216), Help("How much of the answer's body is read, decoded")] = 1_048_576
    follow_redirects: Annotated[bool, Help("Follow redirects")] = True
    max_redirects: Annotated[int, Range(0, 20), Help("How many redirects are followed")] = 10
    ip_version: IpVersion = None
    verify_tls: VerifyTls = True
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    resolve: Pins = field(default_factory=list[str])
    proxy: Annotated[str | None, Hidden, Length(1, 500), Help("Proxy, as http://host:port or socks5://host:port")] = (
        None
    )
    http_version: Annotated[Literal["1.1", "2", "3"] | None, Help("Speak only this version of HTTP")] = None
    cors_origin: Annotated[str | None, Length(1, 500), Help("Send this Origin; the answer must allow it")] = None
    auth: Annotated[Literal["none", "basic", "bearer", "digest", "oauth2"], Help("How to authenticate")] = "none"
    username: Annotated[str, Length(0, 500), Help("User name for basic and digest")] = ""
    password: Annotated[str, Hidden, Length(0, 1000), Help("Password for basic and digest")] = ""
    token: Annotated[str, Hidden, Length(0, 8192), Help("Token for bearer")] = ""
    token_url: Annotated[str, Length(0, 8192), Help("Where oauth2 gets its token (client credentials)")] = ""
    client_id: Annotated[str, Length(0, 500), Help("Client for oauth2")] = ""
    client_secret: Annotated[str, Hidden, Length(0, 1000), Help("The client's secret")] = ""
    scope: Annotated[str, Length(0, 1000), Help("Scopes for oauth2, with spaces between")] = ""
    credentials_in: Annotated[
        Literal["header", "body"], Help("Where the token's server wants the client's credentials")
    ] = "header"

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        try:
            parse(self.url)
        except ValueError as error:
            problems.append(Problem("url", "an http or https URL", f"one that {error}"))
        problems += wrong_headers(self.headers) + wrong_pins(self.resolve)
        if self.proxy and not re.fullmatch(r"(http|socks5h?)://\S+", self.proxy):
            problems.append(Problem("proxy", "http://host:port or socks5://host:port", "***"))
        for name in ("token", "cors_origin"):
            if not is_value(getattr(self, name) or ""):
                problems.append(Problem(name, "one line", "***"))
        if self.http_version == "3" and self.url.lower().startswith("http:"):
            problems.append(Problem("http_version", "1.1 or 2, as HTTP/3 is for https:// alone", "3"))
        if self.auth == "none" and self.username:
            problems.append(
                Problem("username", "nothing, as auth is none (basic and digest use it)", found(self.username))
            )
        if self.auth == "bearer" and not self.token:
            problems.append(Problem("token", "a token, as auth is bearer", "nothing"))
        if self.auth == "oauth2":
            problems += self._oauth2_problems()
        if self.auth in ("basic", "digest") and not self.username:
            problems.append(Problem("username", f"a user name, as auth is {self.auth}", "nothing"))
        if self.client_key and not self.client_cert:
            problems.append(Problem("client_cert", "a certificate for the key", "nothing"))
        if problems:
            raise Invalid(*problems)

    def _oauth2_problems(self) -> list[Problem]:
        problems = [
            Problem(name, f"{what}, as auth is oauth2", "nothing")
            for name, what in (("client_id", "a client"), ("client_secret", "its secret"))
            if not getattr(self, name)
        ]
        try:
            parse(self.token_url)
        except ValueError as error:
            problems.append(Problem("token_url", "an http or https URL, as auth is oauth2", f"one that {error}"))
        return problems


def summary(target: Target) -> str:
    """The method when it is not GET, and the URL without the values of its query."""
    url = quiet_url(target.url)
    return url if target.method == "GET" else f"{target.method} {url}"


async def check(target: Target, net: Net) -> Observation:
    """Fetch it; the status is for the assertions to judge."""
    seen = await (_with_token(target, net) if target.auth == "oauth2" else net.http.fetch(_same_request(target)))
    if target.cors_origin is not None:
        _allow(target.cors_origin, seen)
    return seen


async def _with_token(target: Target, net: Net) -> Observation:
    """Fetch it with a token of client credentials. One that was kept and is no longer accepted is asked for anew, once."""
    grant = Grant(
        url=target.token_url,
        client_id=target.client_id,
        client_secret=target.client_secret,
        scope=target.scope,
        in_body=target.credentials_in == "body",
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
    )
    while True:
        token, kept = await net.http.tokens.get(grant)
        seen = await net.http.fetch(_request(target, Login(scheme="bearer", token=token)))
        if seen.status_code != 401 or seen.redirects:
            return seen
        net.http.tokens.forget(grant)
        if not kept:
            return seen


_made: dict[int, tuple[Target, HttpRequest]] = {}
_MOST_MADE = 10_000  # forgotten all at once when full


def _same_request(target: Target) -> HttpRequest:
    """The request of a target, made once for each: a monitor keeps its target as long as nobody changes it."""
    known = _made.get(id(target))
    if known is not None and known[0] is target:
        return known[1]
    if len(_made) >= _MOST_MADE:
        _made.clear()
    request = _request(target)
    _made[id(target)] = target, request
    return request


def _request(target: Target, login: Login | None = None) -> HttpRequest:
    headers = tuple(target.headers.items())
    if target.cors_origin is not None:
        headers = (*(h for h in headers if h[0].lower() != "origin"), ("Origin", target.cors_origin))
    return HttpRequest(
        url=target.url,
        method=target.method,
        headers=headers,
        body=None if target.body is None else target.body.encode(),
        follow_redirects=target.follow_redirects,
        max_redirects=target.max_redirects,
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        client_cert=target.client_cert,
        client_key=target.client_key,
        ip_version=target.ip_version,
        resolve=target.resolve,
        proxy=target.proxy,
        http_version=target.http_version,
        max_body=target.max_body,
        login=login or _login(target),
    )


def _login(target: Target) -> Login | None:
    if target.auth in ("none", "oauth2"):
        return None
    return Login(scheme=target.auth, user=target.username, password=target.password, token=target.token)


def _allow(origin: str, seen: Observation) -> None:
    """Raise CheckFailed (cors) when a browser on that origin would not hand the answer over."""
    allowed: list[Any] = [value for name, value in seen.headers if name == "access-control-allow-origin"]
    if len(allowed) == 1 and allowed[0] in ("*", origin):
        return
    shown = ", ".join(allowed) if allowed else "no Access-Control-Allow-Origin"
    raise CheckFailed("cors", f"the answer does not allow the origin {origin}: {shown[:200]}", observation=seen)
