"""HTTP endpoints, checked from the host itself: those that only it can reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from tocsin.collectors import Facility
from tocsin.collectors._checks import Checks, Entry, must_differ, not_here
from tocsin.core.assertion_terms import entries, range_of
from tocsin.core.header import is_name, is_value
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.monitor import Assertion
from tocsin.core.plain import clip
from tocsin.core.sample import Reading
from tocsin.core.shape import Help, Hidden, Length, Long, Pattern, Private, Range
from tocsin.errors import Invalid, Problem
from tocsin.net.url import parse

TITLE, SAYS = "HTTP", "endpoints that this host can reach: status, time, keyword, certificate"
EVERY_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint that should answer."""

    url: Annotated[str, Private, Length(1, 8192), Help("The http or https URL")]
    name: Annotated[str | None, Length(1, 60), Help("What it is called here; else by its URL")] = None
    expected_status: Annotated[
        int | str | list[Any], Help("A status, a range such as 200-299 or 2xx, or a list of those")
    ] = "200-299"
    keyword: Annotated[str | None, Length(1, 1000), Help("Text that the answer must contain")] = None
    absent: Annotated[str | None, Length(1, 1000), Help("Text that it must not contain")] = None
    slow: Annotated[float | None, Range(1, 60_000), Help("Slower than so many ms is degraded")] = None
    check_interval: Annotated[float, Range(1, 86_400), Help("How often it is checked")] = 30
    timeout: Annotated[float, Range(0.1, 60), Help("Without an answer for so long it is down")] = 10
    retries: Annotated[int, Range(0, 5), Help("So often a failure is tried again before it counts")] = 1
    method: Annotated[str, Pattern(r"[A-Z][A-Z-]{0,30}", "a method in capitals, such as GET")] = "GET"
    headers: Annotated[dict[str, str], Length(0, 100), Hidden, Help("Request headers")] = field(
        default_factory=dict[str, str]
    )
    body: Annotated[str | None, Private, Long, Length(0, 65_536), Help("Request body")] = None
    verify_tls: Annotated[bool, Help("The certificate must be valid")] = True
    ca: Annotated[
        str | None, Long, Pattern(r"\s*-----BEGIN [\s\S]*", "PEM text that begins with -----BEGIN"),
        Help("Authorities to trust instead of the system's, PEM"),
    ] = None  # fmt: skip
    username: Annotated[str | None, Length(1, 500), Help("Sign in as this user (basic)")] = None
    password: Annotated[str | None, Hidden, Length(1, 1000), Help("The user's password")] = None
    token: Annotated[str | None, Hidden, Length(1, 8192), Help("Bearer token, instead of a user")] = None

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        try:
            parse(self.url)
        except ValueError as error:
            problems.append(Problem("url", "an http or https URL", f"one that {error}"))
        codes = entries(self.expected_status)
        if not codes or any(range_of(code) is None for code in codes):
            problems.append(
                Problem("expected_status", "statuses such as 200, 200-299 or 2xx", clip(str(self.expected_status)))
            )
        if not all(is_name(name) and is_value(value) for name, value in self.headers.items()):
            problems.append(Problem("headers", "names of letters, digits and -, values of one line", "others"))
        if self.token is not None and (self.username is not None or not is_value(self.token)):
            problems.append(Problem("token", "one line, and no user beside it", "***"))
        if problems:
            raise Invalid(*problems)

    @property
    def called(self) -> str:
        """Its name."""
        url = parse(self.url)
        return self.name or clip(f"{url.authority}{url.path.partition('?')[0]}", 60)

    def target(self) -> dict[str, Any]:
        """The target of the check, as plain data."""
        auth = "bearer" if self.token else "basic" if self.username else "none"
        return {
            "url": self.url, "method": self.method, "headers": self.headers, "body": self.body, "ca_file": self.ca,
            "verify_tls": self.verify_tls, "auth": auth, "username": self.username or "",
            "password": self.password or "", "token": self.token or "",
        }  # fmt: skip

    def assertions(self) -> tuple[Assertion, ...]:
        """What it must meet."""
        made = [Assertion(type="status_code", op="in", value=entries(self.expected_status))]
        if self.keyword is not None:
            made.append(Assertion(type="body", op="contains", value=self.keyword))
        if self.absent is not None:
            made.append(Assertion(type="body", op="not_contains", value=self.absent))
        if self.slow is not None:
            made.append(Assertion(type="response_time_ms", op="lt", value=self.slow, on_fail="degrade"))
        return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which endpoints are checked."""

    endpoints: Annotated[tuple[Endpoint, ...], Length(1, 100), Help("Endpoints, each with a url")]

    def __post_init__(self) -> None:
        must_differ("endpoints", [endpoint.called for endpoint in self.endpoints])


RULES = (
    HostRule(
        id="builtin:http.endpoint", name="An endpoint is down", condition=OnService(kind="check"), severity="critical",
    ),
    HostRule(
        id="builtin:http.degraded", name="An endpoint is slow", for_s=120, recovery_s=60,
        condition=OnSample(metric="check.degraded", labels={"type": "http"}, above=0),
    ),
)  # fmt: skip


class Source:
    """The endpoints, checked from its first look on."""

    def __init__(self, options: Options, facility: Facility) -> None:
        if facility.checker is None:
            raise not_here()
        made = [
            Entry(
                name=one.called, check=facility.checker("http", one.target(), one.timeout, one.assertions()),
                every_s=one.check_interval, retries=one.retries,
            )
            for one in options.endpoints
        ]  # fmt: skip
        self._checks = Checks(made, facility, "check", "http")

    async def collect(self) -> Reading:
        """The latest result of each."""
        return await self._checks.collect()

    async def close(self) -> None:
        """End what runs."""
        await self._checks.close()
