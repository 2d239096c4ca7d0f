"""One HTTP exchange with one address: the options libcurl gets for it, and what it saw."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import pycurl

from tocsin.net.tls import ca_bundle
from tocsin.net.url import Url

_VERSIONS = {
    "1.0": pycurl.CURL_HTTP_VERSION_1_0,
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    "2 in clear": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    "3": pycurl.CURL_HTTP_VERSION_3ONLY,
}
_VERSION_OF = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    pycurl.CURL_HTTP_VERSION_3: "3",
}
MAX_HEADERS = 200
FLOODED = "far more came than it decodes to"
_WIRE_BEYOND = 1 << 20  # what compression, chunks and what is on its way may add to the body's own limit
_E_PROXY = 97  # SOCKS failed
_SPOKEN = b"SSL connection using "
_LONGEST_CONNECT_MS = 3_600_000  # the total timeout ends it long before
_MOST_FREE = 2000
_CURVES: int | None = getattr(pycurl, "SSL_EC_CURVES", None)  # older ones cannot choose
_KEY_EXCHANGE = "X25519:P-256:X448:P-384:P-521:ffdhe2048:ffdhe3072"  # all of OpenSSL's own choice but the hybrid one


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """What only some transfers need; a transfer without it uses a handle that is already set up."""

    verify_tls: bool = True
    hybrid: bool = False  # offer a key exchange that stands up to quantum computers too: docs/adr/0012
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    http_version: str | None = None
    proxy: str | None = None  # scheme://address:port
    proxy_login: str | None = None  # user:password
    digest: tuple[str, str] | None = None
    unix_socket: str | None = None  # a path: the URL's host is then a name only

    @property
    def holds_secrets(self) -> bool:
        """Whether there is something in it that must not stay about longer than the transfer."""
        return bool(self.client_key or self.client_cert or self.proxy or self.digest)


class Transfer:
    """One exchange: what to do (constructor), and what came of it (the other attributes, once `finish` was called)."""

    __slots__ = (
        "appconnect_us", "begun", "body", "body_bytes", "cancelled", "chain", "code", "connect_timeout_ms", "connect_to",
        "connect_us", "errno", "future", "handle", "header_lines", "headers", "http_version", "ip", "listen",
        "max_body", "method", "ordered", "request_body", "special", "spoken", "start_us", "status", "text", "timeout_ms",
        "total_us", "truncated", "upload", "url", "verify_code",
    )  # fmt: skip

    def __init__(
        self,
        url: Url,
        address: tuple[str, int] | None,
        *,
        method: str = "GET",
        headers: tuple[str, ...] = (),
        body: bytes | None = None,
        timeout_ms: int = 10_000,
        connect_timeout_ms: int | None = None,
        max_body: int = 1 << 20,
        special: Special | None = None,
        listen: bool = False,
    ) -> None:
        self.url, self.method, self.headers, self.request_body = url, method, headers, body
        self.timeout_ms, self.max_body = timeout_ms, max_body
        self.connect_timeout_ms = connect_timeout_ms or _LONGEST_CONNECT_MS
        self.special = special
        self.listen = listen
        self.spoken: tuple[str, str] | None = None
        self.connect_to: str | None = None
        if address is not None and address[0] != url.host:
            ip, port = address
            self.connect_to = f"::[{ip}]:{port}" if ":" in ip else f"::{ip}:{port}"
        self.future: asyncio.Future[None] | None = None
        self.cancelled = False
        self.ordered = time.monotonic()
        self.begun: float | None = None  # when the engine took it up: until then we made it wait, not the target
        self.handle: Any = None
        self.code, self.text, self.errno = 0, "", 0
        self.status = self.body_bytes = self.verify_code = self.upload = 0
        self.ip: str | None = None
        self.http_version: str | None = None
        self.header_lines: list[bytes] = []
        self.body = b""
        self.truncated = False
        self.connect_us = self.appconnect_us = self.start_us = self.total_us = 0
        self.chain: list[bytes] = []

    def give_up(self, why: str) -> None:
        """End it without a result, through no fault of the target."""
        self.code, self.text = pycurl.E_ABORTED_BY_CALLBACK, why

    @property
    def waited_s(self) -> float:
        """How long we made it wait until it was begun, or has been waiting until now."""
        return max(0.0, (self.begun or time.monotonic()) - self.ordered)

    @property
    def broke_off(self) -> bool:
        """Whether the server broke the handshake off in the way it does when it knows none of our ways to agree on a key
        (other reasons look the same)."""
        return self.code == pycurl.E_SSL_CONNECT_ERROR and "handshake failure" in self.text

    def is_flooded(self) -> bool:
        """Whether far more came over the wire than what it decodes to may be long (blocks of nothing, chunks of one byte
        with long names): what is handed over would never show it."""
        received: int = self.handle.getinfo(pycurl.SIZE_DOWNLOAD_T)
        return received > self.max_body + _WIRE_BEYOND

    @property
    def proxy(self) -> str | None:
        """The address and port of the proxy it goes through, None without one."""
        return None if self.special is None or self.special.proxy is None else self.special.proxy.partition("://")[2]

    def _has_no_way(self, code: int) -> bool:
        """Whether a proxy was connected to, and nothing could go through it (TLS by way of SOCKS does not tell)."""
        special, get = self.special, self.handle.getinfo
        if special is None or special.proxy is None:
            return False
        if code == _E_PROXY or self.url.scheme == "http":
            return code == _E_PROXY or not get(pycurl.REQUEST_SIZE)
        return special.proxy.startswith("http:") and get(pycurl.HTTP_CONNECTCODE) // 100 != 2

    def finish(self, code: int, text: str) -> None:
        """Read everything off the handle before it goes back."""
        handle = self.handle
        get = handle.getinfo
        sink: _Sink = handle.sink
        self.code, self.text = code, text
        self.header_lines = sink.lines[:]
        sink.lines.clear()
        self.body, self.body_bytes, self.truncated = bytes(sink.body), len(sink.body), sink.truncated
        if code == pycurl.E_WRITE_ERROR and sink.truncated:
            self.code = 0
        self.status = get(pycurl.RESPONSE_CODE)
        on_socket = self.special is not None and self.special.unix_socket is not None
        self.ip = None if on_socket else get(pycurl.PRIMARY_IP) or None  # libcurl would tell the socket's path
        self.connect_us = (
            0 if code == pycurl.E_COULDNT_CONNECT else get(pycurl.CONNECT_TIME_T)
        )  # it is set all the same, and so is the time of the first byte
        if code and self._has_no_way(code):
            self.connect_us = 0
        self.total_us = get(pycurl.TOTAL_TIME_T)
        self.http_version = _VERSION_OF.get(get(pycurl.INFO_HTTP_VERSION))
        if self.url.scheme == "https":
            self.appconnect_us = get(pycurl.APPCONNECT_TIME_T)
            self.verify_code = get(pycurl.SSL_VERIFYRESULT)
            self.chain = _chain(get(pycurl.INFO_CERTINFO))
        ready = self.appconnect_us if self.url.scheme == "https" else self.connect_us
        self.start_us = get(pycurl.STARTTRANSFER_TIME_T) if ready else 0  # without an answer it is the end
        if sink.spoken is not None:
            self.spoken, sink.spoken = sink.spoken, None
        if self.code:
            self.errno = get(pycurl.OS_ERRNO)
            self.upload = int(get(pycurl.SIZE_UPLOAD_T))


def _chain(info: list[list[tuple[str, str]]]) -> list[bytes]:
    """The DER certificates of CERTINFO, leaf first."""
    chain: list[bytes] = []
    for rows in info:
        for key, value in rows:
            if key == "Cert":
                chain.append(b64decode("".join(value.split("\n")[1:-1]).split("-----")[0]))
    return chain


class _Sink:
    """Where a handle puts what it receives: header lines as they come, the body up to a limit."""

    __slots__ = ("body", "limit", "lines", "spoken", "truncated")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.body = bytearray()  # one piece: a body that comes byte by byte takes no more
        self.limit = 0
        self.truncated = False
        self.spoken: tuple[str, str] | None = None

    def hear(self, kind: int, text: bytes) -> None:
        """What libcurl says of its work: only there does it name the TLS version and the cipher."""
        if kind == 0 and text.startswith(_SPOKEN):
            protocol, _, cipher = text.decode("latin-1").removeprefix(_SPOKEN.decode()).partition(" / ")
            self.spoken = (protocol.strip(), cipher.partition(" / ")[0].strip())

    def write(self, data: bytes) -> int | None:
        room = self.limit - len(self.body)
        if len(data) > room:
            self.truncated = True
            self.body += data[:room]
            return 0  # not what was given: libcurl ends the transfer
        self.body += data
        return None


class TransferPool:
    """Handles that are used again. Their connections never are. One that was set up in a special way waits for the next
    transfer that wants the same, unless that way is somebody's secret: then it is wiped."""

    def __init__(self) -> None:
        self._free: dict[Special | None, list[Any]] = {None: []}
        self._count = 0

    def get(self, transfer: Transfer) -> Any:
        """A handle set up for this transfer."""
        special = transfer.special
        same = self._free.get(special)
        free = same or self._free[None]
        if free:
            self._count -= 1
        handle = free.pop() if free else _new_handle()
        if special is not None and not same:
            _set_up_special(handle, special)
        _set_up(handle, transfer)
        return handle

    def put(self, transfer: Transfer) -> None:
        """Take the handle back."""
        handle, special = transfer.handle, transfer.special
        transfer.handle = None
        if self._count >= _MOST_FREE:
            self.close()
        sink: _Sink = handle.sink
        sink.lines.clear()
        sink.body, sink.truncated = bytearray(), False
        altered = transfer.listen or transfer.method != "GET" or transfer.request_body is not None
        if altered or (special is not None and special.holds_secrets):
            handle.reset()
            _constant(handle)
            special = None
        self._free.setdefault(special, []).append(handle)
        self._count += 1

    def close(self) -> None:
        """Let go of the handles that nobody uses."""
        for handles in self._free.values():
            for handle in handles:
                handle.close()
        self._free = {None: []}
        self._count = 0


