"""How each channel has taken its latest messages."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.result import from_micros

if TYPE_CHECKING:
    from tocsin.store.session import Session

LOOKED_AT = 2000
"""So many of the latest messages of all workspaces are looked at."""


class Lately(Struct, frozen=True, kw_only=True):
    """The latest messages of a channel that all went alike: so many arrived, or did not (with the newest error). `since`:
    the oldest of them arrived then, or was intended."""

    well: bool
    count: int
    since: datetime
    error: str = ""


def lately(s: Session) -> dict[str, Lately]:
    """By channel, as far as it was told anything lately. A message that was tried in vain and waits for another try did not
    arrive; one that was not to be sent does not count."""
    where, values = s.mine()
    rows = s.rows(
        "SELECT channel_id, state, last_error, created_at, done_at FROM outbox WHERE n > (SELECT max(n) FROM outbox) - ? "
        f"AND (state IN ('sent', 'failed') OR state = 'pending' AND attempts > 0 AND last_error IS NOT NULL) AND {where} "
        "ORDER BY n DESC",
        LOOKED_AT, *values,
    )  # fmt: skip
    made: dict[str, Lately] = {}
    ended: set[str] = set()
    for channel, state, error, created_at, done_at in rows:
        well, known = state == "sent", made.get(channel)
        since = from_micros(done_at if well and done_at is not None else created_at)
        if known is None:
            made[channel] = Lately(well=well, count=1, since=since, error="" if well else error or "")
        elif known.well != well:
            ended.add(channel)
        elif channel not in ended:
            made[channel] = replace(known, count=known.count + 1, since=since)
    return made
