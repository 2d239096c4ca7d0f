"""The calling end of a registration: this instance wants to belong to a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from tocsin.cluster import proof, wire
from tocsin.cluster.peers import Line
from tocsin.cluster.wire import Hello, Registered, Registration, Welcome
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, PeerLost, SettingsError
from tocsin.net import Net
from tocsin.secret import Secret

T = TypeVar("T")


class NotTaken(SettingsError):
    """The cluster refuses this instance for good, and says why."""


async def join(net: Net, url: str, secret: Secret, me: dict[str, Any]) -> tuple[Registered, str]:
    """What the primary gives (the primary's certificate is pinned by the second). Nothing secret leaves before the other
    side has shown that it knows the secret and shows its own certificate.

    Raises PeerLost when it cannot be asked now; NotTaken when it refuses."""

    async def register(line: Line, nonce: str) -> tuple[Registered, str]:
        asked = Registration(**me, nonce=nonce, proof="0" * 64)
        asked = msgspec.structs.replace(asked, proof=proof.of_joiner(secret, asked))
        return wire.read(Registered, (await line.ask("POST", "/sync/api/register", asked)).body), line.fingerprint

    return await at_primary(net, url, secret, register)


async def at_primary(net: Net, url: str, secret: Secret, ask: Callable[[Line, str], Awaitable[T]]) -> T:
    """What is answered where this instance, or the one that it names, leads. It is asked over a line to it, with the number
    to prove the secret with.

    Raises PeerLost when that cannot be now; NotTaken when it refuses."""
    for _ in range(3):
        try:
            return await _met(net, url, secret, ask)
        except NotPrimary as elsewhere:
            if not elsewhere.primary or elsewhere.primary == url:
                raise PeerLost("there is no primary just now") from None
            url = elsewhere.primary
    raise PeerLost("every instance names another primary")


async def _met(net: Net, url: str, secret: Secret, ask: Callable[[Line, str], Awaitable[T]]) -> T:
    first = await shown_at(net, url)
    line = Line(net, url, first)
    try:
        nonce = secrets.token_urlsafe(16)
        welcome = wire.read(Welcome, (await line.ask("POST", "/sync/api/hello", Hello(nonce=nonce))).body)
        if not proof.same(welcome.proof, proof.of_server(secret, nonce, welcome.nonce, first)):
            raise NotTaken(
                f"TOCSIN_SYNC_SECRET: expected the secret of the instance at {url}, found another one there (or somebody"
                " stands in between)"
            )
        return await ask(line, welcome.nonce)
    except (Denied, Conflict, NotFound) as refused:
        raise NotTaken(f"TOCSIN_PRIMARY_SYNC_URL: {url} does not take this instance in: {refused}") from None
    except Invalid as wrong:
        raise NotTaken(f"TOCSIN_PRIMARY_SYNC_URL: expected a sync API of Tocsin at {url}, found: {wrong}") from None
    finally:
        line.close()


async def shown_at(net: Net, url: str) -> str:
    """The fingerprint of the certificate at this URL ("" without TLS), whoever signed it. Nothing secret is said."""
    from tocsin.net import url as urls
    from tocsin.net.kept import Kept, OtherCertificate

    asked = Kept(net, urls.parse(url), pin="-")
    try:
        await asked.ask("GET", "/health", timeout_s=5.0)
    except OtherCertificate:
        pass
    finally:
        asked.close()
    return asked.fingerprint or ""
