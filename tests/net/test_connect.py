from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

import hostile
from hostile import Talk, authority, issue, serving
from tocsin.errors import CheckFailed, EgressRefused
from tocsin.net import Address, Egress, Net, TlsWish


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


async def echo(talk: Talk) -> None:
    while data := await talk.reader.read(65_536):
        await talk.send(data)


async def test_lines_pieces_and_counts(net: Net) -> None:
    async with serving(echo, read=False) as server, net.connect("localhost", server.port) as connection:
        await connection.write(b"one\r\ntwo\r\n12345rest")
        assert await connection.read_until(b"\r\n") == b"one\r\n"
        assert await connection.read_until(b"\r\n") == b"two\r\n"
        assert await connection.read(5) == b"12345"
        assert await connection.read(4) == b"rest"
        await connection.write(b"more")
        assert await connection.read_some() == b"more"
        assert connection.peer == "127.0.0.1"
        assert connection.timing.connect is not None
        assert connection.timing.tls is None


async def test_a_separator_over_many_pieces(net: Net) -> None:
    async def script(talk: Talk) -> None:
        for byte in b"ab\r\n\r\ncd":
            await talk.send(bytes([byte]))
            await asyncio.sleep(0)
        await talk.hang()

    async with serving(script, read=False) as server, net.connect("127.0.0.1", server.port) as connection:
        assert await connection.read_until(b"\r\n\r\n") == b"ab\r\n\r\n"
        assert await connection.read(2) == b"cd"


@pytest.mark.parametrize("secure", [False, True])
async def test_limits_and_early_ends(net: Net, secure: bool) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"x" * 100)

    identity = issue("a.example", by=authority())
    wish = TlsWish(server_name="a.example", ca_file=authority().pem) if secure else None
    async with serving(script, read=False, tls=identity.context() if secure else None) as server:
        async with net.connect("127.0.0.1", server.port, tls=wish) as connection:
            with pytest.raises(CheckFailed) as caught:
                await connection.read_until(b"\n", limit=50)
            assert caught.value.type == "protocol"
        async with net.connect("127.0.0.1", server.port, tls=wish) as connection:
            with pytest.raises(CheckFailed) as caught:
                await connection.read(101)
            assert (caught.value.type, caught.value.phase) == ("protocol", "transfer")
        async with net.connect("127.0.0.1", server.port, tls=wish) as connection:
            assert await connection.read(100) == b"x" * 100
            assert await connection.read_some() == b""


async def test_refused_and_unknown(net: Net) -> None:
    with pytest.raises(CheckFailed) as caught:
        async with net.connect("127.0.0.1", hostile.refused_port()):
            pass
    assert (caught.value.type, caught.value.phase) == ("connection_refused", "connect")
    with pytest.raises(CheckFailed) as caught:
        async with net.connect("no.invalid", 80):
            pass
    assert (caught.value.type, caught.value.phase) == ("dns", "dns")


async def test_a_reset(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1)
        talk.reset()

    async with serving(script, read=False) as server, net.connect("127.0.0.1", server.port) as connection:
        await connection.write(b"x")
        with pytest.raises(CheckFailed) as caught:
            await connection.read(1)
        assert caught.value.type == "connection_reset"


async def test_the_next_address_is_tried(net: Net) -> None:
    async with serving(echo, read=False) as server:
        pins = [f"a.example:{server.port}:127.0.0.9,127.0.0.1"]
        async with net.connect("a.example", server.port, pins=pins) as connection:
            assert connection.peer == "127.0.0.1"


async def test_a_silent_address_leaves_time_for_the_next(net: Net) -> None:
    with hostile.silent_port() as port, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.2", port))
        other.listen(5)
        pins = [f"a.example:{port}:127.0.0.1,127.0.0.2"]
        from tocsin.net.progress import PROGRESS, Progress

        here = Progress()
        token = PROGRESS.set(here)
        here.begin(0.6)
        async with net.connect("a.example", port, pins=pins) as connection:
            assert connection.peer == "127.0.0.2"
        here.end()
        PROGRESS.reset(token)


async def test_the_guard_stands_before_connections_and_datagrams() -> None:
    async with serving(echo, read=False) as server, Net(Egress("public")) as net:
        with pytest.raises(EgressRefused):
            async with net.connect("localhost", server.port):
                pass
        with pytest.raises(EgressRefused):
            await net.datagram(Address("127.0.0.1", 53, socket.AF_INET), b"x")
        assert not server.talks


