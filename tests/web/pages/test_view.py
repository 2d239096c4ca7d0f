"""Paths that stay here, times, and files named by their content."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Invalid, Problem
from tocsin.web.pages import view
from tocsin.web.pages.assets import assets

HOSTILE = [
    "//evil.example", "https://evil.example", "/\\evil.example", "\\/evil", "javascript:alert(1)", "/\t/evil.example",
    "/\n//evil", " /x", "", "evil.example", "///evil.example", "/%0a//x\r\nset-cookie: a=b",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_path_elsewhere_is_not_followed(text: str) -> None:
    assert view.safe_path(text, "/here") == "/here"


@given(st.text(alphabet="/\\.:@?#abc \t\n%", max_size=20) | st.text(max_size=30))
def test_where_we_send_people_is_always_here(text: str) -> None:
    to = view.safe_path(text)
    assert urlsplit(urljoin("http://tocsin.example/login", to)).netloc == "tocsin.example"
    assert not {"\n", "\r"} & set(to)


def test_what_is_wrong_is_said_with_its_remedy() -> None:
    error = Invalid(
        Problem("a", "a number or null", "'x'"), Problem("a", "second", "y"), Problem("b", "text", "nothing")
    )
    assert view.problems(error) == {"a": "Must be a number, not 'x'.", "b": "Must be given: text."}


def test_everything_in_a_template_is_escaped() -> None:
    text = view.render("problem.html", frame=None, title="<script>", text="", detail="a & b", code=404)
    assert "<script>" not in text.split("</head>")[1].replace("&lt;script&gt;", "")
    assert "a &amp; b" in text


def test_times_are_given_in_utc_for_who_has_no_scripts() -> None:
    shown = view.when(datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC), "second")
    assert 'datetime="2026-03-01T02:03:04.000Z"' in shown
    assert ">02:03:04</time>" in shown


def test_no_template_has_inline_style_or_script() -> None:
    from pathlib import Path

    folder = Path(view.__file__).parent.parent / "templates"
    for file in folder.glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert " style=" not in text, file.name
        assert "<script>" not in text, file.name
        assert " onclick" not in text, file.name
        assert "hx-on" not in text, file.name


def test_modules_import_each_other_by_hashed_name() -> None:
    served = assets().served(assets().url("tocsin.js").rpartition("/")[2])
    assert served is not None
    assert b'from "./live.js"' not in served.plain
    assert assets().url("live.js").rpartition("/")[2].encode() in served.plain
    assert served.brotli() != served.plain
    assert assets().served("nothing.js") is None
