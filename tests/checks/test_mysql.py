"""mysql: Debian's MariaDB with and without TLS; caching_sha2_password, which only MySQL has, on a server written from
the protocol's documents; and servers that answer something else."""

# ruff: noqa: E501

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from hostile.sound import MYSQL_END as END
from hostile.sound import MYSQL_EVERY as EVERY
from hostile.sound import MYSQL_OK as OK
from hostile.sound import MYSQL_SALT as SALT
from hostile.sound import Secured, greeting, packet
from needs import program
from tocsin.checks.mysql import Target
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid
from tocsin.net import mysql, mysql_auth

PASSWORD = "s3cret wörd"
USERS = f"""
CREATE USER watcher IDENTIFIED BY '{PASSWORD}';
CREATE USER safe IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;
CREATE USER nobody;
CREATE DATABASE shop;
CREATE TABLE shop.orders (id int) ENGINE=InnoDB;
INSERT INTO shop.orders VALUES (1), (2);
CREATE TABLE shop.log (id int) ENGINE=MyISAM;
GRANT ALL ON shop.* TO watcher;
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a MariaDB of this module's own listens; ended by its process id."""
    folder = tmp_path_factory.mktemp("mariadb")
    here = issue("127.0.0.1", by=authority())
    for name, text in (
        ("cert.pem", here.pem),
        ("key.pem", here.key_pem),
        ("ca.pem", authority().pem),
        ("users.sql", USERS),
    ):
        (folder / name).write_text(text)
    own = [f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
    made = [
        program("mariadb-install-db", "mysql_install_db"),
        "--no-defaults",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run([*made, *own], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with (folder / "log").open("w") as log:
        process, listening = started([program("mariadbd", "mysqld"), "--no-defaults", *own], folder, log)
    try:
        yield listening
    finally:
        process.terminate()
        process.wait(30)


def started(command: list[str], folder: Path, log: Any, attempts: int = 3) -> tuple[subprocess.Popen[bytes], int]:
    """A free port may be taken before the server has it."""
    port = hostile.refused_port()
    options = [
        f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/sock", f"--pid-file={folder}/pid", f"--init-file={folder}/users.sql",
        f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem", f"--ssl-ca={folder}/ca.pem", "--skip-name-resolve",
        "--innodb-flush-method=fsync", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M",
    ]  # fmt: skip
    process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    until = time.monotonic() + 30
    while f"port: {port}" not in (text := (folder / "log").read_text()):
        if process.poll() is not None and attempts > 1:
            return started(command, folder, log, attempts - 1)
        assert process.poll() is None, text
        assert time.monotonic() < until, text
        time.sleep(0.02)
    return process, port


def at(port: int, user: str = "watcher", **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "user": user,
        **({"password": PASSWORD} if user != "nobody" else {}),
        **more,
    }


async def test_a_server_is_up_and_tells_about_itself(port: int) -> None:
    outcome = await look("mysql", **at(port))
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert "MariaDB" in facts["server_version"]
    assert not facts["server_version"].startswith("5.5.5")
    assert (facts["read_only"], facts["rows"], facts["value"]) == (False, 1, "1")
    assert outcome.seen.timing.ttfb is not None
    assert PASSWORD not in str(outcome)
    assert why(await look("mysql", **at(port, "nobody")))[0] == "up"


async def test_who_is_not_let_in(port: int) -> None:
    wrong = await look("mysql", **at(port, password="hunter2"))
    assert why(wrong) == ("down", "protocol", "ttfb")
    assert "did not let the user in: 1045 (28000): Access denied" in str(wrong.error)
    assert "hunter2" not in str(wrong)
    none = await look("mysql", **at(port) | {"password": None})
    assert "using password: NO" in str(none.error)
    database = await look("mysql", **at(port, database="no_such"))
    assert "refused the session: 104" in str(database.error)


async def test_tls(port: int) -> None:
    given = at(port, "safe", query="SHOW SESSION STATUS LIKE 'Ssl_cipher'", expect="Ssl_cipher")
    outcome = await look("mysql", **given, tls=True, ca_file=authority().pem)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.verified
    assert why(await look("mysql", **given, tls=True)) == ("down", "tls", "tls")
    assert "did not let the user in: 1045" in str((await look("mysql", **given)).error)


async def test_what_is_not_as_it_should_be(port: int) -> None:
    outcome = await look("mysql", **at(port, database="shop", query="SELECT count(*) FROM orders", expect="3"))
    assert why(outcome)[:2] == ("down", "assertion")
    assert "expected '3', found '2'" in str(outcome.error)
    for query, found in (
        ("SELECT NULL", "NULL"),
        ("SELECT 1 FROM DUAL WHERE 1 = 0", "no row"),
        ("DO 1", "no row"),
        ("SELECT ''", "''"),
    ):
        assert f"expected '3', found {found}" in str((await look("mysql", **at(port, query=query, expect="3"))).error)
    long = await look("mysql", **at(port, query="SELECT repeat('x', 70000)", expect="x" * 1000))
    assert long.seen.facts["value"] == "x" * 199 + "…"
    missing = await look("mysql", **at(port, query="SELECT * FROM shop.nothing"))
    assert why(missing) == ("down", "protocol", "ttfb")
    assert "the query failed: 1146 (42S02): Table 'shop.nothing' doesn't exist" in str(missing.error)
    assert missing.seen.facts["read_only"] is False


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("DELETE FROM shop.orders", "1792 (25006)"), ("INSERT INTO shop.log VALUES (1)", "1792 (25006)"), ("DROP TABLE shop.log", "1792 (25006)"),
        ("COMMIT; DELETE FROM shop.orders", "1064 (42000)"), ("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE shop.log", "query failed"),
    ],
)  # fmt: skip
async def test_a_query_changes_nothing(port: int, query: str, says: str) -> None:
    outcome = await look("mysql", **at(port, query=query))
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)
    assert (await look("mysql", **at(port, query="SELECT count(*) FROM shop.orders"))).seen.facts["value"] == "2"


