"""The protocols of databases, fed with what no server says: it ends, by CheckFailed or well."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import CheckFailed
from tocsin.net import mongo, mysql, postgres, resp


class Fed:
    """A connection whose other side has said these bytes and hung up."""

    peer, tls = "127.0.0.1", None

    def __init__(self, said: bytes) -> None:
        self.said = said

    async def write(self, data: bytes) -> None:
        pass

    async def read(self, n: int) -> bytes:
        assert n >= 0
        if n > len(self.said):
            raise CheckFailed("protocol", "the connection ended in the middle of an answer")
        taken, self.said = self.said[:n], self.said[n:]
        return taken

    async def read_until(self, separator: bytes, limit: int) -> bytes:
        at = self.said.find(separator, 0, limit)
        return await self.read(len(self.said) + 1 if at < 0 else at + len(separator))


async def redis(connection: Any) -> None:
    await resp.command(connection, "INFO")


async def postgresql(connection: Any) -> None:
    session = postgres.Session(connection)
    await session.sign_in("user", None, "password")
    await session.query("SELECT 1")


async def mysql_or_mariadb(connection: Any) -> None:
    session = mysql.Session(connection)
    await session.greet()
    await session.sign_in("user", "password", "shop")
    await session.query("SELECT 1")


async def mongodb(connection: Any) -> None:
    session = mongo.Session(connection)
    await session.hello("user", "admin")
    await session.sign_in("user", "password", "admin", [])


def framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def packets(*bodies: bytes) -> bytes:
    """The greeting, and answers as the server numbers them: 0, 2 and then from 1 on."""
    numbers = [0, 2, *range(1, len(bodies))]
    return b"".join(len(b).to_bytes(3, "little") + bytes([n]) + b for n, b in zip(numbers, bodies, strict=False))


GREETING = (
    b"\x0a8.4.0\0"
    + bytes(4)
    + b"12345678\0\xff\xff\xff\2\0\xff\xff\x15"
    + bytes(10)
    + b"123456789012\0"
    + b"caching_sha2_password\0"
)
HELLO = bson.encode(
    {"ok": 1, "isWritablePrimary": True, "setName": "rs0", "hosts": ["a", "b"], "payload": b"r=x,s=AAAA,i=1"}
)
GOOD: dict[Any, bytes] = {
    redis: b"%2\r\n+role\r\n*3\r\n:1\r\n,1.5\r\n#t\r\n$4\r\ninfo\r\n=8\r\ntxt:text\r\n",
    postgresql: framed(b"R", bytes(4)) + framed(b"S", b"server_version\x0015\0") + framed(b"Z", b"I") + framed(b"1", b"")
    + framed(b"D", b"\0\1\0\0\0\0011") + framed(b"C", b"SELECT 1\0") + framed(b"Z", b"I"),
    mysql_or_mariadb: packets(GREETING, b"\0\0\0\2\0\0\0", b"\1", b"\3def", b"\xfe\0\0\2\0", b"\0011", b"\xfe\0\0\2\0"),
    mongodb: struct.pack("<iiiiI", 21 + len(HELLO), 1, 1, 2013, 0) + b"\0" + HELLO
    + struct.pack("<iiiiI", 21 + len(HELLO), 2, 2, 2013, 0) + b"\0" + HELLO,
}  # fmt: skip


@pytest.mark.parametrize("speak", [redis, postgresql, mysql_or_mariadb])
async def test_what_a_server_says_is_understood(speak: Any) -> None:
    connection = Fed(GOOD[speak])
    await speak(connection)
    assert connection.said == b""


@pytest.mark.parametrize("speak", list(GOOD))
@given(data=st.data())
async def test_whatever_is_said_it_ends(speak: Any, data: st.DataObject) -> None:
    said = bytearray(GOOD[speak])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(said)))
        said[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4) | st.sampled_from(ODD))
    failure = await ended(speak, bytes(said))
    assert failure is None or (failure.type == "protocol" and len(failure.message) < 400)


async def ended(speak: Any, said: bytes) -> CheckFailed | None:
    try:
        await speak(Fed(said))
    except CheckFailed as failure:
        return failure
    return None


ODD = [b"-+5", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0", b"\r\n", b"-1", b"\xfe", b"\xfb", b"\xfc", b"99999"]
