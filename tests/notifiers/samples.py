"""Messages as the corridor makes them: one of each event, and texts that try to break out."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from builders import a_message
from tocsin.core.alert import Item, Message

URL = "https://watch.example/incidents/i1"
EVENTS = (
    "incident.opened", "incident.reopened", "incident.escalated", "incident.reminder", "incident.resolved", "test", "digest",
)  # fmt: skip
TRICKS = "<>&\"'|!@#*_`~[](){}\\ 😀🇦🇹\né—…\x7f"
texts = st.text(st.characters(codec="utf-8"), max_size=200) | st.text(TRICKS, max_size=6000)


def of(event: str, **more: Any) -> Message:
    """A message of that event, all of one incident (or none)."""
    at = "2026-03-01T12:00:00.000Z"
    incident = {
        "id": "i1", "severity": "critical", "verdict": "down", "opened_at": at, "acknowledged_at": None,
        "resolved_at": at if event == "incident.resolved" else None, "duration_s": 848.0,
    }  # fmt: skip
    said = {
        "incident.resolved": "Shop is up again after 14 min 8 s", "digest": "40 monitors are down",
        "test": "Test message for Ops",
    }  # fmt: skip
    fields: dict[str, Any] = {
        "event": event, "title": said.get(event, "Shop is down: HTTP 503"), "url": URL, "group": "ab" * 16,
        "text": "The only location says down.\nSince 2026-03-01 12:00:00 UTC.", "incident": incident,
    }  # fmt: skip
    if event in ("test", "digest"):
        fields |= {"incident": None, "monitor": None}
    if event == "digest":
        fields["items"] = many(40)
    return a_message(**(fields | more))


def many(count: int, title: str = "Monitor <{}> & Co is down: HTTP 503 where 200–299 was expected") -> tuple[Item, ...]:
    """So many openings for a digest."""
    return tuple(
        Item(title=title.replace("{}", str(n)), severity="critical", url=f"{URL}/{n}") for n in range(1, count + 1)
    )


digests = st.lists(
    st.builds(
        Item, title=texts, severity=st.just("down"), url=st.sampled_from(["", URL]),
        acknowledge_url=st.sampled_from(["", "https://watch.example/acknowledge/" + "ab-_" * 40]),
        event=st.sampled_from(["incident.opened", "incident.escalated"]),
    ),
    max_size=50,
)  # fmt: skip
