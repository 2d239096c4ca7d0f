from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.web.call import Call, Reply, Route
from tocsin.web.problem import Refused
from tocsin.web.routes import ROUTES
from tocsin.web.table import Table


async def _nothing(call: Call) -> Reply:
    return Reply()


def _route(path: str, method: Literal["GET", "POST", "DELETE"] = "GET") -> Route:
    return Route(method=method, path=path, run=_nothing, permission="read", summary="A route")


TABLE = Table(
    [
        _route("/"), _route("/monitors/{id}"), _route("/monitors/{id}", "DELETE"), _route("/monitors/new"),
        _route("/monitors/new", "POST"), _route("/monitors/{id}/run", "POST"), _route("/monitors/new/{word}"),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "found", "values"),
    [
        ("GET", "/", "/", {}),
        ("HEAD", "/monitors/x", "/monitors/{id}", {"id": "x"}),
        ("GET", "/monitors/new", "/monitors/new", {}),
        ("GET", "/monitors/new/", "/monitors/new", {}),
        ("GET", "//monitors//x", "/monitors/{id}", {"id": "x"}),
        ("GET", "/monitors/new/run", "/monitors/new/{word}", {"word": "run"}),
        ("POST", "/monitors/{id}/run", "/monitors/{id}/run", {"id": "{id}"}),
    ],
)
def test_the_route_of_a_path(method: str, path: str, found: str, values: dict[str, str]) -> None:
    route, given_values = TABLE.find(method, path)
    assert (route.path, given_values) == (found, values)


@pytest.mark.parametrize("path", ["/nothing", "/monitors", "/monitors/x/y/z", "/Monitors/x", "/monitors/x/ru", ""])
def test_a_path_that_is_not_there(path: str) -> None:
    if not path:  # an empty path is the root
        assert TABLE.find("GET", path)[0].path == "/"
        return
    with pytest.raises(Refused) as caught:
        TABLE.find("GET", path)
    assert caught.value.status == 404


def test_a_method_that_is_not_taken() -> None:
    with pytest.raises(Refused) as caught:
        TABLE.find("POST", "/monitors/x")
    assert caught.value.status == 405
    assert caught.value.headers == {"allow": "GET, DELETE, HEAD, OPTIONS"}


def test_two_routes_of_one_url_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Table([_route("/a/{x}"), _route("/a/{y}")])


@pytest.mark.parametrize("declared", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_url_of_ours_is_found(declared: Any) -> None:
    table = Table(ROUTES)
    path = declared.path.replace("{", "-").replace("}", "-")
    assert table.find(declared.method, path)[0] is declared


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "OPTIONS", "BREW"]))
def test_any_text_is_found_or_refused(path: str, method: str) -> None:
    try:
        route, values = TABLE.find(method, path)
    except Refused as error:
        assert error.status in (404, 405)  # noqa: PT017 - either end is right
    else:
        assert route.method == method
        assert all("/" not in v and v for v in values.values())
