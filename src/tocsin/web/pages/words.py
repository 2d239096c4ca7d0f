"""Figures and spans of time as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from markupsafe import Markup

from tocsin.core import wording
from tocsin.core.alert import PERSON

span = wording.span
"""How long something lasted, in the words of messages."""

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*(?=[ ,;]|$)")
"""A word; what has a dot, a colon, a digit or a sign in it or behind it may be a name, and names keep their letters."""


def capital(text: str) -> str:
    """The text with a capital first, unless it begins with what may be a name (example.org, alice@example.org)."""
    return f"{text[:1].upper()}{text[1:]}" if _WORD.match(text) else text


def sentence(text: object) -> str:
    """The text with a capital first and a full stop last; the rest as it is (names and abbreviations keep theirs)."""
    said = capital(str(text))
    return said + ("" if said.endswith((".", "!", "?")) else ".")


def hearer(id: str, names: Mapping[str, str]) -> str:
    """What a channel, or a member who is mailed, is called; by its kind when it is gone."""
    return names.get(id) or ("a former member" if id.startswith(PERSON) else "a deleted channel")


def is_loopback(url: str) -> bool:
    """Whether a URL leads nowhere but to the machine that calls it."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def within(label: str) -> str:
    """The label as it stands within a sentence: "Address (URL)" with a small first letter, "TLS" as it is."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def ms(value: float | None) -> str:
    """ "184", "1,140" or "12.4": milliseconds without the unit, at most four digits; "none" when there is no figure."""
    if value is None:
        return "none"
    if value < 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:,.0f}"


def with_unit(value: float | None) -> Markup:
    """Milliseconds and a small unit; seconds from ten thousand on."""
    if value is None:
        return Markup('<span class="muted">none</span>')
    if value >= 10_000:
        return Markup("{} <small>s</small>").format(f"{value / 1000:.1f}")
    return Markup("{} <small>ms</small>").format(ms(value))


def percent(share: float | None) -> str:
    """99.93 of a share from 0 to 1, never rounded up to 100; "–" when nothing is known."""
    if share is None:
        return "–"
    if share >= 1:
        return "100"
    shown = int(share * 10_000) / 100
    return f"{shown:.2f}"


def every(seconds: float) -> str:
    """An interval: "60 s", "5 min", "1 h"."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s"


def clock(seconds: float) -> str:
    """ "14:08" or "1:02:08": a running time."""
    s = max(0, int(seconds))
    return f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}" if s >= 3600 else f"{s // 60}:{s % 60:02}"


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 monitor", "3 monitors"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
