"""From a Reply to bytes on the wire: security headers, ETag, compression, cookies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import cast

import brotli

from tocsin.web.call import Reply

_LARGE = 1024
_TEXT = (
    "text/",
    "application/json",
    "application/problem+json",
    "application/openapi",
    "image/svg",
    "application/manifest",
)
SECURITY = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS = "max-age=31536000"


def packed(
    reply: Reply, method: str, asked: Mapping[str, str], *, secure: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """(status, headers, body) of a reply whose content is encoded.

    A large GET carries an ETag and is answered 304 when the caller has it. Text over 1 KB is compressed when asked
    for."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    status, content = reply.status, reply.content or b""
    headers.setdefault("content-type", reply.media_type)
    headers.setdefault("cache-control", "no-store")
    if status == 200 and method in ("GET", "HEAD") and len(content) > _LARGE and headers["cache-control"] == "no-store":
        tag = 'W/"' + hashlib.blake2b(content, digest_size=12).hexdigest() + '"'
        headers["etag"], headers["cache-control"] = tag, "private, no-cache"
        if tag in asked.get("if-none-match", ""):
            status, content = 304, b""
    if len(content) > _LARGE and "content-encoding" not in headers and headers["content-type"].startswith(_TEXT):
        headers["vary"] = "accept-encoding"
        if "br" in asked.get("accept-encoding", ""):
            content, headers["content-encoding"] = _brotli(content), "br"
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
    if secure:
        headers["strict-transport-security"] = _HSTS
    if status in (204, 304):
        headers.pop("content-type", None)
    else:
        headers["content-length"] = str(len(content))
    pairs = [(name.encode("latin-1"), clean(value)) for name, value in headers.items()]
    pairs.extend((b"set-cookie", clean(cookie)) for cookie in reply.cookies)
    return status, pairs, b"" if method == "HEAD" else content


def _brotli(content: bytes) -> bytes:
    return cast("bytes", brotli.compress(content, quality=4))  # pyright: ignore[reportUnknownMemberType]


def clean(value: str) -> bytes:
    """A header's value that cannot begin another header."""
    return value.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")
