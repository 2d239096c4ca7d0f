"""URLs, parsed once and strictly: what we check is what we connect to."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from tocsin.errors import CheckFailed
from tocsin.net.resolve import ascii_host

DEFAULT_PORTS = {"http": 80, "https": 443}
_BAD = re.compile(r"[\x00-\x20\x7f\\]")
_NO_HOST = re.compile(r"https?:(?!//[^/?#])", re.IGNORECASE)
_WHOLE = re.compile(r"https?://", re.IGNORECASE)
_SAFE = "/%:@!$&'()*+,;=?-._~[]|"
MAX_URL = 8192


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL. `host` is as on the wire (IDNA, IPv6 without brackets), `path` has the query, `authority`
    is host:port without the scheme's own port, `text` all of it."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str
    text: str

    def __str__(self) -> str:
        return self.text


@functools.lru_cache(8192)
def parse(text: str) -> Url:
    """The URL. Raises ValueError, whose message says what is wrong, in words that follow "the URL "."""
    if len(text) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters")
    if _BAD.search(text):
        raise ValueError("has a space, a backslash or a control character in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"cannot be read: {error}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("does not start with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password in it; give them as authentication instead")
    if not parts.hostname or port == 0:
        raise ValueError("has no host" if not parts.hostname else "has port 0")
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.removesuffix(":")
    try:
        name = ascii_host(host)
    except CheckFailed as failure:
        raise ValueError(f"has a host that is no host name: {failure.message}") from None
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    number = port or DEFAULT_PORTS[parts.scheme]
    shown = f"[{name}]" if ":" in name else name
    authority = shown if number == DEFAULT_PORTS[parts.scheme] else f"{shown}:{number}"
    return Url(parts.scheme, name, number, path, authority, f"{parts.scheme}://{authority}{path}")


def join(at: Url, location: str) -> Url:
    """Where a redirect from `at` leads. Raises ValueError as `parse` does."""
    place = location.strip()
    if _NO_HOST.match(place):  # urljoin would put ours in
        raise ValueError("has no host")
    # urljoin would leave out an empty part at the end, such as the ; of https://example.org/a;
    return parse(place if _WHOLE.match(place) else urljoin(str(at), place))
