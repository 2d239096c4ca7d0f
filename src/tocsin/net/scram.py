"""Signing in by SCRAM, whatever the protocol it travels in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from tocsin.core import scram


async def converse(
    say: Callable[[str], Awaitable[str]], user: str, password: str, algorithm: scram.Algorithm = "sha256"
) -> None:
    """Prove the password, and have the server prove that it knows it; `say` sends one message and gives the answer to it.

    CheckFailed (protocol) when either side does not succeed."""
    nonce = secrets.token_urlsafe(18)
    answer = await say(scram.first(user, nonce))
    proof = await asyncio.to_thread(scram.prove, user, password, nonce, answer, algorithm)
    scram.confirm(proof, await say(proof.message))
