"""PostgreSQL: sign-in and one query in a transaction that can only read, over TLS when wanted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec.structs import replace

from tocsin.checks._sql import Expect, Query, User, require, with_answer
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
    VerifyTls,
    wish,
)
from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Length
from tocsin.errors import CheckFailed
from tocsin.net import Connection, Net, postgres, starttls
from tocsin.net.progress import progress
from tocsin.net.sql import Rows

TITLE, SAYS = "PostgreSQL", "sign-in, one query"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A PostgreSQL server that should let a user in and answer a query."""

    host: Host
    port: Port = 5432
    user: User
    password: Password = None
    database: Annotated[str | None, Front, Length(1, 500), Help("Database; else the one named like the user")] = None
    query: Query = "SELECT 1"
    expect: Expect = None
    tls: Tls = False
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None


async def check(target: Target, net: Net) -> Observation:
    """Sign in, ask, and hold the answer against what it should be."""
    async with net.connect(target.host, target.port, ip_version=target.ip_version) as connection:
        if target.tls:
            await starttls.ask(connection, "postgres")
            await connection.start_tls(wish(target))
        session = postgres.Session(connection)
        await session.sign_in(target.user, target.database, target.password)
        seen = await _seen(connection, session)
        began = time.perf_counter()
        rows = await _asked(session, target.query, seen)
        seen = with_answer(seen, rows, time.perf_counter() - began)
        await session.leave()
        require(target.expect, rows, seen)
        return seen


async def _seen(connection: Connection, session: postgres.Session) -> Observation:
    facts: dict[str, Any] = {}
    if version := session.parameters.get("server_version"):
        facts["server_version"] = clip(version)
    try:
        facts["in_recovery"] = (await session.query("SELECT pg_is_in_recovery()")).first == "t"
    except postgres.Refused as error:
        if error.fatal:
            raise CheckFailed("protocol", f"the server ended the session: {error}", phase="ttfb") from None
        # else a relative of PostgreSQL that has no such function
    timing = replace(connection.timing, ttfb=session.ttfb_ms)
    return Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts)


async def _asked(session: postgres.Session, query: str, seen: Observation) -> Rows:
    """The query's rows. The transaction only reads and cannot be left from within one statement; the server ends by
    itself what we no longer wait for. Poolers take this, where they refuse options at the start."""
    most_ms = int(progress().remaining_s() * 1000) + 1000
    try:
        await session.run(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {most_ms}")
        rows = await session.query(query)
        await session.run("ROLLBACK")
    except postgres.Refused as error:
        raise CheckFailed("protocol", f"the query failed: {error}", phase="ttfb", observation=seen) from None
    return rows
