"""Redis or Valkey: sign-in, PING, what INFO tells, and the role and key it should have. Nothing is written."""

from __future__ import annotations

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
)  # fmt: skip
from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Observation
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net, clear, resp

TITLE, SAYS = "Redis", "sign-in, PING, role"

OFFERS = ("certificate_days",)
_NUMBERS = {
    "connected_clients": "connected_clients",
    "used_memory": "used_memory_bytes",
    "maxmemory": "maximum_memory_bytes",
    "uptime_in_seconds": "uptime_s",
    "connected_slaves": "connected_replicas",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A Redis or Valkey server that should answer to PING."""

    host: Host
    port: Port = 6379
    tls: Tls = False
    user: User = None
    password: Password = None
    database: Annotated[int | None, Range(0, 65_535), Help("Select this database")] = None
    role: Annotated[Literal["master", "replica"] | None, Help("Role that the server must have")] = None
    key: Annotated[str | None, Length(1, 1000), Help("Key that must exist")] = None
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


async def check(target: Target, net: Net) -> Observation:
    """Sign in, PING, read what INFO tells, and look for the key."""
    at_once = wish(target) if target.tls else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        began = time.perf_counter()
        if target.password is not None:
            await _sign_in(connection, target.user, target.password)
        if target.database is not None:
            await _expect(connection, "OK", "SELECT", str(target.database))
        await _expect(connection, "PONG", "PING")
        ttfb = (time.perf_counter() - began) * 1000
        facts, degraded = _told(await resp.command(connection, "INFO"))
        timing = replace(connection.timing, ttfb=ttfb)
        seen = Observation(
            timing=timing, ip=connection.peer, tls=connection.tls, facts=facts, degraded=degraded
        )  # fmt: skip
        if target.role is not None and facts.get("role") != target.role:
            found = facts.get("role", "a server that does not tell its role")
            raise CheckFailed("assertion", f"expected role {target.role}, found {found}", observation=seen)
        if target.key is not None:
            await _look_for(connection, target.key, seen)
        return seen


async def _sign_in(connection: Connection, user: str | None, password: str) -> None:
    # Redis knows no way to prove a password without sending it: in a private network it goes as it stands.
    clear.guard(connection, private=True)
    words = (password,) if user is None else (user, password)
    answer = await resp.command(connection, "AUTH", *words)
    if isinstance(answer, resp.Refused):
        raise CheckFailed("protocol", f"the server did not let the user in: {clip(answer.text, 200)}", phase="ttfb")
    if answer != "OK":
        raise CheckFailed("protocol", f"expected OK to AUTH, found {_shown(answer)}", phase="ttfb")


async def _expect(connection: Connection, wanted: str, *words: str) -> None:
    answer = await resp.command(connection, *words)
    if answer != wanted:
        text = f"expected {wanted} to {words[0]}, found {_shown(answer)}"
        raise CheckFailed("protocol", text, phase="ttfb")


async def _look_for(connection: Connection, key: str, seen: Observation) -> None:
    answer = await resp.command(connection, "EXISTS", key)
    if answer == 0 and isinstance(answer, int):
        raise CheckFailed("assertion", f"expected key {clip(key)}, found none of that name", observation=seen)
    if answer != 1:
        raise CheckFailed("protocol", f"expected a number to EXISTS, found {_shown(answer)}", phase="ttfb")


def _shown(answer: Any) -> str:
    if isinstance(answer, resp.Refused):
        return clip(answer.text, 200)
    return repr(clip(answer, 100)) if isinstance(answer, str) else type(answer).__name__


def _told(answer: Any) -> tuple[dict[str, Any], CheckError | None]:
    """The facts in the answer to INFO (none when the user may not ask), and what is not well with a replica."""
    if not isinstance(answer, str):
        return {}, None
    lines = [line.partition(":") for line in answer.splitlines()[:2000]]
    told = {name: value.strip() for name, _, value in lines}
    facts: dict[str, Any] = {}
    for name, server in (("valkey_version", "valkey"), ("redis_version", "redis")):
        if told.get(name):
            facts["server_version"] = f"{server} {clip(told[name])}"
            break
    if told.get("role"):
        facts["role"] = "replica" if told["role"] == "slave" else clip(told["role"])
    for name, fact in _NUMBERS.items():
        value = told.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 19:
            facts[fact] = int(value)
    if facts.get("role") != "replica" or "master_link_status" not in told:
        return facts, None
    facts["link_to_master"] = link = clip(told["master_link_status"])
    if link == "up":
        return facts, None
    return facts, CheckError("assertion", f"expected a replica's link to its master to be up, found {link}")
