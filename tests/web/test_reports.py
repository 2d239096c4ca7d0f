"""The SLA report: the same bytes whenever it is asked for, nothing of another workspace, no formulas in CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from builders import a_verdict, an_incident
from tocsin.core.result import iso
from tocsin.store.batch import Batch, IncidentChange, VerdictChange
from tocsin.web.api.reports import percent
from web.conftest import Alice

PATH = "/api/v1/reports/sla"


async def a_history(
    alice: Alice, name: str = "Shop", tags: tuple[str, ...] = (), days: int = 20
) -> tuple[str, datetime]:
    """(a paused monitor, the midnight its history begins at): up, down for 90 s on the second day, up again."""
    wanted = {"name": name, "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True, "tags": tags}
    id = (await alice.api.post("/api/v1/monitors", wanted)).data["id"]
    start = (alice.house.parts.clock.now() - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    down = start + timedelta(days=1, hours=3)
    verdicts = [
        a_verdict("up", at=start), a_verdict("down", at=down, reason="The only location says down"),
        a_verdict("up", at=down + timedelta(seconds=90)), a_verdict("unknown", at=start + timedelta(days=10)),
    ]  # fmt: skip
    incident = an_incident(
        id=f"i-{id}", workspace_id=alice.workspace_id, subject=f"monitor:{id}", monitor_id=id, opened_at=down,
        resolved_at=down + timedelta(seconds=90),
    )  # fmt: skip
    await alice.house.parts.store.commit(
        Batch(
            id="h" + id,
            verdicts=tuple(VerdictChange(workspace_id=alice.workspace_id, monitor_id=id, verdict=v) for v in verdicts),
            incidents=(IncidentChange(incident=incident),),
        )
    )
    return id, start


async def test_a_stretch_that_is_over_is_told_in_the_same_bytes(alice: Alice) -> None:
    id, start = await a_history(alice)
    asked = f"{PATH}?from={iso(start)}&to={iso(start + timedelta(days=10))}&target=99.9"
    one = await alice.api.get(asked)
    data = one.data
    assert data["final"] is True
    (line,) = data["monitors"]
    assert (line["id"], line["down_s"], line["incidents"], line["longest_incident_s"]) == (id, 90, 1, 90)
    assert (line["coverage"], line["met"], line["budget_s"], line["budget_left_s"]) == (1, True, 864, 774)
    (outage,) = line["outages"]
    assert (outage["seconds"], outage["reason"], outage["went_on"]) == (90, "The only location says down", False)
    assert {k: data["total"][k] for k in ("monitors", "down_s")} == {"monitors": 1, "down_s": 90}
    again = [(await alice.api.get(asked + more)).body for more in ("", "&format=csv", "&format=csv&part=outages")]
    await a_later_change(alice, id)
    after = [(await alice.api.get(asked + more)).body for more in ("", "&format=csv", "&format=csv&part=outages")]
    assert again == after
    assert again[0] == one.body


async def a_later_change(alice: Alice, id: str) -> None:
    now = alice.house.parts.clock.now()
    change = VerdictChange(workspace_id=alice.workspace_id, monitor_id=id, verdict=a_verdict("down", at=now))
    await alice.house.parts.store.commit(Batch(id="later", verdicts=(change,)))


async def test_what_reaches_into_now_is_not_final(alice: Alice) -> None:
    _, start = await a_history(alice)
    now = alice.house.parts.clock.now()
    data = (await alice.api.get(f"{PATH}?from={iso(start)}&to={iso(now + timedelta(days=1))}")).data
    assert data["final"] is False
    assert datetime.fromisoformat(data["to"]) <= alice.house.parts.clock.now()
    assert data["target"] is data["total"]["met"] is None


async def test_times_are_in_the_chosen_zone(alice: Alice) -> None:
    _, start = await a_history(alice)
    asked = f"{PATH}?from={iso(start)}&to={iso(start + timedelta(days=2))}&zone=Asia/Kolkata"
    data = (await alice.api.get(asked)).data
    assert data["from"].endswith("T05:30:00.000+05:30")
    assert data["monitors"][0]["outages"][0]["from"].endswith("T08:30:00.000+05:30")


async def test_monitors_are_chosen_and_come_by_name(alice: Alice) -> None:
    names = {"zeta": ("eu",), "Alpha": ("eu", "shop"), "beta": ()}
    ids = {name: (await a_history(alice, name, tags))[0] for name, tags in names.items()}
    start = alice.house.parts.clock.now() - timedelta(days=5)

    async def found(more: str) -> Any:
        answer = await alice.api.get(f"{PATH}?from={iso(start)}&to={iso(start + timedelta(days=1))}{more}")
        return [line["name"] for line in answer.data["monitors"]] if answer.status == 200 else answer.status

    assert await found("") == ["Alpha", "beta", "zeta"]
    assert await found("&tag=eu") == ["Alpha", "zeta"]
    assert await found(f"&tag=shop&monitor={ids['beta']}") == ["Alpha", "beta"]
    assert await found(f"&monitor={ids['zeta']},{ids['beta']}") == ["beta", "zeta"]
    assert await found("&tag=none") == []
    assert await found("&monitor=nobody") == 404
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    stranger = alice.house.caller(token)
    asked = f"{PATH}?from={iso(start)}&to={iso(start + timedelta(days=1))}"
    assert (await stranger.get(asked)).data["monitors"] == []
    assert (await stranger.get(f"{asked}&monitor={ids['beta']}")).status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2019-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=2999-01-02T00:00:00Z&to=2999-01-03T00:00:00Z", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&zone=Middle/Earth", "zone"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&zone=../../etc/passwd", "zone"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&target=101", "target"),
        ("from=2026-01-01T00:00:00Z", "to"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&format=xls", "format"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_name(alice: Alice, query: str, field: str) -> None:
    answer = await alice.api.get(f"{PATH}?{query}")
    assert (answer.status, answer.fields) == (422, [field])


async def test_a_spreadsheet_takes_nothing_for_a_formula(alice: Alice) -> None:
    names = ["=1+1", "+x", "-x", "@SUM(A1)", 'a,"b"', "plain"]
    for name in names:
        _, start = await a_history(alice, name)
    asked = f"{PATH}?from={iso(start)}&to={iso(start + timedelta(days=2))}&format=csv"
    answer = await alice.api.get(asked)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="sla-summary-')
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["monitor"] for row in rows] == ["'+x", "'-x", "'=1+1", "'@SUM(A1)", 'a,"b"', "plain", "All"]
    assert rows[0]["uptime_percent"] == "99.9479"
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@" and cell]
    outages = list(csv.DictReader(io.StringIO((await alice.api.get(asked + "&part=outages")).text, newline="")))
    assert len(outages) == 6


def test_a_percentage_is_never_rounded_up() -> None:
    assert percent(0.99999999) == "99.9999"
    assert percent(1.0) == "100.0000"
    assert percent(0.9999) == "99.9900"
    assert percent(0.29) == "29.0000"
    assert percent(None) == ""


async def test_the_page_lets_monitors_be_chosen_and_keeps_them_in_its_links(alice: Alice) -> None:
    shop, start = await a_history(alice, "Shop", tags=("front",))
    cart, _ = await a_history(alice, "Cart")
    await a_history(alice, "Mail")
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token or ""
    days = f"since={start:%Y-%m-%d}&until={start + timedelta(days=3):%Y-%m-%d}"

    async def shown(query: str) -> tuple[set[str], str]:
        page = (await browser.get(f"/reports?{days}&{query}", accept="text/html")).text
        table = page.partition('id="sla"')[2].partition("</table>")[0]
        return {name for name in ("Shop", "Cart", "Mail") if f">{name}</a>" in table}, page

    assert (await shown("which=all&tag=front&monitor=" + cart))[0] == {"Shop", "Cart", "Mail"}
    assert (await shown("which=tags&tag=front"))[0] == {"Shop"}
    names, page = await shown(f"which=monitors&monitor={shop}&monitor={cart}&tag=")
    assert names == {"Shop", "Cart"}
    assert f'value="{cart}" checked' in page
    link = page.partition('href="/reports/file?')[2].partition('"')[0].replace("&amp;", "&")
    file = await browser.get(f"/reports/file?{link}")
    assert {row["monitor"] for row in csv.DictReader(io.StringIO(file.text))} == {"Shop", "Cart", "All"}
    assert (await shown(f"monitor={shop},{cart}"))[0] == {"Shop", "Cart"}
    for wrong, said in (("which=monitors", "at least one monitor"), ("which=tags", "at least one tag")):
        answer = await browser.get(f"/reports?{days}&{wrong}", accept="text/html")
        assert (answer.status, said in answer.text) == (422, True), wrong


async def test_the_page_shows_it_and_says_what_is_wrong(alice: Alice) -> None:
    _, start = await a_history(alice, "<b>Shop</b>", days=70)
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token or ""
    days = f"since={start:%Y-%m-%d}&until={start + timedelta(days=3):%Y-%m-%d}"
    text = (await browser.get(f"/reports?{days}&zone=Europe/Berlin", accept="text/html")).text
    assert "&lt;b&gt;Shop&lt;/b&gt;" in text
    assert "<b>Shop</b>" not in text
    assert "The only location says down" in text
    assert "Not final" not in text
    file = await browser.get(f"/reports/file?{days}&zone=Europe/Berlin&format=json")
    assert file.data["monitors"][0]["down_s"] == 90
    assert (await browser.get("/reports", accept="text/html")).status == 200
    for wrong, said in (
        ("since=x&until=2026-01-01", "a day such as"),
        ("zone=Nowhere", "a time zone"),
        ("target=x", "99.9"),
        ("from=2026-01-01", "from"),
        (f"{days}&tags=front", "did you mean tag?"),
    ):
        answer = await browser.get(f"/reports?{wrong}", accept="text/html")
        assert (answer.status, said in answer.text) == (422, True), wrong
    assert datetime.now(UTC) > start
