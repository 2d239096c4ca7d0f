"""An agent that is not heard: late first, then its host is taken for lost. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from tocsin.core.finding import Finding, Standing
from tocsin.core.host import SUBJECT
from tocsin.core.wording import span

WARN_S, DOWN_S = 75.0, 120.0
"""One heartbeat missed; two minutes."""
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


def silence(silent_s: float, heard: bool, patience: Patience, heard_at: datetime | None, outside: str) -> Finding:
    """What a silence of so long means: trouble once it lasts, worse when it lasts longer. `heard`: it was heard since this
    instance watches; until then a short silence ends nothing. `outside`: how the host looks from outside, in words."""
    if silent_s < patience.warn_s:
        words = "its agent is heard" if heard else "its agent has not been heard yet"
        return _finding("over" if heard else "open", words, 0)
    since = f"no heartbeat for {span(silent_s)}" if heard_at is not None else "its agent was never heard"
    reason = f"{since}; {outside}" if outside else since
    return _finding("trouble", reason, 2 if silent_s >= patience.down_s else 1)


def _finding(standing: Standing, reason: str, rank: int) -> Finding:
    return Finding(
        standing=standing,
        value="unknown",
        reason=reason,
        why=reason,
        severity="down" if rank >= 2 else "warning",
        rank=rank,
        words="silent",
    )
