"""One request on its way: its redirects followed hop by hop by us, every hop through the guard, every phase timed."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import unquote, urlsplit

import pycurl

from tocsin import __version__
from tocsin.core.plain import clip
from tocsin.core.result import Observation, Timing, TlsFacts
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused
from tocsin.net import url as urls
from tocsin.net.cookies import CookieJar
from tocsin.net.egress import Egress
from tocsin.net.fault import fault_of, no_socket, phase_of
from tocsin.net.heard import Heard
from tocsin.net.multi import Multi
from tocsin.net.progress import Progress
from tocsin.net.resolve import Address
from tocsin.net.tls import facts_from_der
from tocsin.net.transfer import MAX_HEADERS, Special, Transfer
from tocsin.net.url import Url

_ALWAYS = ("Expect:",)  # never wait for a 100
_DEFAULTS = (("User-Agent", f"Tocsin/{__version__}"), ("Accept", "*/*"))
_PLAIN = (*(f"{name}: {value}" for name, value in _DEFAULTS), *_ALWAYS)
_ANYWHERE = ("accept", "accept-encoding", "accept-language", "cache-control", "origin", "user-agent")  # hold no secret
_STATUS_LINE = re.compile(r"HTTP/(1\.[01]|2|3) [1-9]\d\d(\s|$)")  # libcurl reads 200 out of "HTTP/3.7 2000"
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to authenticate. basic and digest need `user` and `password`, bearer `token`."""

    scheme: str
    user: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"Login(scheme={self.scheme!r}, ***)"


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """What to ask. `ca_file`, `client_cert`, `client_key` are PEM text; `resolve` are pins HOST:PORT:ADDRESS.
    `unix_socket` is the path of a socket of this machine that the operator has named: no address is looked up or asked for.

    `headers` are pairs; `cookies` is a jar that several requests share (without one, cookies live as long as the redirects
    of this request). `timeout_s` counts only where no check is running around us (that one's deadline holds)."""

    url: str
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    timeout_s: float = 10.0
    follow_redirects: bool = True
    max_redirects: int = 10
    only_this_host: bool = False
    keep_method: bool = False
    verify_tls: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    ip_version: int | None = None
    resolve: Sequence[str] = ()
    proxy: str | None = None
    http_version: str | None = None
    max_body: int = 1 << 20
    login: Login | None = None
    unix_socket: str | None = None
    cookies: CookieJar | None = None


class Way(Protocol):
    """What the engine needs of the net it belongs to."""

    @property
    def egress(self) -> Egress: ...

    async def resolve(
        self, host: str, port: int, *, ip_version: int | None = None, pins: Sequence[str] = ()
    ) -> list[Address]: ...


