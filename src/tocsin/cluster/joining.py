"""The calling end of a registration: this instance wants to belong to a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Struct

from tocsin.cluster import proof, wire
from tocsin.cluster.peers import Line
from tocsin.cluster.wire import Hello, Registered, Registration, Welcome
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, PeerLost, SettingsError
from tocsin.net import Net
from tocsin.net.kept import CertificateRefused
from tocsin.secret import Secret

T = TypeVar("T")
Asking = Callable[[Line, str, Secret | None], Awaitable[T]]


class NotTaken(SettingsError):
    """The cluster refuses this instance for good, and says why."""


class Shows(Struct, frozen=True, kw_only=True):
    """What the joining instance has to show: the shared secret (two while one replaces the other), a certificate and its key
    (PEM), or both; and the SHA-256 of the certificate that it expects there ("": the secret tells)."""

    secrets: tuple[Secret, ...] = ()
    certificate: tuple[str, str] | None = None
    expects: str = ""


async def join(net: Net, url: str, shows: Shows, me: dict[str, Any]) -> tuple[Registered, str]:
    """What the primary gives (the primary's certificate is pinned by the second). Nothing secret leaves before the other
    side has shown that it knows the secret and shows its own certificate, or the one that is expected.

    Raises PeerLost when it cannot be asked now; NotTaken when it refuses."""

    async def register(line: Line, nonce: str, secret: Secret | None) -> tuple[Registered, str]:
        asked = proof.proved(Registration(**me, nonce=nonce, proof="0" * 64), secret)
        return wire.read(Registered, (await line.ask("POST", "/sync/api/register", asked)).body), line.fingerprint

    return await at_primary(net, url, shows, register)


async def at_primary(net: Net, url: str, shows: Shows, ask: Asking[T]) -> T:
    """What is answered where this instance, or the one that it names, leads. It is asked over a line to it, with its number
    and the secret to prove with (None: the line was opened with a certificate).

    Raises PeerLost when that cannot be now; NotTaken when it refuses."""
    for _ in range(3):
        try:
            return await _met(net, url, shows, ask)
        except NotPrimary as elsewhere:
            if not elsewhere.primary or elsewhere.primary == url:
                raise PeerLost("there is no primary just now") from None
            url = elsewhere.primary
    raise PeerLost("every instance names another primary")


async def _met(net: Net, url: str, shows: Shows, ask: Asking[T]) -> T:
    first = await shown_at(net, url)
    if shows.expects and first != shows.expects:
        raise NotTaken(
            f"TOCSIN_PRIMARY_SYNC_FINGERPRINT: expected {shows.expects} at {url}, found {first or 'no TLS'} there (or"
            " somebody stands in between)"
        )
    line = Line(net, url, first, shows.certificate)
    try:
        nonce = secrets.token_urlsafe(16)
        welcome = wire.read(Welcome, (await line.ask("POST", "/sync/api/hello", Hello(nonce=nonce))).body)
        secret = _shared(shows, welcome, nonce, first)
        if secret is None and not _by_certificate(shows):
            raise NotTaken(
                f"TOCSIN_SYNC_SECRET: expected the secret of the instance at {url}, found "
                + ("another one there (or somebody stands in between)" if welcome.proof else "that none is set there")
            )
        return await ask(line, welcome.nonce, secret)
    except CertificateRefused as refused:
        raise NotTaken(f"TOCSIN_SYNC_CLIENT_CERT: {refused}") from None
    except (Denied, Conflict, NotFound) as refused:
        raise NotTaken(f"TOCSIN_PRIMARY_SYNC_URL: {url} does not take this instance in: {refused}") from None
    except Invalid as wrong:
        raise NotTaken(f"TOCSIN_PRIMARY_SYNC_URL: expected a sync API of Tocsin at {url}, found: {wrong}") from None
    finally:
        line.close()


def _by_certificate(shows: Shows) -> bool:
    """Whether it may register by its certificate: only with whom it was told to expect."""
    return shows.certificate is not None and bool(shows.expects)


def _shared(shows: Shows, welcome: Welcome, nonce: str, first: str) -> Secret | None:
    """The secret that the other side has shown to know, of those that are set here; None with a certificate in its place,
    or when there is none."""
    if _by_certificate(shows):
        return None
    given = [made for made in (welcome.proof, welcome.before) if made is not None]
    for secret in shows.secrets:
        if any(proof.same(made, proof.of_server(secret, nonce, welcome.nonce, first)) for made in given):
            return secret
    return None


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
