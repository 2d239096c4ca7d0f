"""An incident's timeline in words."""

from __future__ import annotations

from builders import an_outbox_row, at
from tocsin.core.incident import Entry
from tocsin.store.outbox import Delivery
from tocsin.web.pages.incident_words import chosen, told


def delivery(channel: str, state: str, seconds: float = 0) -> Delivery:
    row = an_outbox_row(key=f"{channel}{state}{seconds}", channel_id=channel, state=state, created_at=at(seconds))
    return Delivery(row=row, attempts=())


def test_who_was_told_is_one_line_for_each_moment_and_outcome() -> None:
    log = [
        delivery("chat", "sent"),
        delivery("mail", "sent"),
        delivery("sms", "failed"),
        delivery("chat", "pending", 60),
        delivery("gone", "sent", 30),
    ]
    lines = told(log, {"chat": "Chat", "mail": "Mail", "sms": "SMS"})
    assert [(line.head, line.text) for line in lines] == [
        ("Told", "a deleted channel: opened"),
        ("Told", "Chat and Mail: opened"),
        ("Could not tell", "SMS: opened"),
    ]


def test_what_people_did_and_what_was_told_are_shown_alone() -> None:
    timeline = [
        Entry(at=at(0), kind="opened", text="Opened"),
        Entry(at=at(1), kind="comment", text="I look", by="alice@example.org"),
        Entry(at=at(2), kind="escalated", text="Escalated: step 1 told bob"),
        Entry(at=at(3), kind="resolved", text="Closed: by hand", by="alice@example.org"),
    ]
    messages = told([delivery("chat", "sent", 0)], {"chat": "Chat"})

    def heads(show: str) -> tuple[list[str], int]:
        lines, hidden = chosen(timeline, messages, show)
        return [line.head for line in lines], hidden

    assert heads("all") == (["Closed by hand", "Escalated", "Note", "Told", "Opened"], 0)
    assert heads("people") == (["Closed by hand", "Note"], 3)
    assert heads("messages") == (["Escalated", "Told"], 3)