async def test_tls_with_its_facts(net: Net) -> None:
    identity = issue("a.example", by=authority(), days=20.5)
    wish = TlsWish(server_name="a.example", ca_file=authority().pem, alpn=("http/1.1",))
    async with serving(echo, read=False, tls=identity.context()) as server:
        async with net.connect("127.0.0.1", server.port, tls=wish) as connection:
            await connection.write(b"hello" * 40_000)
            assert await connection.read(200_000) == b"hello" * 40_000
            tls = connection.tls
            assert connection.timing.tls is not None
    assert tls is not None
    assert (tls.protocol, tls.verified, tls.subject, tls.issuer) == (
        "TLSv1.3",
        True,
        "CN=a.example",
        "CN=Test Authority",
    )
    assert tls.cipher
    assert 20.4 < (tls.days_left or 0) < 20.6


@pytest.mark.parametrize(
    ("identity", "ca", "words"),
    [
        (
            lambda: issue("a.example", by=authority(), from_days=-800, days=-400.0),
            True,
            "certificate expired 400 days ago",
        ),
        (lambda: issue("a.example", by=authority(), from_days=0.2), True, "not valid yet, it starts in 4 hours"),
        (lambda: issue("b.example", by=authority()), True, "certificate is for b.example, not a.example"),
        (lambda: issue("a.example"), False, "self-signed certificate"),
        (lambda: issue("a.example", by=authority()), False, "unknown authority, CN=Test Authority (the server may not"),
    ],
)
async def test_tls_that_is_not_accepted_keeps_its_facts(net: Net, identity, ca: bool, words: str) -> None:  # type: ignore[no-untyped-def]
    made = identity()
    wish = TlsWish(server_name="a.example", ca_file=authority().pem if ca else None)
    async with serving(echo, read=False, tls=made.context()) as server:
        async with net.connect("127.0.0.1", server.port) as connection:
            with pytest.raises(CheckFailed) as caught:
                await connection.start_tls(wish)
            assert (caught.value.type, caught.value.phase) == ("tls", "tls")
            assert words in caught.value.message
            assert connection.tls is not None
            assert not connection.tls.verified
            assert connection.tls.not_after == made.cert.not_valid_after_utc
        lenient = TlsWish(server_name="a.example", verify=False)
        async with net.connect("127.0.0.1", server.port, tls=lenient) as connection:
            assert connection.tls is not None
            assert not connection.tls.verified


async def test_tls_to_what_speaks_no_tls(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1)
        await talk.send(b"220 hello, I am a mail server\r\n")
        await talk.hang()

    async with serving(script, read=False) as server:
        with pytest.raises(CheckFailed, match="does not speak TLS") as caught:
            async with net.connect("127.0.0.1", server.port, tls=TlsWish(server_name="a.example")):
                pass
    assert caught.value.type == "tls"


async def test_tls_hung_up_on(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.read(1)

    async with serving(script, read=False) as server:
        with pytest.raises(CheckFailed) as caught:
            async with net.connect("127.0.0.1", server.port, tls=TlsWish(server_name="a.example")):
                pass
    assert (caught.value.type, caught.value.phase) == ("connection_reset", "tls")


async def test_pem_that_is_no_good(net: Net) -> None:
    async with serving(echo, read=False) as server:
        for wish in (
            TlsWish(server_name="x", ca_file="-----BEGIN nonsense"),
            TlsWish(server_name="x", client_cert="-----BEGIN nonsense"),
        ):
            with pytest.raises(CheckFailed, match="cannot be used"):
                async with net.connect("127.0.0.1", server.port, tls=wish):
                    pass


async def test_a_datagram_and_its_answer(net: Net) -> None:
    class Answer(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data[::-1], addr)  # type: ignore[attr-defined]

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Answer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    assert await net.datagram(Address("127.0.0.1", port, socket.AF_INET), b"abc") == b"cba"
    transport.close()
    with pytest.raises(CheckFailed) as caught:
        await net.datagram(Address("127.0.0.1", hostile.refused_port(), socket.AF_INET), b"abc")
    assert caught.value.type == "connection_refused"
