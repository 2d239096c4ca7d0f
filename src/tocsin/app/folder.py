"""The data folder and the secret key in it, made and checked before anything else starts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from tocsin.errors import SettingsError
from tocsin.settings import Settings

KEY_FILE = "secret.key"


def prepare(settings: Settings) -> Path:
    """The data folder, there and writable. Raises SettingsError naming the folder and what is wrong with it."""
    return made(settings.data_dir)


def made(folder: Path) -> Path:
    """This folder, there and writable. Raises SettingsError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"TOCSIN_DATA_DIR: expected a folder we can write to, found {folder}: {error.strerror}"
        ) from error
    return folder


def open_to_others(folder: Path) -> int:
    """The permissions of the folder when others on this machine can look into it, else 0."""
    mode = folder.stat().st_mode & 0o777
    return mode if mode & 0o077 else 0


def master_key(settings: Settings) -> bytes:
    """The key that every other key is derived from: TOCSIN_SECRET_KEY, else secret.key, made when there is none yet.

    Raises SettingsError when others could read the file, when it is too short, or when it is gone while the database
    that was sealed with it is still there.
    """
    given = settings["SECRET_KEY"]
    if given is not None:
        return given.reveal().encode()
    file = settings.data_dir / KEY_FILE
    if not file.exists():
        _refuse_lost_key(settings, file)
        _make(file)
    return read_key(file)


@contextmanager
def kept_if_used(settings: Settings) -> Generator[bytes]:
    """The same key; one that was made for it is taken away again when what needs it does not come about and left nothing
    that was sealed with it: a start that was refused leaves no key behind."""
    file = settings.data_dir / KEY_FILE
    new = not file.exists()
    master = master_key(settings)
    try:
        yield master
    except BaseException:
        database = settings.database_file
        if new and (database is None or not (database.exists() and database.stat().st_size)):
            file.unlink(missing_ok=True)
        raise


def read_key(file: Path) -> bytes:
    """What secret.key holds. Raises SettingsError when others may read it or it is too short."""
    try:
        seen = file.stat()
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: expected a key file we can read, found {error}") from error
    if seen.st_mode & 0o077:
        raise SettingsError(
            f"{file}: expected a file that only its owner can read (0600), found mode {seen.st_mode & 0o777:04o}"
        )
    if len(text) < 32:
        raise SettingsError(f"{file}: expected a key of at least 32 characters, found {len(text)}")
    return text.encode()


def _refuse_lost_key(settings: Settings, file: Path) -> None:
    database = settings.database_file
    if database is not None and database.exists() and database.stat().st_size:
        raise SettingsError(
            f"{file}: expected the key that {database.name} was sealed with, found no file;"
            " put it back from your backup, or name it in TOCSIN_SECRET_KEY"
        )


def _make(file: Path) -> None:
    """Write a fresh key beside it and link it into place: whoever reads the file reads a whole key."""
    draft = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(secrets.token_urlsafe(48) + "\n")
        out.flush()
        os.fsync(out.fileno())
    with suppress(FileExistsError):  # another first start was quicker: its key counts
        os.link(draft, file)
    draft.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
