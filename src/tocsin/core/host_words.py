"""What is said of a turn on a host, by whoever says it: the server or the agent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tocsin.core.alert import Item, Message, group_key
from tocsin.core.digest import digest_key
from tocsin.core.handover import RECEIPT_S, Turn
from tocsin.core.host_rule import HostFinding, finding_key, subject_of
from tocsin.core.host_thing import thing
from tocsin.core.plain import clip
from tocsin.core.wording import by_rule, ended, joined, moment, one_line

BY_AGENT = f"Told by the agent itself: its server did not take it within {RECEIPT_S:g} s."
AT_ONCE = "Told by the agent itself, at once, as its rule says."
ENDED = "Told by the agent itself, as it told the beginning."


def note_of(turn: Turn) -> str:
    """Why the agent tells a turn by itself."""
    if turn.begun_by == "agent":
        return ENDED
    return AT_ONCE if turn.direct else BY_AGENT


def title_of(finding: HostFinding, host: str) -> str:
    """One line: which host, which rule, what."""
    name = f"{host}: {thing(finding.what)}"
    return one_line((ended if finding.turn == "resolved" else joined)(name, finding.words), 300)


class Speaker(NamedTuple):
    """Whose turns they are. `url`: the page of the host, or empty."""

    host: str
    host_id: str
    workspace_id: str
    incarnation: str
    url: str = ""


def message_of(finding: HostFinding, channel_id: str, by: Speaker, note: str = "") -> Message:
    """The message for one channel, with the key that it has at both ends."""
    subject = subject_of(by.host_id, finding.rule, finding.what)
    key = finding_key(by.workspace_id, channel_id, subject, by.incarnation, finding.number, finding.turn)
    when = "since" if finding.turn == "opened" else "over at"
    how = f"{finding.severity.capitalize()}, {when} {moment(finding.since or finding.at)}."
    opened = finding.number if finding.turn == "opened" else finding.number - 1
    return Message(
        event="incident.opened" if finding.turn == "opened" else "incident.resolved",
        key=key,
        severity=finding.severity,
        title=title_of(finding, by.host),
        text="\n".join(filter(None, (how, by_rule(finding.rule_name), note))),
        monitor=None,
        incident=None,
        verdict=None,
        reason=clip(finding.words, 300),
        at=finding.at,
        url=by.url,
        group=group_key(by.workspace_id, f"{subject}@{by.incarnation}#{opened}"),
    )


_WORST_FIRST = ("critical", "down", "warning", "info")


def digest_of(messages: Sequence[Message], host: str, now: datetime) -> Message:
    """One message in place of many of one host. Its key is a hash of theirs: the same ones make the same digest."""
    key = digest_key("", [message.key for message in messages])
    opened = [message for message in messages if message.event == "incident.opened"]
    over = len(messages) - len(opened)
    parts = [f"{len(opened)} in trouble"] if opened else []
    parts += [f"{over} over"] if over else []
    title = one_line(f"{host}: {', '.join(parts)}", 300)
    return Message(
        event="digest", key=key, group=key,
        severity=min((m.severity for m in opened), key=_WORST_FIRST.index, default="info"),
        title=title, text=messages[0].text.rpartition("\n")[2], monitor=None, incident=None,
        verdict="down" if opened else "up", reason=title, at=now,
        items=tuple(Item(title=m.title, severity=m.severity, event=m.event, keys=(m.key,)) for m in messages),
    )  # fmt: skip