async def test_many_rows_and_large_values_are_cut(port: int) -> None:
    outcome = await look(
        "mysql",
        **at(
            port, query="SELECT seq FROM shop.orders, (SELECT 1 AS seq UNION SELECT 2) AS x, information_schema.columns"
        ),
    )
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["rows"] == 1000
    large = await look("mysql", **at(port, query="SELECT repeat('x', 2000000)"))
    assert why(large)[:2] == ("down", "protocol")
    many = await look("mysql", **at(port, query="SELECT repeat('x', 10000) FROM information_schema.columns"))
    assert "an endless one" in str(many.error)


async def test_the_server_ends_what_nobody_waits_for(port: int) -> None:
    assert why(await look("mysql", **at(port, query="SELECT SLEEP(60)"), timeout_s=0.3)) == ("down", "timeout", "ttfb")
    limit = await look("mysql", **at(port, query="SELECT @@max_statement_time"), timeout_s=3)
    assert 0 < float(limit.seen.facts["value"]) <= 3


# --- a server written from the documents: PAGE_PROTOCOL_CONNECTION_PHASE, PAGE_CACHING_SHA2_AUTHENTICATION_EXCHANGES ---


@dataclass
class Eight:
    """A server that signs in as MySQL 8 does, and answers to queries."""

    way: str = "caching_sha2_password"
    switch: bool = False
    cached: bool = False
    tls: ssl.SSLContext | None = None
    key: Any = None
    password: str = PASSWORD
    statements: list[str] = field(default_factory=list)

    async def __call__(self, talk: Talk) -> None:
        self.talk: Any = talk
        self.sequence = 1
        await talk.send(greeting("mysql_native_password" if self.switch else self.way))
        answer = await self.packet()
        if self.tls is not None and len(answer) == 32:
            self.talk = secured = Secured(talk, self.tls)
            await secured.step(secured.tls.do_handshake)
            answer = await self.packet()
        user, _, rest = answer[32:].partition(b"\0")
        assert user == b"watcher"
        proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        if self.switch:
            await self.send(b"\xfe" + self.way.encode() + b"\0" + SALT[::-1] + b"\0")
            proof = await self.packet()
        good = await (self.sha2(proof) if self.way == "caching_sha2_password" else self.native(proof))
        if not good:
            await self.send(b"\xff\x15\x04#28000Access denied for user 'watcher'")
            return
        await self.send(OK)
        await self.answer()

    @property
    def salt(self) -> bytes:
        return SALT[::-1] if self.switch else SALT

    async def native(self, proof: bytes) -> bool:
        """Checked as a server must, which knows only SHA1(SHA1(password))."""
        stored = hashlib.sha1(hashlib.sha1(self.password.encode()).digest()).digest()
        mask = hashlib.sha1(self.salt + stored).digest()
        return hashlib.sha1(bytes(a ^ b for a, b in zip(proof, mask, strict=True))).digest() == stored

    async def sha2(self, proof: bytes) -> bool:
        if self.cached:
            stored = hashlib.sha256(hashlib.sha256(self.password.encode()).digest()).digest()
            mask = hashlib.sha256(stored + self.salt).digest()
            if hashlib.sha256(bytes(a ^ b for a, b in zip(proof, mask, strict=True))).digest() == stored:
                await self.send(b"\1\3")
                return True
        await self.send(b"\1\4")
        given = await self.packet()
        if given == b"\2" and self.key is not None:
            public = self.key.public_key()
            await self.send(
                b"\1" + public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            )
            if not isinstance(self.key, rsa.RSAPrivateKey):
                await self.talk.reader.read(100)
                return False
            mixed = self.key.decrypt(
                await self.packet(), padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
            )
            given = bytes(c ^ self.salt[i % 20] for i, c in enumerate(mixed))
        return given == self.password.encode() + b"\0"

    async def answer(self) -> None:
        while True:
            self.sequence = 0
            said = await self.packet()
            if said == b"\1":
                return
            self.statements.append(statement := said[1:].decode())
            if statement.startswith("SELECT"):
                for body in (b"\1", b"\3def\0\0\0\x011\0\x0c?\0\1\0\0\0\x08\x81\0\0\0\0", END, b"\0011", END):
                    await self.send(body)
            else:
                await self.send(OK)

    async def packet(self) -> bytes:
        head = await self.talk.reader.readexactly(4)
        self.sequence = head[3] + 1
        return await self.talk.reader.readexactly(int.from_bytes(head[:3], "little"))

    async def send(self, body: bytes) -> None:
        await self.talk.send(packet(self.sequence, body))
        self.sequence += 1


