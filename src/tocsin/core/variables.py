"""Variables in texts: {{name}}, which ones a text names, what stands in their place, and how their values stay unseen."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, quote_plus

from tocsin.core.plain import clip
from tocsin.core.redaction import HIDDEN

MAX_VALUE = 4096
"""How long a variable's value may be."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_USE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,49})\s*\}\}")
_AUTHORITY = re.compile(r"[^/?#]*//[^/?#]*|[^/?#]*")
_TELLING = 8  # so many characters of a value at its start are known again wherever they stand
_SHORT = 4  # shorter texts are too common to be taken out of others


def named(text: str) -> list[str]:
    """The names of the variables in the text."""
    return _USE.findall(text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with the values of known variables in their places, each put in once and never read again."""
    if "{{" not in text:
        return text
    return _USE.sub(lambda use: values.get(use[1], use[0]), text)


def authority_of(url: str) -> str:
    """What says where a URL leads: its scheme, host and port, as they are written, variables and all."""
    match = _AUTHORITY.match(url)
    return match[0] if match is not None else ""


class Veil:
    """Takes values out of texts that people will see: as they are, in the forms that the wire and our own words give
    them, and their beginnings where a text was cut."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._whole: set[str] = set()
        self._forms: list[str] = []
        self._by_start: dict[str, list[str]] = {}
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Hide this value from now on."""
        if not value or value in self._whole:
            return
        self._whole.add(value)
        if len(value) >= _SHORT:
            self._forms = sorted({*self._forms, *_forms(value)}, key=len, reverse=True)
            self._by_start = {}
            for form in self._forms:
                self._by_start.setdefault(form[:_TELLING], []).append(form)

    def over(self, text: str) -> str:
        """The text with *** in the place of every hidden value."""
        if text in self._whole:
            return HIDDEN
        for start, forms in self._by_start.items():
            text = _without(text, start, forms)
        if "…" in text and self._forms:
            *cut, last = text.split("…")
            text = "…".join([*map(self._without_end, cut), last])
        return text

    def hides(self, text: str | None) -> bool:
        """Whether there is something hidden in the text."""
        return text is not None and self.over(text) != text

    def _without_end(self, part: str) -> str:
        """A part that was cut at its end, where a value may just have begun."""
        for form in self._forms:
            for size in range(min(len(form), len(part)), _SHORT - 1, -1):
                if part.endswith(form[:size]):
                    return part[:-size] + HIDDEN
        return part


def _forms(value: str) -> set[str]:
    """How a value may look in a URL, JSON, HTML, a basic login, and in our own messages."""
    forms = {
        value, value.lower(), repr(value)[1:-1], clip(value, len(value)), html.escape(value), quote(value),
        quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(value)[1:-1].replace("/", "\\/"), base64.b64encode(value.encode("utf-8", "replace")).decode(),
    }  # fmt: skip
    return {form for form in forms if len(form) >= _SHORT}


def _without(text: str, start: str, forms: Sequence[str]) -> str:
    """The text without these forms, all of which begin with `start`, as far as they stand there."""
    at = text.find(start)
    while at >= 0:
        size = max(_shared(text, at, form) for form in forms)
        text = text[:at] + HIDDEN + text[at + size :]
        at = text.find(start, at + len(HIDDEN))
    return text


def _shared(text: str, at: int, form: str) -> int:
    """How many characters of the form stand in the text from there on."""
    for size, char in enumerate(form):
        if at + size >= len(text) or text[at + size] != char:
            return size
    return len(form)
