"""What pages say of a channel that does not take its messages, and of one that does again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import an_outbox_row
from tocsin.core.notice import Notice
from tocsin.store.batch import Batch
from web.conftest import Alice

HOOK = {"name": "Ops hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}


async def test_a_channel_whose_last_message_did_not_arrive_is_no_healthy_one(alice: Alice) -> None:
    parts, ws = alice.house.parts, alice.workspace_id
    id = (await alice.api.post("/api/v1/channels", HOOK)).data["id"]
    now, browser = parts.clock.now(), alice.house.caller(accept="text/html")
    browser.cookies["tocsin_session"] = await alice.house.sign_in("alice@example.org")

    async def ended(key: str, state: Any, after_s: float, error: str | None = None) -> None:
        at = now + timedelta(seconds=after_s)
        row = an_outbox_row(
            key=key, workspace_id=ws, channel_id=id, incident_id=None, monitor_id=None, subject=key, created_at=at,
            next_at=at, state=state, attempts=1, last_error=error, done_at=at,
        )  # fmt: skip
        await parts.store.commit(Batch(id=key, outbox=(row,)))

    async def look(path: str) -> str:
        return (await browser.get(path)).text

    assert "1 channel rings.<" in await look("/channels")
    await ended("one", "failed", 0, "410 Gone")
    shown = await look("/channels")
    assert "1 channel rings. 1 does not take messages.<" in shown
    assert "The last message did not arrive, since" in shown
    assert ": 410 Gone" in shown
    lost = Notice(
        workspace_id=ws, mark=f"channel.given_up:{id}", kind="channel.given_up", at=now, text="Ops hook lost messages",
        channel_id=id,
    )  # fmt: skip
    await parts.store.of(ws).write(lambda s: s.notices.put(lost))
    assert "Over since" not in await look("/")
    await ended("two", "sent", 5)
    assert "Over since" in await look("/")
    assert "1 channel rings.<" in await look("/channels")
