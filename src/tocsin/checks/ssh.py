"""SSH: the key exchange and the host key, a sign-in when a user is given, goodbye. No command is ever run."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec.structs import replace

from tocsin.checks._terms import Host, IpVersion, Password, Port, PrivateKey, User
from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Pattern
from tocsin.errors import CheckFailed, CheckInvalid, Invalid, Problem
from tocsin.net import Connection, Net
from tocsin.net.connect import from_os_error
from tocsin.net.progress import progress

TITLE, SAYS = "SSH", "host key, sign-in"

if TYPE_CHECKING:
    import asyncssh

_FAREWELL_S = 0.5
_RECEIVED = 8192  # what waits for us at most: the library works through all of it in one go, and holds up other checks
_EXCHANGES = "-diffie-hellman-group-exchange-*"  # there the server chooses how long we compute
_KEY_TYPES = {
    "ed25519": ["ssh-ed25519"],
    "ecdsa": ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
    "rsa": ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An SSH server that should show its host key and, when asked, let a user in."""

    host: Host
    port: Port = 22
    user: User = None
    password: Password = None
    private_key: PrivateKey = None
    host_key: Annotated[
        str | None,
        Front,
        Pattern(r"SHA256:[A-Za-z0-9+/]{43}=?", "a fingerprint such as SHA256:…, as ssh-keygen -l shows it"),
        Help("Fingerprint that the host key must have, such as SHA256:…"),
    ] = None
    host_key_type: Annotated[
        Literal["ed25519", "ecdsa", "rsa"] | None,
        Help("Ask for the host key of this type; else the first in this order"),
    ] = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        given = self.password is not None or self.private_key is not None
        if self.user is not None and not given:
            raise Invalid(Problem("password", "the user's password, or a private_key", "nothing"))
        if given and self.user is None:
            raise Invalid(Problem("user", "who signs in", "nothing"))


async def check(target: Target, net: Net) -> Observation:
    """Exchange keys, look at the host key, sign in, leave."""
    library = await _library()
    came = time.perf_counter()
    async with net.connect(target.host, target.port, ip_version=target.ip_version) as connection:
        visit = _Visit(target, connection, came)
        options = await _options(library, target, visit)
        sock = connection.detach()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        visit.begin()
        try:
            session = await library.connect(target.host, target.port, sock=sock, config=None, options=options)
        except (library.Error, OSError, ValueError, AssertionError) as error:  # the last two: words it cannot read
            sock.close()
            raise visit.failure(error) from None
        except BaseException:
            sock.close()
            raise
        try:
            return visit.seen()
        finally:
            await _leave(session)


async def _library() -> Any:
    """asyncssh, quiet. CheckInvalid when it is not installed."""
    if "asyncssh" in sys.modules:
        return sys.modules["asyncssh"]
    try:
        library = await asyncio.to_thread(importlib.import_module, "asyncssh")  # which takes half a second
    except ImportError:
        raise CheckInvalid("SSH is checked with the extra tocsin[ssh], which is not installed here") from None
    library.set_log_level("ERROR")  # it tells of every sign-in
    return library


async def _options(library: Any, target: Target, visit: _Visit) -> Any:
    """Everything said, so that nothing of this machine is read: no configuration, known hosts, keys, agent, Kerberos."""
    key = None
    if target.private_key is not None:
        try:
            key = library.import_private_key(target.private_key)
        except library.KeyImportError as error:
            text = f"the private key given for the check cannot be used: {clip(str(error), 100)}"
            raise CheckFailed("protocol", text, phase="send") from None
    wanted = _KEY_TYPES[target.host_key_type] if target.host_key_type else [a for t in _KEY_TYPES.values() for a in t]
    client = _client(library, visit, key)
    ways = ("publickey",) if key is not None else ()
    if target.password is not None:
        ways += ("password", "keyboard-interactive")
    try:
        return await library.SSHClientConnectionOptions.construct(
            config=None, client_factory=client, client_version="Tocsin", username=target.user or "",
            password=target.password, known_hosts=([], [], []), client_keys=None, agent_path=None, gss_host=None,
            gss_kex=False, gss_auth=False, host_based_auth=False, preferred_auth=ways, server_host_key_algs=wanted,
            kex_algs=_EXCHANGES, compression_algs=["none"], x509_trusted_certs=None, x509_trusted_cert_paths=[],
            login_timeout=0,
        )  # fmt: skip
    except ValueError as error:
        raise CheckInvalid(f"the sign-in could not be prepared: {clip(str(error), 100)}") from None


