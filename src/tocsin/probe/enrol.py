"""How a probe joins: what it offers, what it is given, and how both are written. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

import msgspec
from msgspec import Struct

from tocsin.core.plain import found, loads
from tocsin.core.shape import Length, Name, read
from tocsin.errors import Invalid, Problem
from tocsin.probe.wire import decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Who wants to join: the single-use token, how it calls itself, its version, the check types it can run, and the SHA-256
    of its certificate when it listens too."""

    token: Annotated[str, Length(1, 500)]
    name: Annotated[str, Name, Length(1, 100)]
    version: Annotated[str, Length(0, 40)] = ""
    types: Annotated[list[Annotated[str, Length(1, 40)]], Length(0, 100)] = field(default_factory=list[str])
    fingerprint: Annotated[str | None, Length(64, 64)] = None


class Enrolled(Struct, frozen=True, kw_only=True):
    """A probe that joined: its id, the location it stands for, its key, and where the server is, in the order to try."""

    probe_id: str
    location: str
    key: str
    urls: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Enrolled(probe_id={self.probe_id!r}, location={self.location!r}, ***)"


_ENROLLED = msgspec.json.Decoder(Enrolled)


def read_offer(body: bytes) -> Offer:
    """Who wants to join. Raises Invalid."""
    return read(Offer, loads(body, max_bytes=16_384))


def read_enrolled(body: bytes) -> Enrolled:
    """What the server gave us. Raises Invalid."""
    made = cast("Enrolled", decoded(_ENROLLED, body))
    if not made.key or not made.urls or len(made.urls) > 20 or any(len(url) > 500 for url in made.urls):
        raise Invalid(Problem("", "a key and the URLs of a server", "none"))
    return made


def split_join(text: str) -> tuple[str, str]:
    """(server's URL, token) of URL#token. Raises Invalid."""
    url, mark, token = text.strip().partition("#")
    if not mark or not token or not url.lower().startswith(("http://", "https://")):
        raise Invalid(Problem("--join", "URL#token, such as https://watch.example.org#a1b2", "another form"))
    return url.rstrip("/"), token


def pin_of(text: str) -> str:
    """A SHA-256 fingerprint as 64 lower-case digits, with or without colons before. Raises Invalid."""
    plain = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if len(plain) == 64 and all(digit in "0123456789abcdef" for digit in plain):
        return plain
    raise Invalid(Problem("pin", "a SHA-256 fingerprint (64 hexadecimal digits)", found(text)))
