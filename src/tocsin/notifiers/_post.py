"""Posting JSON to a channel's address, and reading whether it was taken: what the HTTP notifiers share."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from tocsin.core.wording import one_line
from tocsin.errors import DeliveryFailed, Invalid, Problem
from tocsin.net.http import HttpReply
from tocsin.net.url import parse
from tocsin.notifiers import Receipt, Way

_AGAIN = frozenset((408, 425, 429))
_LONGEST_WAIT_S = 3600.0


def check_url(url: str, *, hidden: bool = False, secure: bool = False, field: str = "url") -> None:
    """Raise Invalid unless it is an http or https URL; one that is hidden is not repeated in the problem. With `secure`
    plain http is for loopback and private addresses alone (a receiver of one's own, to try it out)."""
    shown = "***" if hidden else url[:80]
    try:
        found = parse(url)
    except ValueError as error:
        raise Invalid(Problem(field, f"a URL that is sound (it {error})", shown)) from None
    if secure and found.scheme != "https" and not _near(found.host):
        why = "its address is a secret" if hidden else "a secret goes there"
        raise Invalid(Problem(field, f"an https:// URL ({why})", shown))


def under(base: str, path: str) -> str:
    """The address of a path under a base URL, whether or not that ends with a slash."""
    return f"{base.rstrip('/')}/{path}"


def _near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


async def post_json(
    way: Way, url: str, payload: object, headers: Mapping[str, str], *, secrets: tuple[str, ...] = ()
) -> Receipt:
    """Post it; a Receipt when the answer is 2xx, else DeliveryFailed. `secrets` never show in what it says."""
    return await post_bytes(way, url, msgspec.json.encode(payload), headers, secrets=secrets)


async def post_bytes(
    way: Way, url: str, body: bytes, headers: Mapping[str, str], *, secrets: tuple[str, ...] = ()
) -> Receipt:
    """As `post_json`, for a body that is made already."""
    return judge(await ask(way, url, body, headers, secrets=secrets), secrets=secrets)


async def ask(
    way: Way, url: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST", secrets: tuple[str, ...] = ()
) -> HttpReply:
    """Send it and return what was answered, whatever its status. Raises DeliveryFailed when there is no answer."""
    sent = {"Content-Type": "application/json; charset=utf-8", **headers}
    try:
        return await way.net.http.post(url, body, sent, timeout_s=way.answer_s, method=method)
    except DeliveryFailed as failure:
        text = _without(str(failure), secrets)
        raise DeliveryFailed(text, permanent=failure.permanent, retry_after_s=failure.retry_after_s) from None


def json_of(reply: HttpReply) -> dict[str, Any]:
    """The JSON object in an answer; empty when there is none."""
    return _object(reply.body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def judge(reply: HttpReply, *, secrets: tuple[str, ...] = ()) -> Receipt:
    """A Receipt for 2xx. Raises DeliveryFailed: for good, unless it is 408, 425, 429 or 5xx, which may pass."""
    said = one_line(_without(reply.body[:2000].decode("utf-8", "replace"), secrets), 200)
    detail = f"HTTP {reply.status}" + (f": {said}" if said else "")
    if 200 <= reply.status < 300:
        return Receipt(detail)
    if reply.status in _AGAIN or reply.status >= 500:
        raise DeliveryFailed(detail, retry_after_s=retry_after_s(reply))
    if 300 <= reply.status < 400:
        detail = f"HTTP {reply.status}: redirects to another address are not followed"
    raise DeliveryFailed(detail, permanent=True)


def retry_after_s(reply: HttpReply) -> float | None:
    """How long the other side asks us to wait (at most an hour): Retry-After in seconds or as a date measured by the
    answer's own clock, or `retry_after` in a JSON body (at its top, or in `parameters` as Telegram has it)."""
    asked = reply.headers.get("retry-after", "").strip()
    wait = _number(asked)
    if wait is None and asked:
        wait = _until(asked, reply.headers.get("date", ""))
    if wait is None:
        wait = _in_body(reply.body)
    return None if wait is None else min(max(wait, 0.0), _LONGEST_WAIT_S)


def _number(text: str) -> float | None:
    if len(text) > 20 or not text.replace(".", "", 1).isdecimal() or not text.isascii():
        return None
    return float(text)


def _until(date: str, now: str) -> float | None:
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _in_body(body: bytes) -> float | None:
    said = _object(body)
    inner: Any = said.get("parameters")
    wait = said.get(
        "retry_after", cast("dict[str, Any]", inner).get("retry_after") if isinstance(inner, dict) else None
    )
    if not isinstance(wait, int | float) or isinstance(wait, bool):
        return None
    return float(min(wait, _LONGEST_WAIT_S))  # a whole number of JSON may be larger than any float


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text
