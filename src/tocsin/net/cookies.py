"""Cookies within one check: taken from one hop, sent along with the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def keep_cookies(jar: dict[str, dict[str, str]], host: str, headers: Sequence[tuple[str, str]]) -> None:
    """Take in what an answer of this host sets (at most 50 of each host, for the rest of this one check)."""
    for name, value in headers:
        if name != "set-cookie":
            continue
        pair, *rest = value.split(";")
        key, _, content = pair.strip().partition("=")
        attributes = {k.strip().lower(): v.strip() for k, _, v in (a.partition("=") for a in rest)}
        domain = attributes.get("domain", "").lstrip(".").lower()
        place = "." + domain if domain.count(".") and (host == domain or host.endswith("." + domain)) else host
        if attributes.get("max-age") == "0":
            jar.get(place, {}).pop(key, None)
        elif key and len(jar.get(place, {})) < 50:
            jar.setdefault(place, {})[key] = content


def cookies_for(jar: Mapping[str, Mapping[str, str]], host: str) -> str:
    """What goes along to this host, as the Cookie header has it."""
    found: dict[str, str] = {}
    for place, cookies in jar.items():
        if place == host or (place.startswith(".") and (host == place[1:] or host.endswith(place))):
            found.update(cookies)
    return "; ".join(f"{k}={v}" for k, v in found.items())
