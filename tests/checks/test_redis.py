"""redis: Debian's server with and without TLS, master and replica; and servers that answer something else."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from needs import program
from tocsin.checks.redis import Target
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid
from tocsin.net import clear

PASSWORD = "s3cret-word"


@dataclass
class Redis:
    """Where a real server listens."""

    port: int
    tls_port: int

    def ask(self, *words: str) -> str:
        """The answer of redis-cli."""
        command = [program("redis-cli", "valkey-cli"), "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def redis_server(folder: Path, *more: str) -> Iterator[Redis]:
    """A server of this test's own, ended by its process id."""
    folder.mkdir()
    here = issue("127.0.0.1", by=authority())
    for name, text in (("cert.pem", here.pem), ("key.pem", here.key_pem), ("ca.pem", authority().pem)):
        (folder / name).write_text(text)
    process, server = started(folder, *more)
    try:
        yield server
    finally:
        process.terminate()
        process.wait(20)


def started(folder: Path, *more: str, attempts: int = 3) -> tuple[subprocess.Popen[bytes], Redis]:
    """A free port may be taken before the server has it."""
    server = Redis(hostile.refused_port(), hostile.refused_port())
    lines = [
        f"port {server.port}", f"tls-port {server.tls_port}", "bind 127.0.0.1", f"dir {folder}", 'save ""',
        f"tls-cert-file {folder}/cert.pem", f"tls-key-file {folder}/key.pem", f"tls-ca-cert-file {folder}/ca.pem",
        "tls-auth-clients optional", f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0",
        f"user alice on >{PASSWORD} ~shop:* +ping +exists", *more,
    ]  # fmt: skip
    (folder / "conf").write_text("\n".join(lines) + "\n")
    log = folder / "log"
    with log.open("w") as out:
        command = [program("redis-server", "valkey-server"), str(folder / "conf")]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    wait_for(lambda: process.poll() is not None or "eady to accept connections" in log.read_text())
    if process.poll() is not None and attempts > 1:
        return started(folder, *more, attempts=attempts - 1)
    assert process.poll() is None, log.read_text()
    return process, server


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis") / "master") as server:
        server.ask("-n", "3", "SET", "shop:open", "yes")
        yield server


async def test_a_server_is_up_and_tells_about_itself(redis: Redis) -> None:
    outcome = await look(
        "redis", host="127.0.0.1", port=redis.port, password=PASSWORD, role="master", database=3, key="shop:open"
    )
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert facts["server_version"].startswith(("redis 7", "valkey"))
    assert facts["role"] == "master"
    assert facts["connected_clients"] >= 1
    assert facts["used_memory_bytes"] > 100_000
    assert facts["connected_replicas"] == 0
    assert outcome.seen.timing.ttfb is not None
    assert PASSWORD not in str(outcome)


async def test_what_is_not_as_it_should_be(redis: Redis) -> None:
    here: dict[str, Any] = {"host": "127.0.0.1", "port": redis.port}
    unsigned = await look("redis", **here)
    assert why(unsigned) == ("down", "protocol", "ttfb")
    assert "NOAUTH" in str(unsigned.error)
    wrong = await look("redis", **here, password="hunter2")
    assert why(wrong) == ("down", "protocol", "ttfb")
    assert "did not let the user in: WRONGPASS" in str(wrong.error)
    assert "hunter2" not in str(wrong)
    here["password"] = PASSWORD
    role = await look("redis", **here, role="replica")
    assert why(role)[:2] == ("down", "assertion")
    assert "expected role replica, found master" in str(role.error)
    assert role.seen.facts["role"] == "master"
    missing = await look("redis", **here, key="shop:open")  # it is in database 3
    assert why(missing)[:2] == ("down", "assertion")
    assert "expected key shop:open" in str(missing.error)
    beyond = await look("redis", **here, database=4000)
    assert why(beyond)[:2] == ("down", "protocol")
    assert "out of range" in str(beyond.error)


async def test_a_user_who_may_do_little(redis: Redis) -> None:
    here: dict[str, Any] = {"host": "127.0.0.1", "port": redis.port, "user": "alice", "password": PASSWORD}
    outcome = await look("redis", **here)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts == {}
    assert "does not tell its role" in str((await look("redis", **here, role="master")).error)
    assert "NOPERM" in str((await look("redis", **here, key="other")).error)


async def test_tls(redis: Redis) -> None:
    here: dict[str, Any] = {"host": "127.0.0.1", "port": redis.tls_port, "tls": True, "password": PASSWORD}
    outcome = await look("redis", **here, ca_file=authority().pem)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.verified
    assert why(await look("redis", **here)) == ("down", "tls", "tls")
    plain = await look("redis", **here | {"port": redis.port}, timeout_s=0.3)  # waits for the end of a line
    assert why(plain) == ("down", "timeout", "tls")


