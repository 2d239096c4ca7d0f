"""Local servers that misbehave on command, and certificates with every fault: real sockets on port 0."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import gzip
import ipaddress
import socket
import ssl
import struct
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[["Talk"], Awaitable[None]]


@dataclass
class Talk:
    """One connection to a hostile server: the request it got, and ways to answer badly."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    over: asyncio.Event
    head: bytes = b""
    body: bytes = b""
    front: int = 0  # the port that a check sees, when it is not our own

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode() if self.head else ""

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    async def request(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        if length := int(self.header("content-length") or 0):
            self.body = await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: str = "200 OK", body: bytes = b"ok", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        sent = b"" if self.head.startswith(b"HEAD ") else body
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)

    async def hang(self) -> None:
        """Say nothing until the test is over or the other side gives up."""
        waits = [asyncio.ensure_future(self.over.wait()), asyncio.ensure_future(self.reader.read())]
        _, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Server:
    """Where it listens, and what it was asked so far."""

    port: int
    talks: list[Talk] = field(default_factory=list)
    scheme: str = "http"

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, read: bool = True, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """A server that reads one request (unless `read` is False) and then does what the script says, then hangs up."""
    over = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer, over)
        server.talks.append(talk)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                if read:
                    await talk.request()
                await script(talk)
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(connected, host, 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1], scheme="https" if tls else "http")
    try:
        yield server
    finally:
        over.set()
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(5):  # let what was just accepted or aborted come to its end
            await asyncio.sleep(0)
        for talk in server.talks:
            talk.writer.transport.abort()
        await asyncio.sleep(0)


async def good(talk: Talk) -> None:
    await talk.answer()


@contextlib.contextmanager
def silent_port():  # type: ignore[no-untyped-def]
    """A port whose queue is full: the kernel neither accepts nor refuses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            fillers.append(filler)
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


def refused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def bomb(size: int) -> bytes:
    """`size` zero bytes, gzipped."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    chunk = b"\0" * (1 << 20)
    return b"".join(packer.compress(chunk) for _ in range(size >> 20)) + packer.flush()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key and the chain to send, as PEM."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in (self.cert, *self.chain))

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def context(self, *, client_ca: str | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A server's context that shows this certificate."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pair.pem"
            file.write_text(self.pem + self.key_pem)
            made.load_cert_chain(file)
        if client_ca is not None:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(cadata=client_ca)
        if alpn:
            made.set_alpn_protocols(list(alpn))
        return made


def issue(
    name: str,
    *,
    by: Identity | None = None,
    names: tuple[str, ...] = (),
    days: float = 30,
    from_days: float = -60,
    authority: bool = False,
    send: tuple[x509.Certificate, ...] = (),
) -> Identity:
    """A certificate: self-signed, or signed `by` an authority. `days` from now it expires (may be negative)."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = by.cert.subject if by else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=from_days))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_san(n) for n in names or (name,)]), critical=False
        )
    return Identity(builder.sign(by.key if by else key, hashes.SHA256()), key, send)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@functools.cache
def authority() -> Identity:
    """The tests' own certificate authority."""
    return issue("Test Authority", authority=True, days=365)
