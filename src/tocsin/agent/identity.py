"""What enrolling gave, kept in the data folder (0600), so that a key is needed once."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from tocsin.agent.quiet import Kept
from tocsin.agent.wire import Signed
from tocsin.core.plain import clip
from tocsin.errors import SettingsError

FILE = "agent.json"


class Identity(Struct, frozen=True, kw_only=True):
    """Who this agent is at its server. `enrolled_with` marks the key it enrolled with (its SHA-256), so that another one in
    the file is noticed. `config` is the newest that the server signed, `quiet`
    what it said last of when nothing is told."""

    server_uuid: str
    workspace_id: str
    key: str
    urls: tuple[str, ...]
    public_key: str
    enrolled_with: str = ""
    config: Signed | None = None
    quiet: Kept = Kept()

    def __repr__(self) -> str:
        return f"Identity(server_uuid={self.server_uuid!r}, ***)"


def mark_of(key: str) -> str:
    """By what a key is known without keeping it."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_identity(folder: Path) -> Identity | None:
    """What is kept, None when this agent never enrolled. Raises SettingsError when others can read it, or nobody."""
    file = folder / FILE
    try:
        mode, text = file.stat().st_mode, file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{file}: expected a file we can read, found {error.strerror}") from error
    if mode & 0o077:
        raise SettingsError(
            f"{file}: expected a file that only its owner can read (0600), found mode {mode & 0o777:04o}"
        )
    try:
        return msgspec.json.decode(text, type=Identity)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file}: expected what enrolling left there, found {clip(str(error), 200)} (without the file it enrols anew)"
        ) from None


def keep(folder: Path, identity: Identity) -> None:
    """Put it on disk, whole or not at all. Raises OSError."""
    put(folder / FILE, msgspec.json.encode(identity), safely=True)


def put(file: Path, content: bytes, *, safely: bool) -> None:
    """Replace a file by this content, readable by its owner alone. Raises OSError."""
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
            if safely:
                out.flush()
                os.fsync(out.fileno())
        draft.replace(file)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
