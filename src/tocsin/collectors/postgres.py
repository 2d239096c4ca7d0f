"""PostgreSQL as its own statistics tell: connections, queries, locks, replication, databases, checkpoints."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tocsin.collectors import Facility, _pg
from tocsin.collectors._answer import asked, labelled, number, word
from tocsin.collectors._rates import Rates
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import as_map, loads
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Hidden, Length, Long, Pattern, Range
from tocsin.errors import CheckFailed, CheckInvalid, Invalid, Problem
from tocsin.net import TlsWish, postgres, starttls
from tocsin.net.connect import Connection
from tocsin.net.resolve import is_host

TITLE, SAYS = "PostgreSQL", "connections, queries, locks, replication, databases and checkpoints of a PostgreSQL server"
EVERY_S = 60
_SSL = ("disable", "prefer", "require", "verify-full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which server is asked, and as whom."""

    connection: Annotated[
        str,
        Hidden,
        Length(1, 2000),
        Help("The server: postgres://user:password@host:port/database?sslmode=verify-full"),
    ]
    password: Annotated[str | None, Hidden, Length(1, 1000), Help("The password, when it is not in the connection")] = (
        None
    )
    ca: Annotated[
        str | None, Long, Pattern(r"\s*-----BEGIN [\s\S]*", "PEM text that begins with -----BEGIN"),
        Help("Authorities to trust instead of the system's, PEM"),
    ] = None  # fmt: skip
    sizes: Annotated[bool, Help("Whether the sizes of databases are asked for")] = True
    timeout: Annotated[float, Range(0.5, 25), Help("A server that takes longer does not answer")] = 5

    def __post_init__(self) -> None:
        if wrong := problem_of(self.connection):
            raise Invalid(Problem("connection", "postgres://user@host:port/database", wrong))


@dataclass(frozen=True, slots=True)
class Where:
    """The parts of a connection."""

    host: str
    port: int
    user: str | None
    password: str | None
    database: str | None
    sslmode: str


def where(connection: str) -> Where:
    """The parts. Raises ValueError with what is wrong, without a secret."""
    try:
        parts = urlsplit(connection)
        port, host = parts.port or 5432, parts.hostname or ""
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise ValueError("a URL that cannot be read") from None
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError("another scheme")
    if not is_host(host):
        raise ValueError("no host")
    if unknown := sorted(set(query) - {"sslmode"}):
        raise ValueError(f"the parameter {word(unknown[0], 30)}, which is not known")
    mode = query.get("sslmode", "prefer")
    if mode not in _SSL:
        raise ValueError(f"an sslmode that is none of {', '.join(_SSL)}")
    user, password, database = (
        unquote(text) if text else None for text in (parts.username, parts.password, parts.path.lstrip("/"))
    )
    if any("\0" in text for text in (user, password, database) if text):
        raise ValueError("a text with a NUL")
    return Where(host, port, user, password, database, mode)


def problem_of(connection: str) -> str:
    """What is wrong with it; nothing when it can be used."""
    try:
        where(connection)
    except ValueError as error:
        return str(error)
    return ""


