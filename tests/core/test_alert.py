"""Messages: their keys, who gets them, their words and their JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import START, a_channel, a_message, a_monitor, a_verdict, an_incident, at
from tocsin.core.alert import (
    Channel,
    Item,
    Message,
    OutboxRow,
    about,
    group_key,
    message_json,
    notification_key,
    remembering,
    rows_for,
    told_by,
)
from tocsin.core.alert import test_message as a_test_message
from tocsin.core.finding import terms_of
from tocsin.core.incident import Incident, Step, Transition, What
from tocsin.core.wording import listed, moment, one_line, span

SHOP = a_monitor(id="shop", name="Shop")
DOWN = a_verdict("down", reason="The only location says down")
UP = a_verdict("up", reason="The only location says up")


def told(
    what: What,
    incident: Incident,
    verdict: Any = DOWN,
    *,
    monitor: Any = SHOP,
    channels: tuple[Channel, ...] = (a_channel(id="ops"),),
    number: int = 1,
    seconds: float = 0.0,
    step: int = 0,
    **more: Any,
) -> tuple[OutboxRow, ...]:
    transition = Transition(number=number, what=what, at=at(seconds), step=step)
    shown = more.pop("shown", "")
    step = Step(incident=incident, transitions=(transition,))
    return rows_for(step, terms_of(monitor), about(monitor, verdict, shown), channels, at(seconds), **more)


def an_open(**more: Any) -> Incident:
    return an_incident(
        SHOP,
        id="i1",
        reason="HTTP 503 where 200–299 was expected",
        told=True,
        last_told_at=START,
        flips=(START,),
        **more,
    )


# Words


def title(rows: tuple[OutboxRow, ...]) -> str:
    (row,) = rows
    return row.message.title


def resolved(seconds: float, **more: Any) -> Incident:
    return an_incident(
        SHOP, id="i1", reason="HTTP 503", told=True, last_told_at=START, flips=(START, at(seconds)),
        resolved_at=at(seconds), **({"resolution": "recovered", "transition": 2} | more),
    )  # fmt: skip


def test_the_titles_say_what_is_so() -> None:
    assert title(told("opened", an_open())) == "Shop is down: HTTP 503 where 200–299 was expected"
    assert title(told("reopened", an_open())) == "Shop is down again: HTTP 503 where 200–299 was expected"
    assert title(told("resolved", resolved(848), UP)) == "Shop is up again after 14 min 8 s"
    assert title(told("resolved", resolved(60), a_verdict("degraded"))) == "Shop is up again after 1 min, but degraded"
    partly = resolved(60, locations=("europe",))
    assert (
        title(told("resolved", partly, a_verdict("partial")))
        == "Shop is partly up again after 1 min: europe still says down"
    )
    closed = resolved(60, resolution="the monitor was paused")
    assert title(told("resolved", closed, None)) == "Shop: incident closed after 1 min: the monitor was paused"
    assert title(told("reminder", an_open(), seconds=7500, step=2)) == (
        "Shop is still down after 2 h 5 min: HTTP 503 where 200–299 was expected"
    )
    assert title(told("unstable", an_open())) == "Shop is unstable: it keeps changing, and is down now"
    assert title(told("calm", resolved(60), UP)) == "Shop is calm again: it is up"


def test_the_text_names_votes_places_and_times() -> None:
    verdict = a_verdict("down", n=4, k=3, reason="3 of 4 locations say down; 3 are needed")
    (row,) = told(
        "opened", an_open(locations=("asia", "europe", "us-east")), verdict, shown="https://shop.example/health"
    )
    assert row.message.text.splitlines() == [
        "3 of 4 locations say down; 3 are needed.",
        "Seen from asia, europe and us-east.",
        "Since 2026-03-01 12:00:00 UTC.",
        "https://shop.example/health",
    ]
    (row,) = told("resolved", resolved(60), UP)
    assert row.message.text.splitlines() == [
        "The only location says up.",
        "It was down: HTTP 503.",
        "From 2026-03-01 12:00:00 UTC to 2026-03-01 12:01:00 UTC.",
    ]


def test_the_duration_is_that_of_the_latest_stretch() -> None:
    again = an_incident(
        SHOP, flips=(START, at(60), at(120), at(150)), resolved_at=at(150), resolution="recovered", told=True
    )
    assert title(told("resolved", again, UP)) == "Shop is up again after 30 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (45.4, "45 s"), (60, "1 min"), (848, "14 min 8 s"), (3600, "1 h"), (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_durations_are_said_in_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_long_lists_are_cut() -> None:
    assert listed(("a",)) == "a"
    assert listed(("a", "b")) == "a and b"
    assert listed(tuple("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert moment(START) == "2026-03-01 12:00:00 UTC"


@given(st.text(max_size=400), st.text(max_size=400))
def test_whatever_a_monitor_is_called_its_title_is_one_short_line(name: str, reason: str) -> None:
    monitor = a_monitor(name=name)
    (row,) = told("opened", an_incident(monitor, reason=reason), monitor=monitor)
    assert len(row.message.title) <= 200
    assert row.message.title.isprintable()
    assert one_line(row.message.title, 200) == row.message.title


# Keys and order


def test_the_key_is_the_same_for_ever() -> None:
    key = notification_key("ws", "ops", "monitor:shop", 1, "opened")
    assert key == "c2fd16a895439075c9acf0f871af04c2"
    assert (
        len(
            {
                notification_key("ws", "ops", "monitor:shop", n, w, s)
                for n in (1, 2)
                for w in ("opened", "reminder")
                for s in (0, 1)
            }
        )
        == 8
    )


@given(st.lists(st.text(max_size=4), min_size=4, max_size=4), st.lists(st.text(max_size=4), min_size=4, max_size=4))
def test_no_two_messages_share_a_key_by_the_way_their_parts_join(one: list[str], two: list[str]) -> None:
    keys = [notification_key(a, b, c, 1, d) for a, b, c, d in (one, two)]
    assert (keys[0] == keys[1]) is (one == two)


def test_messages_of_a_subject_leave_in_the_order_of_its_story() -> None:
    down, up = an_open(), resolved(60)
    rows = [
        told("opened", down, number=1),
        told("reminder", down, number=1, step=1),
        told("reminder", down, number=1, step=2),
        told("resolved", up, UP, number=2),
        told("unstable", down, number=3),
        told("calm", down, number=3),
        told("resolved", up, UP, number=4),
    ]
    orders = [row.order for (row,) in rows]
    assert orders == sorted(set(orders))
    assert len({row.key for (row,) in rows}) == len(rows)


# Who is told


def test_a_monitor_tells_its_own_channels_or_every_default_one() -> None:
    channels = (
        a_channel(id="d1"),
        a_channel(id="d2"),
        a_channel(id="n1", default=False),
        a_channel(id="off", enabled=False),
        a_channel(id="foreign", workspace_id="elsewhere"),
    )
    everyone = ("d1", "n1", "off", "foreign")
    assert [c.id for c in told_by(terms_of(a_monitor()), channels)] == ["d1", "d2"]
    assert [c.id for c in told_by(terms_of(a_monitor(channels=everyone)), channels)] == ["d1", "n1"]
    assert told_by(terms_of(a_monitor(channels=())), channels) == []


def test_a_resolve_goes_only_where_its_opening_went() -> None:
    channels = (a_channel(id="old", created_at=at(-60)), a_channel(id="new", created_at=at(30)))
    assert [row.channel_id for row in told("resolved", resolved(60), UP, channels=channels)] == ["old"]
    assert [row.channel_id for row in told("reminder", an_open(), channels=channels)] == ["new", "old"]
    quiet = a_monitor(id="shop", notify_on_resolve=False)
    assert told("resolved", resolved(60), UP, monitor=quiet) == ()
    assert len(told("opened", an_open(), monitor=quiet)) == 1


def ids(rows: tuple[OutboxRow, ...]) -> list[str]:
    return [row.channel_id for row in rows]


def test_what_comes_of_an_opening_goes_exactly_where_it_went() -> None:
    channels = tuple(a_channel(id=id, default=False) for id in ("a", "b", "c"))
    before, after = a_monitor(id="shop", channels=("a", "b")), a_monitor(id="shop", channels=("b", "c"))
    opening = (Transition(number=1, what="opened", at=START),)
    incident = remembering(an_open(), opening, terms_of(before), channels)
    assert incident.told_channels == ("a", "b")
    assert ids(told("reminder", incident, monitor=after, channels=channels)) == ["a", "b"]
    over = replace(incident, resolved_at=at(60), resolution="recovered", transition=2)
    assert ids(told("resolved", over, UP, monitor=after, channels=channels)) == ["a", "b"]
    assert ids(told("calm", over, UP, monitor=after, channels=channels)) == ["a", "b"]
    assert ids(told("unstable", over, UP, monitor=after, channels=channels)) == ["a", "b", "c"]
    off = (replace(channels[0], enabled=False), *channels[2:])
    assert ids(told("resolved", over, UP, monitor=after, channels=off)) == []
    assert ids(told("reopened", incident, monitor=after, channels=channels)) == ["b", "c"]
    again = (Transition(number=3, what="reopened", at=START),)
    assert remembering(incident, again, terms_of(after), channels).told_channels == ("b", "c")


def test_who_joins_after_an_opening_that_nobody_heard_hears_no_end_of_it() -> None:
    nobody = remembering(
        an_open(), (Transition(number=1, what="opened", at=START),), terms_of(a_monitor(channels=())), ()
    )
    assert nobody.told_channels == ()
    over = replace(nobody, resolved_at=at(60), resolution="recovered", transition=2)
    assert told("resolved", over, UP) == ()
    assert ids(told("unstable", an_open())) == ["ops"]


def test_nothing_to_tell_makes_no_rows() -> None:
    assert rows_for(Step(incident=an_open()), terms_of(SHOP), about(SHOP, DOWN), (a_channel(),), START) == ()
    assert rows_for(Step(incident=None), terms_of(SHOP), about(SHOP, UP), (a_channel(),), START) == ()


# JSON


def test_a_row_carries_the_event_as_webhooks_get_it() -> None:
    (row,) = told("opened", an_open(), shown="https://shop.example/health", base_url="https://watch.example/")
    assert (row.state, row.next_at, row.subject, row.message.key) == ("pending", START, "monitor:shop", row.key)
    assert message_json(row.message) == {
        "event": "incident.opened",
        "key": row.key,
        "severity": "critical",
        "title": "Shop is down: HTTP 503 where 200–299 was expected",
        "text": "The only location says down.\nSince 2026-03-01 12:00:00 UTC.\nhttps://shop.example/health",
        "monitor": {"id": "shop", "name": "Shop", "type": "http", "target": "https://shop.example/health"},
        "incident": {
            "id": "i1",
            "severity": "critical",
            "verdict": "down",
            "opened_at": "2026-03-01T12:00:00.000Z",
            "acknowledged_at": None,
            "resolved_at": None,
            "trouble_from": "2026-03-01T12:00:00.000Z",
            "trouble_to": None,
            "duration_s": 0.0,
        },
        "verdict": "down",
        "reason": "HTTP 503 where 200–299 was expected",
        "at": "2026-03-01T12:00:00.000Z",
        "url": "https://watch.example/incidents/i1",
    }


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("opened", "incident.opened"),
        ("reopened", "incident.reopened"),
        ("escalated", "incident.escalated"),
        ("reminder", "incident.reminder"),
        ("unstable", "incident.reopened"),
        ("calm", "incident.reopened"),
    ],
)
def test_each_transition_is_one_of_the_known_events(what: What, event: str) -> None:
    (row,) = told(what, an_open(), seconds=600)
    assert row.message.event == event


def test_what_unstable_and_calm_say_keeps_a_listener_right() -> None:
    assert told("calm", resolved(60), UP)[0].message.event == "incident.resolved"
    assert told("unstable", resolved(60), UP)[0].message.event == "incident.resolved"
    assert told("unstable", an_open())[0].message.event == "incident.opened"


def test_the_reason_of_an_end_is_why_it_ended() -> None:
    assert (
        told("resolved", resolved(60), UP)[0].message.reason
        == f"over: {resolved(60).reason} (The only location says up)"
    )
    assert told("resolved", resolved(60, resolution="deleted"), UP)[0].message.reason == "deleted"


def test_late_messages_say_so() -> None:
    (row,) = told("opened", an_open())
    assert "late_s" not in message_json(row.message)


def test_the_test_button_sends_a_message_about_nothing() -> None:
    channel = a_channel(name="Ops")
    one, two = (a_test_message(channel, moment, base_url="") for moment in (START, START + timedelta(microseconds=1)))
    assert one.key != two.key
    shown = message_json(one)
    assert (shown["event"], shown["monitor"], shown["incident"], shown["verdict"]) == ("test", None, None, None)
    assert one.title == "Test message for Ops"
    linked = a_test_message(channel, START, base_url="https://t.example/")
    assert (one.url, linked.url) == ("", "https://t.example/channels")
    assert json.loads(json.dumps(shown)) == shown


def test_no_secret_of_a_target_reaches_a_message() -> None:
    monitor = a_monitor(
        target={"url": "https://shop.example", "password": "hunter2", "headers": {"Authorization": "x"}}
    )
    (row,) = told("opened", an_incident(monitor), monitor=monitor, shown="https://shop.example")
    assert "hunter2" not in repr(row)
    assert "Authorization" not in repr(row)


def test_all_messages_of_an_incident_are_one_group_on_every_channel() -> None:
    channels = (a_channel(id="ops"), a_channel(id="dev"))
    opened = told("opened", an_open(), channels=channels)
    over = told("resolved", resolved(60, told_channels=("dev", "ops")), UP, channels=channels, number=2)
    groups = {row.message.group for row in (*opened, *over)}
    assert len(opened) == len(over) == 2
    assert groups == {group_key("ws", "i1")}
    assert group_key("ws", "i2") not in groups
    test = a_test_message(channels[0], START, base_url="")
    assert test.group == test.key


def test_a_digest_names_what_it_gathers() -> None:
    items = (Item(title="Shop is down", severity="critical", url="https://watch.example/incidents/1"),)
    digest = a_message(event="digest", items=items, monitor=None, incident=None)
    (item,) = message_json(digest)["items"]
    assert item == item | {"title": "Shop is down", "severity": "critical", "url": "https://watch.example/incidents/1"}
    assert "items" not in message_json(a_message())
    assert msgspec.json.decode(msgspec.json.encode(digest), type=Message) == digest
