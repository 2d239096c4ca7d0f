"""What is said of a turn on a host, by whoever says it: the server or the agent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tocsin.core.alert import Item, Message, group_key
from tocsin.core.digest import digest_key
from tocsin.core.handover import RECEIPT_S, Turn
from tocsin.core.host_rule import HostFinding, finding_key, subject_of
from tocsin.core.plain import clip
from tocsin.core.wording import moment, one_line

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
    about = "" if finding.what in finding.words else f" ({one_line(finding.what, 100)})"
    name = f"{host}: {finding.rule_name}{about}"
    if finding.turn == "resolved":
        return one_line(f"{name} is over: {finding.words}", 300)
    return one_line(f"{name}: {finding.words}", 300)


def message_of(
    finding: HostFinding,
    channel_id: str,
    *,
    host: str,
    host_id: str,
    workspace_id: str,
    incarnation: str,
    note: str = "",
) -> Message:
    """The message for one channel, with the key that it has at both ends."""
    subject = subject_of(host_id, finding.rule, finding.what)
    key = finding_key(workspace_id, channel_id, subject, incarnation, finding.number, finding.turn)
    since = "Since" if finding.turn == "opened" else "At"
    opened = finding.number if finding.turn == "opened" else finding.number - 1
    return Message(
        event="incident.opened" if finding.turn == "opened" else "incident.resolved",
        key=key,
        severity=finding.severity,
        title=title_of(finding, host),
        text="\n".join(filter(None, (f"{since} {moment(finding.at)}.", note))),
        monitor=None,
        incident=None,
        verdict=None,
        reason=clip(finding.words, 300),
        at=finding.at,
        group=group_key(workspace_id, f"{subject}@{incarnation}#{opened}"),
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
