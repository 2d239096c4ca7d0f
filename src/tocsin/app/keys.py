"""Keys for one purpose each, derived from the one secret key (HKDF with SHA-256, RFC 5869)."""

from __future__ import annotations

from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Purpose = Literal["signing", "sealing", "links"]


def derive(master: bytes, purpose: Purpose) -> bytes:
    """32 bytes for this purpose; the same master key always gives the same, and no purpose's key tells another's."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"tocsin", info=b"tocsin " + purpose.encode()).derive(master)
