"""The only way out to the network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tocsin.net.connect import Connecting, Connection, TlsWish
from tocsin.net.datagram import ask
from tocsin.net.egress import Egress
from tocsin.net.local import Local
from tocsin.net.resolve import Address, Resolver

if TYPE_CHECKING:
    from tocsin.net.browser import Browser
    from tocsin.net.guarded import Guarded
    from tocsin.net.http import HttpEngine
    from tocsin.net.icmp import Icmp

__all__ = ["Address", "Connection", "Egress", "Local", "Net", "TlsWish"]


class Net:
    """Everything that leaves this machine goes through one of these: the guard, the resolver, connections, HTTP. `local`
    says what checks may use of the machine itself."""

    def __init__(
        self, egress: Egress | None = None, http: HttpEngine | None = None, *, local: Local | None = None
    ) -> None:
        self.egress = egress or Egress()
        self.local = local or Local()
        self.resolver = Resolver(self.egress)
        self._given_http = http

    @cached_property
    def http(self) -> HttpEngine:
        """The HTTP engine, imported when first needed: most kinds of checks do without."""
        from tocsin.net.http import HttpEngine

        engine = self._given_http or HttpEngine()
        engine.use(self)
        return engine

    @cached_property
    def icmp(self) -> Icmp:
        """Pings, imported when first needed."""
        from tocsin.net.icmp import Icmp

        return Icmp(self.egress)

    @cached_property
    def browser(self) -> Browser:
        """Browsers, imported when first needed; there are none unless the operator set one up."""
        from tocsin.net.browser import Browser

        return Browser(self.resolver, self.egress, self.local)

    @cached_property
    def guarded(self) -> Guarded:
        """Threads for libraries that connect by themselves, imported when first needed."""
        from tocsin.net.guarded import Guarded

        return Guarded(self.egress)

    async def start(self) -> None:
        """Nothing is started before it is first needed; this only says in which event loop."""

    async def close(self) -> None:
        """End the threads; what is still running fails."""
        if self._given_http is not None or "http" in self.__dict__:
            await self.http.close()
        self.resolver.close()

    async def __aenter__(self) -> Net:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def resolve(
        self, host: str, port: int, *, ip_version: int | None = None, pins: Sequence[str] = ()
    ) -> list[Address]:
        """The allowed addresses of a name, in the order to try them. Raises CheckFailed (dns) or EgressRefused."""
        return await self.resolver.resolve(host, port, ip_version=ip_version, pins=pins)

    def connect(
        self,
        host: str,
        port: int,
        *,
        tls: TlsWish | None = None,
        ip_version: int | None = None,
        pins: Sequence[str] = (),
    ) -> Connecting:
        """A fresh connection: `async with net.connect(host, port) as connection`. Each address is tried in turn.

        Raises CheckFailed (dns, connection_refused, timeout, network, connection_reset, tls) or EgressRefused."""
        return Connecting(self.resolver, self.egress, host, port, tls, ip_version, pins)

    async def datagram(self, address: Address, payload: bytes, *, wait_s: float | None = None) -> bytes:
        """Send one datagram and return the one that answers it; TimeoutError when none does within `wait_s`."""
        return await ask(self.egress, address, payload, wait_s)
