"""Secrets at rest: whole JSON objects sealed with AES-GCM, bound to the row they belong to."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tocsin.errors import SettingsError

_VERSION = b"\x01"
_NONCE, _TAG = 12, 16


class Seal:
    """Closes and opens sealed JSON. A sealed value is version (1 byte), nonce (12), ciphertext and tag; `about` (table
    and id) is authenticated with it, so a value copied into another row does not open."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise SettingsError(f"TOCSIN_SECRET_KEY: expected a sealing key of 32 bytes, found {len(key)}")
        self._cipher = AESGCM(key)

    def close(self, value: Any, about: str) -> bytes:
        """The sealed form of a JSON value."""
        return self.close_bytes(msgspec.json.encode(value), about)

    def close_bytes(self, data: bytes, about: str) -> bytes:
        """The sealed form of bytes."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, data, about.encode())

    def open(self, sealed: bytes, about: str) -> Any:
        """The value again. Raises SettingsError when the key is another one than it was sealed with, or the value
        is cut off."""
        return msgspec.json.decode(self.open_bytes(sealed, about))

    def open_bytes(self, sealed: bytes, about: str) -> bytes:
        """The bytes again, as `open`."""
        if sealed[:1] != _VERSION:
            raise SettingsError(
                f"{about}: expected a sealed value of version 1, found version {sealed[0] if sealed else 'none'}"
            )
        if len(sealed) < len(_VERSION) + _NONCE + _TAG:
            raise SettingsError(f"{about}: expected a whole sealed value, found {len(sealed)} bytes of one")
        try:
            return self._cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], about.encode())
        except InvalidTag as error:
            raise SettingsError(
                f"TOCSIN_SECRET_KEY: expected the key that sealed {about}, found another one "
                "(put back the secret.key that belongs to this database)"
            ) from error
