"""Joining, from the probe's side: a token becomes a key, and what was given is kept in the data folder (0600)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tocsin.core.plain import as_map, clip, loads
from tocsin.errors import Invalid, PeerLost, SettingsError
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.kept import Kept, Reply
from tocsin.probe.enrol import Enrolled, Offer, read_enrolled
from tocsin.probe.wire import decoded

FILE = "probe.json"
PATH = "/probe/api/join"
JOIN_S = 20.0


class Membership(Struct, frozen=True, kw_only=True):
    """What a probe keeps of its joining: what it was given, and which token (its SHA-256) it used up for it."""

    enrolled: Enrolled
    token_sha256: str


_MEMBERSHIP = msgspec.json.Decoder(Membership)


def token_mark(token: str) -> str:
    """By what a used token is known."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_membership(folder: Path) -> Membership | None:
    """What is kept in this folder, None when the probe never joined. Raises SettingsError when it cannot be used."""
    file = folder / FILE
    try:
        seen = file.stat()
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{file}: expected a file we can read, found {error.strerror}") from error
    if seen.st_mode & 0o077:
        raise SettingsError(
            f"{file}: expected a file that only its owner can read (0600), found mode {seen.st_mode & 0o777:04o}"
        )
    try:
        kept: Membership = decoded(_MEMBERSHIP, text)
        read_enrolled(msgspec.json.encode(kept.enrolled))
    except Invalid as error:
        raise SettingsError(f"{file}: expected what joining left there, found {clip(str(error), 200)}") from None
    return kept


def keep(folder: Path, kept: Membership) -> None:
    """Put it on disk, whole or not at all. Raises OSError."""
    file = folder / FILE
    draft = file.with_name(f".{FILE}-{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.encode(kept))
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


async def ask_to_join(net: Net, server_url: str, offer: Offer) -> Enrolled:
    """What the server gives for the token. Raises PeerLost in words for the person who tries it."""
    try:
        url = urls.parse(server_url)
    except ValueError as error:
        raise PeerLost(f"the server's URL {error}") from None
    kept = Kept(net, url, most_body=65_536)
    body = msgspec.json.encode(offer)
    reply: Reply | None = None
    try:
        for _ in range(3):  # it may name another server that leads
            reply = await kept.ask("POST", PATH, [("Content-Type", "application/json")], body, timeout_s=JOIN_S)
            if reply.status in (200, 201):
                return read_enrolled(reply.body)
            primary = str(_said(reply).get("primary") or "")
            if reply.status != 409 or not primary:
                break
            kept.close()
            kept = Kept(net, urls.parse(primary), most_body=65_536)
    except Invalid as error:
        raise PeerLost(f"what answers at {url.authority} is no server of ours: {error}") from None
    except ValueError:
        raise PeerLost(f"{url.authority} names a server whose URL cannot be read") from None
    finally:
        kept.close()
    raise PeerLost(_why(reply, url.authority))


def _why(reply: Reply | None, where: str) -> str:
    assert reply is not None
    detail = clip(str(_said(reply).get("detail") or ""), 300)
    if reply.status in (401, 403, 409, 410, 422, 400):
        return f"{where} refused the token: {detail or 'it is wrong, was used, or is too old'}"
    if reply.status == 404:
        return f"{where} is no Tocsin that probes can join (404)"
    if reply.status == 429:
        return f"{where} was asked too often: try again in a minute"
    return f"{where} answered {reply.status}{f': {detail}' if detail else ''}"


def _said(reply: Reply) -> dict[str, object]:
    try:
        return as_map(loads(reply.body)) or {}
    except Invalid:
        return {}
