"""MySQL or MariaDB: sign-in and one query in a transaction that can only read, over TLS when wanted."""

from __future__ import annotations

import contextlib
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
from tocsin.net import Connection, Net, mysql
from tocsin.net.progress import progress
from tocsin.net.sql import MOST_ROWS, Rows

TITLE, SAYS = "MySQL", "sign-in, one query"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A MySQL or MariaDB server that should let a user in and answer a query."""

    host: Host
    port: Port = 3306
    user: User
    password: Password = None
    database: Annotated[str | None, Front, Length(1, 500), Help("Database to begin in")] = None
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
        session = mysql.Session(connection)
        await session.greet()
        if target.tls:
            await session.start_tls(wish(target))
        await session.sign_in(target.user, target.password, target.database)
        seen = await _seen(connection, session)
        await _only_read(session)
        began = time.perf_counter()
        rows = await _asked(session, target.query, seen)
        seen = with_answer(seen, rows, time.perf_counter() - began)
        await session.leave()
        require(target.expect, rows, seen)
        return seen


async def _seen(connection: Connection, session: mysql.Session) -> Observation:
    # MariaDB pretends to be 5.5.5, for the sake of old replicas.
    facts: dict[str, Any] = {"server_version": clip(session.version.removeprefix("5.5.5-"))}
    with contextlib.suppress(mysql.Refused):  # a relative that has no such variable
        facts["read_only"] = (await session.query("SELECT @@global.read_only")).first not in ("0", "OFF")
    timing = replace(connection.timing, ttfb=session.ttfb_ms)
    return Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts)


async def _only_read(session: mysql.Session) -> None:
    """Nothing can be written from here on; the server stops after so many rows, and when we no longer wait."""
    most_s = int(progress().remaining_s()) + 1
    limit = (
        f"max_statement_time = {most_s}" if "MariaDB" in session.version else f"max_execution_time = {most_s * 1000}"
    )
    with contextlib.suppress(mysql.Refused):  # a relative that knows no such limits
        await session.query(f"SET SESSION sql_select_limit = {MOST_ROWS}, SESSION {limit}")
    try:
        await session.query("SET SESSION TRANSACTION READ ONLY")
        await session.query("START TRANSACTION READ ONLY")
    except mysql.Refused as error:
        raise CheckFailed("protocol", f"no transaction that only reads: {error}", phase="ttfb") from None


async def _asked(session: mysql.Session, query: str, seen: Observation) -> Rows:
    try:
        return await session.query(query)
    except mysql.Refused as error:
        raise CheckFailed("protocol", f"the query failed: {error}", phase="ttfb", observation=seen) from None
