"""What agents hand over of disks that fill up says when they will be full: here, where what was seen for hours is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.core import forecast
from tocsin.core.host_rule import HostFinding
from tocsin.errors import StoreUnavailable
from tocsin.pipeline.hosts import HostNow
from tocsin.store import Session, Store

log = telemetry.logger("tocsin.foresight")

METRICS = ("disk.used_percent", "disk.inodes_used_percent")
MOST = 20
"""Of so many findings in one message is it looked for."""


async def foreseen(store: Store, host: HostNow, turns: Sequence[HostFinding], now: datetime) -> list[HostFinding]:
    """The turns; what opened about a disk with a forecast in its words, where one can be made."""
    names = [t.what for t in turns if t.turn == "opened" and t.what.partition("{")[0] in METRICS][:MOST]
    if not names:
        return list(turns)
    end = int(now.timestamp()) + 1

    def work(s: Session) -> dict[str, float | None]:
        found = s.samples.read(host.host.id, names, end - forecast.FROM_S, end, 60)
        return {
            name: forecast.full_in_s([(at, b.last) for at, b in sorted(some.items())]) for name, some in found.items()
        }

    try:
        full = await store.of(host.host.workspace_id).read(work)
    except StoreUnavailable as error:  # a finding is filed and told without it
        log.warning("foresight.not_read", host=host.host.id, reason=str(error))
        return list(turns)
    return [_with(turn, full.get(turn.what) if turn.what in names else None) for turn in turns]


def _with(turn: HostFinding, full_in_s: float | None) -> HostFinding:
    if turn.turn != "opened" or not full_in_s:
        return turn
    return replace(turn, words=f"{turn.words}; if it goes on so, {forecast.in_words(full_in_s)}")
