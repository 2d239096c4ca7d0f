"""Passwords: argon2id made, argon2id and old bcrypt verified, in threads and at most two at a time."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from tocsin.errors import Invalid, Problem

if TYPE_CHECKING:
    from pwdlib import PasswordHash

    from tocsin.web.memory import Memory

_SHORTEST, _LONGEST = 8, 1024


@cache
def _hashes() -> PasswordHash:
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher
    from pwdlib.hashers.bcrypt import BcryptHasher

    return PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1), BcryptHasher()))


@cache
def _of_nobody() -> str:
    return _hashes().hash("the password of nobody")


def check(password: str, field: str = "password") -> None:
    """Return if this can be a password; raises Invalid naming the field otherwise."""
    if not _SHORTEST <= len(password) <= _LONGEST or "\x00" in password:
        found = f"{len(password)} characters"
        raise Invalid(Problem(field, f"{_SHORTEST} to {_LONGEST} characters", found))


async def hashed(memory: Memory, password: str) -> str:
    """The argon2id hash of a password."""
    async with memory.hashing:
        return await asyncio.to_thread(lambda: _hashes().hash(password))


async def verified(memory: Memory, password: str, known: str | None) -> bool:
    """Whether the password is the one of this hash. With no hash (no such user) the same work is done, for no."""
    if len(password) > _LONGEST:
        return False
    async with memory.hashing:
        return await asyncio.to_thread(_verify, password, known)


def _verify(password: str, known: str | None) -> bool:
    from pwdlib.exceptions import PwdlibError

    try:
        fits = _hashes().verify(password, known or _of_nobody())
    except (PwdlibError, ValueError):  # a hash of no known form; a NUL or more than 72 bytes with bcrypt
        return False
    return fits and known is not None
