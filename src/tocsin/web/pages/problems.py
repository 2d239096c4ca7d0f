"""What a page says when it cannot be shown: what happened, what still works, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tocsin.web.call import Reply
from tocsin.web.pages import view

if TYPE_CHECKING:
    from tocsin.web.parts import Parts

_SAID = {
    400: ("This request cannot be read", "Go back and try again."),
    403: ("You may not do this", ""),
    404: ("There is nothing here", "It may have been deleted, or the address is not quite right."),
    405: ("This address does not do that", "Go back and try again."),
    409: ("That is not possible just now", ""),
    413: ("That is too much at once", "Send less."),
    422: ("Something in the request is not right", ""),
    429: ("Too many requests", "Wait a moment, then try again."),
    500: ("Something is wrong on our side", "Checks and alerts go on. The log says what happened."),
    503: ("The database does not answer", "Checks and alerts go on; results are kept on disk until it is back."),
}


def error_page(parts: Parts, url_path: str, status: int, shown: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """The page for a problem. Nobody signed in: the way to the sign-in page, and back afterwards."""
    if status == 401:
        back = view.safe_path(url_path)
        return view.see_other("/login" if back == "/" else f"/login?next={view.query(back)}")
    title, text = _SAID.get(status, ("That did not work", ""))
    detail = str(shown.get("detail", "")) if status not in (404, 500) else ""
    page = view.html(
        view.render("problem.html", frame=None, title=title, text=text, detail=detail, code=status), status=status
    )
    page.headers = {**{k: v for k, v in headers.items() if k in ("retry-after", "allow")}, **page.headers}
    return page
