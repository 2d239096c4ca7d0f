"""Real servers for notifiers to talk to: HTTP services that refuse what Slack and Discord refuse, and mail servers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, dict[str, str], bytes]
Rule = Callable[[Request], Answer]


@dataclass
class HttpSink:
    """What came, and where to send it."""

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T0/B0/secret-token"


def always(status: int, body: bytes = b"", **headers: str) -> Rule:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: (status, named, body)


@asynccontextmanager
async def http_sink(rule: Rule | None) -> AsyncIterator[HttpSink]:
    """An HTTP server that answers by a rule, or never when there is none."""
    sink = HttpSink(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = first.split(" ")
            request = Request(method, path, headers, body)
            sink.requests.append(request)
            if rule is None:
                await reader.read()
            else:
                status, more, answer = rule(request)
                fields = {"Content-Length": str(len(answer)), "Connection": "close", **more}
                lines = [f"HTTP/1.1 {status} Said", *(f"{n}: {v}" for n, v in fields.items()), "", ""]
                writer.write("\r\n".join(lines).encode("latin-1") + answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
        await server.wait_closed()


# What Slack and Discord really refuse, from their API documents.

_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
_SLACK_LINK = re.compile(r"<https?://[^<>|]+\|[^<>|]+>")


def _bad_slack_text(text: str) -> bool:
    rest = _SLACK_LINK.sub("", text)
    return bool(_ENTITY.search(rest)) or "<" in rest or ">" in rest


def slack(request: Request) -> Answer:
    """Slack's incoming webhook: "ok", or 400 with one word."""
    try:
        said = request.json
    except ValueError:
        return 400, {}, b"invalid_payload"
    if not isinstance(said, dict) or not (said.get("text") or said.get("attachments") or said.get("blocks")):
        return 400, {}, b"no_text"
    if len(said.get("text", "")) > 40_000:
        return 400, {}, b"msg_too_long"
    attachments = said.get("attachments", [])
    if len(attachments) > 100:
        return 400, {}, b"too_many_attachments"
    texts = [said.get("text", "")]
    for attachment in attachments:
        if len(attachment.get("blocks", [])) > 50:
            return 400, {}, b"invalid_blocks"
        for block in attachment.get("blocks", []):
            parts = [block["text"]] if "text" in block else block["elements"]
            for part in parts:
                limit = 3000 if block["type"] == "section" else 2000
                known = {"type", "text", "verbatim"} if part["type"] == "mrkdwn" else {"type", "text", "emoji"}
                if not 1 <= len(part["text"]) <= limit or set(part) - known:
                    return 400, {}, b"invalid_blocks"
                texts += [part["text"]] if part["type"] == "mrkdwn" else []
    if any(_bad_slack_text(text) for text in texts):
        return 400, {}, b"a test's rule: text that is not escaped"
    return 200, {"Content-Type": "text/html"}, b"ok"


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def discord(request: Request) -> Answer:
    """Discord's webhook: 204, or 400 with code 50006 or 50035."""
    refused = (400, {"Content-Type": "application/json"}, b'{"message": "Invalid Form Body", "code": 50035}')
    said = request.json
    embeds = said.get("embeds", [])
    if not said.get("content") and not embeds:
        return 400, {}, b'{"message": "Cannot send an empty message", "code": 50006}'
    if _utf16(said.get("content", "")) > 2000 or len(embeds) > 10:
        return refused
    for embed in embeds:
        title, text, foot = (
            embed.get("title", ""),
            embed.get("description", ""),
            embed.get("footer", {}).get("text", ""),
        )
        if _utf16(title) > 256 or _utf16(text) > 4096 or _utf16(foot) > 2048:
            return refused
        if _utf16(title + text + foot) > 6000 or not 0 <= embed.get("color", 0) <= 0xFFFFFF:
            return refused
        if "url" in embed and not embed["url"].startswith(("http://", "https://")):
            return refused
        datetime.fromisoformat(embed["timestamp"])
    return 204, {}, b""


# Mail servers


@dataclass
class Mailbox:
    """A mail server's memory: envelopes that were taken, and who signed in."""

    port: int = 0
    mails: list[Any] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    after_data: str = "250 OK taken as 42"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.after_data.startswith("2"):
            self.mails.append(envelope)
            self.secure.append(
                session.ssl is not None or isinstance(server.transport.get_extra_info("sslcontext"), ssl.SSLContext)
            )
        return self.after_data


@asynccontextmanager
async def mail_sink(
    box: Mailbox, *, tls: ssl.SSLContext | None = None, from_start: bool = False, password: str | None = None
) -> AsyncIterator[Mailbox]:
    """A mail server on loopback: with STARTTLS or TLS from the start, and with AUTH when a password is given."""

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        box.logins.append((data.login, data.password))
        return AuthResult(success=data.password == (password or "").encode(), handled=False)

    def made() -> SMTP:
        return SMTP(
            box,
            hostname="mail.example",
            tls_context=None if from_start else tls,
            authenticator=authenticate if password else None,
            auth_require_tls=False,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=tls if from_start else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


def a_server_context(folder: Path, name: str = "127.0.0.1") -> ssl.SSLContext:
    """TLS for a server with a self-signed certificate; `folder / "ca.pem"` holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return made
