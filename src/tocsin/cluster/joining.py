"""The calling end of a registration: this instance wants to belong to a cluster."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from tocsin.cluster import proof, wire
from tocsin.cluster.peers import Line
from tocsin.cluster.wire import Hello, Registered, Registration, Welcome
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, PeerLost, SettingsError
from tocsin.net import Net
from tocsin.secret import Secret


class NotTaken(SettingsError):
    """The cluster refuses this instance for good, and says why."""


async def join(net: Net, url: str, secret: Secret, me: dict[str, Any]) -> tuple[Registered, str]:
    """What the primary gives (the primary's certificate is pinned by the second). Nothing secret leaves before the other
    side has shown that it knows the secret and shows its own certificate.

    Raises PeerLost when it cannot be asked now; NotTaken when it refuses."""
    for _ in range(3):
        try:
            return await _join(net, url, secret, me)
        except NotPrimary as elsewhere:
            if not elsewhere.primary or elsewhere.primary == url:
                raise PeerLost("there is no primary just now") from None
            url = elsewhere.primary
    raise PeerLost("every instance names another primary")


async def _join(net: Net, url: str, secret: Secret, me: dict[str, Any]) -> tuple[Registered, str]:
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
        asked = Registration(**me, nonce=welcome.nonce, proof="0" * 64)
        asked = msgspec.structs.replace(asked, proof=proof.of_joiner(secret, asked))
        return wire.read(Registered, (await line.ask("POST", "/sync/api/register", asked)).body), first
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
