"""Which names are ours, and how a request reached us: what makes a write one of our own pages', and a cookie Secure.

A name that anybody may point at us is no proof: a page at http://evil.example can have its name moved to 127.0.0.1 while
it is open ("DNS rebinding"), and is then of the same origin as we are. So writes of browsers, and the making of the first
account, are taken only under names that are known: the base URL's, TOCSIN_ALLOWED_HOSTS, localhost, and addresses written
as numbers, which nobody can move."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from tocsin.core.plain import found
from tocsin.errors import Denied
from tocsin.web.problem import Refused

if TYPE_CHECKING:
    from tocsin.web.parts import Parts

_PORTS = {"http": 80, "https": 443}


def arrived_secure(parts: Parts, scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether the caller's side of the connection was encrypted: by ourselves, or by a trusted proxy that says so."""
    if parts.settings["TRUSTED_PROXIES"] > 0 and (said := headers.get("x-forwarded-proto")):
        return said.rpartition(",")[2].strip().lower() == "https"
    return scheme in ("https", "wss")


def is_secure(parts: Parts, scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether people use this server over https: the connection says so, or the base URL does."""
    return parts.settings.base_url.lower().startswith("https:") or arrived_secure(parts, scheme, headers)


def check_host(parts: Parts, host: str) -> None:
    """Return if the host that was asked for is a name of ours; raises Refused (421) otherwise."""
    if not _is_known(parts, _split(f"http://{host}")):
        raise Refused(
            421,
            f"this server is not known as {found(host)}: open it as {parts.settings.base_url}, or set"
            " TOCSIN_BASE_URL or TOCSIN_ALLOWED_HOSTS",
        )


def check_setup(parts: Parts, headers: Mapping[str, str]) -> None:
    """Return if the first account may be made under the name that was asked for. Where no setup token is needed, only
    the name shows that nobody else's page is asking."""
    if parts.setup_token is None:
        check_host(parts, headers.get("host", ""))


def check_origin(parts: Parts, scheme: str, headers: Mapping[str, str], *, by_cookie: bool) -> None:
    """Return if a write comes from one of our own pages, or from a program; raises Denied or Refused otherwise.

    A browser names the Origin of every write. One that is not ours is refused, with or without a cookie; none at all is
    fine for programs, which send no cookie."""
    origin = headers.get("origin")
    if origin is None and by_cookie and headers.get("sec-fetch-site") != "same-origin":
        raise Denied("a write with a cookie needs an Origin header")
    if origin is not None or by_cookie:
        check_host(parts, headers.get("host", ""))
    if origin is not None and not is_own_origin(parts, origin, scheme, headers):
        raise Denied("a write from another site is refused")


def is_own_origin(parts: Parts, origin: str, scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a page with this origin is one of ours: the base URL's, or of the known host that the caller asked for.
    A page that came without encryption is not ours where the base URL or the connection has it."""
    there, ours, asked = _split(origin), _split(parts.settings.base_url), _split(f"http://{headers.get('host', '')}")
    if there is None or ours is None or there.scheme not in _PORTS or there.path or there.query or "@" in there.netloc:
        return False
    if _place(there) == _place(ours):
        return True
    if asked is None or (there.hostname == ours.hostname and there.scheme != ours.scheme):
        return False
    same = there.netloc.lower() == asked.netloc.lower()
    return same and _is_known(parts, there) and (there.scheme == "https" or not arrived_secure(parts, scheme, headers))


def _is_known(parts: Parts, there: SplitResult | None) -> bool:
    name = (there.hostname or "").removesuffix(".") if there is not None else ""
    if not name or there is None or "@" in there.netloc:
        return False
    if name == "localhost" or name.endswith(".localhost") or _is_number(name):
        return True
    ours = _split(parts.settings.base_url)
    allowed = {word.strip().lower() for word in parts.settings["ALLOWED_HOSTS"].split(",") if word.strip()}
    return name in allowed or (ours is not None and name == ours.hostname)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
