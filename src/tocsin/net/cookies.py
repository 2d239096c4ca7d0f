"""Cookies of one check (RFC 6265: host or domain, path, Secure, end of life); nothing is kept beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tocsin.net.url import Url

_MOST = 50  # for each place that set them
_PLACES = 100
_LONGEST = 4096
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class CookieJar:
    """What servers asked to be sent back, and who is to get what."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        # Place (a host, or a domain with a dot before it) → (name, path) → (value, whether only over https).
        self._kept: dict[str, dict[tuple[str, str], tuple[str, bool]]] = {}

    def __bool__(self) -> bool:
        return bool(self._kept)

    def keep(self, url: Url, headers: Sequence[tuple[str, str]]) -> None:
        """Do as the Set-Cookie headers of an answer from `url` say."""
        for name, value in headers:
            if name == "set-cookie":
                self._keep(url, value, headers)

    def _keep(self, url: Url, text: str, headers: Sequence[tuple[str, str]]) -> None:
        pair, *rest = text.split(";")
        key, _, content = pair.strip().partition("=")
        attributes = {k.strip().lower(): v.strip() for k, _, v in (a.partition("=") for a in rest)}
        if not key or len(pair) > _LONGEST:
            return
        domain = attributes.get("domain", "").lstrip(".").lower()
        place = url.host
        if domain.count(".") and domain != url.host and not url.host.endswith("." + domain):
            return  # another's
        if domain.count(".") and not domain[-1].isdigit():
            place = "." + domain
        path = attributes.get("path", "")
        path = path if path.startswith("/") else _folder(url.path)
        if _is_over(attributes, headers):
            self._kept.get(place, {}).pop((key, path), None)
        elif len(self._kept) < _PLACES or place in self._kept:
            cookies = self._kept.setdefault(place, {})
            if len(cookies) < _MOST or (key, path) in cookies:
                cookies[key, path] = (content, "secure" in attributes)

    def header(self, url: Url) -> str:
        """The Cookie header for a request to `url`, "" for none; those of longer paths first."""
        found: list[tuple[str, str, str]] = []
        asked = url.path.partition("?")[0]
        for place, cookies in self._kept.items():
            if place == url.host or (place.startswith(".") and (url.host == place[1:] or url.host.endswith(place))):
                found += [
                    (path, key, value)
                    for (key, path), (value, secure) in cookies.items()
                    if _within(asked, path) and (url.scheme == "https" or not secure)
                ]
        found.sort(key=lambda row: -len(row[0]))
        return "; ".join(f"{key}={value}" for _, key, value in found)


def _folder(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[0] or "/"


def _within(asked: str, path: str) -> bool:
    return asked == path or asked.startswith(path if path.endswith("/") else path + "/")


def _is_over(attributes: dict[str, str], headers: Sequence[tuple[str, str]]) -> bool:
    """Whether the cookie is to be forgotten; time is what the server says it is."""
    if "max-age" in attributes:
        age = attributes["max-age"]
        return age.startswith("-") or age.strip("0") == ""
    if "expires" not in attributes:
        return False
    end = _date(attributes["expires"])
    now = next((_date(value) for name, value in headers if name == "date"), None)
    return end is not None and end <= (now or _LONG_AGO)


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text.replace("-", " "))
    except (ValueError, TypeError, IndexError, OverflowError):  # the last: a year or zone of twenty digits
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
