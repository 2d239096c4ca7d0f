"""What a digest says: a line for each subject, where it stands, everybody named."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from builders import a_message, an_outbox_row, at
from tocsin.core.alert import OutboxRow, message_json
from tocsin.core.digest import UPDATED, as_fallback, digest_key, gather, times


def a_row(name: str, event: str, seconds: float, order: int = 1, **more: Any) -> OutboxRow:
    """A message about the monitor of that name."""
    monitor = {"id": name.lower(), "name": name, "type": "http", "target": "http://127.0.0.1:9/"}
    title = f"{name} is up again after 2 min" if event.endswith("resolved") else f"{name} is down: connection refused"
    message = a_message(event=event, title=title, monitor=monitor, at=at(seconds), url=f"https://t/{name}", **more)
    return an_outbox_row(message=message, subject=f"monitor:{name}", order=order, created_at=at(seconds))


def test_a_digest_names_everything_it_carries_and_counts_it() -> None:
    rows = [a_row(f"Shop {n}", "incident.opened", n) for n in range(195)]
    digest, _ = gather(rows, at(200), storm="s", base_url="https://t/")
    message = digest.row.message
    assert message.title == "195 monitors are down"
    assert message.text.startswith("195 messages in one")
    assert [item.title for item in message.items] == [row.message.title for row in rows]
    assert (message.event, message.severity, message.url) == ("digest", "critical", "https://t/incidents")
    assert digest.keys == tuple(row.key for row in rows)
    shown = message_json(message)["items"][7]
    assert shown["monitor_id"] == "shop 7"
    assert list(shown["keys"]) == [rows[7].key]
    assert shown["event"] == "incident.opened"


def test_an_opening_and_its_end_that_both_waited_are_one_line() -> None:
    rows = [
        a_row("A", "incident.opened", 60),
        a_row("B", "incident.opened", 61),
        a_row("A", "incident.resolved", 180, 2),
        a_row("C", "incident.resolved", 181),
    ]
    digest, _ = gather(rows, at(200), storm="s")
    titles = [item.title for item in digest.row.message.items]
    assert titles == [
        "B is down: connection refused",
        "A was down 12:01–12:03 UTC: connection refused",
        "C is up again after 2 min",
    ]
    assert digest.row.message.title == "1 monitor is down, 2 up again"
    over = digest.row.message.items[1]
    assert (over.severity, over.event, over.keys) == ("info", "incident.resolved", (rows[0].key, rows[2].key))


def test_what_hosts_have_is_counted_as_alerts() -> None:
    disk = a_message(event="incident.opened", title="web-1: disk /: 91 %", monitor=None, at=at(60), reason="91 %")
    over = a_message(event="incident.resolved", title="web-1: disk / is over: 80 %", monitor=None, at=at(180))
    rows = [
        an_outbox_row(message=message, subject="host:web-1:disk", order=order, created_at=message.at)
        for order, message in enumerate((disk, over))
    ]
    digest, _ = gather([*rows, a_row("A", "incident.opened", 90)], at(200), storm="s")
    assert digest.row.message.title == "1 alert is open, 1 over"
    assert [item.title for item in digest.row.message.items] == [
        "A is down: connection refused", "web-1: disk /: 91 % (over, 12:01–12:03 UTC)",
    ]  # fmt: skip
    assert gather(rows, at(200), storm="s", heard=2)[0].row.message.title == "1 alert is over, 2 still open"


def test_a_flap_is_one_line_that_says_where_it_stands() -> None:
    rows = [
        a_row("A", "incident.opened", 0, 1),
        a_row("A", "incident.resolved", 60, 2),
        a_row("A", "incident.reopened", 120, 3),
    ]
    digest, _ = gather(list(reversed(rows)), at(200), storm="s")
    (item,) = digest.row.message.items
    assert item.title == "A is down: connection refused (3 changes, 12:00–12:02 UTC)"
    assert item.keys == tuple(row.key for row in rows)


def test_the_end_of_all_says_so_and_is_no_alarm() -> None:
    digest, _ = gather([a_row(n, "incident.resolved", 1) for n in "ABC"], at(9), storm="s")
    message = digest.row.message
    assert (message.title, message.severity, message.verdict) == ("3 monitors are up again", "info", "up")


def test_a_title_says_what_is_new_and_how_much_there_is_in_all() -> None:
    def title(letters: str, heard: int) -> str:
        events = {"d": "incident.opened", "u": "incident.resolved"}
        rows = [a_row(f"{n}", events[letter], 1) for n, letter in enumerate(letters)]
        return gather(rows, at(9), storm="s", heard=heard)[0].row.message.title

    assert title("dddd", 12) == "4 more monitors are down, 12 in all"
    assert title("duu", 2) == "1 more monitor is down, 2 in all, 2 up again"
    assert title("dddd", 4) == "4 monitors are down"
    assert title("uuu", 9) == "3 monitors are up again, 9 still down"


def test_a_line_says_from_when_to_when_it_was_down() -> None:
    span = {"id": "i", "trouble_from": "2026-03-01T11:55:00.000Z", "trouble_to": "2026-03-01T12:10:00.000Z"}
    rows = [a_row("A", "incident.opened", 300, incident=span), a_row("A", "incident.resolved", 900, 2, incident=span)]
    (item,) = gather(rows, at(999), storm="s")[0].row.message.items
    assert item.title == "A was down 11:55–12:10 UTC: connection refused"


def test_the_same_messages_make_the_same_digest() -> None:
    rows = [a_row(n, "incident.opened", 1) for n in "ABC"]
    keys = [row.key for row in rows]
    first, again = gather(rows, at(9), storm="s")[0].row, gather(rows, at(60), storm="other")[0].row
    assert first.key == again.key == digest_key("c", keys)
    assert len({digest_key("c", keys), digest_key("d", keys), digest_key("c", keys[:2])}) == 3
    assert first.message.group != again.message.group


def test_an_update_says_what_was_said_before_too_and_where_it_stands_now() -> None:
    first, lines = gather([a_row(n, "incident.opened", 1) for n in "ABC"], at(9), storm="s")
    rows = [a_row("B", "incident.resolved", 70, 2), a_row("D", "incident.opened", 71)]
    second, after = gather(rows, at(80), storm="s", earlier=lines)
    assert second.row.message.title == "3 monitors are down, 1 up again"
    assert [item.title.split()[0] for item in second.row.message.items] == ["A", "C", "D", "B"]
    assert second.row.message.group == first.row.message.group
    assert second.keys == tuple(row.key for row in rows)
    assert set(after) == {f"monitor:{n}" for n in "ABCD"}
    many = {f"monitor:{n}": lines["monitor:A"] for n in range(UPDATED + 20)}
    long, _ = gather(rows, at(80), storm="s", earlier=many)
    assert long.row.message.items[-1].title == "and 22 more"


def test_times_are_as_exact_as_they_need_to_be() -> None:
    assert times(at(5), at(9)) == "12:00:05–12:00:09 UTC"
    assert times(at(5), at(90)) == "12:00–12:01 UTC"
    assert times(at(0), at(86_400)) == "2026-03-01 12:00–2026-03-02 12:00 UTC"


def test_a_message_for_the_fallback_has_a_key_of_its_own_and_says_why() -> None:
    row = replace(a_row("A", "incident.opened", 1), attempts=5, last_error="500")
    instead = as_fallback(row, "Ops hook", "c2", "5 tries: HTTP 500", at(40))
    assert (instead.channel_id, instead.attempts, instead.last_error, instead.next_at) == ("c2", 0, None, at(40))
    assert instead.message.text.endswith("Sent here because Ops hook did not take it: 5 tries: HTTP 500")
    assert instead.key == instead.message.key == as_fallback(row, "renamed", "c2", "", at(50)).key
    assert len({row.key, instead.key, as_fallback(row, "x", "c3", "", at(40)).key}) == 3