async def test_a_replica_and_its_link(redis: Redis, tmp_path: Path) -> None:
    with redis_server(tmp_path / "replica", f"replicaof 127.0.0.1 {redis.port}") as replica:
        await asyncio.to_thread(wait_for, lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
        here: dict[str, Any] = {"host": "127.0.0.1", "port": replica.port, "password": PASSWORD}
        outcome = await look("redis", **here, role="replica")
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.facts["link_to_master"] == "up"
        master = await look("redis", **here | {"port": redis.port})
        assert master.seen.facts["connected_replicas"] == 1
        replica.ask("REPLICAOF", "127.0.0.1", str(hostile.refused_port()))
        broken = await look("redis", **here, role="replica")
        assert why(broken)[:2] == ("degraded", "assertion")
        assert broken.seen.facts["link_to_master"] == "down"


@pytest.mark.parametrize(
    ("said", "type_", "says"),
    [
        (b"", "protocol", "ended"), (b"SSH-2.0-OpenSSH\r\n", "protocol", "expected a reply of Redis"), (b"x" * 70_000, "protocol", "end of a line"),
        (b"-LOADING Redis is loading\r\n", "protocol", "LOADING"), (b"$999999999999\r\n", "protocol", "at most 1048576"),
        (b"$-7\r\n", "protocol", "a length"), (b"$5\r\nabc", "protocol", "ended"), (b"$1\r\nabc", "protocol", "end of a text"),
        (b"*1\r\n" * 20, "protocol", "nested too deep"), (b"*99999999\r\n", "protocol", "at most 10000"), (b"*-5\r\n", "protocol", "parts"),
        (b"*9000\r\n" + b"*3000\r\n" + b":1\r\n" * 12_000, "protocol", "too many"), (b":zwei\r\n", "protocol", "whole number"), (b":-+5\r\n", "protocol", "whole number"),
        (b">1\r\n+news\r\n" * 101, "protocol", "nobody asked for"), (b"+OK\r\n", "protocol", "expected PONG to PING, found 'OK'"),
        (b"$-1\r\n", "protocol", "found NoneType"), (b"!5\r\nERR x\r\n", "protocol", "found ERR x"),
        ((b"*10000\r\n" + b"$500\r\n" + b"x" * 500 + b"\r\n") + (b"$500\r\n" + b"x" * 500 + b"\r\n") * 3000, "protocol", "at most 1048576"),
    ],
)  # fmt: skip
async def test_servers_that_answer_something_else(said: bytes, type_: str, says: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1000)
        await talk.send(said)

    async with serving(script, read=False) as server:
        outcome = await look("redis", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", type_)
    assert says in str(outcome.error)


async def test_replies_of_version_3_and_messages_in_between() -> None:
    """Attributes, pushes, and INFO as a verbatim text; what INFO tells may be anything."""
    info = (
        b"role:slave\r\nmaster_link_status:\x1b[31mup\r\nconnected_clients:99999999999999999999\r\nredis_version:"
        + b"9" * 500
    )
    replies = [
        b">3\r\n+message\r\n#t\r\n,1.5\r\n|1\r\n+ttl\r\n:5\r\n$4\r\nPONG\r\n", b"=%d\r\ntxt:%s\r\n" % (len(info) + 4, info),
    ]  # fmt: skip

    async def script(talk: Talk) -> None:
        for reply in replies:
            await talk.reader.read(1000)
            await talk.send(reply)

    async with serving(script, read=False) as server:
        outcome = await look("redis", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("degraded", "assertion")
    assert outcome.seen.facts["link_to_master"] == "\\u001b[31mup"
    assert len(outcome.seen.facts["server_version"]) < 80
    assert "connected_clients" not in outcome.seen.facts


async def test_other_values_of_version_3() -> None:
    replies = [b"+PONG\r\n", b"%2\r\n+role\r\n_\r\n+x\r\n~2\r\n#f\r\n(123\r\n", b"%0\r\n"]

    async def script(talk: Talk) -> None:
        for reply in replies:
            await talk.reader.read(1000)
            await talk.send(reply)

    async with serving(script, read=False) as server:
        outcome = await look("redis", host="127.0.0.1", port=server.port, key="k")
    assert why(outcome)[:2] == ("down", "protocol")
    assert "expected a number to EXISTS, found dict" in str(outcome.error)


async def test_nobody_and_silence() -> None:
    assert why(await look("redis", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("redis", host="127.0.0.1", port=server.port, timeout_s=0.3)) == (
            "down",
            "timeout",
            "ttfb",
        )


@pytest.mark.parametrize(
    ("peer", "private", "goes"),
    [("127.0.0.1", False, True), ("::1", False, True), ("10.0.0.5", False, False), ("10.0.0.5", True, True), ("fd00::1", True, True), ("8.8.8.8", True, False)],
)  # fmt: skip
def test_how_far_a_password_goes_in_the_clear(peer: str, private: bool, goes: bool) -> None:
    with contextlib.nullcontext() if goes else pytest.raises(CheckFailed, match="not sent without TLS"):
        clear.guard(At(peer), private=private)  # type: ignore[arg-type]


@dataclass
class At:
    """A connection as far as the guard looks at it."""

    peer: str
    tls: None = None


def test_targets_that_are_refused() -> None:
    for data, field in (({"user": "a"}, "password"), ({"role": "slave"}, "role"), ({"database": -1}, "database")):
        with pytest.raises(Invalid) as caught:
            read(Target, {"host": "a", **data})
        assert [p.field for p in caught.value.problems] == [field]
    assert read(Target, {"host": "a", "password": "alone"}).port == 6379
