"""Several HTTP requests in a row, each judged by itself, with values of one answer used in the next requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tocsin.checks._steps import Step, name_problems, order_problems
from tocsin.checks._terms import CaFile, ClientCert, ClientKey, IpVersion, VerifyTls
from tocsin.checks._variables import Secrets
from tocsin.checks._variables import name_problems as variable_names
from tocsin.core.plain import quiet_url
from tocsin.core.result import Observation
from tocsin.core.shape import Example, Help, Length
from tocsin.errors import Invalid, Problem
from tocsin.net import Net
from tocsin.net.cookies import CookieJar
from tocsin.net.http import HttpRequest

TITLE, SAYS = "Transaction", "requests in a row"

OFFERS = ("certificate_days",)

GRACE_S = 0.6  # each step keeps a deadline of its own

_EXAMPLE = """[
 {"name": "log in", "url": "https://shop.example/login", "method": "POST",
  "headers": {"Content-Type": "application/json"},
  "body": "{\\"user\\": \\"probe\\", \\"password\\": \\"{{password}}\\"}",
  "capture": {"token": {"json_path": "$.token"}}},
 {"name": "read the basket", "url": "https://shop.example/basket",
  "headers": {"Authorization": "Bearer {{token}}"},
  "assertions": [{"type": "json_path", "path": "$.items", "op": "eq", "value": []}]},
 {"name": "log out", "url": "https://shop.example/logout", "method": "POST",
  "headers": {"Authorization": "Bearer {{token}}"}, "always": true}
]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Several HTTP requests in a row, such as signing in, doing something and signing out."""

    steps: Annotated[
        tuple[Step, ...],
        Length(1, 20),
        Example(_EXAMPLE),
        Help("The requests, in their order; those that always run last"),
    ]
    secrets: Secrets = field(default_factory=dict[str, str])
    cookies: Annotated[bool, Help("Keep cookies from step to step")] = True
    ip_version: IpVersion = None
    verify_tls: VerifyTls = True
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems = variable_names("secrets", self.secrets)
        problems += order_problems(self.steps)
        known = set(self.secrets)
        for i, step in enumerate(self.steps):
            problems += [
                Problem(f"steps[{i}].{p.field}", p.expected, p.found) for p in name_problems(step, known, self.secrets)
            ]
            known |= set(step.capture)
        if self.client_key and not self.client_cert:
            problems.append(Problem("client_cert", "a certificate for the key", "nothing"))
        if problems:
            raise Invalid(*problems)


def summary(target: Target) -> str:
    """The first step's URL without the values of its query, and how many steps there are."""
    more = len(target.steps) - 1
    return quiet_url(target.steps[0].url) + (f" and {more} more step{'s' if more > 1 else ''}" if more else "")


async def check(target: Target, net: Net) -> Observation:
    """Walk through the steps, then through those that always run."""
    from tocsin.checks._walk import Walk  # what judges is heavy: for those who run it

    how = HttpRequest(
        url="",
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        client_cert=target.client_cert,
        client_key=target.client_key,
        ip_version=target.ip_version,
        cookies=CookieJar() if target.cookies else None,
    )
    return await Walk(target.steps, target.secrets, how, net).go()
