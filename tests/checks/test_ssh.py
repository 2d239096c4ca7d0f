"""ssh: OpenSSH's own server, asyncssh's for passwords, and ones that break off or speak nonsense."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

import hostile
from checks.looking import look, why
from daemon import daemon, free_port
from hostile import Talk, serving
from needs import program
from tocsin.checks.ssh import Target
from tocsin.core.shape import fields, read
from tocsin.errors import Invalid


@dataclass
class Sshd:
    """An OpenSSH server that lets the tests' own user in by `key`, and nobody by password."""

    port: int
    key: str
    prints: dict[str, str]
    log: Path


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server, keygen = program("sshd"), program("ssh-keygen")
    folder = tmp_path_factory.mktemp("sshd")
    prints: dict[str, str] = {}
    lines = []
    for kind, size in (("ed25519", []), ("ecdsa", []), ("rsa", ["-b", "2048"]), ("user", [])):
        file = folder / kind
        subprocess.run(
            [keygen, "-q", "-t", kind if kind != "user" else "ed25519", *size, "-N", "", "-f", file], check=True
        )
        prints[kind] = subprocess.run([keygen, "-lf", file], check=True, capture_output=True, text=True).stdout.split()[
            1
        ]
        lines.append(f"HostKey {file}" if kind != "user" else f"AuthorizedKeysFile {file}.pub")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where sshd shuts its children in; its place is built in
    port = free_port()
    lines += [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        "UsePAM no",
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin yes",
        "PidFile none",
        "LogLevel DEBUG1",
        "MaxStartups 100",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    with daemon([server, "-D", "-e", "-f", folder / "config"], [port], folder / "log"):
        yield Sshd(port, (folder / "user").read_text(), prints, folder / "log")


@contextlib.asynccontextmanager
async def password_server(**more: Any) -> AsyncIterator[tuple[int, str, list[str]]]:
    """Its port, the fingerprint of its key, and who tried to sign in."""
    tried: list[str] = []

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            tried.append(username)
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("alice", "s3cret")

    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], config=None, **more
    ) as server:
        yield server.get_port(), key.get_fingerprint(), tried


async def test_without_a_user_the_key_exchange_is_the_check(sshd: Sshd):
    outcome = await look("ssh", host="127.0.0.1", port=sshd.port, host_key=sshd.prints["ed25519"])
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert facts["banner"].startswith("SSH-2.0-OpenSSH_")
    assert (facts["host_key_type"], facts["host_key"]) == ("ssh-ed25519", sshd.prints["ed25519"])
    assert facts["kex"]
    assert facts["cipher"]
    assert "signed_in" not in facts
    assert outcome.seen.timing.ttfb is not None
    assert outcome.target == f"127.0.0.1:{sshd.port}"


async def test_a_key_signs_in_and_out(sshd: Sshd):
    given = {"host": "127.0.0.1", "port": sshd.port, "user": getpass.getuser()}
    outcome = await look("ssh", **given, private_key=sshd.key)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["signed_in"] is True
    assert outcome.seen.timing.transfer is not None
    log = sshd.log.read_text()
    assert f"Accepted publickey for {getpass.getuser()}" in log
    assert "Starting session" not in log
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    wrong = await look("ssh", **given, private_key=other)
    assert why(wrong) == ("down", "protocol", "transfer")
    assert "did not let the user in" in str(wrong.error)
    by_password = await look("ssh", **given, password="hunter2")
    assert why(by_password) == ("down", "protocol", "transfer")
    assert "hunter2" not in str(by_password)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_the_type_of_host_key_that_is_asked_for(sshd: Sshd, kind: str):
    outcome = await look("ssh", host="127.0.0.1", port=sshd.port, host_key_type=kind, host_key=sshd.prints[kind])
    assert why(outcome) == ("up", "", None), outcome.error


async def test_a_changed_host_key_gets_no_password(sshd: Sshd):
    async with password_server() as (port, fingerprint, tried):
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "alice", "password": "s3cret"}
        changed = await look("ssh", **given, host_key=sshd.prints["ed25519"])
        assert tried == []
        right = await look("ssh", **given, host_key=fingerprint)
        assert tried == ["alice"]
    assert why(changed) == ("down", "assertion", "ttfb")
    assert changed.error is not None
    assert changed.error.message == f"expected the host key {sshd.prints['ed25519']}, found {fingerprint} (ssh-ed25519)"
    assert why(right) == ("up", "", None)


async def test_a_password_signs_in():
    async with password_server() as (port, _, tried):
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        assert why(await look("ssh", **given)) == ("up", "", None)
        assert tried == []
        assert why(await look("ssh", **given, user="alice", password="s3cret")) == ("up", "", None)
        wrong = await look("ssh", **given, user="alice", password="hunter2")
    assert why(wrong) == ("down", "protocol", "transfer")
    assert "hunter2" not in str(wrong)


