"""A whole server in memory but for its database, without a port: real store, real corridor, real app."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tables import with_tables
from tocsin.clock import SystemClock, new_id
from tocsin.core.access import UserRole
from tocsin.core.account import Membership, User, Workspace
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.pipeline.beginning import begin
from tocsin.pipeline.corridor import Corridor
from tocsin.settings import read
from tocsin.store import Store
from tocsin.web import passwords, signin
from tocsin.web.parts import Parts
from tocsin.web.routes import application
from web.caller import Caller

PASSWORD = "correct horse battery"
_HASH: list[str] = []


@dataclass(slots=True)
class House:
    """A running server and ways to call it."""

    parts: Parts
    app: Any

    def caller(self, token: str | None = None, **more: str) -> Caller:
        return Caller(self.app, token, **more)

    async def person(self, email: str, role: UserRole, workspace: str | None = None) -> tuple[User, str]:
        """(a person of that role in a workspace, an access token): made in the store, with a session."""
        now = self.parts.clock.now()
        user = User(id=new_id(), email=email, password_hash=await self.hash(), created_at=now)
        place = workspace or new_id()

        def make(s: Any) -> None:
            if workspace is None:
                s.accounts.add_workspace(Workspace(id=place, name=email, created_at=now))
            s.accounts.add_user(user)
            s.accounts.add_membership(Membership(user_id=user.id, workspace_id=place, role=role))

        await self.parts.store.everything().write(make)
        return user, (await signin.enter(self.parts, user, place, now, "")).access_token

    async def hash(self) -> str:
        """The hash of the password of everybody here; made once, since that is meant to be slow."""
        if not _HASH:
            _HASH.append(await passwords.hashed(self.parts.memory, PASSWORD))
        return _HASH[0]

    async def sign_in(self, email: str, password: str = PASSWORD) -> str:
        answer = await self.caller().post("/api/v1/auth/login", {"email": email, "password": password})
        assert answer.status == 200, answer.text
        return answer.data["access_token"]


@dataclass(slots=True)
class Alice:
    """The first person of a server: admin of her workspace."""

    house: House
    api: Caller
    workspace_id: str
    refresh_token: str


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Builds a server with these settings; all of them are taken down at the end."""
    async for make in servers(tmp_path):
        yield make


async def servers(tmp_path: Path) -> AsyncGenerator[Callable[..., Any]]:
    """Gives what builds servers, once; takes them down afterwards."""
    made: list[Parts] = []

    async def make(*, setup_token: str | None = None, reach: Any = None, **settings: str) -> House:
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        env = {
            "TOCSIN_DATA_DIR": str(folder),
            "TOCSIN_MINIMUM_INTERVAL_S": "1",
            "TOCSIN_BASE_URL": "http://tocsin.test",
        }
        known = read(env | {f"TOCSIN_{k}": v for k, v in settings.items()})
        clock = SystemClock()
        store = await Store.open(
            f"sqlite:///{with_tables(folder / 'tocsin.db')}",
            clock=clock,
            sealing_key=b"s" * 32,
            spool_dir=folder / "spool",
        )
        net = Net(egress=Egress("private"), http=HttpEngine())
        await net.start()
        corridor = Corridor.build(
            store=store,
            net=net,
            clock=clock,
            location="local",
            base_url="http://tocsin.test",
            link_key=b"l" * 32,
            smtp_url=known["SMTP_URL"],
            reach=reach,
        )
        await corridor.start()
        parts = Parts(
            settings=known, clock=clock, store=store, net=net, corridor=corridor, signing_key=b"k" * 32,
            setup_token=setup_token,
        )  # fmt: skip
        made.append(parts)
        return House(parts, application(parts))

    try:
        yield make
    finally:
        for parts in made:
            await parts.corridor.stop()
            await parts.net.close()
            await parts.store.close()


@pytest.fixture
async def house(build: Callable[..., Any]) -> House:
    """A server that nobody has set up."""
    return await build()


@pytest.fixture
async def alice(house: House) -> Alice:
    """A server that Alice has set up."""
    return await set_up(house)


async def set_up(house: House) -> Alice:
    """The first account of a server, as POST /setup makes it, but for the hash of its password, which is made once."""
    parts, now = house.parts, house.parts.clock.now()
    user = User(id=new_id(), email="alice@example.org", password_hash=await house.hash(), created_at=now)
    place = Workspace(id=new_id(), name="Home", created_at=now)

    def make(s: Any) -> None:
        s.accounts.create_first(user, place)
        begin(s, place.id, now)

    await parts.store.everything(by=user.email).write(make)
    await parts.corridor.telling_changed(place.id)
    given = await signin.enter(parts, user, place.id, now, "")
    return Alice(house, house.caller(given.access_token), given.workspace_id, given.refresh_token)
