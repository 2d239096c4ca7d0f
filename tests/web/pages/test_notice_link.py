"""Where notices lead: every kind of them to a page that is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from tocsin.core.notice import Notice, NoticeKind
from tocsin.web.pages.notice_link import leads_to
from tocsin.web.routes import ROUTES
from tocsin.web.table import Table

ABOUT = {"channel": [{}, {"channel_id": "c1"}, {"channel_id": "person:u1"}], "location": [{"location": "eu"}]}


@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_every_notice_leads_to_a_page(kind: NoticeKind) -> None:
    for about in ABOUT.get(kind.partition(".")[0], [{}]):
        notice = Notice(workspace_id="w", mark="m", kind=kind, at=datetime(2026, 1, 1, tzinfo=UTC), text="…", **about)
        href, word = leads_to(notice)
        route, _ = Table(ROUTES).find("GET", href)
        assert route.kind == "page", href
        assert word
