"""What a channel is given before it is switched off for good: a second opinion, and a third."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

REFUSALS = 3
REFUSED_FOR = timedelta(minutes=10)
ASK_AGAIN_S = 300.0
"""So long after a refusal the same message is tried again."""


class Refusals(Struct, frozen=True, kw_only=True):
    """So many refusals in a row, the first of them `since`, of what was configured `of` that moment."""

    since: datetime
    of: datetime
    count: int = 1

    def final(self, now: datetime) -> bool:
        """Whether that is enough: a service that is restarted, moved or blocked for a moment is not gone."""
        return self.count >= REFUSALS and now - self.since >= REFUSED_FOR


def again(before: Refusals | None, of: datetime, now: datetime) -> Refusals:
    """One more; what was changed meanwhile begins anew, and so does the count when the clock was set back."""
    if before is None or before.of != of or before.since > now:
        return Refusals(since=now, of=of)
    return Refusals(since=before.since, of=of, count=before.count + 1)
