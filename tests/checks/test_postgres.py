"""postgres: a real cluster with each way to sign in, with and without TLS; and servers that answer something else."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from hostile.sound import PG_READY as READY
from hostile.sound import pg as message
from pg_cluster import cluster
from tocsin.checks.postgres import Target
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid
from tocsin.net import postgres

PASSWORD = "s3cret wörd\u00a0x"  # SASLprep makes a plain space of the last one
HBA = """
host all tocsin 127.0.0.1/32 trust
host all clear 127.0.0.1/32 password
host all old 127.0.0.1/32 md5
host all new 127.0.0.1/32 scram-sha-256
hostssl all safe 127.0.0.1/32 scram-sha-256
hostssl all walker 127.0.0.1/32 cert
"""


def furnish(data: Path) -> None:
    here = issue("127.0.0.1", by=authority())
    for name, text in (
        ("server.crt", here.pem),
        ("server.key", here.key_pem),
        ("pg_hba.conf", HBA),
        ("ca.crt", authority().pem),
    ):
        (data / name).write_text(text)
        (data / name).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / name, "postgres", "postgres")
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("\nssl = on\nssl_ca_file = 'ca.crt'\n")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with cluster(furnish) as listening:
        asyncio.run(make_users(listening))
        yield listening


async def make_users(port: int) -> None:
    import asyncpg

    connection = await asyncpg.connect(f"postgresql://tocsin@127.0.0.1:{port}/postgres")
    try:
        for name, way in (
            ("clear", "scram-sha-256"),
            ("old", "md5"),
            ("new", "scram-sha-256"),
            ("safe", "scram-sha-256"),
        ):
            await connection.execute(f"SET password_encryption = '{way}'")
            await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        await connection.execute("CREATE ROLE walker LOGIN")
        await connection.execute(
            "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2); GRANT ALL ON orders TO PUBLIC"
        )
    finally:
        await connection.close()


def at(port: int, user: str = "tocsin", **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "user": user, "database": "postgres", **more}


async def test_a_server_is_up_and_tells_about_itself(port: int) -> None:
    outcome = await look("postgres", **at(port))
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert facts["server_version"][0].isdigit()
    assert (facts["in_recovery"], facts["rows"], facts["value"]) == (False, 1, "1")
    assert facts["query_ms"] > 0
    assert outcome.seen.timing.ttfb is not None


@pytest.mark.parametrize("user", ["clear", "old", "new"])
async def test_each_way_to_sign_in(port: int, user: str) -> None:
    outcome = await look("postgres", **at(port, user, password=PASSWORD, query="SELECT current_user", expect=user))
    assert why(outcome) == ("up", "", None), outcome.error
    assert PASSWORD not in str(outcome)
    wrong = await look("postgres", **at(port, user, password="hunter2"))
    assert why(wrong) == ("down", "protocol", "ttfb")
    assert "did not let the user in: FATAL 28P01" in str(wrong.error)
    assert "hunter2" not in str(wrong)
    none = await look("postgres", **at(port, user))
    assert why(none)[:2] == ("down", "protocol")
    assert "asks for a password, and none is given" in str(none.error)


async def test_tls(port: int) -> None:
    given = at(port, "safe", password=PASSWORD)
    outcome = await look("postgres", **given, tls=True, ca_file=authority().pem)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.verified
    assert why(await look("postgres", **given, tls=True)) == ("down", "tls", "tls")
    plain = await look("postgres", **given)
    assert why(plain)[:2] == ("down", "protocol")
    assert "did not let the user in: FATAL 28000" in str(plain.error)


async def test_a_client_certificate(port: int) -> None:
    own = issue("walker", by=authority())
    given = at(port, "walker", tls=True, ca_file=authority().pem)
    outcome = await look("postgres", **given, client_cert=own.pem, client_key=own.key_pem)
    assert why(outcome) == ("up", "", None), outcome.error
    refused = await look("postgres", **given)
    assert why(refused)[:2] == ("down", "protocol")
    assert "valid client certificate" in str(refused.error)


async def test_what_is_not_as_it_should_be(port: int) -> None:
    outcome = await look("postgres", **at(port, query="SELECT count(*) FROM orders", expect="3"))
    assert why(outcome)[:2] == ("down", "assertion")
    assert "expected '3', found '2'" in str(outcome.error)
    assert outcome.seen.facts["value"] == "2"
    for query, found in (
        ("SELECT NULL", "NULL"),
        ("SELECT 1 WHERE false", "no row"),
        ("SELECT", "NULL"),
        (";", "no row"),
    ):
        assert f"expected '3', found {found}" in str(
            (await look("postgres", **at(port, query=query, expect="3"))).error
        )
    missing = await look("postgres", **at(port, query="SELECT * FROM nothing"))
    assert why(missing) == ("down", "protocol", "ttfb")
    assert 'the query failed: ERROR 42P01: relation "nothing" does not exist' in str(missing.error)
    assert missing.seen.facts["in_recovery"] is False
    database = await look("postgres", **at(port) | {"database": "no_such"})
    assert "refused the session: FATAL 3D000" in str(database.error)
    same = await look("postgres", host="127.0.0.1", port=port, user="tocsin")
    assert 'database "tocsin" does not exist' in str(same.error)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("DELETE FROM orders", "25006"), ("CREATE TABLE t (id int)", "25006"), ("ROLLBACK; DELETE FROM orders", "42601"),
        ("DO $$ BEGIN COMMIT; SET default_transaction_read_only = off; DELETE FROM orders; END $$", "2D000"),
        ("WITH a AS (SELECT set_config('transaction_read_only', 'off', true)), b AS (DELETE FROM orders) SELECT * FROM a", "25006"),
        ("COPY orders TO STDOUT", "COPY, which is not spoken"), ("COPY orders FROM STDIN", "25006"),
    ],
)  # fmt: skip
async def test_a_query_changes_nothing(port: int, query: str, code: str) -> None:
    outcome = await look("postgres", **at(port, query=query))
    assert why(outcome)[:2] == ("down", "protocol")
    assert code in str(outcome.error)
    assert (await look("postgres", **at(port, query="SELECT count(*) FROM orders"))).seen.facts["value"] == "2"


async def test_many_rows_and_large_values_are_cut(port: int) -> None:
    outcome = await look("postgres", **at(port, query="SELECT repeat('x', 1000), generate_series(1, 100000000)"))
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["rows"] == 1000
    assert len(outcome.seen.facts["value"]) == 200
    large = await look("postgres", **at(port, query="SELECT repeat('x', 2000000)"))
    assert why(large)[:2] == ("down", "protocol")
    many = await look("postgres", **at(port, query="SELECT repeat('x', 10000) FROM generate_series(1, 1000)"))
    assert "an endless one" in str(many.error)


async def test_the_server_ends_what_nobody_waits_for(port: int) -> None:
    outcome = await look("postgres", **at(port, query="SELECT pg_sleep(60)"), timeout_s=0.3)
    assert why(outcome) == ("down", "timeout", "ttfb")
    limit = await look("postgres", **at(port, query="SHOW statement_timeout"), timeout_s=3)
    assert limit.seen.facts["value"].endswith("ms")


def auth(code: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack(">I", code) + rest)


FATAL = message(b"E", b"SFATAL\0C57P03\0Mthe database system is \x1b[31mstarting up\0\0")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"", "ended"), (b"HTTP/1.1 400 Bad\r\n\r\n", "expected a message of PostgreSQL, found 'HTTP/'"), (b"SSH-2.0-x\r\n", "found 'SSH-2'"),
        (FATAL, "refused the session: FATAL 57P03: the database system is \\u001b[31mstarting up"), (message(b"E", b""), "an error without words"),
        (b"R\xff\xff\xff\xff", "a message of PostgreSQL"), (b"R\0\0\0\0", "a message of PostgreSQL"), (message(b"R", b"\0"), "an authentication message"),
        (auth(7), "not spoken: 7"), (auth(10, b"SCRAM-SHA-1\0\0"), "SCRAM-SHA-256 to be offered"), (auth(3) + auth(3), "the end of the sign-in"),
        (READY, "an authentication message, found 'Z'"), (auth(5, b"salt") + READY, "an authentication message"),
        (auth(10, b"SCRAM-SHA-256\0\0") + auth(0), "a message of SCRAM, found one of kind 0"),
        (auth(10, b"SCRAM-SHA-256\0\0") + auth(11, b"r=x,s=AAAA,i=4096"), "continues ours"),
        (auth(0) + message(b"S", b"a\0b\0") * 20_000, "an endless one"), (message(b"N", b"x" * 1_000_000) * 5, "an endless one"),
        (message(b"v", b"") + auth(0) + READY + message(b"D", b"\0\1\0\0\0\x09x"), "a row, found one that is cut short"),
        (auth(0) + READY + message(b"D", b"\0\1\0\0\0\1x") * 2000, "at most 1000 rows"), (auth(0) + READY + FATAL, "ended the session: FATAL 57P03"),
        (auth(0) + message(b"K", b"12345678") + READY + READY, "ended"),
    ],
)  # fmt: skip
async def test_servers_that_answer_something_else(said: bytes, says: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1000)
        await talk.send(said)
        talk.writer.write_eof()
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("postgres", **at(server.port, password="canary"))
    assert why(outcome)[:2] == ("down", "protocol")
    assert outcome.error is not None
    assert says in outcome.error.message
    assert "canary" not in str(outcome)


async def test_a_server_that_only_plays_scram_is_found_out() -> None:
    """It lets everybody in, without knowing the password."""

    async def script(talk: Talk) -> None:
        await talk.reader.read(1000)
        await talk.send(auth(10, b"SCRAM-SHA-256\0\0"))
        nonce = (await talk.reader.read(1000)).rpartition(b"r=")[2]
        await talk.send(auth(11, b"r=" + nonce + b"xyz,s=AAAA,i=4096"))
        await talk.reader.read(1000)
        await talk.send(auth(12, b"v=AAAA") + auth(0) + READY)
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("postgres", **at(server.port, password="canary"))
    assert why(outcome)[:2] == ("down", "protocol")
    assert "did not prove that it knows the password" in str(outcome.error)


async def test_tls_that_is_not_offered() -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(8)
        await talk.send(b"N")

    async with serving(script, read=False) as server:
        outcome = await look("postgres", **at(server.port, tls=True))
    assert why(outcome) == ("down", "protocol", "tls")
    assert "does not offer TLS" in str(outcome.error)


async def test_a_relative_without_recovery_and_a_clear_password_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    error = message(b"E", b"SERROR\0C42883\0Mno such function\0\0")
    answers = [
        auth(0) + READY, error + READY, message(b"C", b"BEGIN\0") + READY, message(b"D", b"\0\1\xff\xff\xff\xff") + READY, READY,
    ]  # fmt: skip

    async def script(talk: Talk) -> None:
        for answer in answers:
            await talk.reader.read(2000)
            await talk.send(answer)
        assert await talk.reader.read(100) == message(b"X", b"")

    async with serving(script, read=False) as server:
        outcome = await look("postgres", **at(server.port))
    assert why(outcome) == ("up", "", None), outcome.error
    assert "in_recovery" not in outcome.seen.facts
    assert outcome.seen.facts["value"] is None


class Far:
    """A connection to a server elsewhere, as far as signing in looks at it: the server asks for the password as it is."""

    peer, tls = "192.0.2.7", None

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.said = auth(3)

    async def write(self, data: bytes) -> None:
        self.sent.append(data)

    async def read(self, n: int) -> bytes:
        taken, self.said = self.said[:n], self.said[n:]
        return taken


async def test_a_password_does_not_leave_this_machine_in_the_clear() -> None:
    far: Any = Far()
    with pytest.raises(CheckFailed, match="not sent without TLS"):
        await postgres.Session(far).sign_in("me", None, "canary")
    assert b"canary" not in b"".join(far.sent)


async def test_nobody_and_silence() -> None:
    assert why(await look("postgres", **at(hostile.refused_port())))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("postgres", **at(server.port), timeout_s=0.3)) == ("down", "timeout", "ttfb")


def test_targets_that_are_refused() -> None:
    for data, field in (({}, "user"), ({"user": "a\0b"}, "user"), ({"user": "a", "query": ""}, "query")):
        with pytest.raises(Invalid) as caught:
            read(Target, {"host": "a", **data})
        assert [p.field for p in caught.value.problems] == [field]
    assert read(Target, {"host": "a", "user": "b"}).port == 5432
