"""The pages of maintenance: forms that become windows and come back as forms; silences from a monitor; parents by name."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from tocsin.core.maintenance import Window
from tocsin.core.scope import Scope
from tocsin.web.pages import depends, window_words
from web.caller import Answer, Caller
from web.conftest import PASSWORD, Alice

START = datetime(2031, 1, 4, 3, 0, tzinfo=UTC)  # a Saturday


def a_window(rrule: str | None, time_zone: str = "UTC") -> Window:
    return Window(
        id="w", workspace_id="ws", name="W", scope=Scope(everything=True), starts_at=START, duration_s=3600,
        rrule=rrule, time_zone=time_zone, created_at=START, updated_at=START,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rrule", "says"),
    [
        (None, "once"),
        ("FREQ=DAILY", "every day"),
        ("FREQ=WEEKLY;BYDAY=MO,FR", "every Monday and Friday"),
        ("freq=weekly;byday=sa;until=20311231", "every Saturday, until 31 Dec 2031"),
        ("FREQ=MONTHLY", "every month on day 4"),
        ("FREQ=MONTHLY;BYDAY=-1SU", "every month on the last Sunday"),
        ("FREQ=MONTHLY;INTERVAL=2", "FREQ=MONTHLY;INTERVAL=2"),
        ("FREQ=WEEKLY;BYDAY=SA;UNTIL=20311231T120000Z", "FREQ=WEEKLY;BYDAY=SA;UNTIL=20311231T120000Z"),
    ],
)
def test_how_often_in_words(rrule: str | None, says: str) -> None:
    assert window_words.often(a_window(rrule)) == says


def test_a_span_is_told_by_the_clock_of_its_zone() -> None:
    assert window_words.span(START, START.replace(hour=5), "Europe/Berlin") == "Sat 4 Jan 2031, 04:00 to 06:00 CET"
    assert window_words.span(START, START.replace(day=5), "UTC") == "Sat 4 Jan 2031, 03:00 to Sun 5 Jan, 03:00 UTC"
    leap = datetime(2031, 3, 30, 0, 30, tzinfo=UTC)
    assert window_words.span(leap, leap.replace(hour=2), "Europe/Berlin").endswith("01:30 to 04:30 CET/CEST")


def test_parents_by_name() -> None:
    called = {"1": "Router", "2": "Line A", "3": "Line B", "4": "Sink or swim", "5": "Twin (5)", "6": "Twin (6)"}
    text = "router\n\n Line A  or line b\nSink or swim\nTwin (6)\nNobody or Router"
    parents = depends.read_back(text, called)
    assert parents == ["1", ["2", "3"], "4", "6", ["Nobody", "1"]]
    assert depends.shown(parents, called) == "Router\nLine A or Line B\nSink or swim\nTwin (6)\nNobody or Router"


async def browser(alice: Alice) -> Caller:
    made = alice.house.caller(origin="http://tocsin.test", content_type="application/x-www-form-urlencoded")
    fields = {"email": "alice@example.org", "password": PASSWORD}
    assert (await made.send("POST", "/login", raw=urlencode(fields).encode())).status == 303
    return made


async def post(who: Caller, url: str, *fields: tuple[str, str]) -> Answer:
    return await who.send("POST", url, raw=urlencode(fields).encode())


FORM = (
    ("name", "Night"), ("scope", "everything"), ("starts_at", "2031-01-04T02:30"), ("time_zone", "Europe/Berlin"),
    ("lasts", "1.5"), ("unit", "hours"), ("often", "weekly"), ("days", "SA"), ("days", "SU"), ("until", "2031-03-30"),
    ("enabled", "1"), ("reason", "Updates"),
)  # fmt: skip


def changed(**more: str) -> tuple[tuple[str, str], ...]:
    return (*((name, value) for name, value in FORM if name not in more), *more.items())


def test_a_stretch_is_told_by_the_readers_clock_too_where_that_differs() -> None:
    when = window_words.when(START, START.replace(hour=5), "Europe/Berlin")
    assert when.text == "Sat 4 Jan 2031, 04:00 to 06:00 CET"
    assert ">Sat 4 Jan, 03:00 UTC</time> to <time" in when.own
    assert 'data-wall="2031-01-04T04:00"' in when.own
    assert " hidden" not in when.own
    assert " hidden" in window_words.when(START, START.replace(hour=5), "UTC").own
    assert " hidden" in window_words.when(START, START.replace(hour=5), "Europe/London").own


async def test_a_window_is_made_in_a_form_and_comes_back_as_it_was_typed(alice: Alice) -> None:
    who = await browser(alice)
    made = await post(who, "/maintenance/new", *FORM)
    assert (made.status, made.headers.get("location")) == (303, "/maintenance?did=saved"), made.text
    (window,) = (await alice.api.get("/api/v1/maintenance-windows")).data["items"]
    assert (window["starts_at"], window["duration_s"], window["rrule"], window["time_zone"]) == (
        "2031-01-04T01:30:00.000Z", 5400, "FREQ=WEEKLY;BYDAY=SA,SU;UNTIL=20310330", "Europe/Berlin",
    )  # fmt: skip
    listed = (await who.get("/maintenance")).text
    assert "Nothing is held back now." in listed
    assert "every Saturday and Sunday, until 30 Mar 2031" in listed
    assert "Sat 4 Jan 2031, 02:30 to 04:00 CET" in listed
    form = (await who.get(f"/maintenance/{window['id']}")).text
    for typed in ('value="2031-01-04T02:30"', 'value="90"', "<option selected>minutes</option>", 'value="2031-03-30"'):
        assert typed in form, typed
    assert form.partition('id="times"')[2].partition("</section>")[0].count("<li>") == 5
    again = await post(who, f"/maintenance/{window['id']}", *changed(often="once"))
    assert again.status == 303, again.text
    assert (await alice.api.get(f"/api/v1/maintenance-windows/{window['id']}")).data["rrule"] is None
    assert (await post(who, f"/maintenance/{window['id']}/delete")).status == 303
    assert (await alice.api.get("/api/v1/maintenance-windows")).data["items"] == []


@pytest.mark.parametrize(
    ("how", "rrule"),
    [
        ("once", None), ("daily", "FREQ=DAILY;UNTIL=20310330"), ("monthly_day", "FREQ=MONTHLY;UNTIL=20310330"),
        ("monthly_weekday", "FREQ=MONTHLY;BYDAY=1SA;UNTIL=20310330"), ("own", "FREQ=YEARLY"),
    ],
)  # fmt: skip
async def test_every_way_of_coming_again(alice: Alice, how: str, rrule: str | None) -> None:
    who = await browser(alice)
    made = await post(who, "/maintenance/new", *changed(often=how, rrule="FREQ=YEARLY"))
    assert made.status == 303, made.text
    (window,) = (await alice.api.get("/api/v1/maintenance-windows")).data["items"]
    assert window["rrule"] == rrule


async def test_the_preview_shows_the_next_five_times_or_what_is_missing(alice: Alice) -> None:
    who = await browser(alice)
    shown = (await post(who, "/maintenance/preview", *changed(name="", scope="monitors"))).text
    assert shown.count("<li>") == 5
    assert "Sun 5 Jan 2031, 02:30 to 04:00 CET" in shown
    for wrong in (
        {"starts_at": "soon"}, {"time_zone": "Mars/X"}, {"time_zone": "../x"}, {"lasts": "long"}, {"lasts": "1e400"},
        {"often": "own", "rrule": "FREQ=SECONDLY"}, {"often": "own", "rrule": ""},
    ):  # fmt: skip
        answer = await post(who, "/maintenance/preview", *changed(**wrong))
        assert (answer.status, "Must be" in answer.text) == (200, True), (wrong, answer.text)


async def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(alice: Alice) -> None:
    who = await browser(alice)
    wrong = changed(name="", scope="monitors", starts_at="2020-01-01T00:00", often="once", lasts="x")
    answer = await post(who, "/maintenance/new", *wrong)
    assert answer.status == 422
    for text in (
        'id="e-name"',
        'id="e-duration_s"',
        "Must be monitors, hosts, tags, or everything",
        'value="2020-01-01T00:00"',
    ):
        assert text in answer.text, text


async def test_a_monitor_is_silenced_from_its_page_and_heard_again(alice: Alice) -> None:
    who = await browser(alice)
    made = (await alice.api.post("/api/v1/monitors", {"name": "Shop", "type": "push", "target": {}})).data["id"]
    one = f"/monitors/{made}"
    done = await post(who, f"{one}/silence", ("for", "3600"), ("back", one), ("reason", "Moving"), ("until", ""))
    assert (done.status, done.headers["location"]) == (303, one)
    assert "End it now" in (await who.get(one)).text
    (silence,) = (await alice.api.get("/api/v1/silences")).data["items"]
    assert (silence["scope"]["monitors"], silence["reason"]) == ([made], "Moving")
    assert "1 silence now." in (await who.get("/maintenance")).text
    assert (await post(who, f"/silences/{silence['id']}/end", ("back", one))).status == 303
    assert "End it now" not in (await who.get(one)).text
    until = (("until", "2026-01-01T00:00"), ("time_zone", "Europe/Berlin"))
    assert (await post(who, f"{one}/silence", *until)).status == 422


async def test_parents_are_typed_by_name(alice: Alice) -> None:
    who = await browser(alice)
    ids = [
        (await alice.api.post("/api/v1/monitors", {"name": name, "type": "push", "target": {}})).data["id"]
        for name in ("Router", "Line A", "Line B", "Shop")
    ]
    form = (("name", "Shop"), ("type", "push"), ("notify_on_resolve", "1"), ("flap_detection", "1"))
    saved = await post(who, f"/monitors/{ids[3]}/edit", *form, ("parents", "router\r\nLine A or Line B"))
    assert saved.status == 303, saved.text
    assert (await alice.api.get(f"/api/v1/monitors/{ids[3]}")).data["parents"] == [ids[0], ids[1:3]]
    shown = (await who.get(f"/monitors/{ids[3]}/edit")).text
    assert "Router\nLine A or Line B</textarea>" in shown
    assert "While Router is down, or Line A or Line B is down, nobody is told of it." in shown
    wrong = await post(who, f"/monitors/{ids[3]}/edit", *form, ("parents", "Shop\nNobody"))
    assert wrong.status == 422
    assert "Shop → Shop" in wrong.text
    assert "Nobody" in wrong.text
