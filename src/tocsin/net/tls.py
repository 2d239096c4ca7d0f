"""What TLS shows: facts of certificates, and why one was not accepted, in words. Contexts for our own connections."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import os
import ssl
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tocsin.core.plain import clip
from tocsin.core.result import TlsFacts
from tocsin.errors import CheckFailed
from tocsin.net.shortage import shortage

if TYPE_CHECKING:  # a heavy import, made when the first certificate is read
    from cryptography import x509

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_MOST_SANS = 100
_MOST_CERTIFICATES = 10


@functools.cache
def ca_bundle() -> str | None:
    """The file of the authorities that this machine trusts (SSL_CERT_FILE is heeded), or None."""
    for path in (ssl.get_default_verify_paths().cafile, *_BUNDLES):
        if path and os.path.isfile(path):
            return path
    return None


@functools.lru_cache(64)
def context(
    verify: bool, ca_file: str | None, client_cert: str | None, client_key: str | None, alpn: tuple[str, ...]
) -> ssl.SSLContext:
    """A client context; sessions are never resumed. Raises CheckFailed (tls) when the PEM texts are no good, CheckInvalid
    when this machine is too short of something to read its own authorities."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = verify
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    made.options |= ssl.OP_NO_TICKET
    try:
        if ca_file:
            made.load_verify_locations(cadata=ca_file)
        elif verify:
            made.load_verify_locations(ca_bundle()) if ca_bundle() else made.load_default_certs()
        if client_cert:
            _load_pair(made, client_cert, client_key)
    except (ssl.SSLError, ValueError, OSError) as error:
        if isinstance(error, OSError) and (ours := shortage(error)) is not None:
            raise ours from None
        raise CheckFailed("tls", f"the certificate or key given for the check cannot be used: {error}") from None
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def _load_pair(made: ssl.SSLContext, cert: str, key: str | None) -> None:
    """The ssl module reads pairs from files only: a private one that is gone again at once."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # mode 0600
        file.write(cert + "\n" + (key or ""))
        file.flush()
        made.load_cert_chain(file.name, password="")


def facts_of(tls: ssl.SSLObject, *, verified: bool) -> TlsFacts:
    """The facts of a handshake, also when the chain was not accepted."""
    cipher = tls.cipher()
    return facts_from_der(
        _chain(tls),
        protocol=tls.version() or (cipher[1] if cipher else None),
        cipher=cipher[0] if cipher else None,
        verified=verified,
        now=datetime.now(UTC),
    )


def _chain(tls: Any) -> list[bytes]:
    """The chain as the server sent it, leaf first, also when it was not accepted; public from Python 3.13 on."""
    try:
        if hasattr(tls, "get_unverified_chain"):
            return list(tls.get_unverified_chain() or [])
        chain: list[Any] = tls._sslobj.get_unverified_chain() or []
        return [cert.public_bytes(2) for cert in chain]  # 2: DER
    except (ssl.SSLError, ValueError, AttributeError):
        return []


def broken(error: ssl.SSLError, phase: str) -> CheckFailed:
    """The failure that an error of OpenSSL stands for, in the handshake or later."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return CheckFailed("connection_reset", "the connection was closed during the TLS handshake", phase=phase)
    reason = (error.reason or str(error)).replace("_", " ").lower()
    other = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
    if phase == "tls" and error.reason in other:
        return CheckFailed("tls", f"what answers does not speak TLS ({reason})", phase=phase)
    return CheckFailed("tls", f"TLS failed: {reason}", phase=phase)


_KEPT: OrderedDict[bytes, TlsFacts] = OrderedDict()
_MOST_KEPT = 5_000


def facts_from_der(
    ders: Sequence[bytes],
    *,
    protocol: str | None = None,
    cipher: str | None = None,
    verified: bool = False,
    now: datetime | None = None,
) -> TlsFacts:
    """The facts of a chain, leaf first. A chain seen before is not parsed again (the last 5,000 are kept)."""
    if not ders:
        return TlsFacts(protocol=protocol, cipher=cipher, verified=verified)
    key = hashlib.sha256(b"".join(ders)).digest()
    facts = _KEPT.get(key)
    if facts is None:
        facts = _KEPT[key] = _read_chain(ders[:_MOST_CERTIFICATES])
        if len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    at = now or datetime.now(UTC)
    days = None if facts.not_after is None else (facts.not_after - at).total_seconds() / 86_400
    return replace(facts, protocol=protocol, cipher=cipher, verified=verified, days_left=days)


