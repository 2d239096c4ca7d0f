"""gRPC: one call of the standard health service, Health/Check, over HTTP/2; its answer must be SERVING."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import unquote

from msgspec.structs import replace

from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Pins,
    Port,
    Tls,
    VerifyTls,
    wrong_headers,
    wrong_pins,
)
from tocsin.core.plain import clip, found
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Hidden, Length, Pattern
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.http import HttpRequest

TITLE, SAYS = "gRPC", "health service says SERVING"

OFFERS = ("header", "certificate_days")

GRACE_S = 0.3  # libcurl keeps the deadline

_PATH = "/grpc.health.v1.Health/Check"
_MOST = 65_536
_OURS = ("host", "content-type", "content-length", "te", "connection", "transfer-encoding", "user-agent")
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_WHY = {
    "NOT_FOUND": "the server knows no such service",
    "PERMISSION_DENIED": "the server does not let us ask",
    "UNAUTHENTICATED": "the server wants a sign-in",
    "UNIMPLEMENTED": "the server has no health service (grpc.health.v1.Health)",
    "UNAVAILABLE": "the server says that it cannot serve now",
}
_SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_HTTP_SAYS = {401: "a sign-in is wanted", 403: "not allowed", 404: "no gRPC is served there", 503: "not available now"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A gRPC server whose health service should say SERVING."""

    host: Host
    port: Port
    service: Annotated[str, Front, Length(0, 500), Help("Service to ask for; empty: the server as a whole")] = ""
    tls: Tls = False
    verify_tls: VerifyTls = True
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    authority: Annotated[
        str | None, Pattern(r"[A-Za-z0-9.\-_\[\]:]{1,260}", "a host name"), Help("Authority, when it is not the host")
    ] = None
    metadata: Annotated[dict[str, str], Length(0, 100), Hidden, Help("Metadata to send along")] = field(
        default_factory=dict[str, str]
    )
    ip_version: IpVersion = None
    resolve: Pins = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if not _is_place(self):
            problems.append(Problem("host", "a host name or address", found(self.host)))
        problems += wrong_headers(self.metadata, "metadata") + wrong_pins(self.resolve)
        problems += [
            Problem("metadata", "names that are not part of the call itself", found(name))
            for name in self.metadata
            if name.lower() in _OURS or name.lower().startswith("grpc-")
        ]
        if self.client_key and not self.client_cert:
            problems.append(Problem("client_cert", "a certificate for the key", "nothing"))
        if problems:
            raise Invalid(*problems)


def summary(target: Target) -> str:
    """Host and port, and the service that is asked for."""
    shown = f"[{target.host}]" if ":" in target.host else target.host
    return f"{shown}:{target.port}" + (f" {target.service}" if target.service else "")


def _url(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{'https' if target.tls else 'http'}://{host}:{target.port}{_PATH}"


def _is_place(target: Target) -> bool:
    """Whether the host is one, and no piece of a URL."""
    try:
        url = urls.parse(_url(target))
    except ValueError:
        return False
    return (url.port, url.path) == (target.port, _PATH)


async def check(target: Target, net: Net) -> Observation:
    """Ask the health service; CheckFailed unless it says SERVING."""
    own = (("Content-Type", "application/grpc"), ("TE", "trailers"))
    authority = () if target.authority is None else (("Host", target.authority),)
    request = HttpRequest(
        url=_url(target),
        method="POST",
        headers=(*own, *authority, *target.metadata.items()),
        body=_question(target.service),
        follow_redirects=False,
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        client_cert=target.client_cert,
        client_key=target.client_key,
        ip_version=target.ip_version,
        resolve=target.resolve,
        http_version="2",
        max_body=_MOST,
    )
    seen = replace(await net.http.fetch(request), final_url=None, redirects=None)
    _require_ok(seen)
    serving = _answer(seen)
    named = _SERVING[serving] if serving < len(_SERVING) else f"status {serving}"
    seen = replace(seen, facts={"grpc_status": "OK", "serving": named})
    if named != "SERVING":
        of = f" of {clip(target.service)}" if target.service else ""
        raise CheckFailed("assertion", f"expected SERVING{of}, found {named}", phase="transfer", observation=seen)
    return seen


def _question(service: str) -> bytes:
    """HealthCheckRequest{service} in its frame: not compressed, four bytes of length."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _wrong(message: str, seen: Observation, type_: str = "protocol") -> CheckFailed:
    return CheckFailed(type_, message, phase="transfer", observation=seen)


def _require_ok(seen: Observation) -> None:
    """Raise CheckFailed unless the answer is one of gRPC and its status is OK. The trailers stand among the headers."""
    if seen.http_version != "2":
        raise _wrong(f"expected HTTP/2, found HTTP/{seen.http_version}", seen)
    headers = dict(seen.headers)
    status = headers.get("grpc-status")
    if seen.status_code != 200 and status is None:
        why = _HTTP_SAYS.get(seen.status_code or 0)
        raise _wrong(f"expected 200 from gRPC, found HTTP status {seen.status_code}{f' ({why})' if why else ''}", seen)
    if not headers.get("content-type", "").lower().startswith("application/grpc"):
        kind = clip(headers.get("content-type", "no content type"))
        raise _wrong(f"expected application/grpc, found {kind}", seen)
    if seen.truncated:
        raise _wrong(f"an answer of more than {_MOST} bytes", seen)
    if status is None:
        raise _wrong("expected grpc-status at the end of the answer, found none", seen)
    if status == "0":
        return
    known = status.isascii() and status.isdigit() and len(status) < 3 and int(status) < len(_CODES)
    code = _CODES[int(status)] if known else f"grpc-status {clip(status, 20)}"
    said = clip(unquote(headers.get("grpc-message", ""), errors="replace"), 160)
    text = ": ".join(part for part in (code, _WHY.get(code, ""), said) if part)
    raise _wrong(text, replace(seen, facts={"grpc_status": code}), "assertion" if code == "NOT_FOUND" else "protocol")


def _answer(seen: Observation) -> int:
    """The status in the one HealthCheckResponse of the body."""
    body = seen.body
    if len(body) < 5:
        raise _wrong(f"expected a message, found {len(body)} bytes", seen)
    size = int.from_bytes(body[1:5], "big")
    if body[0] != 0 or size != len(body) - 5:
        how = "a compressed one" if body[0] == 1 else f"one that says {size} bytes in {len(body) - 5}"
        raise _wrong(f"expected one plain message, found {how}", seen)
    try:
        return _first_number(body[5:])
    except (IndexError, ValueError):
        raise _wrong(f"expected a HealthCheckResponse, found {body[5:25].hex()}", seen) from None


def _first_number(message: bytes) -> int:
    """The number in field 1, the last one where it is there twice, 0 where it is not. Raises IndexError or ValueError for
    what is no protobuf."""
    at, value = 0, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire = key & 7
        if wire == 0:
            number, at = _read_varint(message, at)
            value = number if key >> 3 == 1 else value
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _read_varint(message, at)
            at += length
        else:
            raise ValueError(wire)
    if at != len(message):
        raise IndexError(at)
    return value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(shift)
