"""What the operator sees and says before a server joins another one with what it has, with the server stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tocsin.app import folder, joining
from tocsin.app.joining import Agreed
from tocsin.app.keys import derive
from tocsin.app.recovery import check_database
from tocsin.clock import SystemClock
from tocsin.cluster import adoption
from tocsin.cluster.wire import Offered
from tocsin.errors import SettingsError
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.settings import Settings
from tocsin.store import Store


async def look(settings: Settings, same: tuple[str, ...], *, agree: bool) -> tuple[list[str], Offered]:
    """What this server has, in words, and what the cluster says of it; `agree`: the operator's word for it is kept when
    nothing stands in the way. Raises PeerLost when the cluster cannot be asked now, SettingsError where it refuses."""
    url = settings["PRIMARY_SYNC_URL"].rstrip("/")
    if not url:
        raise SettingsError("TOCSIN_PRIMARY_SYNC_URL: expected where the server to join is reached, found nothing")
    shows = joining.shows_of(settings)
    async with _alone(settings) as store:
        net = Net(egress=Egress("private", own=set()), http=HttpEngine())
        await net.start()
        try:
            me = await joining.this_one(settings, store, SystemClock(), "", "")
            has, offered = await joining.look(net, store, url, shows, me, same)
        finally:
            await net.close()
        if strangers := sorted(set(same) - {email.lower() for email in has.people}):
            raise SettingsError(f"--same-person: expected the address of a person here, found {', '.join(strangers)}")
        if agree and not offered.conflicts:
            await joining.agree(store, Agreed(url=url, same=same))
        return adoption.words_of(has), offered


async def stay_alone(settings: Settings) -> None:
    """Let this server go on alone, whatever was begun. SettingsError when it belongs to a cluster already."""
    async with _alone(settings) as store:
        await joining.stay_alone(store)


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncGenerator[Store]:
    check_database(settings)
    store = await Store.open(
        settings.database_url, clock=SystemClock(), sealing_key=derive(folder.master_key(settings), "sealing"),
        spool_dir=settings.data_dir / "spool", create=False,
    )  # fmt: skip
    try:
        if store.replica is None:
            raise SettingsError(
                "TOCSIN_DATABASE_URL: expected SQLite for a server that is one of several with a database of its own, found"
                " PostgreSQL"
            )
        if await store.replica.state() is not None:
            raise SettingsError(
                f"TOCSIN_DATA_DIR: expected a server that stands alone, found in {settings.data_dir} one that belongs to a"
                " cluster, or did before it was removed: what it has the others have. To join again, or another cluster,"
                " start with an empty data folder (another TOCSIN_DATA_DIR)"
            )
        yield store
    finally:
        await store.close()
