"""webhook: one JSON object for each message, posted to an address of the user's, signed when a secret is given."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from tocsin.core.alert import Message, message_json
from tocsin.core.header import is_name, is_value
from tocsin.core.shape import Help, Hidden, Length
from tocsin.errors import Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._post import check_url, post_bytes

_OURS = frozenset(
    (
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "idempotency-key",
        "x-tocsin-signature",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A webhook: one JSON object for each message."""

    url: Annotated[str, Length(1, 2048), Help("where each message is posted")]
    secret: Annotated[str | None, Hidden, Length(1, 200), Help("signs the body: X-Tocsin-Signature")] = None
    headers: Annotated[dict[str, str], Hidden, Length(0, 20), Help("more headers, such as Authorization")] = field(
        default_factory=dict[str, str]
    )

    def __post_init__(self) -> None:
        check_url(self.url)
        problems = [
            Problem("headers", "names of HTTP headers", name[:80]) for name in self.headers if not is_name(name)
        ]
        problems += [
            Problem(f"headers.{name}", "a header that the webhook does not set itself", name)
            for name in self.headers
            if name.lower() in _OURS
        ]
        problems += [
            Problem(f"headers.{name}", "a value of one line", "***")
            for name, value in self.headers.items()
            if not is_value(value)
        ]
        if problems:
            raise Invalid(*problems)


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; 2xx is delivered."""
    body = msgspec.json.encode(message_json(message))
    headers = {**config.headers, "Idempotency-Key": message.key}
    if config.secret:
        headers["X-Tocsin-Signature"] = sign(config.secret, body)
    secrets = (config.secret or "", *config.headers.values())
    return await post_bytes(way, config.url, body, headers, secrets=secrets)


def sign(secret: str, body: bytes) -> str:
    """The signature of a body: "sha256=" and the HMAC in hex."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
