"""RabbitMQ (AMQP 0-9-1): sign in, then a message through a queue of our own and back, or the state of a given queue."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from msgspec.structs import replace

from tocsin import __version__
from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Password,
    Port,
    ServerName,
    Tls,
    VerifyTls,
    wish,
)
from tocsin.core.plain import as_map, clip
from tocsin.core.result import CheckError, Observation
from tocsin.core.shape import Front, Help, Length, Range
from tocsin.errors import CheckFailed, CheckInvalid, Invalid, Problem
from tocsin.net import Connection, Net
from tocsin.net.progress import progress

TITLE, SAYS = "RabbitMQ", "a message through a queue"

if TYPE_CHECKING:
    from pamqp import commands

OFFERS = ("certificate_days",)

_MOST_FRAME = 16_384  # what a server sends until it is told of a limit, and the limit it is told
_MOST_FRAMES = 50  # that are not the answer, before we give up
_BROKEN = (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError, struct.error)
_CHANNEL = 1
_FAREWELL_S = 0.5
_F = TypeVar("_F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A RabbitMQ server that should let a user in and pass a message on."""

    host: Host
    port: Port = 5672
    tls: Tls = False
    user: Annotated[str | None, Front, Length(1, 255), Help("Sign in as this user; else as guest")] = None
    password: Password = None
    vhost: Annotated[str, Front, Length(1, 255), Help("Virtual host to open")] = "/"
    queue: Annotated[
        str | None, Length(1, 255), Help("Queue that must be there; else a message goes through a queue of our own")
    ] = None
    max_messages: Annotated[
        int | None, Range(0, 1_000_000_000), Help("Degraded when more messages than this are ready in the queue")
    ] = None
    min_consumers: Annotated[int | None, Range(1, 100_000), Help("Degraded when the queue has fewer consumers")] = None
    cleartext_password: Annotated[bool, Help("Send the password to another machine also without TLS")] = False
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        long = [n for n in ("user", "vhost", "queue") if len((getattr(self, n) or "").encode()) > 255]
        problems = [Problem(name, "at most 255 bytes", "more") for name in long]
        if self.queue is None and (self.max_messages is not None or self.min_consumers is not None):
            problems.append(Problem("queue", "the queue that the limits are about", "nothing"))
        if (self.user is None) != (self.password is None):
            lacking = "password" if self.password is None else "user"
            problems.append(Problem(lacking, "both user and password, or neither", "nothing"))
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Sign in, open the virtual host and a channel, look at the queue or pass a message on, and leave."""
    _need_library()
    came = time.perf_counter()
    wanted = wish(target) if target.tls else None
    async with net.connect(target.host, target.port, tls=wanted, ip_version=target.ip_version) as connection:
        server = _Server(connection)
        began = time.perf_counter()
        facts = await _sign_in(server, target)
        ttfb = server.first_answer_ms(began)
        if target.queue is not None:
            facts |= await _look_at(server, target.queue)
        else:
            facts |= await _pass_on(server)
        timing = replace(
            connection.timing, ttfb=ttfb, total=(time.perf_counter() - came) * 1000
        )  # parting is none of it
        await _leave(server)
        degraded = _too_much(target, facts)
        return Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts, degraded=degraded)


def _need_library() -> None:
    """Import pamqp now, so that no answer has to wait for it; CheckInvalid when it is not installed."""
    try:
        import pamqp.frame  # noqa: F401 # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise CheckInvalid("rabbitmq checks need the library pamqp: pip install 'tocsin[rabbitmq]'") from None


class _Server:
    """The other side: frames go there, and the one that answers comes back."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._answered_at: float | None = None

    def first_answer_ms(self, began: float) -> float | None:
        """From `began` to the first frame that came, in ms."""
        return None if self._answered_at is None else (self._answered_at - began) * 1000

    async def send(self, *frames: Any, channel: int) -> None:
        """Send these frames together."""
        from pamqp import frame

        await self.connection.write(b"".join(frame.marshal(f, channel) for f in frames))

    async def wait_for(self, *kinds: type[_F]) -> _F:
        """The next frame of one of these kinds. CheckFailed when the server refuses, or sends another one."""
        from pamqp import commands, heartbeat

        for _ in range(_MOST_FRAMES):
            got = await self._frame()
            if isinstance(got, kinds):
                return got
            if isinstance(got, commands.Connection.Close | commands.Channel.Close):
                raise _refused(got)
            if isinstance(got, commands.Connection.Blocked):  # it says so only to who sends messages
                why = clip(str(got.reason), 120)
                raise CheckFailed("assertion", f"the server takes no messages now: {why}", phase="transfer")
            if not isinstance(got, heartbeat.Heartbeat):
                wanted = " or ".join(k.__qualname__ for k in kinds)
                raise CheckFailed("protocol", f"expected {wanted}, found {type(got).__qualname__}", phase="ttfb")
        raise CheckFailed("protocol", f"no answer among {_MOST_FRAMES} frames", phase="ttfb")

    async def _frame(self) -> Any:
        head = await self.connection.read(7)
        if self._answered_at is None:
            self._answered_at = time.perf_counter()
        if head[:4] == b"AMQP":
            rest = await self.connection.read(1)
            version = "-".join(str(b) for b in (head[4:] + rest)[1:])
            raise CheckFailed("protocol", f"expected AMQP 0-9-1, the server speaks {version}", phase="ttfb")
        kind, _, size = struct.unpack(">BHI", head)
        if kind not in (1, 2, 3, 8):
            raise CheckFailed("protocol", f"expected an AMQP frame, found {clip(repr(head), 60)}", phase="ttfb")
        if size > _MOST_FRAME:
            raise CheckFailed(
                "protocol", f"an AMQP frame of {size} bytes, at most {_MOST_FRAME} are taken", phase="ttfb"
            )
        return _read(head + await self.connection.read(size + 1))


