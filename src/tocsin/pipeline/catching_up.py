"""What a crash left on the spool comes before anything else: waiting for it, and knowing anew what was judged and told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tocsin import telemetry

if TYPE_CHECKING:
    from tocsin.pipeline.corridor import Corridor
    from tocsin.store import Store

log = telemetry.logger("tocsin.corridor")

AGAIN_S = 1.0
"""How long after a failure it is tried again to catch up."""


async def replayed(store: Store, within_s: float) -> bool:
    """Whether the spool is empty, waiting so long for it (in real time: it is the disk that is waited for)."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while store.spooled and loop.time() < end:  # noqa: ASYNC110 (the spool has no event for it)
        await asyncio.sleep(0.02)
    return not store.spooled


async def catch_up(corridor: Corridor) -> None:
    """Wait for the spool, read anew what was judged and told, then let results in and messages out."""
    log.warning("corridor.catching_up", batches=corridor.store.spooled)

    async def reread() -> bool:
        """Whether it could be read anew: not when a change made meanwhile is on the spool too."""
        if corridor.store.spooled:
            return False
        await corridor.watchlist.reread()
        return True

    while True:
        if not await replayed(corridor.store, 60.0):
            log.warning("corridor.catching_up", batches=corridor.store.spooled)
            continue
        try:
            if await corridor.intake.between_rounds(reread):
                break
        except Exception:
            log.exception("corridor.not_caught_up")
        await corridor.clock.sleep(AGAIN_S)
    corridor.receive()
    corridor.watchdog.watch_all()
    log.info("corridor.caught_up")