class Journey:
    """One fetch on its way: the hops it made and the time they took."""

    __slots__ = (
        "began", "body", "connect", "cookies", "deadline", "dns", "facts", "heard", "here", "method", "multi",
        "redirects", "request", "start", "tls", "total", "transfer", "trusted", "ttfb", "url", "way",
    )  # fmt: skip

    def __init__(self, multi: Multi, way: Way, heard: Heard, request: HttpRequest, url: Url, here: Progress) -> None:
        self.multi, self.way, self.heard, self.request, self.url, self.here = multi, way, heard, request, url, here
        self.began = time.perf_counter()
        self.start = url
        self.deadline = self.began + here.remaining_s(request.timeout_s)
        self.method, self.body = request.method, request.body
        if self.body is None and self.method in ("POST", "PUT", "PATCH"):
            self.body = b""
        self.trusted = True  # still where the credentials belong
        self.redirects = 0
        self.cookies = CookieJar() if request.cookies is None else request.cookies
        self.dns = self.connect = self.tls = self.ttfb = self.transfer = self.total = 0.0
        self.facts: TlsFacts | None = None

    async def go(self) -> Observation:
        """Hop after hop until an answer that leads no further."""
        before: Observation | None = None  # what led to where we are
        while True:
            try:
                done = await self._hop()
            except EgressRefused as refused:
                if before is None:
                    raise
                said, phase = f"refused: {refused}", self.here.phase  # the target's doing
                raise CheckFailed("network", said, phase=phase, observation=before) from None
            headers, line, whole = _headers(done.header_lines)
            if self.request.cookies is not None:
                self.cookies.keep(self.url, headers)
            location = next((value for name, value in headers if name == "location"), None)
            leads_on = self.request.follow_redirects and done.status in _REDIRECTS and location is not None
            if done.code and not (leads_on and done.code == pycurl.E_PARTIAL_FILE):  # where it leads was said in whole
                fault = fault_of(done, self.facts, self.here.timeout_s or self.request.timeout_s)
                if isinstance(fault, CheckFailed):
                    fault.observation = self._seen(done, headers)
                raise fault
            self._held_to(done, headers, line, whole)
            if not leads_on or location is None:
                return self._seen(done, headers)
            try:
                target = urls.join(self.url, location)
            except ValueError as error:
                told = f"the redirect to {location[:200]!r} leads nowhere: the URL {error}"
                raise self._lost(done, headers, told) from None
            if not self._may_follow(done.status, target):
                return self._seen(done, headers)
            if self.redirects >= self.request.max_redirects:
                raise self._lost(done, headers, f"more than {self.request.max_redirects} redirects")
            before = self._seen(done, headers)
            self._turn_to(target, done.status, headers)

    def _held_to(self, done: Transfer, headers: tuple[tuple[str, str], ...], line: str, whole: bool) -> None:
        """Raise CheckFailed (protocol) for an answer that is not HTTP, not of the version that was asked for, or whose
        headers end in the middle (which libcurl takes for their end)."""
        wanted, spoken = self.request.http_version, done.http_version
        expected, found = "", ""
        if not _STATUS_LINE.match(line):
            expected, found = "a status line of HTTP", repr(clip(line, 60))
        elif wanted in ("2", "3") and spoken != wanted:
            expected, found = f"HTTP/{wanted}", f"HTTP/{spoken}"
        elif not whole:
            expected, found = "an empty line after the headers", "the end of the connection"
        if expected:
            message = f"expected {expected}, found {found}"
            raise CheckFailed("protocol", message, phase="ttfb", observation=self._seen(done, headers))

    def _lost(self, done: Transfer, headers: tuple[tuple[str, str], ...], message: str) -> CheckFailed:
        return CheckFailed("protocol", message, phase="transfer", observation=self._seen(done, headers))

    def _may_follow(self, status: int, target: Url) -> bool:
        request = self.request
        return not (
            (request.only_this_host and not _same_place(self.url, target))
            or (request.keep_method and status not in (307, 308))
        )

    def _turn_to(self, target: Url, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        """Take the next hop: what goes along, and what stays behind."""
        if self.request.cookies is None:
            self.cookies.keep(self.url, headers)
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            self.method, self.body = "GET", None
        self.trusted = self.trusted and _same_place(self.start, target)
        if not self.trusted and self.body:
            self.body = b""  # what it says was meant for the first place
        self.url = target
        self.redirects += 1

    async def _hop(self) -> Transfer:
        """One exchange, with the first address that can be connected to."""
        here, request, url = self.here, self.request, self.url
        here.phase = "dns"
        began = time.perf_counter()
        special = self._special()
        addresses: list[Address] | list[None]
        if request.unix_socket:
            addresses = [None]
        elif request.proxy:
            special = await self._through(request.proxy, special or Special())
            addresses = [None]
        else:
            addresses = await self.way.resolve(url.host, url.port, ip_version=request.ip_version, pins=request.resolve)
        took = (time.perf_counter() - began) * 1000
        self.dns += took
        here.dns_ms = self.dns
        here.phase = None
        first: Transfer | None = None
        for i, address in enumerate(addresses):
            last = i == len(addresses) - 1
            done = await self._exchange(address, special, last=last)
            if done.broke_off and not (special is not None and special.hybrid):
                special = replace(special or Special(), hybrid=True)
                done = await self._exchange(address, special, last=last)
                if not done.broke_off:
                    self.heard.want_hybrid(url.authority)
            if not done.code or phase_of(done) != "connect" or no_socket(done):
                return done
            if first is None or first.errno == errno.EADDRNOTAVAIL:  # of ours: what another address says counts more
                first = done
        assert first is not None
        return first

    async def _exchange(self, address: Address | None, special: Special | None, *, last: bool) -> Transfer:
        url, here = self.url, self.here
        left_ms = max(1, math.ceil((self.deadline - time.perf_counter()) * 1000))
        transfer = Transfer(
            url,
            None if address is None else (address.ip, address.port),
            method=self.method,
            headers=self._request_headers(),
            body=self.body,
            timeout_ms=left_ms,
            connect_timeout_ms=None if last else max(1, left_ms // 2),
            max_body=self.request.max_body,
            special=special,
            listen=url.scheme == "https" and self.heard.wanted(url.authority),
        )
        here.ip = None if address is None else address.ip
        here.order = transfer
        done = await self.multi.run(transfer)
        here.order = None
        here.waited_s += transfer.waited_s
        self.deadline += transfer.waited_s
        if address is not None and done.ip is not None and not _same_address(done.ip, address.ip):
            # What was asked for is not what was reached: whatever came of it says nothing of the target.
            raise CheckInvalid(f"the HTTP engine connected to {done.ip} where it was told {address.ip}")
        self._count(done)
        return done

    def _count(self, done: Transfer) -> None:
        """Add a transfer's phases to ours."""
        connected, spoken, began, total = done.connect_us, done.appconnect_us, done.start_us, done.total_us
        self.connect += (connected or total) / 1000
        if connected and self.url.scheme == "https":
            self.tls += ((spoken or total) - connected) / 1000
        ready = spoken or connected
        if began:
            self.ttfb += (began - ready) / 1000
            self.transfer += (total - began) / 1000
        elif ready and (spoken or self.url.scheme == "http"):
            self.ttfb += (total - ready) / 1000
        self.total += total / 1000
        if done.chain:
            verified = self.request.verify_tls and bool(spoken)
            self.facts = self.here.tls = facts_from_der(done.chain, verified=verified)
            if spoken:
                self.facts = self.here.tls = self.heard.complete(self.url.authority, self.facts, done.spoken)

    def _seen(self, done: Transfer, headers: tuple[tuple[str, str], ...]) -> Observation:
        wall = (time.perf_counter() - self.began) * 1000
        total = self.dns + self.total
        reached = self.connect if done.connect_us or done.code else None
        return Observation(
            status_code=done.status or None,
            timing=Timing(
                dns=self.dns,
                connect=reached,
                tls=self.tls or None,
                ttfb=self.ttfb or None,
                transfer=self.transfer if done.start_us else None,
                total=total,
            ),
            ip=done.ip or self.here.ip,
            http_version=done.http_version if done.status else None,
            final_url=self.url.text,
            redirects=self.redirects,
            headers=headers,
            body=done.body,
            body_bytes=done.body_bytes,
            truncated=done.truncated,
            tls=self.facts,
            engine_wait_ms=max(0.0, wall - total),
        )

    def _request_headers(self) -> tuple[str, ...]:
        request = self.request
        if not (request.headers or request.login or self.cookies) and self.body is None:
            return _PLAIN
        given = {name.lower() for name, _ in request.headers}
        lines = [f"{name}: {value}" for name, value in _DEFAULTS if name.lower() not in given]
        for name, value in request.headers:
            if not self.trusted and name.lower() not in _ANYWHERE:
                continue
            if self.redirects and name.lower() == "host":
                continue
            if self.body is None and name.lower() in ("content-type", "content-length") and request.body is not None:
                continue
            lines.append(f"{name}: {value}" if value else f"{name};")
        if self.body is not None and ("content-type" not in given or not self.trusted):
            lines.append("Content-Type:")  # libcurl would call it a form
        login = request.login
        if login is not None and self.trusted and "authorization" not in given:
            if login.scheme == "basic":
                lines.append("Authorization: Basic " + b64encode(f"{login.user}:{login.password}".encode()).decode())
            elif login.scheme == "bearer":
                lines.append(f"Authorization: Bearer {login.token}")
        if self.cookies and (cookies := self.cookies.header(self.url)):
            lines.append("Cookie: " + cookies)
        return (*lines, *_ALWAYS)

    def _special(self) -> Special | None:
        """What this hop needs beyond the ordinary, None when nothing."""
        r = self.request
        login = r.login if self.trusted else None
        digest = (login.user, login.password) if login is not None and login.scheme == "digest" else None
        cert = r.client_cert if self.trusted else None
        hybrid = self.url.scheme == "https" and (self._is_private() or self.url.authority in self.heard.hybrid)
        if r.verify_tls and not (r.ca_file or cert or digest or r.http_version or r.proxy or r.unix_socket or hybrid):
            return None
        version = r.http_version
        if version == "2" and self.url.scheme == "http":
            version = "2 in clear"
        return Special(
            verify_tls=r.verify_tls,
            hybrid=hybrid,
            ca_file=r.ca_file,
            client_cert=cert,
            client_key=r.client_key if cert else None,
            http_version=version,
            digest=digest,
            unix_socket=r.unix_socket,
        )

    def _is_private(self) -> bool:
        """Whether what is sent may be a secret: anything but a plain question for a path. (libcurl cannot narrow the key
        exchange of HTTP/3.)"""
        r = self.request
        return r.http_version == "3" or bool(
            r.headers or r.login or self.cookies or self.body or r.client_cert or "?" in self.url.path
        )

    async def _through(self, proxy: str, special: Special) -> Special:
        """The way through a proxy: its own address passes the guard, and so does the target's as far as we can know it
        (a name that only the proxy knows is left to the proxy)."""
        try:
            parts = urlsplit(proxy)
            port = parts.port or {"http": 3128, "socks5": 1080, "socks5h": 1080}[parts.scheme]
            host = parts.hostname or ""
        except (ValueError, KeyError):
            raise CheckFailed("network", "the proxy must be http://host:port or socks5://host:port") from None
        addresses = await self.way.resolve(host, port, pins=self.request.resolve)
        with contextlib.suppress(CheckFailed):
            await self.way.resolve(self.url.host, self.url.port)
        ip = addresses[0].ip
        scheme = "http" if parts.scheme == "http" else "socks5h"
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        at = f"[{ip}]" if ":" in ip else ip
        return replace(special, proxy=f"{scheme}://{at}:{port}", proxy_login=login)


def _same_address(one: str, other: str) -> bool:
    """Whether two texts are one address (IPv6 has several forms of each)."""
    return one == other or ipaddress.ip_address(one) == ipaddress.ip_address(other)


def _same_place(start: Url, target: Url) -> bool:
    """Whether credentials for `start` may go to `target`: same host, and same port or from http up to https."""
    if start.host != target.host or (start.scheme == "https" and target.scheme == "http"):
        return False
    return start.port == target.port or (start.port, target.port) == (80, 443)


def _headers(lines: Sequence[bytes]) -> tuple[tuple[tuple[str, str], ...], str, bool]:
    """The headers of the last answer among these lines (1xx answers and a proxy's come before it), its status line, and
    whether an empty line ended its headers."""
    found: list[tuple[str, str]] = []
    status_line, whole = "", False
    for line in b"".join(lines).decode("latin-1").split("\n")[:-1]:
        if line.startswith("HTTP/"):
            found, status_line, whole = [], line, False
            continue
        whole = whole or line in ("", "\r")
        name, colon, value = line.partition(":")
        if colon and len(found) < MAX_HEADERS:
            found.append((name.strip().lower(), value.strip()))
    return tuple(found), status_line, whole
