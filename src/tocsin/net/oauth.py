"""Access tokens by OAuth 2 client credentials (RFC 6749 section 4.4), kept until shortly before they expire."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from msgspec import Struct

from tocsin.core.plain import as_map, clip, loads
from tocsin.core.result import Observation
from tocsin.errors import CheckFailed, Invalid
from tocsin.net.journey import HttpRequest

if TYPE_CHECKING:
    from tocsin.net.http import HttpEngine

_EARLY_S = 30.0
"""A token is not used in its last half minute."""
_UNSAID_S = 300.0
"""How long a token is used of which the server does not say how long it lasts."""
_LONGEST_S = 86_400.0
_MOST_KEPT = 2_000
_MOST_ANSWER = 65_536


class Grant(Struct, frozen=True, kw_only=True):
    """Who asks for a token, where and for what. `in_body`: the credentials go in the form, not in a header."""

    url: str
    client_id: str
    client_secret: str
    scope: str = ""
    in_body: bool = False
    verify_tls: bool = True
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Grant(url={self.url!r}, ***)"


class Tokens:
    """The tokens of this process. Several checks that want the same one ask for it once."""

    def __init__(self, http: HttpEngine) -> None:
        self._http = http
        self._kept: OrderedDict[Grant, tuple[str, float]] = OrderedDict()
        self._asking: dict[Grant, asyncio.Lock] = {}

    async def get(self, grant: Grant) -> tuple[str, bool]:
        """(a token, whether it was kept from before). Raises CheckFailed when the server gives none: the message says
        that it was the token's server, and what it answered."""
        kept = self._fresh(grant)
        if kept is not None:
            return kept, True
        lock = self._asking.setdefault(grant, asyncio.Lock())
        try:
            async with lock:
                kept = self._fresh(grant)
                if kept is not None:
                    return kept, True
                token, lasts_s = _read(await self._ask(grant))
                self._kept[grant] = token, time.monotonic() + min(lasts_s, _LONGEST_S) - _EARLY_S
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
                return token, False
        finally:
            if not lock.locked():
                self._asking.pop(grant, None)

    def forget(self, grant: Grant) -> None:
        """The token was not accepted: ask for another one next time."""
        self._kept.pop(grant, None)

    def _fresh(self, grant: Grant) -> str | None:
        token, until = self._kept.get(grant, ("", 0.0))
        return token if token and until > time.monotonic() else None

    async def _ask(self, grant: Grant) -> Observation:
        form = {"grant_type": "client_credentials"} | ({"scope": grant.scope} if grant.scope else {})
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
        if grant.in_body:
            form |= {"client_id": grant.client_id, "client_secret": grant.client_secret}
        else:  # both parts form-encoded first (RFC 6749 section 2.3.1)
            pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
            headers.append(("Authorization", "Basic " + b64encode(pair.encode()).decode()))
        request = HttpRequest(
            url=grant.url, method="POST", headers=headers, body=urlencode(form).encode(), follow_redirects=False,
            verify_tls=grant.verify_tls, ca_file=grant.ca_file, max_body=_MOST_ANSWER,
        )  # fmt: skip
        try:
            return await self._http.fetch(request)
        except CheckFailed as failure:
            raise CheckFailed(failure.type, f"no token: {failure.message}", phase=failure.phase) from None


def _read(seen: Observation) -> tuple[str, float]:
    """The token of an answer, and for how many seconds it is good."""
    try:
        said: Any = as_map(loads(seen.body)) or {}
    except Invalid:
        said = {}
    token, lasts = said.get("access_token"), said.get("expires_in")
    if seen.status_code == 200 and isinstance(token, str) and token and token.isprintable():
        known = isinstance(lasts, (int, float)) and not isinstance(lasts, bool) and lasts >= 0
        return token, float(lasts) if known else _UNSAID_S
    why = said.get("error") if isinstance(said.get("error"), str) else None
    detail = f" ({clip(why, 100)})" if why else "" if seen.status_code != 200 else " without an access_token"
    message = f"no token: expected 200 with an access_token from the token's server, found {seen.status_code}{detail}"
    raise CheckFailed("protocol", message, phase="ttfb")
