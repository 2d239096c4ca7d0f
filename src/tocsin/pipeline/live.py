"""Live events, per workspace: published after the commit, never before; who reads too slowly is let go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tocsin import telemetry
from tocsin.core.result import iso

LIMIT = 256
"""Events a subscriber may be behind before it is dropped."""


class Subscription:
    """The events of one subscriber, in order: `async for event in subscription`.

    Ends when it is closed. `too_slow` says that it was dropped because LIMIT events were waiting.
    """

    def __init__(self, live: Live, workspace_id: str, topics: Iterable[str]) -> None:
        self.workspace_id, self.topics = workspace_id, set(topics)
        self.closed = self.too_slow = False
        self._live, self._waiting, self._wake = live, deque[dict[str, Any]](), asyncio.Event()

    def close(self) -> None:
        """No more events; what was waiting is dropped."""
        self.closed = True
        self._waiting.clear()
        self._wake.set()
        self._live.forget(self)

    def put(self, event: dict[str, Any]) -> None:
        """Queue one event, or close when too many wait."""
        if len(self._waiting) >= LIMIT:
            self.too_slow = True
            telemetry.live_dropped.inc()
            self.close()
            return
        self._waiting.append(event)
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._waiting:
            if self.closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class Live:
    """Who listens to which workspace. Topics: `workspace` (everything in it) and `monitor:<id>`."""

    def __init__(self) -> None:
        self._subscribers: dict[str, set[Subscription]] = {}

    def subscribe(self, workspace_id: str, topics: Iterable[str] = ("workspace",)) -> Subscription:
        """A new subscription; its `topics` may be changed at any time."""
        subscription = Subscription(self, workspace_id, topics)
        self._subscribers.setdefault(workspace_id, set()).add(subscription)
        telemetry.live_subscribers.inc()
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Called by a subscription that closes."""
        others = self._subscribers.get(subscription.workspace_id, set())
        if subscription in others:
            others.discard(subscription)
            telemetry.live_subscribers.dec()
            if not others:
                self._subscribers.pop(subscription.workspace_id, None)

    def wanted(self, workspace_id: str) -> bool:
        """Whether anybody listens there: without a listener nobody builds events."""
        return workspace_id in self._subscribers

    def publish(self, workspace_id: str, event: dict[str, Any]) -> None:
        """Hand `event` ({type, at, monitor?, data}) to everyone in the workspace who subscribed to its topic."""
        subscribers = self._subscribers.get(workspace_id)
        if not subscribers:
            return
        topic = f"monitor:{event.get('monitor')}"
        for subscription in tuple(subscribers):
            if "workspace" in subscription.topics or topic in subscription.topics:
                subscription.put(event)

    def publish_to_all(self, event: dict[str, Any]) -> None:
        """Hand an event that is about no workspace to everyone who looks at one."""
        for workspace_id in tuple(self._subscribers):
            self.publish(workspace_id, event)

    def close(self) -> None:
        """End every subscription."""
        for subscribers in tuple(self._subscribers.values()):
            for subscription in tuple(subscribers):
                subscription.close()


def event(type: str, at: datetime, monitor_id: str | None = None, **data: Any) -> dict[str, Any]:
    """A live event as it goes out: {type, at, monitor, data}."""
    return {"type": type, "at": iso(at), "monitor": monitor_id, "data": data}