async def test_nothing_of_this_machine_is_read(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A configuration that leads elsewhere, a key that would open, a list that knows nobody, an agent: all left alone."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519").write_text(sshd.key)
    (tmp_path / ".ssh/config").write_text(
        "Host *\n  Hostname 127.0.0.2\n  Port 9\n  ProxyCommand false\n  HostKeyAlias other\n"
    )
    (tmp_path / ".ssh/known_hosts").write_text(
        "@revoked * " + "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA" + "A" * 42 + "\n"
    )
    asked = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        writer.close()

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    async with await asyncio.start_unix_server(agent, tmp_path / "agent"):
        outcome = await look("ssh", host="127.0.0.1", port=sshd.port, user=getpass.getuser(), password="nothing")
        right = await look("ssh", host="127.0.0.1", port=sshd.port, user=getpass.getuser(), private_key=sshd.key)
    assert why(outcome) == ("down", "protocol", "transfer")
    assert why(right) == ("up", "", None)
    assert asked == []


async def test_no_way_in_common():
    async with password_server(kex_algs=["diffie-hellman-group-exchange-sha256"]) as (port, _, _):
        outcome = await look("ssh", host="127.0.0.1", port=port)
    assert why(outcome) == ("down", "protocol", "ttfb")
    assert "No matching key exchange algorithm found; it offers diffie-hellman-group-exchange-sha256" in str(
        outcome.error
    )


async def test_a_key_that_is_none(sshd: Sshd):
    encrypted = asyncssh.generate_private_key("ssh-ed25519").export_private_key(passphrase="s3cret", rounds=50).decode()
    for key in ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", encrypted):
        outcome = await look("ssh", host="127.0.0.1", port=sshd.port, user="me", private_key=key)
        assert why(outcome) == ("down", "protocol", "send")
        assert "private key given for the check cannot be used" in str(outcome.error)


@pytest.mark.parametrize(
    ("said", "type_", "says"),
    [
        (b"", "connection_reset", "closed the connection during the key exchange"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "connection_reset", "during the key exchange"),
        (b"SSH-1.5-old\r\n", "protocol", "SSH"), (b"SSH-2.0-\xff\xfe\r\n", "protocol", "does not keep to SSH"), (b"x" * 20_000, "protocol", "SSH broke"),
        (b"a\r\n" * 5000, "protocol", "SSH broke"), (b"SSH-2.0-x\r\n" + b"\xff" * 100, "protocol", "SSH broke"), (b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14" + b"\0" * 100, "protocol", "does not keep to SSH"),
        (b"SSH-2.0-x\r\n\0\0\0\x24\x0a\1\0\0\0\2\0\0\0\x0cgo \x1b[31maway" + b"\0" * 14, "protocol", "SSH broke: go \\u001b[31maway"),
    ],
)  # fmt: skip
async def test_servers_that_are_none(said: bytes, type_: str, says: str):
    async def script(talk: Talk) -> None:
        await talk.reader.readuntil(b"\n")  # closing with something unread would be a reset
        await talk.send(said)
        if b"SSH-2.0-x" in said:
            await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("ssh", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", type_), outcome.error
    assert outcome.error is not None
    assert says in outcome.error.message


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")  # chosen by chance
async def test_garbage_after_the_greeting_is_never_our_fault(sshd: Sshd):
    """A real server's first words, then changed bytes: whatever breaks, the server is down."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sshd.port)
    writer.write(b"SSH-2.0-x\r\n")
    real = await reader.readline()
    head = await reader.readexactly(4)
    real += head + await reader.readexactly(int.from_bytes(head, "big"))
    writer.close()
    await writer.wait_closed()
    chance = random.Random(4)
    for _ in range(60):
        bad = bytearray(real)
        for _ in range(chance.choice((1, 3, 30))):
            bad[chance.randrange(20, len(bad))] = chance.randrange(256)

        async def script(talk: Talk, bad: bytes = bytes(bad)) -> None:
            await talk.send(bad + bytes(chance.randrange(256) for _ in range(200)))
            await talk.reader.readuntil(b"\n")

        async with serving(script, read=False) as server:
            outcome = await look("ssh", host="127.0.0.1", port=server.port)
        assert outcome.status == "down", (outcome.error, bytes(bad))


async def test_nobody_and_silence():
    assert why(await look("ssh", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("ssh", host="127.0.0.1", port=server.port, timeout_s=0.3)) == ("down", "timeout", "ttfb")


@pytest.mark.parametrize(
    ("data", "field"),
    [({"user": "a"}, "password"), ({"password": "a"}, "user"), ({"private_key": "-----BEGIN X"}, "user"), ({"host_key": "SHA256:abc"}, "host_key"), ({"private_key": "/etc/key", "user": "a"}, "private_key")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]


def test_what_is_hidden():
    assert {f.name for f in fields(Target) if f.marks.hidden} == {"password", "private_key"}