class _Handle(pycurl.Curl):
    """A libcurl handle with the place its output goes to, and what it was last given."""

    sink: _Sink
    headers: tuple[str, ...] | None
    connect_to: str | None
    connect_timeout_ms: int


def _new_handle() -> Any:
    handle = _Handle()
    handle.sink = _Sink()
    _constant(handle)
    return handle


def _constant(handle: Any) -> None:
    """What is the same for every transfer."""
    handle.headers = handle.connect_to = None
    handle.connect_timeout_ms = _LONGEST_CONNECT_MS
    put = handle.setopt
    put(pycurl.CONNECTTIMEOUT_MS, _LONGEST_CONNECT_MS)
    put(pycurl.NOSIGNAL, 1)
    put(pycurl.FRESH_CONNECT, 1)
    put(pycurl.FORBID_REUSE, 1)
    put(pycurl.SSL_SESSIONID_CACHE, 0)
    put(pycurl.FOLLOWLOCATION, 0)
    put(pycurl.HTTP09_ALLOWED, 0)
    put(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    put(pycurl.PROXY, "")  # never from the environment
    put(pycurl.ACCEPT_ENCODING, "")  # all that libcurl can decode
    put(pycurl.OPT_CERTINFO, 1)
    if _CURVES is not None:
        put(_CURVES, _KEY_EXCHANGE)
    put(pycurl.HEADERFUNCTION, handle.sink.lines.append)  # libcurl itself ends a flood at 300 KB
    put(pycurl.WRITEFUNCTION, handle.sink.write)
    if bundle := ca_bundle():
        put(pycurl.CAINFO, bundle)


def _set_up(handle: Any, transfer: Transfer) -> None:
    put = handle.setopt
    put(pycurl.URL, transfer.url.text)
    put(pycurl.TIMEOUT_MS, transfer.timeout_ms)
    if transfer.connect_timeout_ms != handle.connect_timeout_ms:
        handle.connect_timeout_ms = transfer.connect_timeout_ms
        put(pycurl.CONNECTTIMEOUT_MS, transfer.connect_timeout_ms)
    if transfer.connect_to != handle.connect_to:
        handle.connect_to = transfer.connect_to
        if transfer.connect_to is None:
            handle.unsetopt(pycurl.CONNECT_TO)  # an empty list would leave the last place in force
        else:
            put(pycurl.CONNECT_TO, [transfer.connect_to])
    if handle.headers != transfer.headers:
        handle.headers = transfer.headers
        put(pycurl.HTTPHEADER, [line.encode() for line in transfer.headers])
    handle.sink.limit = transfer.max_body
    body, method = transfer.request_body, transfer.method
    if body is not None:
        put(pycurl.POSTFIELDS, body)
        put(pycurl.CUSTOMREQUEST, method)
    elif method == "HEAD":
        put(pycurl.NOBODY, 1)
    elif method != "GET":
        put(pycurl.CUSTOMREQUEST, method)
    if transfer.listen:
        put(pycurl.VERBOSE, 1)
        put(pycurl.DEBUGFUNCTION, handle.sink.hear)


def _set_up_special(handle: Any, special: Special) -> None:
    put = handle.setopt
    if not special.verify_tls:
        put(pycurl.SSL_VERIFYPEER, 0)
        put(pycurl.SSL_VERIFYHOST, 0)
    if special.hybrid and _CURVES is not None:
        handle.unsetopt(_CURVES)
    if special.ca_file:
        put(pycurl.CAINFO_BLOB, special.ca_file.encode())
    if special.client_cert:
        put(pycurl.SSLCERT_BLOB, special.client_cert.encode())
        put(pycurl.SSLKEY_BLOB, (special.client_key or special.client_cert).encode())
    if special.http_version:
        put(pycurl.HTTP_VERSION, _VERSIONS[special.http_version])
    if special.proxy:
        put(pycurl.PROXY, special.proxy)
        if special.proxy_login:
            put(pycurl.PROXYUSERPWD, special.proxy_login.encode())
    if special.unix_socket:
        put(pycurl.UNIX_SOCKET_PATH, special.unix_socket)
    if special.digest:
        put(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)
        put(pycurl.USERNAME, special.digest[0].encode())
        put(pycurl.PASSWORD, special.digest[1].encode())
