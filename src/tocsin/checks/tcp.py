"""A TCP port: connect, TLS when asked for, then say and hear what the steps name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Port,
    ServerName,
    Tls,
    VerifyTls,
    wish,
)  # fmt: skip
from tocsin.core.pattern import check_pattern, search
from tocsin.core.plain import clip, escaped
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Length
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net
from tocsin.net.progress import progress

TITLE, SAYS = "TCP", "connect, send, expect"

OFFERS = ("certificate_days", "body", "body_bytes")

_MOST = 65_536


Step = Annotated[str, Length(0, 65_536)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A TCP port that should accept a connection.

    Step i sends send[i] (nothing when empty) and then waits for expect[i] (for nothing when empty)."""

    host: Host
    port: Port
    send: Annotated[
        tuple[Step, ...],
        Front,
        Length(0, 20),
        Help(r"What each step sends, nothing where it is empty; \r \n \t \0 \xNN \\ are understood"),
    ] = ()
    expect: Annotated[
        tuple[Step, ...],
        Front,
        Length(0, 20),
        Help("Regular expression that each step then waits for, nothing where it is empty"),
    ] = ()
    tls: Tls = False
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        for i, text in enumerate(self.send):
            if escaped(text) is None:
                problems.append(Problem(f"send[{i}]", r"text with the escapes \r \n \t \0 \xNN \\", clip(text)))
        for i, pattern in enumerate(self.expect):
            problems += check_pattern(pattern, f"expect[{i}]") if pattern else []
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Connect, go through the steps, hang up. What was received is the body."""
    wanted = wish(target) if target.tls else None
    async with net.connect(target.host, target.port, tls=wanted, ip_version=target.ip_version) as connection:
        received = bytearray()
        for i in range(max(len(target.send), len(target.expect))):
            if i < len(target.send) and target.send[i]:
                await connection.write(escaped(target.send[i]) or b"")
            if i < len(target.expect) and target.expect[i]:
                await _hear(connection, target.expect[i], i, received)
        return _seen(connection, received)


def _seen(connection: Connection, received: bytearray) -> Observation:
    facts = {"received": clip(received[:400].decode("utf-8", "replace"), 200)} if received else {}
    return Observation(
        timing=connection.timing,
        ip=connection.peer,
        tls=connection.tls,
        body=bytes(received),
        body_bytes=len(received) if received else None,
        facts=facts,
    )


async def _hear(connection: Connection, pattern: str, step: int, received: bytearray) -> None:
    """Receive until the pattern is there. CheckFailed (assertion) names what came instead."""
    start = len(received)

    def missed(why: str) -> CheckFailed:
        got = clip(received[start:].decode("utf-8", "replace"), 100)
        message = f"step {step + 1}: expected {clip(pattern)}, found {got or 'nothing'} ({why})"
        return CheckFailed("assertion", message, phase="transfer", observation=_seen(connection, received))

    try:
        # A little before the run's own deadline, so that the error can say what did come.
        async with asyncio.timeout(progress().remaining_s() * 0.95):
            while not search(pattern, bytes(received[start:])).hit:
                data = await connection.read_some(_MOST - len(received))
                if not data:
                    raise missed("then the connection was closed")
                received += data
                if len(received) >= _MOST and not search(pattern, bytes(received[start:])).hit:
                    raise missed(f"in the first {_MOST} bytes")
    except TimeoutError:
        if len(received) > start:
            raise missed("then nothing more came") from None
        raise CheckFailed(
            "timeout",
            f"step {step + 1}: expected {clip(pattern)}, found nothing within {progress().timeout_s or 0:g} s",
            phase="ttfb",
            observation=_seen(connection, received),
        ) from None