async def test_the_written_server_is_asked_as_mysql_is() -> None:
    eight = Eight(cached=True)
    async with serving(eight, read=False) as server:
        outcome = await look("mysql", **at(server.port), timeout_s=3)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["server_version"] == "8.4.0"
    assert outcome.seen.facts["read_only"] is True
    assert eight.statements[1].startswith("SET SESSION sql_select_limit = 1000, SESSION max_execution_time = ")
    assert eight.statements[2:] == ["SET SESSION TRANSACTION READ ONLY", "START TRANSACTION READ ONLY", "SELECT 1"]


@pytest.mark.parametrize("switch", [False, True])
async def test_caching_sha2_password(switch: bool) -> None:
    """Its short way, and its long one by the server's public key, and over TLS."""
    key = rsa.generate_private_key(65537, 2048)
    for eight in (
        Eight(switch=switch, cached=True),
        Eight(switch=switch, key=key),
        Eight("mysql_native_password", switch=switch),
    ):
        async with serving(eight, read=False) as server:
            outcome = await look("mysql", **at(server.port))
            assert why(outcome) == ("up", "", None), outcome.error
            wrong = await look("mysql", **at(server.port, password="hunter2"))
        assert "did not let the user in: 1045 (28000)" in str(wrong.error) or (
            eight.cached and "ended" in str(wrong.error)
        )
    eight = Eight(switch=switch, tls=issue("127.0.0.1", by=authority()).context())
    async with serving(eight, read=False) as server:
        outcome = await look("mysql", **at(server.port, tls=True, ca_file=authority().pem))
    assert why(outcome) == ("up", "", None), outcome.error


async def test_keys_that_cannot_take_a_password() -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)):
        long = "x" * 200
        async with serving(Eight(key=key, password=long), read=False) as server:
            outcome = await look("mysql", **at(server.port, password=long))
        assert why(outcome)[:2] == ("down", "protocol")
        assert "an RSA public key that can take the password" in str(outcome.error)
    with pytest.raises(CheckFailed):
        mysql_auth.sealed("x", b"", b"")


