"""Access tokens (JWT, 15 minutes), refresh tokens and API keys: how they are made and read. Nothing here looks anything
up.

Each purpose has a key of its own, derived from the server's signing key. An access token is HS256 and nothing else,
names its key (`kid`), its maker (`iss`) and whom it is for (`aud`); one that is larger than 4 KiB is not even parsed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:  # else imported where it is used, so that a start does not wait for it
    from joserfc.jwk import OctKey
    from joserfc.jws import JWSRegistry

ACCESS_S = 900
REFRESH_S = 30 * 86_400
GRACE_S = 10
KEY_PREFIX = "tcs_"
_ISSUER, _AUDIENCE, _LARGEST = "tocsin", "user", 4096


class Claims(Struct, frozen=True, kw_only=True):
    """What an access token says: a user, in a workspace, by a session, at a token version."""

    user_id: str
    workspace_id: str
    session_id: str
    token_version: int
    expires_at: int


def derived(signing_key: bytes, purpose: str) -> bytes:
    """A 256-bit key for one purpose."""
    return hmac.digest(signing_key, b"tocsin " + purpose.encode(), "sha256")


def hash_of(token: str) -> str:
    """What is stored of a token: SHA-256 in hex (tokens are 256 random bits, so nothing slower is needed)."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Whether both are the same text, in time that does not depend on where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


@cache
def _registry() -> JWSRegistry:
    from joserfc.jws import JWSRegistry

    return JWSRegistry(algorithms=["HS256"])


def _key(signing_key: bytes) -> tuple[OctKey, str]:
    from joserfc.jwk import OctKey

    key = derived(signing_key, "user access token")
    return OctKey.import_key(key), hashlib.sha256(b"kid" + key).hexdigest()[:16]


def access_token(signing_key: bytes, claims: Claims, now: datetime) -> str:
    """A signed access token; `claims.expires_at` is in it."""
    from joserfc import jwt

    key, kid = _key(signing_key)
    body = {
        "iss": _ISSUER, "aud": _AUDIENCE, "sub": claims.user_id, "ws": claims.workspace_id, "sid": claims.session_id,
        "tv": claims.token_version, "iat": int(now.timestamp()), "exp": claims.expires_at,
    }  # fmt: skip
    return jwt.encode({"alg": "HS256", "typ": "JWT", "kid": kid}, body, key, registry=_registry())


def expiry(now: datetime) -> int:
    """When an access token made now ends, seconds since 1970."""
    return int((now + timedelta(seconds=ACCESS_S)).timestamp())


def read_access_token(signing_key: bytes, token: str, now: datetime) -> Claims | None:
    """What the token says, or None when it is not ours, not for users, altered, too large or over."""
    from joserfc import jwt
    from joserfc.errors import JoseError

    if len(token) > _LARGEST or not token.isascii():
        return None
    key, kid = _key(signing_key)
    try:
        read = jwt.decode(token, key, registry=_registry())
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    said: dict[str, Any] = read.claims
    if read.header.get("kid") != kid or said.get("iss") != _ISSUER or said.get("aud") != _AUDIENCE:
        return None
    texts = [said.get(name) for name in ("sub", "ws", "sid")]
    numbers = [said.get(name) for name in ("tv", "iat", "exp")]
    if not all(isinstance(t, str) for t in texts) or not all(type(n) is int for n in numbers):
        return None
    stamp = now.timestamp()
    if said["exp"] <= stamp or said["iat"] > stamp + 60 or said["exp"] - said["iat"] > ACCESS_S + 1:
        return None
    return Claims(
        user_id=said["sub"], workspace_id=said["ws"], session_id=said["sid"], token_version=said["tv"],
        expires_at=said["exp"],
    )  # fmt: skip


def refresh_token(signing_key: bytes, session_id: str, secret: str) -> str:
    """A refresh token as it is given out: session, secret, and a mark that shows we made it."""
    return f"{session_id}.{secret}.{_mark(signing_key, session_id, secret)}"


def _mark(signing_key: bytes, session_id: str, secret: str) -> str:
    return hmac.digest(derived(signing_key, "refresh mark"), f"{session_id}.{secret}".encode(), "sha256").hex()[:32]


def split_refresh_token(signing_key: bytes, token: str) -> tuple[str, str] | None:
    """(session id, secret) of a refresh token that we once gave out, None for anything else."""
    parts = token.split(".")
    if len(token) > 256 or not token.isascii() or len(parts) != 3:
        return None
    session_id, secret, mark = parts
    return (session_id, secret) if same(mark, _mark(signing_key, session_id, secret)) else None


def next_secret(signing_key: bytes, session_id: str, secret: str) -> str:
    """The secret that follows in a session's chain. It is derived, so that two requests that bring the same token at
    the same moment are given the same successor; without the server's key nobody can compute it."""
    digest = hmac.digest(derived(signing_key, "refresh chain"), f"{session_id}.{secret}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def new_api_key() -> str:
    """A fresh API key: `tcs_` and 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)
