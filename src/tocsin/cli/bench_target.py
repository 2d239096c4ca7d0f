"""What `tocsin bench` checks: a page, a port and a name server on loopback, in a process that ends with its stdin.

Prints its ports as one JSON line: http, tcp, https (with the authority that signed it as `ca`), dns. Paths under /wait/N are
answered after N ms, and say in `x-took-ms` how long it was in the end, from reading the request to writing the answer."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
import sys
import tempfile
import time
from typing import Any, cast

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 512\r\n", b"\r\n" + b"ok " * 170 + b"ok"
ANSWER = HEAD + BODY
_A_RECORD = (
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"  # the name asked for, A, 60 s, 192.0.2.7
)


class _Page(asyncio.Protocol):
    """Answers every request with the same page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, of another tree

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"\r\n\r\n"):
            return
        path, version = data.split(b"\r\n", 1)[0].split(b" ")[1:3]
        self._last = version == b"HTTP/1.0"
        if path.startswith(b"/wait/"):
            asyncio.get_running_loop().call_later(int(path[6:]) / 1000, self._answer_late, time.perf_counter())
        else:
            self._answer(ANSWER)

    def _answer_late(self, began: float) -> None:
        took = (time.perf_counter() - began) * 1000
        self._answer(HEAD + f"x-took-ms: {took:.3f}\r\n".encode() + BODY)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
            if self._last:
                self._transport.close()


class _Names(asyncio.DatagramProtocol):
    """Answers every question with one address."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12) + 5  # the question: name, type, class
        self._transport.sendto(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end] + _A_RECORD, addr)


def _certificate() -> tuple[ssl.SSLContext, str]:
    """A context for 127.0.0.1, and the authority that signed its certificate, PEM."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now, pem = datetime.datetime.now(datetime.UTC), serialization.Encoding.PEM

    def issue(name: str, by: Any, issuer_key: Any, key: Any, *, authority: bool) -> Any:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = x509.CertificateBuilder(subject_name=subject, issuer_name=by or subject, public_key=key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        made = made.not_valid_after(now + datetime.timedelta(days=90))
        made = made.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            made = made.add_extension(names, critical=False)
        return made.sign(issuer_key, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = issue("Bench", None, root_key, root_key, authority=True)
    leaf = issue("127.0.0.1", root.subject, root_key, key, authority=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        plain = serialization.NoEncryption()
        file.write(leaf.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        file.flush()
        context.load_cert_chain(file.name)
    return context, root.public_bytes(pem).decode()


async def serve() -> None:
    """Print the ports as one JSON line and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    context, ca = _certificate()
    http = await loop.create_server(_Page, "127.0.0.1", 0, backlog=4096)
    https = await loop.create_server(_Page, "127.0.0.1", 0, backlog=4096, ssl=context)
    tcp = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=4096)
    names, _ = await loop.create_datagram_endpoint(_Names, local_addr=("127.0.0.1", 0))
    ports = {"http": http, "https": https, "tcp": tcp}
    said: dict[str, Any] = {name: server.sockets[0].getsockname()[1] for name, server in ports.items()}
    print(json.dumps(said | {"dns": names.get_extra_info("sockname")[1], "ca": ca}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