def _read(data: bytes) -> Any:
    from pamqp import exceptions, frame

    try:
        return frame.unmarshal(data)[2]
    except (exceptions.PAMQPException, *_BROKEN):
        raise CheckFailed("protocol", f"a broken AMQP frame: {clip(repr(data[:20]), 90)}", phase="ttfb") from None


def _refused(close: commands.Connection.Close | commands.Channel.Close) -> CheckFailed:
    """What a server says when it ends the session, or what we asked of it."""
    from pamqp import commands

    code, text = _number(close.reply_code), clip(str(close.reply_text), 200)
    words = {
        403: "the server did not let the user in"
        if isinstance(close, commands.Connection.Close)
        else "the server does not let the user do this",
        404: "there is no such thing on the server",
        530: "the server does not let the user into the virtual host",
        320: "the server is shutting down",
    }.get(code, "the server refused")
    return CheckFailed("assertion" if code == 404 else "protocol", f"{words}: {code} {text}", phase="ttfb")


async def _sign_in(server: _Server, target: Target) -> dict[str, Any]:
    """Up to an open channel; the facts of the server."""
    from pamqp import commands, header

    connection = server.connection
    await connection.write(header.ProtocolHeader(0, 9, 1).marshal())
    start = await server.wait_for(commands.Connection.Start)
    facts = _about(start)
    mechanisms = str(start.mechanisms).split()
    if "PLAIN" not in mechanisms:
        shown = clip(" ".join(mechanisms)) or "none"
        raise CheckFailed("protocol", f"expected sign-in by PLAIN to be offered, found {shown}", phase="ttfb")
    far = connection.tls is None and not ipaddress.ip_address(connection.peer).is_loopback
    if far and target.password is not None and not target.cleartext_password:
        raise CheckFailed(
            "protocol", "a password is not sent without TLS: use tls, or allow cleartext_password", phase="send"
        )
    ours: Any = {
        "product": "Tocsin",
        "version": __version__,
        "capabilities": {"authentication_failure_close": True, "connection.blocked": True},
    }
    words = f"\0{target.user or 'guest'}\0{target.password or 'guest'}"
    await server.send(commands.Connection.StartOk(ours, "PLAIN", words, "en_US"), channel=0)
    tune = await server.wait_for(commands.Connection.Tune)
    channels, frames = _number(tune.channel_max), _number(tune.frame_max)
    if frames and frames < 4096:
        raise CheckFailed("protocol", f"expected frames of at least 4096 bytes, found {frames}", phase="ttfb")
    tuned = commands.Connection.TuneOk(min(channels or 8, 8), min(frames or _MOST_FRAME, _MOST_FRAME), 0)
    await server.send(tuned, commands.Connection.Open(target.vhost), channel=0)
    await server.wait_for(commands.Connection.OpenOk)
    await server.send(commands.Channel.Open(), channel=_CHANNEL)
    await server.wait_for(commands.Channel.OpenOk)
    return facts


