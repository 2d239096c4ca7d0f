"""The door for probes that call us: joining with a token, and the link of one that has a key. Each try is counted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import telemetry
from tocsin.core import limits
from tocsin.core.notice import Notice
from tocsin.errors import Denied
from tocsin.probe.enrol import Enrolled, Offer
from tocsin.probe.join import JOIN_PATH, Door, Seat, answer_link, join
from tocsin.store import Session
from tocsin.store.probes import Pass
from tocsin.web import tokens
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin.probe.session import Receive, Send

KEY = "tpk_"


class Registry:
    """Who knows the probes: by the hashes of their keys and tokens."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def authenticate(self, key: str) -> Seat | None:
        """The probe of this key, None when there is none or it is switched off. A key in use ends the one before it."""
        found = await self._find(key, "key")
        post = None if found is None else self._post(found)
        if found is None or post is None or not post.probe.enabled:
            telemetry.probes_denied.labels("key").inc()
            return None
        await self._parts.store.everything().write(lambda s: s.probes.retire(found))
        return Seat(who=(found.workspace_id, post.probe.code), probe_id=found.probe_id)

    async def redeem(self, token: str, offer: Offer) -> Enrolled:
        """Change a join token for a key. Denied for one that is wrong, too old, or used: that the workspace is told, for
        whoever used it first may be somebody else."""
        parts, now = self._parts, self._parts.clock.now()
        found = await self._find(token, "join")
        post = None if found is None else self._post(found)
        if found is None or post is None:
            telemetry.probes_denied.labels("token").inc()
            raise Denied("there is no such join token", authenticated=False)
        key = KEY + secrets.token_urlsafe(32)
        fresh = Pass(
            workspace_id=found.workspace_id,
            probe_id=found.probe_id,
            kind="key",
            hash=tokens.hash_of(key),
            created_at=now,
        )

        def change(s: Session) -> bool:
            if found.expires_at is not None and now > found.expires_at and found.used_at is None:
                raise Denied("this join token is too old: make another one", authenticated=False)
            if not s.probes.use(found.hash, now):
                return False
            s.probes.let_in(fresh)
            return True

        by = f"probe {offer.name}"
        if not await parts.store.of(found.workspace_id, by=by[:200]).write(change):
            telemetry.probes_denied.labels("token_used").inc()
            await self._tell(found, post.probe.code, offer, now)
            raise Denied("this join token was used already", authenticated=False)
        return Enrolled(probe_id=found.probe_id, location=post.probe.code, key=key, urls=parts.urls)

    async def _find(self, text: str, kind: str) -> Pass | None:
        found = await self._parts.store.everything().read(lambda s: s.probes.by_hash(tokens.hash_of(text)))
        return found if found is not None and found.kind == kind else None

    def _post(self, found: Pass) -> Any:
        posts = self._parts.corridor.watchlist.roster.of(found.workspace_id)
        return next((post for post in posts if post.probe.id == found.probe_id), None)

    async def _tell(self, found: Pass, code: str, offer: Offer, now: datetime) -> None:
        told = Notice(
            workspace_id=found.workspace_id, mark=f"location.token:{code}", kind="location.token", at=now, location=code,
            text=f"A join token of location {code} was tried a second time, by {offer.name[:60]}. If the first was not you, "
            "give the location a new key.",
        )  # fmt: skip
        await self._parts.store.of(found.workspace_id).write(lambda s: s.notices.put(told))


def door(parts: Parts) -> Door:
    """What a link needs of this server."""
    assert parts.links is not None
    return Door(probes=Registry(parts), links=parts.links, urls=lambda: parts.urls, primary=lambda: _elsewhere(parts))


def _elsewhere(parts: Parts) -> str | None:
    return None if parts.cluster is None else parts.cluster.elsewhere()


async def link(parts: Parts, headers: Mapping[str, str], peer: str, receive: Receive, send: Send) -> None:
    """Speak with a probe that opens its link; each address may try so often a minute."""
    address = limits.client_address(peer, headers, parts.settings["TRUSTED_PROXIES"])
    try:
        parts.memory.strangers.take(limits.address_name(address), parts.clock.monotonic())
    except limits.TooMany:
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1013, "reason": "too many tries from this address"})
        return
    await answer_link(headers, receive, send, door(parts), address)


async def _join(call: Call) -> Reply:
    counted = f"join {limits.address_name(call.client)}"
    call.parts.memory.logins.count(counted, call.parts.clock.monotonic())
    given = await join(call.raw, Registry(call.parts))
    call.parts.memory.logins.forgive(counted)
    return Reply(content=msgspec.json.encode(given))


ROUTES = [
    Route(
        method="POST", path=JOIN_PATH, run=_join, permission="public", kind="open", tag="locations", max_body=16_384,
        summary="Let a probe join with its token",
    ),
]  # fmt: skip
