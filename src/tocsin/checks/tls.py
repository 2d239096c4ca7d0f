"""TLS on any port, from the start or after STARTTLS: is the certificate good, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tocsin.core.result import Observation
from tocsin.core.shape import Help, Hidden, Length, Pattern, Range
from tocsin.net import Net, TlsWish, starttls

_PEM = r"\s*-----BEGIN [\s\S]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A port that should speak TLS with a valid certificate."""

    host: Annotated[str, Length(1, 253), Help("Host name or address")]
    port: Annotated[int, Range(1, 65535), Help("Port")] = 443
    starttls: Annotated[
        Literal["smtp", "imap", "pop3", "postgres", "ldap"] | None, Help("Begin in the clear with this protocol")
    ] = None
    verify_tls: Annotated[bool, Help("The certificate must be valid")] = True
    server_name: Annotated[str | None, Length(1, 253), Help("Name for TLS, when it is not the host")] = None
    ca_file: Annotated[str | None, Pattern(_PEM, "PEM text"), Help("Authorities to trust instead, PEM")] = None
    client_cert: Annotated[str | None, Pattern(_PEM, "PEM text"), Help("Client certificate, PEM")] = None
    client_key: Annotated[str | None, Hidden, Pattern(_PEM, "PEM text"), Help("Its key, PEM")] = None
    ip_version: Annotated[Literal[4, 6] | None, Help("Use only IPv4 or only IPv6")] = None


async def check(target: Target, net: Net) -> Observation:
    """Shake hands and hang up; the facts of the certificate are there also when it is not accepted."""
    wish = TlsWish(
        verify=target.verify_tls,
        server_name=target.server_name or target.host,
        ca_file=target.ca_file,
        client_cert=target.client_cert,
        client_key=target.client_key,
    )
    at_once = wish if target.starttls is None else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        if target.starttls is not None:
            await starttls.ask(connection, target.starttls)
            await connection.start_tls(wish)
        return Observation(timing=connection.timing, ip=connection.peer, tls=connection.tls)
