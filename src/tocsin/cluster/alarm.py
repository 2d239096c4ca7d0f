"""What may be an attack, or an instance that runs twice, is told to the admins of every workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.cluster.wire import Alarmed
from tocsin.core.notice import Notice, NoticeKind
from tocsin.core.plain import clip
from tocsin.errors import StoreUnavailable
from tocsin.pipeline.live import Live, event
from tocsin.store import Store
from tocsin.store.session import Session

log = telemetry.logger("tocsin.cluster")

AGAIN_S = 600.0
"""The same thing is told again after so long at the earliest."""
MOST_WAITING = 50


class Alarm:
    """Keeps what is to be told until this instance may write, each `mark` once."""

    def __init__(self, store: Store, live: Live, clock: Clock, may_write: Callable[[], bool]) -> None:
        self._store, self._live, self._clock, self._may_write = store, live, clock, may_write
        self._waiting: dict[str, tuple[NoticeKind, str]] = {}
        self._told: dict[str, float] = {}
        self._over: set[str] = set()
        self._stirred = asyncio.Event()

    def ring(self, kind: NoticeKind, about: str, text: str) -> None:
        """Have it told, in this text. What it is about is ours to choose: a stranger must not fill the notices."""
        telemetry.cluster_alarms.labels(kind).inc()
        mark, now = f"{kind}:{about}", self._clock.monotonic()
        if now - self._told.get(mark, -AGAIN_S) < AGAIN_S or len(self._waiting) >= MOST_WAITING:
            return
        self._told[mark] = now
        self._over.discard(mark)
        log.warning("cluster.alarm", kind=kind, about=about, text=text)
        self._waiting[mark] = (kind, clip(text, 500))
        self._stirred.set()

    def over(self, kind: NoticeKind, about: str) -> None:
        """It is over: its notice goes, and it is told at once when it comes again."""
        mark = f"{kind}:{about}"
        self._told.pop(mark, None)
        self._waiting.pop(mark, None)
        self._over.add(mark)
        self._stirred.set()

    def waiting(self) -> tuple[Alarmed, ...]:
        """What is to be told, as it goes to whoever may write."""
        return tuple(
            Alarmed(kind=kind, about=mark.partition(":")[2][:200], text=text[:500])
            for mark, (kind, text) in self._waiting.items()
        )

    def handed(self, over: Sequence[Alarmed]) -> None:
        """The primary has these now."""
        for one in over:
            self._waiting.pop(f"{one.kind}:{one.about}", None)

    def pass_on(self, said: Sequence[Alarmed]) -> None:
        """As the primary, have told what another instance saw."""
        for one in said[:MOST_WAITING]:
            if one.kind.startswith("instance."):
                self.ring(one.kind, one.about, one.text)

    async def tell(self) -> None:
        """Wait for something to tell, and tell it."""
        await self._stirred.wait()
        self._stirred.clear()
        if not self._waiting and not self._over:
            return
        if not self._may_write():
            await asyncio.sleep(1.0)
            self._stirred.set()
            return
        waiting, over, now = dict(self._waiting), set(self._over), self._clock.now()

        def work(s: Session) -> list[Notice]:
            made = [
                Notice(workspace_id=workspace.id, mark=mark, kind=kind, at=now, text=text)
                for workspace in s.accounts.workspaces()
                for mark, (kind, text) in waiting.items()
            ]
            for workspace in s.accounts.workspaces():
                for mark in over:
                    s.notices.clear(workspace.id, mark)
            for notice in made:
                s.notices.put(notice)
            return made

        try:
            made = await self._store.everything().write(work)
        except StoreUnavailable:
            await asyncio.sleep(1.0)
            self._stirred.set()
            return
        self._over -= over
        for mark in waiting:
            self._waiting.pop(mark, None)
        for notice in made:
            self._live.publish(
                notice.workspace_id, event("notice", now, channel=None, kind=notice.kind, text=notice.text)
            )
