"""What is said of a turn on a host, by whoever says it: the server or the agent. Pure."""

from __future__ import annotations

from tocsin.core.alert import Message, group_key
from tocsin.core.host_rule import HostFinding, finding_key, subject_of
from tocsin.core.plain import clip
from tocsin.core.wording import moment, one_line

BY_AGENT = "Told by the agent itself: its server did not answer."
AT_ONCE = "Told by the agent itself, at once, as its rule says."


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
