"""The agent's calling end: questions to whichever of the servers leads, over connections that stay open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from tocsin import telemetry
from tocsin.agent.wire import CAUSE_OFF
from tocsin.core.plain import as_map, clip, loads
from tocsin.errors import Invalid, PeerLost
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.kept import Kept, OtherCertificate, Reply
from tocsin.secret import Secret

log = telemetry.logger("tocsin.agent.client")

FIRST_S, LONGEST_S = 1.0, 60.0
MOST_URLS = 20
T = TypeVar("T")


class Refused(PeerLost):
    """A server of ours answered, and does not do it. `status` is what it said, `retry_after_s` when to come again (None: it
    did not say). `off`: the host is switched off there."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None, *, off: bool = False) -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.off = status, retry_after_s, off
        self.cause = "key" if status in (401, 403) else None


class Servers:
    """The servers, in the order to try; the one that answered last is asked first. `pin` is the SHA-256 of the one
    certificate that counts, `ca` the authorities (PEM). `off` is called when it says that the host is switched off."""

    def __init__(self, net: Net, addresses: Sequence[str], *, pin: str | None = None, ca: str | None = None) -> None:
        self._net, self._pin, self._ca = net, pin, ca
        self._kept: dict[str, Kept] = {}
        self.urls: tuple[str, ...] = tuple(addresses)
        self.key: Secret | None = None
        self.at: str | None = None
        self.name = ""
        self.off: Callable[[str], None] = lambda why: None

    def learn(self, named: Sequence[str]) -> bool:
        """Take what a server said of where all of them are; whether it is news. What is no URL is passed over, and so is a
        way without TLS for one with."""
        secure = bool(self.urls) and all(url.startswith("https://") for url in self.urls)
        sound = [u.rstrip("/") for u in named[:MOST_URLS] if _is_url(u) and (not secure or u.startswith("https://"))]
        new = tuple(dict.fromkeys(sound))
        if not new or new == self.urls:
            return False
        self.urls = new
        for gone in self._kept.keys() - set(new):
            self._kept.pop(gone).close()
        return True

    async def ask(self, method: str, path: str, body: Any, answer: type[T], *, timeout_s: float = 10.0) -> T:
        """The answer of the one that leads. Raises PeerLost when none does, Refused when it does not want to."""
        said = msgspec.json.encode(body)
        turn = [url for url in (self.at, *self.urls) if url in self.urls]
        turn = list(dict.fromkeys(turn))
        if not turn:
            raise PeerLost("no server is named (server_url)")
        tried: set[str] = set()
        last: PeerLost = PeerLost("no server answers")
        while turn:
            url = turn.pop(0)
            if url in tried:
                continue
            tried.add(url)
            try:
                reply = await self._one(url, method, path, said, timeout_s)
            except PeerLost as lost:
                last = lost
                continue
            if reply.status == 409 and (primary := _primary_of(reply)) in self.urls and primary not in tried:
                turn.insert(0, primary)
                continue
            if reply.status in (404, 409, 421, 502, 503, 504):
                last = _refused(url, reply)
                continue
            return self._taken(url, reply, answer)
        if not isinstance(last, Refused):
            self.at = None
        raise last

    async def _one(self, url: str, method: str, path: str, body: bytes, timeout_s: float) -> Reply:
        kept = self._kept.get(url)
        if kept is None:
            kept = self._kept[url] = Kept(self._net, urls.parse(url), pin=self._pin, ca=self._ca)
        headers = [("Content-Type", "application/json")]
        if self.key is not None:
            headers.append(("Authorization", f"Bearer {self.key.reveal()}"))
        try:
            return await kept.ask(method, path, headers, body, timeout_s=timeout_s)
        except OtherCertificate:
            log.warning("agent.other_certificate", server=url)
            raise

    def _taken(self, url: str, reply: Reply, answer: type[T]) -> T:
        if reply.status not in (200, 201):
            refused = _refused(url, reply)
            if refused.off:
                self.off(str(refused))
            raise refused
        try:
            made = msgspec.convert(loads(reply.body), answer)
        except (Invalid, msgspec.ValidationError) as error:
            raise PeerLost(f"what answers at {url} is no server of ours: {clip(str(error), 120)}") from None
        if self.at != url:
            log.info("agent.connected", server=url)
            self.at = url
        return made

    def close(self) -> None:
        """Hang up."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()


def pause_s(name: str, failures: int, longest_s: float = LONGEST_S) -> float:
    """How long to wait after so many failures in a row: longer and longer, and not the same at all agents."""
    share = hashlib.sha256(f"{name}:{failures}".encode()).digest()[0] / 255
    return min(longest_s, FIRST_S * 2 ** min(max(failures - 1, 0), 12)) * (0.5 + share / 2)


def _refused(url: str, reply: Reply) -> Refused:
    after = reply.headers.get("retry-after", "")
    said = _said(reply)
    detail = clip(str(said.get("detail") or ""), 300)
    words = f"{url} answered {reply.status}{f': {detail}' if detail else ''}"
    off = reply.status == 403 and said.get("cause") == CAUSE_OFF
    return Refused(words, reply.status, min(3600.0, float(after)) if after.isdigit() else None, off=off)


def _primary_of(reply: Reply) -> str:
    return str(_said(reply).get("primary") or "").rstrip("/")


def _said(reply: Reply) -> dict[Any, Any]:
    try:
        return as_map(loads(reply.body[:65_536])) or {}
    except Invalid:
        return {}


def _is_url(text: str) -> bool:
    try:
        urls.parse(text)
    except ValueError:
        return False
    return True
