"""Variables in texts, and that no value of theirs comes out in what people see."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tocsin.core.plain import clip, found
from tocsin.core.variables import Veil, authority_of, fill, named

VALUE = 'c4n4ry/"ö" & more\n'


def test_names_are_found_and_filled_once() -> None:
    text = "a {{x}} {{ y_1 }} {{x}} {{no.name}} {{}} {{1x}} {{z}}"
    assert named(text) == ["x", "y_1", "x", "z"]
    values = {"x": "{{y_1}}", "y_1": "\\1"}
    assert fill(text, values) == "a {{y_1}} \\1 {{y_1}} {{no.name}} {{}} {{1x}} {{z}}"


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://a.example:8/x//y?z", "https://a.example:8"), ("https://{{h}}:{{p}}/{{q}}", "https://{{h}}:{{p}}"),
        ("{{next}}?u=//x", "{{next}}"), ("{{a}}://{{b}}/c", "{{a}}://{{b}}"), ("https://a{{b}}", "https://a{{b}}"),
    ],
)  # fmt: skip
def test_what_says_where_a_url_leads(url: str, authority: str) -> None:
    assert authority_of(url) == authority


@pytest.mark.parametrize(
    "shown",
    [
        VALUE, VALUE.lower(), json.dumps({"t": VALUE}), json.dumps({"t": VALUE}, ensure_ascii=False), quote(VALUE), quote(VALUE, safe=""),
        repr(VALUE), clip(VALUE, 200), found(VALUE), base64.b64encode(VALUE.encode()).decode(), f"https://x/?a={quote(VALUE)}&b=1",
        clip("x" * 40 + VALUE, 47), f'"{clip(VALUE, 7)}", and more', f"the redirect to {('x' * 10 + VALUE)[:20]!r} leads nowhere",
    ],
)  # fmt: skip
def test_a_value_is_hidden_in_every_form(shown: str) -> None:
    hidden = Veil([VALUE]).over(shown)
    assert "***" in hidden
    assert "c4n4" not in hidden
    assert base64.b64encode(b"c4n4ry").decode()[:6] not in hidden


def test_short_values_are_hidden_only_when_they_are_all_of_it() -> None:
    veil = Veil(["ok", ""])
    assert veil.over("ok") == "***"
    assert veil.over("look, 3 tokens") == "look, 3 tokens"
    assert veil.over("") == ""
    assert not veil.hides(None)
