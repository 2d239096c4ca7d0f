"""How MySQL and MariaDB have a password proved: what is sent for each of their ways."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from tocsin.errors import CheckFailed

NATIVE = "mysql_native_password"
CACHING_SHA2 = "caching_sha2_password"
CLEAR = "mysql_clear_password"


def native(password: str, salt: bytes) -> bytes:
    """SHA1(password) XOR SHA1(salt + SHA1(SHA1(password))); nothing for no password."""
    if not password:
        return b""
    once = _sha1(password.encode())
    return _xor(once, _sha1(salt + _sha1(once)))


def caching_sha2(password: str, salt: bytes) -> bytes:
    """SHA256(password) XOR SHA256(SHA256(SHA256(password)) + salt); nothing for no password."""
    if not password:
        return b""
    once = hashlib.sha256(password.encode()).digest()
    return _xor(once, hashlib.sha256(hashlib.sha256(once).digest() + salt).digest())


def sealed(password: str, salt: bytes, key: bytes) -> bytes:
    """The password for the eyes of the server alone: XORed with the salt, encrypted (RSA, OAEP) with its public key in
    PEM. CheckFailed (protocol) when that is no such key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    plain = password.encode() + b"\0"
    refused = CheckFailed("protocol", "expected an RSA public key that can take the password, found none", phase="ttfb")
    if not salt:
        raise refused
    mixed = _xor(plain, (salt * (len(plain) // len(salt) + 1))[: len(plain)])
    try:
        public = cast("Any", serialization.load_pem_public_key(key))
        if isinstance(public, rsa.RSAPublicKey) and public.key_size <= 8192:
            way = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - the protocol's choice
            return public.encrypt(mixed, way)
    except (ValueError, UnsupportedAlgorithm):
        raise refused from None
    raise refused


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