class _Visit:
    """What was seen of the server so far."""

    def __init__(self, target: Target, connection: Connection, came: float) -> None:
        self.target, self.connection, self.came = target, connection, came
        self.here = progress()
        self.began = 0.0
        self.ttfb: float | None = None
        self.signed_in_ms: float | None = None
        self.session: asyncssh.SSHClientConnection | None = None
        self.facts: dict[str, Any] = {}
        self.differs = ""

    def begin(self) -> None:
        """The first byte is about to be sent."""
        self.began = time.perf_counter()
        self.here.phase = "ttfb"

    def host_key(self, kind: str, fingerprint: str) -> bool:
        """Take note of the host key that the server shows; whether it is the right one."""
        self.ttfb = (time.perf_counter() - self.began) * 1000
        self.here.phase = "transfer"
        self.facts |= {"host_key_type": kind, "host_key": fingerprint}
        exchange: Any = getattr(self.session, "_kex", None)  # told nowhere else
        self.facts["kex"] = clip(getattr(exchange, "algorithm", b"").decode("ascii", "replace"))
        expected = self.target.host_key
        if expected is not None and expected.rstrip("=") != fingerprint:
            self.differs = f"expected the host key {expected}, found {fingerprint} ({kind})"
        return not self.differs

    def signed_in(self) -> None:
        """The server let the user in."""
        self.signed_in_ms = (time.perf_counter() - self.began) * 1000 - (self.ttfb or 0)
        self.facts["signed_in"] = True

    def seen(self) -> Observation:
        """All of it."""
        if self.session is not None:
            if banner := self.session.get_extra_info("server_version"):
                self.facts["banner"] = clip(banner, 200)
            if cipher := self.session.get_extra_info("recv_cipher"):
                self.facts["cipher"] = clip(cipher)
        total = (time.perf_counter() - self.came) * 1000  # the import before it is none of the server's time
        timing = replace(self.connection.timing, ttfb=self.ttfb, transfer=self.signed_in_ms, total=total)
        return Observation(timing=timing, ip=self.connection.peer, facts=self.facts)

    def failure(self, error: Exception) -> CheckFailed | CheckInvalid:
        """What an exception of the library says of the server."""
        phase = self.here.phase or "ttfb"
        if self.differs:
            return CheckFailed("assertion", self.differs, phase="ttfb", observation=self.seen())
        if isinstance(error, OSError):
            return from_os_error(error, phase, self.connection.peer)
        name, said = type(error).__name__, clip(str(error), 120)
        if name == "PermissionDenied":
            text = "the server did not let the user in"
        elif name == "ConnectionLost":
            doing = "the sign-in" if self.ttfb is not None else "the key exchange"
            text = f"{self.connection.peer} closed the connection during {doing}"
            return CheckFailed("connection_reset", text, phase=phase, observation=self.seen())
        elif name == "KeyExchangeFailed":
            what, _, rest = str(error).partition(", sent ")  # what we sent is of no interest
            offers = rest.rpartition("received ")[2]
            text = f"the key exchange failed: {clip(what, 120)}{f'; it offers {clip(offers, 150)}' if offers else ''}"
        elif isinstance(error, (ValueError, AssertionError)):
            text = f"the server does not keep to SSH: {said or name}"
        else:
            text = f"SSH broke: {said}"
        return CheckFailed("protocol", text, phase=phase, observation=self.seen())


def _client(library: Any, visit: _Visit, key: Any) -> Any:
    """The class that asyncssh calls back: it takes notes, and hands out the key once."""
    keys = [] if key is None else [key]

    class Client(library.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            visit.session = conn

        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return visit.host_key(key.get_algorithm(), key.get_fingerprint("sha256"))

        def begin_auth(self, username: str) -> None:
            if visit.target.user is None and visit.session is not None:
                visit.session.disconnect(library.DISC_BY_APPLICATION, "goodbye")

        def public_key_auth_requested(self) -> Any:
            return keys.pop() if keys else None

        def auth_completed(self) -> None:
            if visit.target.user is not None:
                visit.signed_in()

    return Client


async def _leave(session: asyncssh.SSHClientConnection) -> None:
    """Say goodbye; a server that is slow in hanging up has still done its work."""
    session.close()
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await session.wait_closed()
    except TimeoutError:
        session.abort()
