"""An agent that is not heard: late first, then its host is taken for lost. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from tocsin.core.finding import Finding, Standing
from tocsin.core.host import SUBJECT
from tocsin.core.wording import moment

WARN_S, DOWN_S = 75.0, 120.0
"""One heartbeat missed; two minutes."""
TODAY_S = 12 * 3600.0
"""A time that is not longer ago needs no date."""
_ENDING = ":silent"


class Patience(NamedTuple):
    """How long an agent may be silent before that is told, and before it is told as worse."""

    warn_s: float = WARN_S
    down_s: float = DOWN_S


def subject_of_silence(host_id: str) -> str:
    """What the incident of a silent host is about."""
    return f"{SUBJECT}{host_id}{_ENDING}"


def is_silence(subject: str) -> bool:
    """Whether an incident is about a silent host."""
    return subject.startswith(SUBJECT) and subject.endswith(_ENDING) and subject.count(":") == 2


class Heard(NamedTuple):
    """What was heard of an agent: whether since this instance watches (until then a short silence ends nothing), and when
    last. `revoked_at`: its key was revoked then, so it is refused. `outside`: how the host looks from outside, in words."""

    lately: bool
    at: datetime | None
    revoked_at: datetime | None = None
    outside: str = ""


def silence(silent_s: float, heard: Heard, patience: Patience, now: datetime) -> Finding:
    """What a silence of so long means: trouble once it lasts, worse when it lasts longer. It began with what was heard
    last."""
    if silent_s < patience.warn_s:
        words = "its agent is heard" if heard.lately else "its agent has not been heard yet"
        return _finding("over" if heard.lately else "open", words, 0)
    since = min(now, heard.at or now - timedelta(seconds=silent_s))
    reason = "its agent was never heard" if heard.at is None else f"no heartbeat since {_clock(since, now)}"
    if heard.revoked_at is not None:
        reason = f"its agent's key was revoked at {_clock(heard.revoked_at, now)}, so it has to enrol anew"
    elif heard.outside:
        reason = f"{reason}; {heard.outside}"
    found = _finding(
        "trouble", reason, 2 if silent_s >= patience.down_s else 1, "refused" if heard.revoked_at else "silent"
    )
    return replace(found, since=since)


def _clock(at: datetime, now: datetime) -> str:
    """A time in words, without its date while that says nothing."""
    whole = moment(at)
    return whole if (now - at).total_seconds() > TODAY_S else whole.partition(" ")[2]


def _finding(standing: Standing, reason: str, rank: int, words: str = "silent") -> Finding:
    return Finding(
        standing=standing,
        value="unknown",
        reason=reason,
        why=reason,
        severity="down" if rank >= 2 else "warning",
        rank=rank,
        words=words,
    )
