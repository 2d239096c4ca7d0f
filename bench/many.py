"""Monitors by the thousand, written while the server is stopped: through the API it would take minutes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import Any

from bench import rig
from tocsin.app.folder import KEY_FILE, read_key
from tocsin.app.keys import derive
from tocsin.clock import SystemClock, new_id
from tocsin.core.monitor import Monitor
from tocsin.store import Session, Store


def fill(server: rig.Server, target: rig.Target, count: int, interval_s: int, **more: Any) -> None:
    """Make monitors, half http and half tcp, by the store itself."""
    asyncio.run(_fill(server, target, count, interval_s, more))


async def _fill(server: rig.Server, target: rig.Target, count: int, interval_s: int, more: dict[str, Any]) -> None:
    clock, folder = SystemClock(), server.folder
    store = await Store.open(
        f"sqlite:///{folder / 'tocsin.db'}", clock=clock, spool_dir=folder / "spool",
        sealing_key=derive(read_key(folder / KEY_FILE), "sealing"),
    )  # fmt: skip

    def add(s: Session) -> None:
        ((workspace,),) = s.rows("SELECT id FROM workspaces")
        for number in range(count):
            http, now = number % 2 == 0, clock.now()
            url = {"url": f"http://127.0.0.1:{target.http}/x/{number}"}
            s.monitors.add(Monitor(
                id=new_id(), workspace_id=workspace, name=f"More {number:05}", type="http" if http else "tcp",
                target=url if http else {"host": "127.0.0.1", "port": target.tcp}, interval_s=interval_s,
                timeout_s=min(5, interval_s * 0.8), retry_interval_s=interval_s / 2, created_at=now, updated_at=now, **more,
            ))  # fmt: skip

    try:
        await store.everything().write(add)
    finally:
        await store.close()


def switch(server: rig.Server, *, on: bool, but: int = 0) -> list[str]:
    """Resume or pause monitors in the file, all but so many of the oldest; the ids of those that changed."""
    now, then = ("true", "false") if on else ("false", "true")
    with contextlib.closing(sqlite3.connect(server.folder / "tocsin.db")) as db:
        rows = db.execute("SELECT id, key, paused FROM monitors ORDER BY key").fetchall()[but:]
        changed = [(id, key) for id, key, paused in rows if paused == on]
        db.executemany(
            f"""UPDATE monitors SET paused = {int(not on)}, data = replace(data, '"paused":{now}', '"paused":{then}')"""
            " WHERE key = ?",
            [(key,) for _, key in changed],
        )
        db.commit()
    return [id for id, _ in changed]