def _own_name() -> str:
    """The user that the agent runs as. CheckInvalid when it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise CheckInvalid("the connection names no user, and the one that the agent runs as has no name") from None


RULES = (
    HostRule(
        id="builtin:postgres.database", name="PostgreSQL does not answer", condition=OnService(kind="database"),
        severity="critical", for_s=30,
    ),
    HostRule(
        id="builtin:postgres.connections", name="Connections of PostgreSQL run out",
        condition=OnSample(metric="postgres.connections_percent", above=90, clear=85), for_s=120, recovery_s=60,
    ),
    HostRule(
        id="builtin:postgres.replication", name="A standby does not receive", condition=OnService(kind="replication"),
        severity="critical", for_s=60,
    ),
    HostRule(
        id="builtin:postgres.replication_lag", name="A standby is behind",
        condition=OnSample(metric="postgres.replication_lag_s", above=300, clear=60), for_s=120, recovery_s=60,
    ),
    HostRule(
        id="builtin:postgres.replica_lag", name="A standby is behind, as its primary sees it",
        condition=OnSample(metric="postgres.replica_lag_s", above=300, clear=60), for_s=120, recovery_s=60,
    ),
    HostRule(
        id="builtin:postgres.slot", name="A replication slot is lost", condition=OnService(kind="slot"),
        severity="critical",
    ),
    HostRule(
        id="builtin:postgres.slot_retained", name="A replication slot keeps much log",
        condition=OnSample(metric="postgres.slot_retained_bytes", above=20e9, clear=10e9), for_s=300,
    ),
    HostRule(
        id="builtin:postgres.wraparound", name="Transaction ids run out: vacuum is behind",
        condition=OnSample(metric="postgres.wraparound_percent", above=50, clear=40), severity="critical",
    ),
    HostRule(
        id="builtin:postgres.idle_in_transaction", name="A transaction is left open",
        condition=OnSample(metric="postgres.longest_idle_in_transaction_s", above=3600, clear=60),
    ),
    HostRule(
        id="builtin:postgres.locks", name="Locks are waited for", for_s=120, recovery_s=60,
        condition=OnSample(metric="postgres.locks_waiting", above=10, clear=2),
    ),
    HostRule(
        id="builtin:postgres.archive", name="Log cannot be archived", for_s=300,
        condition=OnSample(metric="postgres.archive_failing", above=0), severity="critical",
    ),
)  # fmt: skip


class Source:
    """One server; each look is a session of its own. Keeps the counters of the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        self._where = where(options.connection)
        self.name = f"[{self._where.host}]" if ":" in self._where.host else self._where.host
        self.name += f":{self._where.port}"
        self._rates, self._checkpoints = Rates(), Rates()
        self._level_at: float | None = None

    async def collect(self) -> Reading:
        """Ask once. A server that does not answer is a service that is not well."""
        return await asked("database", self.name, self._options.timeout, self._look)

    async def close(self) -> None:
        """Nothing is held but numbers."""

    async def _look(self) -> Reading:
        place = self._where
        user = place.user or _own_name()
        async with self._net.connect(place.host, place.port) as connection:
            if await self._wants_tls(connection):
                wish = TlsWish(verify=place.sslmode == "verify-full", server_name=place.host, ca_file=self._options.ca)
                await connection.start_tls(wish)
            session = postgres.Session(connection)
            await session.sign_in(user, place.database, self._options.password or place.password)
            asking = _Asking(session, self._options.timeout)
            reading = await self._seen(asking)
            await session.leave()
            return reading

    async def _wants_tls(self, connection: Connection) -> bool:
        """Whether TLS comes next. Raises CheckFailed when it has to and is not offered."""
        match self._where.sslmode:
            case "disable":
                return False
            case "prefer":
                return await starttls.offered_by_postgres(connection)
            case _:
                await starttls.ask(connection, "postgres")
                return True

    async def _seen(self, asking: _Asking) -> Reading:
        base = await asking.ask("", _pg.BASE)
        if not base:
            raise CheckFailed("protocol", "expected what PostgreSQL tells of itself, found another answer")
        every = await asking.ask("databases", _pg.DATABASES)
        activity = await asking.ask("activity", _pg.ACTIVITY) if base.get("sees") is True else {}
        if base.get("sees") is not True:
            asking.troubles.append("the role may not see what others do (GRANT pg_monitor)")
        values = _pg.connections(base, activity, every, self.name)
        mono = self._clock.monotonic()
        values |= _pg.of_databases(every, self._rates.per_s(_pg.counters(every), mono), self.name)
        if self._options.sizes:
            for row in _pg.rows((await asking.ask("sizes", _pg.SIZES)).get("rows")):
                labelled(
                    values,
                    "postgres.database_bytes",
                    row.get("size"),
                    server=self.name,
                    database=word(row.get("name"), 63),
                )
        made, services = _pg.replicas(await asking.ask("replication", _pg.SENDING), self.name)
        values |= made
        if base.get("standby") is True:
            receiving = await asking.ask("reception", _pg.RECEIVING)
            if self._level_at is None or receiving.get("caught_up") is True:
                self._level_at = mono
            made, own = _pg.reception(receiving, self.name, mono - self._level_at)
            values, services = values | made, services + own
        values |= await self._written(asking, number(base.get("number")) or 0.0, mono)
        role = "standby" if base.get("standby") is True else "primary"
        version = word(base.get("version"), 60)
        facts: dict[str, Any] = {"version": version, "role": role, "database": word(base.get("database"), 63)}
        whole = Service(
            kind="database", name=self.name, state="up", ok=True, detail=f"{role}, version {version}", facts=facts
        )
        return Reading(values=values, services=(whole, *services), trouble="; ".join(asking.troubles)[:400])

    async def _written(self, asking: _Asking, version: float, mono: float) -> dict[str, float]:
        """Checkpoints, and whether log can be archived."""
        made: dict[str, float] = {}
        seen = await asking.ask("checkpoints", _pg.checkpoints(version))
        counts = {name: value for name in ("timed", "requested") if (value := number(seen.get(name))) is not None}
        for name, rate in self._checkpoints.per_s(counts, mono).items():
            labelled(made, f"postgres.checkpoints_{name}_per_s", rate, server=self.name)
        archive = await asking.ask("archive", _pg.ARCHIVE)
        if archive.get("on") is True:
            failing = number(archive.get("waits_s")) is not None
            labelled(made, "postgres.archive_failing", float(failing), server=self.name)
        return made


class _Asking:
    """Questions of one session. What the server refuses to answer is a trouble of its own and costs nothing else."""

    def __init__(self, session: postgres.Session, timeout_s: float) -> None:
        self._session, self._most_ms = session, int(timeout_s * 1000)
        self.troubles: list[str] = []

    async def ask(self, part: str, question: str) -> dict[Any, Any]:
        """The answer's object (a list as `rows`), empty when there is none. `part` empty: it must be answered."""
        try:
            await self._session.run(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {self._most_ms}")
            try:
                answer = (await self._session.query(question)).first
            finally:
                await self._session.run("ROLLBACK")
        except postgres.Refused as error:
            if error.fatal or not part:
                raise CheckFailed("protocol", f"the server does not tell: {error}") from None
            self.troubles.append(f"{part}: {error}")
            return {}
        try:
            told: Any = loads(answer) if answer is not None else {}
        except Invalid:
            raise CheckFailed("protocol", f"expected JSON of {part or 'the server'}, found another answer") from None
        entries = as_map(told)
        return {"rows": told} if entries is None else entries
