"""Fields that many Targets have, each said once, and the way to speak TLS that they spell out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol

from tocsin.core.header import is_name, is_value
from tocsin.core.plain import found
from tocsin.core.shape import Front, Help, Hidden, Holds, Length, Long, Pattern, Range
from tocsin.errors import Problem
from tocsin.net import TlsWish
from tocsin.net.resolve import is_host, split_pin

_PEM = Pattern(r"\s*-----BEGIN [\s\S]*", "PEM text that begins with -----BEGIN (the text itself, not a path)")

_A_HOST = Holds(is_host, "a host name or an address, without scheme, port or path")

Host = Annotated[str, Length(1, 253), _A_HOST, Help("Host name or address")]
Port = Annotated[int, Front, Range(1, 65535), Help("Port")]
IpVersion = Annotated[Literal[4, 6] | None, Help("Use only IPv4 or only IPv6")]
Tls = Annotated[bool, Front, Help("Speak TLS")]
VerifyTls = Annotated[bool, Help("The certificate must be valid")]
ServerName = Annotated[str | None, Length(1, 253), _A_HOST, Help("Name for TLS, when it is not the host")]
CaFile = Annotated[
    str | None, _PEM, Long, Help("Certificates of the authorities to trust instead of the system's, PEM")
]
ClientCert = Annotated[str | None, _PEM, Long, Help("Client certificate, PEM")]
ClientKey = Annotated[str | None, Hidden, _PEM, Long, Help("Key of the client certificate, PEM")]
PrivateKey = Annotated[
    str | None, Hidden, _PEM, Long, Front, Help("Private key to sign in with, PEM, without a passphrase")
]
Headers = Annotated[dict[str, str], Length(0, 100), Hidden, Help("Request headers")]
Pins = Annotated[list[str], Length(0, 20), Help("Addresses to use, as HOST:PORT:ADDRESS")]
User = Annotated[str | None, Front, Length(1, 500), Help("Sign in as this user")]
Password = Annotated[str | None, Hidden, Front, Length(1, 1000), Help("The user's password")]


class SpeaksTls(Protocol):
    """A Target with the fields that say how to speak TLS (those of a client certificate may be missing)."""

    @property
    def host(self) -> str: ...
    @property
    def verify_tls(self) -> bool: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def ca_file(self) -> str | None: ...


def wish(target: SpeaksTls, *alpn: str) -> TlsWish:
    """How this target wants TLS to be spoken."""
    return TlsWish(
        verify=target.verify_tls,
        server_name=target.server_name or target.host,
        ca_file=target.ca_file,
        client_cert=getattr(target, "client_cert", None),
        client_key=getattr(target, "client_key", None),
        alpn=alpn,
    )


def wrong_headers(headers: Mapping[str, str], field: str = "headers") -> list[Problem]:
    """A problem for each header that HTTP cannot say."""
    return [
        Problem(field, "names of letters, digits and -, values of one line", found(name))
        for name, value in headers.items()
        if not (is_name(name) and is_value(value))
    ]


def wrong_pins(pins: Sequence[str], field: str = "resolve") -> list[Problem]:
    """A problem for each pin that is none."""
    problems: list[Problem] = []
    for i, pin in enumerate(pins):
        try:
            split_pin(pin)
        except ValueError:
            problems.append(Problem(f"{field}[{i}]", "HOST:PORT:ADDRESS", found(pin)))
    return problems
