"""MongoDB: hello, sign-in when asked for, ping, and the role it should have. Nothing is read or written."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec.structs import replace

from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Password,
    Port,
    ServerName,
    Tls,
    User,
    VerifyTls,
    wish,
)
from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Pattern
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Net, mongo

TITLE, SAYS = "MongoDB", "sign-in, ping, role"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A MongoDB server that should answer to ping."""

    host: Host
    port: Port = 27017
    tls: Tls = False
    user: User = None
    password: Password = None
    auth_source: Annotated[
        str, Pattern(r"[^\s/\\.\"]{1,63}", "the name of a database"), Help("Database that knows the user")
    ] = "admin"
    role: Annotated[
        Literal["primary", "secondary", "arbiter", "mongos", "standalone"] | None,
        Help("Role that the server must have"),
    ] = None
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        if self.user is not None and self.password is None:
            raise Invalid(Problem("password", "the user's password", "nothing"))
        if self.password is not None and self.user is None:
            raise Invalid(Problem("user", "whose password it is", "nothing"))


async def check(target: Target, net: Net) -> Observation:
    """Say hello, sign in, and ping."""
    at_once = wish(target) if target.tls else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        session = mongo.Session(connection)
        began = time.perf_counter()
        told = await _expect(session.hello(target.user, target.auth_source), "hello")
        timing = replace(connection.timing, ttfb=(time.perf_counter() - began) * 1000)
        if target.user is not None:
            ways = told.get("saslSupportedMechs")
            await session.sign_in(target.user, target.password or "", target.auth_source, ways)
        await _expect(session.command("admin", {"ping": 1}), "ping")
        facts = _facts(told)
        with contextlib.suppress(mongo.Refused):  # who has not signed in may not everywhere ask for it
            version = (await session.command("admin", {"buildInfo": 1})).get("version")
            if isinstance(version, str):
                facts["server_version"] = clip(version)
        seen = Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts)
        if target.role is not None and facts["role"] != target.role:
            text = f"expected role {target.role}, found {facts['role']}"
            raise CheckFailed("assertion", text, observation=seen)
        return seen


async def _expect(answer: Any, name: str) -> dict[str, Any]:
    try:
        return await answer
    except mongo.Refused as error:
        raise CheckFailed("protocol", f"expected ok to {name}, found {error}", phase="ttfb") from None


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    """The server's role, and its replica set with the member that is primary there."""
    facts: dict[str, Any] = {"role": _role(told)}
    for name, fact in (("setName", "replica_set"), ("primary", "primary")):
        if isinstance(told.get(name), str):
            facts[fact] = clip(told[name], 200)
    return facts


def _role(told: dict[str, Any]) -> str:
    if told.get("msg") == "isdbgrid":
        return "mongos"
    if "setName" not in told and told.get("isreplicaset") is not True:
        return "standalone"
    if told.get("isWritablePrimary") is True or told.get("ismaster") is True:
        return "primary"
    if told.get("secondary") is True:
        return "secondary"
    return "arbiter" if told.get("arbiterOnly") is True else "none (starting, recovering or removed)"
