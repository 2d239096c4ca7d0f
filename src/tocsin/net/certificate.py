"""A certificate of our own for who listens without one from an authority: made once, kept, known by its fingerprint."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from tocsin.errors import SettingsError

CERT_FILE, KEY_FILE = "probe.crt", "probe.key"
_LASTS = timedelta(days=3650)
"""It is known by its fingerprint, so its end is no protection, and a change of it is trouble."""


def server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """What serves TLS with this certificate (PEM, with its chain). Raises SettingsError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        where = f"{cert}{f' with {key}' if key else ''}"
        raise SettingsError(f"{where}: expected a certificate and its key in PEM, found {error}") from None
    return made


def fingerprint_of(cert: Path) -> str:
    """The SHA-256 of the first certificate in the file, 64 lower-case digits. Raises SettingsError."""
    try:
        text = cert.read_text(encoding="ascii")
        first = text[text.index("-----BEGIN CERTIFICATE-----") :]
        end = first.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first[:end])).hexdigest()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{cert}: expected a certificate in PEM, found {error}") from None


def own_certificate(folder: Path, now: datetime) -> tuple[Path, Path]:
    """The files of our own certificate and its key (0600) in this folder, made when they are not both there."""
    cert, key = folder / CERT_FILE, folder / KEY_FILE
    if not (cert.exists() and key.exists()):
        cert_pem, key_pem = _made(now)
        _write(key, key_pem)
        _write(cert, cert_pem)
    return cert, key


def _write(file: Path, text: bytes) -> None:
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


def _made(now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509  # heavy, and needed once
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()[:60] or "tocsin-probe"
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    sans: list[x509.GeneralName] = [x509.DNSName(n) for n in dict.fromkeys((_dns_name(host), "localhost"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _dns_name(host: str) -> str:
    return host if host.isascii() and all(c.isalnum() or c in "-." for c in host) else "tocsin-probe"