def _number(value: int | None) -> int:
    """A number of a frame that was read (before that pamqp has None there)."""
    return value or 0


def _about(start: commands.Connection.Start) -> dict[str, Any]:
    """What the server says of itself."""
    told = as_map(start.server_properties) or {}
    names = ("product", "version", "cluster_name", "platform")
    return {name: clip(value, 100) for name in names if isinstance(value := told.get(name), str) and value}


async def _look_at(server: _Server, queue: str) -> dict[str, Any]:
    """Messages and consumers of a queue that must be there already."""
    from pamqp import commands

    await server.send(commands.Queue.Declare(queue=queue, passive=True), channel=_CHANNEL)
    told = await server.wait_for(commands.Queue.DeclareOk)
    return {
        "queue": clip(queue, 100),
        "messages": _number(told.message_count),
        "consumers": _number(told.consumer_count),
    }


async def _pass_on(server: _Server) -> dict[str, Any]:
    """Send a message through a queue that goes with this connection, and take it out again."""
    from pamqp import body, commands, header

    await server.send(commands.Queue.Declare(exclusive=True, auto_delete=True), channel=_CHANNEL)
    queue = str((await server.wait_for(commands.Queue.DeclareOk)).queue)
    try:
        get = commands.Basic.Get(queue=queue)
    except ValueError:
        raise CheckFailed(
            "protocol", f"a queue of a name that no queue has: {clip(repr(queue), 90)}", phase="ttfb"
        ) from None
    message = secrets.token_hex(16).encode()
    began = time.perf_counter()
    await server.send(
        commands.Basic.Publish(exchange="", routing_key=queue),
        header.ContentHeader(0, len(message), commands.Basic.Properties(content_type="text/plain")),
        body.ContentBody(message),
        get,
        channel=_CHANNEL,
    )
    got = await server.wait_for(commands.Basic.GetOk, commands.Basic.GetEmpty)
    if isinstance(got, commands.Basic.GetEmpty):
        raise CheckFailed("assertion", "a message was sent to a queue, and the queue is empty", phase="transfer")
    size = _number((await server.wait_for(header.ContentHeader)).body_size)
    came = (await server.wait_for(body.ContentBody)).value if size == len(message) else b""
    if came != message:
        raise CheckFailed("assertion", "another message came out of the queue than went in", phase="transfer")
    await server.send(commands.Basic.Ack(_number(got.delivery_tag)), channel=_CHANNEL)
    return {"round_trip_ms": round((time.perf_counter() - began) * 1000, 3)}


async def _leave(server: _Server) -> None:
    """Say goodbye; a server that does not answer to it has still done its work."""
    from pamqp import commands

    try:
        async with asyncio.timeout(min(_FAREWELL_S, progress().remaining_s() / 2)):
            await server.send(commands.Connection.Close(200, "goodbye", 0, 0), channel=0)
            await server.wait_for(commands.Connection.CloseOk)
    except (CheckFailed, TimeoutError):
        return


def _too_much(target: Target, facts: dict[str, Any]) -> CheckError | None:
    """Which limit of the target the queue has passed."""
    messages, consumers = cast("int", facts.get("messages", 0)), cast("int", facts.get("consumers", 0))
    if target.max_messages is not None and messages > target.max_messages:
        return CheckError(
            "assertion", f"expected at most {target.max_messages} messages in the queue, found {messages}"
        )
    if target.min_consumers is not None and consumers < target.min_consumers:
        return CheckError("assertion", f"expected at least {target.min_consumers} consumers, found {consumers}")
    return None
