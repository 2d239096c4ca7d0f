"""Signed links: whoever holds one may acknowledge one stretch of trouble, without signing in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

VALID = timedelta(days=7)
_MARK = 16
_LONGEST = 500


class Link(Struct, frozen=True, array_like=True):
    """What a link is for: the incident, as it stood `at` that moment (microseconds since 1970), and whom the message
    went to: the id of a channel, or of a person as a channel."""

    workspace_id: str
    incident_id: str
    at: int
    who: str

    @property
    def moment(self) -> datetime:
        """When the message was made that carries it."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.at)

    def expired(self, now: datetime) -> bool:
        """Whether it is too old to be used."""
        return now >= self.moment + VALID


def token_of(key: bytes, link: Link) -> str:
    """The link as text that may stand in a URL: signed, not secret in what it says."""
    said = msgspec.msgpack.encode(link)
    return base64.urlsafe_b64encode(_mark(key, said) + said).rstrip(b"=").decode()


def read_token(key: bytes, token: str) -> Link | None:
    """The link of a token, None when we did not make it. Nothing in it is read before its mark was found right."""
    if len(token) > _LONGEST or not token.isascii():
        return None
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mark, said = data[:_MARK], data[_MARK:]
    if not hmac.compare_digest(mark, _mark(key, said)):
        return None
    return msgspec.msgpack.decode(said, type=Link)


def _mark(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, hashlib.sha256)[:_MARK]