def _read_chain(ders: Sequence[bytes]) -> TlsFacts:
    from cryptography import x509

    chain: list[dict[str, Any]] = []
    certs: list[x509.Certificate] = []
    leaf: x509.Certificate | None = None
    for i, der in enumerate(ders):
        fingerprint = hashlib.sha256(der).hexdigest()
        try:
            cert = x509.load_der_x509_certificate(der)
            summary = {
                "subject": _name(cert.subject),
                "issuer": _name(cert.issuer),
                "not_after": cert.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
            }
        except (ValueError, TypeError, x509.InvalidVersion):  # whatever the library finds wrong in it
            chain.append({"subject": "", "issuer": "", "not_after": None, "fingerprint_sha256": fingerprint})
            continue
        chain.append({**summary, "fingerprint_sha256": fingerprint})
        certs.append(cert)
        leaf = cert if i == 0 else leaf
    if leaf is None:
        return TlsFacts(fingerprint_sha256=chain[0]["fingerprint_sha256"], chain=tuple(chain))
    return TlsFacts(
        subject=chain[0]["subject"],
        issuer=chain[0]["issuer"],
        sans=_sans(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint_sha256=chain[0]["fingerprint_sha256"],
        chain=tuple(chain),
        chain_not_after=_weakest(leaf, certs),
    )


def _weakest(leaf: x509.Certificate, sent: Sequence[x509.Certificate]) -> datetime | None:
    """When the first certificate that the leaf's way up needs expires, if that is before the leaf does. What was sent
    beside the way, or beyond the first authority that this machine trusts, does not count: servers send expired roots
    for old clients' sake."""
    way: list[x509.Certificate] = []
    at = leaf
    while at.issuer != at.subject:
        above = next((c for c in sent if c.subject == at.issuer and c is not leaf and c not in way), None)
        if above is None:
            break
        way.append(above)
        at = above
    soon = [c for c in way if c.not_valid_after_utc < leaf.not_valid_after_utc]
    if not soon:
        return None
    trusted = _trusted_subjects()
    needed = [c for i, c in enumerate(way) if not any(w.subject.public_bytes() in trusted for w in way[: i + 1])]
    return min((c.not_valid_after_utc for c in needed if c in soon), default=None)


@functools.cache
def _trusted_subjects() -> frozenset[bytes]:
    """The names (DER) of the authorities that this machine trusts; read when a chain first asks for it."""
    from cryptography import x509

    bundle = ca_bundle()
    if bundle is None:
        return frozenset()
    with open(bundle, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some authority's number is not as it should be, which is not our matter
        certs = x509.load_pem_x509_certificates(file.read())
    return frozenset(cert.subject.public_bytes() for cert in certs)


def _name(name: x509.Name) -> str:
    try:
        return clip(name.rfc4514_string(), 500)
    except ValueError:
        return ""


def _sans(cert: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509
    from cryptography.x509.oid import ExtensionOID, NameOID

    try:
        value = cert.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError, TypeError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension):
        common = [clip(str(a.value), 255) for a in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return tuple(common[:1])
    assert isinstance(value, x509.SubjectAlternativeName)
    names = [clip(name, 255) for name in value.get_values_for_type(x509.DNSName)]
    return (*names, *(str(ip) for ip in value.get_values_for_type(x509.IPAddress)))[:_MOST_SANS]


def names_host(sans: Sequence[str], host: str) -> bool:
    """Whether one of these names covers the host (for words only: the verification itself is OpenSSL's)."""
    wanted = host.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(wanted)) in sans
    except ValueError:
        pass
    for san in sans:
        name = san.lower()
        if name == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:]):
            return True
    return False


def why_refused(facts: TlsFacts | None, host: str, code: int, message: str, now: datetime | None = None) -> str:
    """Why a certificate was not accepted, as a person would say it; every fault of it, the gravest first.

    `code` is OpenSSL's verify result (10 expired, 18 self-signed, 19–21 unknown authority, 62 wrong host), `message`
    what the library said."""
    at = now or datetime.now(UTC)
    faults: list[str] = []
    if facts is not None and facts.not_after is not None and facts.not_before is not None:
        if facts.not_after < at:
            faults.append(f"certificate expired {_ago(at - facts.not_after)} ago")
        elif facts.not_before > at:
            faults.append(f"certificate is not valid yet, it starts in {_ago(facts.not_before - at)}")
        elif code == 10:
            faults.append("a certificate further up the chain has expired")
        if not names_host(facts.sans, host):
            shown = ", ".join(facts.sans[:3]) or "no name"
            faults.append(f"certificate is for {shown}{' …' if len(facts.sans) > 3 else ''}, not {host}")
        if facts.subject == facts.issuer and code == 18:
            faults.append("self-signed certificate")
        elif code in (2, 18, 19, 20, 21):
            issuer = (facts.chain[-1]["issuer"] if facts.chain else facts.issuer) or "no name"
            alone = (
                " (the server may not send its intermediate certificates)"
                if code in (20, 21) and len(facts.chain) == 1
                else ""
            )
            faults.append(f"certificate of an unknown authority, {issuer}{alone}")
    return "; ".join(faults) or f"certificate not accepted: {message}"


def _ago(span: Any) -> str:
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return "less than a minute"