RESULT = packet(1, OK)
FIRST = b"".join(packet(n, b) for n, b in enumerate((b"\1", b"x", END, b"\0010", END), 1))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([b""], "ended"), ([b"SSH-2.0-OpenSSH\r\n"], "expected a packet of MySQL, found 'SSH-'"), ([packet(0, b"\x09old")], "greeting of version 10"),
        ([packet(0, b"\xff\x10\x04Too many \x1b[31mconnections")], "turns us away: 1040: Too many \\u001b[31mconnections"), ([packet(0, b"")], "greeting of"),
        ([packet(0, b"\x0a8.4\0short")], "a greeting of version 10"), ([packet(1, b"\x0a")], "a packet of MySQL"), ([greeting(offers=0)], "4.1 or later"),
        ([b"\xff\xff\xff\0"], "a packet of MySQL"), ([greeting(), packet(2, b"")], "an empty one"), ([greeting(), packet(2, b"\xfe")], "that of version 3"),
        ([greeting(), packet(2, b"\xfeclient_ed25519\0" + SALT)], "not spoken: client_ed25519"), ([greeting(), packet(2, b"\1\5")], "3 or 4"),
        ([greeting("mysql_native_password"), packet(2, b"\1\4")], "the end of the sign-in"), ([greeting(), packet(2, b"\1\3") + packet(3, b"\1\3")], "the end of"),
        ([greeting(), packet(2, b"\1\4"), packet(4, b"\1no key")], "an RSA public key"), ([greeting(), packet(2, b"\1\4"), packet(4, b"\0")], "a public key"),
        ([greeting(), packet(2, b"\xfemysql_native_password\0" + SALT), packet(4, b"\xfemysql_native_password\0")], "the end of the sign-in"),
        ([greeting(), packet(2, OK), packet(1, b"\xfb/etc/passwd")], "a wish for a file of ours"), ([greeting(), packet(2, OK), packet(1, b"\xfe\xff")], "ended"),
        ([greeting(), packet(2, OK), b"".join(packet(n & 255, b) for n, b in enumerate([b"\1", b"x", END] + [b"\0011"] * 11_000, 1))], "an endless one"),
        ([greeting(), packet(2, OK), b"".join(packet(n, b) for n, b in enumerate((b"\1", b"x", END, b"\xfc\xff\xff1"), 1))], "a row, found one that is cut"),
        ([greeting(), packet(2, OK), b"".join(packet(n, b) for n, b in enumerate((b"\1", b"x", b"y"), 1))], "the end of the columns"),
        ([greeting(), packet(2, OK), FIRST, RESULT, packet(1, b"\xff\x01\0#HY000no")], "no transaction that only reads: 1 (HY000): no"),
        ([greeting(), packet(2, OK), packet(1, b"\xff\x01\0#HY000no"), RESULT, RESULT, RESULT, packet(1, b"\xff\x27\x04#08S01gone")], "query failed: 1063 (08S01)"),
    ],
)  # fmt: skip
async def test_servers_that_answer_something_else(said: list[bytes], says: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(said[0])
        for answer in said[1:]:
            await talk.reader.read(1000)
            await talk.send(answer)
        talk.writer.write_eof()
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("mysql", **at(server.port, password="canary"))
    assert why(outcome)[:2] == ("down", "protocol")
    assert outcome.error is not None
    assert says in outcome.error.message
    assert "canary" not in str(outcome)


async def test_tls_that_is_not_offered() -> None:
    async def script(talk: Talk) -> None:
        await talk.send(greeting(offers=EVERY & ~0x800))
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("mysql", **at(server.port, tls=True))
    assert why(outcome) == ("down", "protocol", "tls")
    assert "does not offer TLS" in str(outcome.error)


class Far:
    """A connection to a server elsewhere, as far as signing in looks at it."""

    tls = None

    def __init__(self, peer: str, *said: bytes) -> None:
        self.peer, self.said, self.sent = peer, b"".join(said), b""

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def read(self, n: int) -> bytes:
        taken, self.said = self.said[:n], self.said[n:]
        return taken


@pytest.mark.parametrize(
    "asks", [packet(2, b"\xfemysql_clear_password\0"), packet(2, b"\1\4")]
)  # fmt: skip
async def test_a_password_does_not_leave_this_machine_in_the_clear(asks: bytes) -> None:
    """Nor sealed by a key that anybody may have made."""
    far: Any = Far("8.8.8.8", greeting(), asks)
    session = mysql.Session(far)
    await session.greet()
    with pytest.raises(CheckFailed, match="not sent without TLS"):
        await session.sign_in("watcher", "canary", None)
    assert b"canary" not in far.sent
    assert not far.sent.endswith(b"\2")


async def test_nobody_and_silence() -> None:
    assert why(await look("mysql", **at(hostile.refused_port())))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("mysql", **at(server.port), timeout_s=0.3)) == ("down", "timeout", "ttfb")


def test_targets_that_are_refused() -> None:
    for data, field_ in (({}, "user"), ({"user": "a\0b"}, "user"), ({"user": "a", "port": 0}, "port")):
        with pytest.raises(Invalid) as caught:
            read(Target, {"host": "a", **data})
        assert [p.field for p in caught.value.problems] == [field_]
    assert read(Target, {"host": "a", "user": "b"}).port == 3306
