"""What shows that both sides know the shared secret, without either saying it; and the tokens that come of it.

A proof is bound to the certificate that the proving side shows, so that nobody in between can pass it on."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tocsin.clock import new_id
from tocsin.cluster.wire import TOKEN_S, Offer, Permission, Registration
from tocsin.errors import Denied
from tocsin.secret import Secret

P = TypeVar("P", Registration, Offer)
_ISSUER, _AUDIENCE, _LARGEST = "tocsin", "instance", 4096


class Accepts(Struct, frozen=True, kw_only=True):
    """What lets an instance register: one of these secrets (the first is the one that counts, another one counts while it
    is being replaced), or a certificate that was accepted when the connection was opened."""

    secrets: tuple[Secret, ...] = ()
    certificates: bool = False


class Claims(Struct, frozen=True, kw_only=True):
    """What a token says: which instance, what it may, until when; `id` names the token."""

    instance: str
    id: str
    expires_at: int
    permissions: tuple[Permission, ...]


def of_server(secret: Secret, theirs: str, ours: str, fingerprint: str) -> str:
    """Shows the joining side that this is who knows the secret, at this certificate."""
    return _digest(secret, "server", theirs, ours, fingerprint)


def of_joiner(secret: Secret, asked: Registration | Offer) -> str:
    """Shows the cluster that who joins knows the secret; covers all that it says of itself."""
    bare = msgspec.json.encode(msgspec.structs.replace(asked, proof="0" * 64))
    return _digest(secret, "joiner", hashlib.sha256(bare).hexdigest())


def key_of_links(cluster_key: bytes) -> bytes:
    """What the acknowledge links of messages are signed with, by whichever instance sends them."""
    return hmac.digest(cluster_key, b"tocsin acknowledge links", "sha256")


def key_of_loads(cluster_key: bytes, instance: str) -> bytes:
    """What secrets are sealed with on their way from a server that joins."""
    return hmac.digest(cluster_key, b"tocsin data of a server that joins " + instance.encode(), "sha256")


def proved(asked: P, secret: Secret | None) -> P:
    """The same with the proof that is made with this secret; None: with none, a certificate speaks for it."""
    if secret is None:
        return msgspec.structs.replace(asked, proof=None)
    return msgspec.structs.replace(asked, proof=of_joiner(secret, asked))


def same(left: str, right: str) -> bool:
    """Whether both are the same, in time that does not tell where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


def _digest(secret: Secret, *parts: str) -> str:
    return hmac.new(secret.reveal().encode(), "\n".join(parts).encode(), "sha256").hexdigest()


def _key(cluster_key: bytes) -> bytes:
    return hmac.digest(cluster_key, b"tocsin instance token", "sha256")


def token(cluster_key: bytes, instance: str, permissions: tuple[Permission, ...], now: datetime) -> tuple[str, Claims]:
    """A signed token for an instance (24 hours), and what it says."""
    from joserfc import jwt
    from joserfc.jwk import OctKey

    claims = Claims(
        instance=instance, id=new_id(), permissions=permissions,
        expires_at=int((now + timedelta(seconds=TOKEN_S)).timestamp()),
    )  # fmt: skip
    body = {
        "iss": _ISSUER, "aud": _AUDIENCE, "sub": instance, "jti": claims.id, "exp": claims.expires_at,
        "iat": int(now.timestamp()), "may": list(permissions),
    }  # fmt: skip
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, body, OctKey.import_key(_key(cluster_key))), claims


def claims_of(cluster_key: bytes, given: str, now: datetime) -> Claims:
    """What a token says. Denied when it is none of this cluster's, or is over."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import OctKey

    if len(given) > _LARGEST:
        raise Denied("expected an instance's token, found something larger", authenticated=False)
    try:
        body: dict[str, Any] = jwt.decode(given, OctKey.import_key(_key(cluster_key)), algorithms=["HS256"]).claims
    except (JoseError, ValueError) as error:
        raise Denied("expected a token of this cluster, found another one", authenticated=False) from error
    if body.get("iss") != _ISSUER or body.get("aud") != _AUDIENCE:
        raise Denied("expected an instance's token, found one for somebody else", authenticated=False)
    if not isinstance(body.get("exp"), int) or body["exp"] <= now.timestamp():
        raise Denied("the token is over: register again", authenticated=False)
    return Claims(
        instance=str(body.get("sub")), id=str(body.get("jti")), expires_at=body["exp"],
        permissions=tuple(body.get("may", ())),
    )  # fmt: skip


def hash_of(token_id: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token_id.encode()).hexdigest()
