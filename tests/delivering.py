"""A process that intends messages and delivers them, to be killed: `python delivering.py FOLDER PORT ROUND`.

Each round has two channels of its own: eight outages at once for one, an outage and its end for the other. It says
"intended" when they are stored (the same ones, however often a round is begun), and "done" when nothing waits any more."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from builders import a_channel, a_message, an_outbox_row
from tocsin.clock import SystemClock
from tocsin.core.account import User, Workspace
from tocsin.core.alert import OutboxRow
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Store
from tocsin.store.batch import Batch

SUBJECTS = 8


def rows_of(number: int, clock: SystemClock) -> list[OutboxRow]:
    """The messages of a round, as if intended a while ago."""
    then = clock.now() - timedelta(seconds=10)

    def row(name: str, channel: str, event: str, order: int) -> OutboxRow:
        message = a_message(key=f"{number}-{name}-{order}", event=event, at=then)
        return an_outbox_row(
            message=message, channel_id=f"{channel}{number}", subject=f"monitor:{name}", order=order, created_at=then,
            next_at=then, incident_id=name,
        )  # fmt: skip

    storm = [row(f"m{n}", "storm", "incident.opened", 1) for n in range(SUBJECTS)]
    return [*storm, row("calm", "calm", "incident.opened", 1), row("calm", "calm", "incident.resolved", 2)]


async def main(folder: Path, port: int, number: int) -> None:
    clock = SystemClock()
    store = await Store.open(
        f"sqlite:///{folder}/tocsin.db", clock=clock, sealing_key=b"k" * 32, spool_dir=folder / "spool"
    )
    everything = store.everything()
    if not await everything.read(lambda s: s.accounts.setup_done()):
        user = User(id="u", email="alice@example.org", password_hash="x", created_at=clock.now())
        place = Workspace(id="ws", name="Example", created_at=clock.now())
        await everything.write(lambda s: s.accounts.create_first(user, place))
    known = {channel.id for channel in await everything.read(lambda s: s.channels.all())}
    for id in (f"storm{number}", f"calm{number}"):
        if id not in known:
            made = a_channel(id=id, config={"url": f"http://127.0.0.1:{port}/"})
            await store.of("ws").write(lambda s, made=made: s.channels.add(made))
    net = Net(egress=Egress("private", own=set()), http=HttpEngine())
    await net.start()
    corridor = Corridor.build(store=store, net=net, clock=clock)
    await corridor.start()
    rows = rows_of(number, clock)
    await store.commit(Batch(id=str(number), outbox=tuple(rows)))
    print("intended", flush=True)
    corridor.delivery.handed(rows, False)
    while await everything.read(lambda s: s.outbox.pending_count()):
        await asyncio.sleep(0.05)
    print("done", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
