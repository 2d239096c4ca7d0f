"""TLS on any port, from the start or after STARTTLS: is the certificate good, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tocsin.checks._terms import CaFile, ClientCert, ClientKey, Host, IpVersion, Port, ServerName, VerifyTls, wish
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help
from tocsin.net import Net, starttls

TITLE, SAYS = "TLS", "certificate on any port"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A port that should speak TLS with a valid certificate."""

    host: Host
    port: Port = 443
    starttls: Annotated[
        Literal["smtp", "imap", "pop3", "postgres", "ldap"] | None,
        Front,
        Help("Begin in the clear with this protocol, then go over to TLS; no choice: TLS from the start"),
    ] = None
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None


async def check(target: Target, net: Net) -> Observation:
    """Shake hands and hang up; the facts of the certificate are there also when it is not accepted."""
    wanted = wish(target)
    at_once = wanted if target.starttls is None else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        if target.starttls is not None:
            await starttls.ask(connection, target.starttls)
            await connection.start_tls(wanted)
        return Observation(timing=connection.timing, ip=connection.peer, tls=connection.tls)
