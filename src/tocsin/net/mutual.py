"""TLS both ways: a server that also looks at the certificate a caller shows.

Whoever shows none is let in all the same, and the caller's own matter is what that means. Whoever shows one that is not
accepted is told why by the alert that TLS has for it, before the connection ends.
"""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from tocsin.core.plain import clip
from tocsin.errors import SettingsError

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("CALLER", default="")
"""The address of who is at the door, for what is refused there."""


class Shown(Struct, frozen=True, kw_only=True):
    """A certificate that was shown and accepted: whose it is, who vouches for it, its SHA-256, until when it holds."""

    subject: str
    issuer: str
    fingerprint: str
    not_after: datetime


def ask_for_certificates(context: ssl.SSLContext, authorities: Path, refused: Callable[[str, str], None]) -> None:
    """Let this server context ask callers for a certificate that one of these authorities (PEM) vouches for. `refused`
    hears the address and the reason of one that is not accepted. Raises SettingsError."""
    try:
        context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{authorities}: expected certificates of authorities in PEM, found {error}") from None
    context.verify_mode = ssl.CERT_OPTIONAL

    class Asking(_Telling):
        def tell(self, why: str) -> None:
            refused(CALLER.get(), why)

    context.sslobject_class = Asking  # pyright: ignore[reportAttributeAccessIssue]


class _Telling(ssl.SSLObject):
    """Lets the alert out before it fails: what reads and writes for it sends only what a handshake that goes on has to
    say. What comes next, if only the end, ends it."""

    _refusal: ssl.SSLCertVerificationError | None = None

    def tell(self, why: str) -> None:
        """The certificate was not accepted, for this reason."""

    def do_handshake(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            self._refusal = error
            self.tell(clip(error.verify_message or str(error), 120))
            raise ssl.SSLWantReadError from None


def client_pair(cert: Path, key: Path | None) -> tuple[str, str]:
    """A certificate to show and its key, as PEM texts. Raises SettingsError when they are none, or are no pair."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
        return cert.read_text(encoding="ascii"), "" if key is None else key.read_text(encoding="ascii")
    except (OSError, ssl.SSLError, ValueError) as error:
        where = f"{cert}{f' with {key}' if key else ''}"
        raise SettingsError(f"{where}: expected a certificate and its key in PEM, found {error}") from None


def shown_by(tls: ssl.SSLObject | None) -> bytes | None:
    """The certificate (DER) that the other side showed and that was accepted, if any."""
    return None if tls is None else tls.getpeercert(binary_form=True)


def read_shown(der: bytes) -> Shown:
    """What a certificate says of whose it is."""
    from tocsin.net.tls import facts_from_der  # for those who are shown one

    facts = facts_from_der([der])
    return Shown(
        subject=clip(facts.subject, 300) or "no name", issuer=clip(facts.issuer, 300) or "no name",
        fingerprint=facts.fingerprint_sha256, not_after=facts.not_after or datetime.max.replace(tzinfo=UTC),
    )  # fmt: skip
