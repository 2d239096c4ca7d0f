"""The others, by HTTP over connections that stay open; where each is reached, and what it shows there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.clock import new_id
from tocsin.cluster import wire
from tocsin.cluster.wire import Answer, Peer, Place, Said
from tocsin.core.control_log import Position
from tocsin.core.membership import Membership
from tocsin.core.peer import Message
from tocsin.core.plain import as_map, clip, loads
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, Outcast, PeerLost
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.kept import Kept, OtherCertificate, Reply

SAY_S = 4.0
ASK_S = 15.0
EPOCH, BOOT = "x-tocsin-epoch", "x-tocsin-boot"


class Line:
    """One address with the certificate that is expected there ("" none: the usual authorities count), and the one that is
    shown there."""

    def __init__(self, net: Net, url: str, fingerprint: str, shows: tuple[str, str] | None = None) -> None:
        self.url, self.fingerprint = url, fingerprint
        self._kept = Kept(net, urls.parse(url), pin=fingerprint or None, most_body=wire.MOST_BODY, shows=shows)

    @property
    def shown(self) -> str:
        """The fingerprint of the certificate that was shown ("" for none)."""
        return self._kept.fingerprint or ""

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", epoch: int | None = None,
        boot: str = "", timeout_s: float = ASK_S,
    ) -> Reply:  # fmt: skip
        """The answer when it is a good one. Raises PeerLost, or what its problem says (see `raised`)."""
        headers = [("Content-Type", "application/json")]
        if token:
            headers.append(("Authorization", f"Bearer {token}"))
        if epoch is not None:
            headers.append((EPOCH, str(epoch)))
        if boot:
            headers.append((BOOT, boot))
        data = b"" if body is None else body if isinstance(body, bytes) else wire.write(body)
        reply = await self._kept.ask(method, path, headers, data, timeout_s=timeout_s)
        if not 200 <= reply.status < 300:
            raise raised(reply, self.url)
        return reply

    def close(self) -> None:
        """Hang up."""
        self._kept.close()


def raised(reply: Reply, url: str) -> Exception:
    """What an answer that is none says, as the error it stands for."""
    try:
        said = as_map(loads(reply.body[:65_536])) or {}
    except Invalid:
        said = {}
    detail = clip(str(said.get("detail") or f"{url} answered {reply.status}"), 300)
    if reply.status == 403 and "cause" in said:
        return Outcast(detail, cause=clip(str(said["cause"]), 40))
    if reply.status in (401, 403):
        return Denied(detail, authenticated=reply.status != 401)
    if reply.status == 404:
        return NotFound(detail)
    if reply.status == 409 and "epoch" in said:
        return NotPrimary(detail, primary=said.get("primary") or None)
    if reply.status in (400, 409, 413, 422):
        return Conflict(detail)
    return PeerLost(detail)


class Peers:
    """The book of addresses, and the lines that are open. `token` gives what this instance shows; `boot` names this process;
    `other` hears of an instance (its id) that shows another certificate than it registered with; `heard` of each that
    answered, with why this instance is an outcast there, or None."""

    def __init__(self, net: Net, me: str) -> None:
        self.net, self._me = net, me
        self.token: Callable[[], str] = lambda: ""
        self.other: Callable[[str, str], None] = lambda of, why: None
        self.heard: Callable[[str, Outcast | None], None] = lambda by, why: None
        self.boot = new_id()
        self._book: dict[str, Peer] = {}
        self._lines: dict[str, Line] = {}

    def learn(self, peers: Iterable[Peer]) -> None:
        """Where instances are reached now."""
        for peer in peers:
            if not peer.url or peer.id == self._me:
                continue
            known = self._book.get(peer.id)
            if known == peer:
                continue
            self._book[peer.id] = peer
            if (line := self._lines.pop(peer.id, None)) is not None:
                line.close()

    def forget(self, keep: Iterable[str]) -> None:
        """Only these instances are left."""
        for id in set(self._book) - set(keep):
            del self._book[id]
            if (line := self._lines.pop(id, None)) is not None:
                line.close()

    def reaches(self, to: str) -> bool:
        """Whether there is an address of that instance."""
        return to in self._book

    def url(self, of: str | None) -> str | None:
        """Where that instance is reached, if it is known."""
        peer = self._book.get(of) if of is not None else None
        return peer.url if peer is not None else None

    def urls(self, first: str | None) -> list[str]:
        """Where all others are reached, that instance first."""
        return [peer.url for peer in sorted(self._book.values(), key=lambda peer: (peer.id != first, peer.url))]

    def web(self, of: str | None) -> str | None:
        """Where people reach that instance, if it is known."""
        peer = self._book.get(of) if of is not None else None
        return peer.web or None if peer is not None else None

    def line(self, to: str) -> Line:
        """The line to that instance; PeerLost when there is no address of it."""
        line = self._lines.get(to)
        if line is None:
            peer = self._book.get(to)
            if peer is None:
                raise PeerLost(f"there is no address of instance {to}")
            line = self._lines[to] = Line(self.net, peer.url, peer.fingerprint)
        return line

    async def say(self, to: str, message: Message) -> Message | None:
        """What that instance answers to a message of the protocol, if anything. Raises PeerLost."""
        try:
            reply = await self.ask(
                to, "POST", "/sync/api/message", Said(sender=self._me, message=message), timeout_s=SAY_S
            )
        except (Denied, Conflict, NotFound, NotPrimary) as refused:
            raise PeerLost(str(refused)) from refused
        try:
            return wire.read(Answer, reply.body).message
        except Invalid as wrong:
            raise PeerLost(f"instance {to} answered something else: {wrong}") from None

    async def ask(
        self, to: str, method: str, path: str, body: Any = None, *, epoch: int | None = None, timeout_s: float = ASK_S
    ) -> Reply:
        """A good answer of that instance; see Line.ask."""
        try:
            reply = await self.line(to).ask(
                method, path, body, token=self.token(), epoch=epoch, boot=self.boot, timeout_s=timeout_s
            )
        except OtherCertificate as other:
            self.other(to, str(other))
            raise
        except Outcast as why:
            self.heard(to, why)
            raise
        self.heard(to, None)
        return reply

    async def place(self, of: str) -> tuple[Position, Membership]:
        """Where the log of that instance may be begun, and who belonged to the cluster there. Raises PeerLost."""
        try:
            said = await self.ask(of, "POST", "/sync/api/place", {})
            place = wire.read(Place, said.body)
        except (Denied, Conflict, NotFound, NotPrimary, Invalid) as refused:
            raise PeerLost(str(refused)) from refused
        return place.position, place.membership

    async def snapshot(self, of: str, into: Path) -> Path:
        """A snapshot of that instance's tables, in a new file in this folder. Raises PeerLost."""
        path = into / f"{os.urandom(8).hex()}.copy"
        try:
            made = msgspec.json.decode((await self.ask(of, "POST", "/sync/api/snapshot", {}, timeout_s=60.0)).body)
            os.makedirs(into, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                while file.tell() < made["size"]:
                    piece = await self.ask(of, "GET", f"/sync/api/snapshot/{made['id']}/{file.tell()}", timeout_s=60.0)
                    file.write(_whole(piece.body))
        except (Denied, Conflict, NotFound, NotPrimary) as refused:
            path.unlink(missing_ok=True)
            raise PeerLost(str(refused)) from refused
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def close(self) -> None:
        """Hang up all."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()


def _whole(piece: bytes) -> bytes:
    if not piece:
        raise PeerLost("the snapshot ended too early")
    return piece
