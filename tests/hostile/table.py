"""The table: what servers do that are broken, hostile or something else, and what a check says of each."""

# ruff: noqa: E501

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from hostile import Server, serving, silent_port, sound
from hostile.bed import (
    Row,
    Serve,
    after_starttls,
    at_each_turn,
    begins,
    broken_tls,
    in_parting,
    nowhere,
    only,
    over_tls,
    row,
    says,
    served,
)
from hostile.behaviours import (
    NOISE,
    Say,
    at_once,
    closes,
    dribbles,
    endless,
    falls_silent,
    floods,
    half_closes,
    replying,
    resets,
    saying,
    talks_nonsense,
)
from hostile.own import DNS_CHANGES, DNS_ROWS, HTTP_ROWS, SMTP_ROWS, Change, truncating


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[Server]:
    """A port that stays taken, so that no other server of this bed gets it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Server(held.getsockname()[1])


@contextlib.asynccontextmanager
async def never_accepting() -> AsyncIterator[Server]:
    with silent_port() as port:
        yield Server(port)


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
SMTP = b"220 mail.test ESMTP\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"
ALERT = b"\x15\x03\x03\0\x02\x02\x28"  # fatal, handshake failure
WARNING = b"\x15\x03\x03\0\x02\x01\x5a"
RECORD, HUGE_HELLO = b"\x16\x03\x03\x40\0", b"\x02\xff\xff\xff" + bytes(16_380)
HELLO = b"\x16\x03\x01\0\x2a\x01\0\0\x26\x03\x03" + bytes(36)  # the hello of a TLS client

CLOSED = "protocol ttfb or connection_reset ttfb or connection_reset send"  # what is in flight makes it a reset
RESET = "connection_reset ttfb or connection_reset send or connection_reset connect"
BROKEN = "protocol ttfb or protocol transfer"
HUNG_UP = "connection_reset ttfb or connection_reset transfer"
ENDLESS = "protocol ttfb or protocol transfer or timeout ttfb or timeout transfer"  # whichever is there first
TOLD = "assertion transfer"  # tcp says what came instead of what it waits for
GENERAL: list[Row] = [
    row("it is sound", served(lambda c: c.sound()), "up"),
    row("nobody listens", nowhere(refusing), "connection_refused connect"),
    row("never accepts", nowhere(never_accepting), "timeout connect"),
    # From the first moment on. What waits for a line, or for as many bytes as nonsense says, waits in vain.
    row("says nothing", begins(at_once(falls_silent)), "timeout ttfb", {"tls": "timeout tls"}),
    row("closes at once", begins(at_once(closes)), CLOSED, {"tls": "connection_reset tls", "tcp": TOLD}),
    row("half-closes at once", begins(at_once(half_closes)), "protocol ttfb", {"web, ssh": "connection_reset ttfb", "tls": "connection_reset tls", "tcp": TOLD}),
    row("resets at once", begins(at_once(resets)), RESET, {"tls": "connection_reset tls"}),
    row("nonsense", begins(at_once(talks_nonsense)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "websocket, dns, redis": "timeout transfer", "grpc, ssh": "timeout ttfb"}),
    row("nonsense without end", begins(endless(NOISE)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD}, heavy=True),
    row("zeros without end", begins(endless(bytes(65_536))), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD}, heavy=True),
    row("line ends without end", begins(endless(b"\r\n")), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "web": "protocol transfer"}, heavy=True),
    # Another protocol.
    row("HTTP", begins(saying(HTTP)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "http, transaction": "assertion", "docker": "protocol transfer", "dns": "timeout transfer", "grpc, ssh": "timeout ttfb"}),
    row("SMTP", begins(saying(SMTP)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "dns": "timeout transfer", "smtp, grpc, ssh": "timeout ttfb"}),
    row("SSH", begins(saying(SSH)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "dns": "timeout transfer", "grpc, ssh": "timeout ttfb"}),
    row("a TLS alert", begins(saying(ALERT)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "websocket, dns, smtp, mysql, redis, mongodb": "timeout transfer", "grpc, ssh": "timeout ttfb"}),
    row("a TLS hello", begins(saying(HELLO)), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "websocket, dns, smtp, mysql, redis": "timeout transfer", "grpc, ssh": "timeout ttfb"}),
    # Its own protocol, misused. HTTP checks read no more of a body than they were asked to, and judge that.
    row("a length of 2 GB, and as much", says("huge"), "protocol ttfb", {"tls": "tls tls", "http, transaction": "up", "docker, websocket, grpc, mqtt": "protocol transfer"}, heavy=True),
    row("a negative length", says("negative"), "protocol ttfb", {"tls": "tls tls", "web, websocket, grpc, mqtt": "protocol transfer"}, heavy=True),
    row("a length of nothing", says("zero"), "protocol ttfb", {"tls": "tls tls", "http, transaction": "up", "docker, websocket": "protocol transfer", "grpc": "assertion transfer"}, heavy=True),
    row("nesting without end", says("deep"), "protocol ttfb", {"docker": "protocol transfer"}, heavy=True),
    row("without end", says("endless"), ENDLESS, {"tls": "tls tls", "tcp": TOLD, "http a body, transaction a body": "up", "http chunks of one byte, transaction chunks of one byte": f"{ENDLESS} or up", "mqtt messages": "timeout ttfb"}, heavy=True),
    # In the middle of all that a sound server says: before each of its turns, and in each of them.
    row("silent before a turn", at_each_turn(falls_silent, within=False), "timeout ttfb", {"tls": "timeout tls"}),
    row("silent in a turn", at_each_turn(falls_silent, within=True), "timeout transfer", {"tls": "timeout tls", "tcp": TOLD, "websocket 2, ssh, mqtt": "timeout ttfb"}),
    row("closes before a turn", at_each_turn(closes, within=False), "protocol ttfb", {"tls": "connection_reset tls", "tcp": TOLD, "web": "connection_reset ttfb", "grpc": CLOSED, "ssh": HUNG_UP, "websocket 2": "connection_reset transfer"}),
    row("closes in a turn", at_each_turn(closes, within=True), "protocol transfer", {"tls": "connection_reset tls", "tcp": TOLD, "http, transaction, mqtt": "protocol ttfb", "ssh": HUNG_UP, "websocket 2": "connection_reset transfer", "grpc": "protocol transfer or connection_reset transfer"}),
    row("half-closes before a turn", at_each_turn(half_closes, within=False), "protocol ttfb", {"tls": "connection_reset tls", "tcp": TOLD, "web": "connection_reset ttfb", "ssh": HUNG_UP, "websocket 2": "connection_reset transfer"}),
    row("half-closes in a turn", at_each_turn(half_closes, within=True), "protocol transfer", {"tls": "connection_reset tls", "tcp": TOLD, "http, transaction, mqtt": "protocol ttfb", "ssh": HUNG_UP, "websocket 2": "connection_reset transfer"}),
    row("resets before a turn", at_each_turn(resets, within=False), "connection_reset ttfb", {"tls": "connection_reset tls", "ssh": HUNG_UP}),
    row("resets in a turn", at_each_turn(resets, within=True), "connection_reset transfer", {"tls": "connection_reset tls", "ssh": HUNG_UP, "websocket 2, tcp, mqtt": "connection_reset ttfb"}),
    row("one byte a second", at_each_turn(dribbles, within=False), "timeout transfer", {"tls": "timeout tls", "tcp": TOLD, "web, websocket 2, grpc, ssh, mqtt, kafka": "timeout ttfb"}),
    row("nonsense before a turn", at_each_turn(talks_nonsense, within=False), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "websocket 1, dns, redis": "timeout transfer", "websocket 2, mqtt 2": "protocol transfer", "grpc, ssh 1": "timeout ttfb", "ssh": BROKEN}),
    row("nonsense in a turn", at_each_turn(talks_nonsense, within=True), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "http, transaction, websocket 1, redis 1": "timeout transfer", "docker, websocket 2, grpc, mqtt 2": "protocol transfer", "ssh 1": "timeout ttfb", "ssh": BROKEN}),
    row("nonsense without end before a turn", at_each_turn(floods, within=False), "protocol ttfb", {"tls": "tls tls", "tcp": TOLD, "websocket 2, mqtt 2": "protocol transfer", "ssh": BROKEN}),
    # When all is said.
    row("silent in parting", in_parting(falls_silent), "up"),
    row("closes in parting", in_parting(closes), "up"),
    row("resets in parting", in_parting(resets), "up"),
    row("nonsense in parting", in_parting(talks_nonsense), "up"),
    row("nonsense without end in parting", in_parting(floods), "up"),
    # Where TLS is spoken from the first byte on. Sound servers without it wait for the end of a line or of a message.
    row("TLS: it is sound", over_tls(broken_tls(0, closes, within=False)), "up"),
    row("TLS: none is spoken", over_tls(lambda c: serving(c.script, read=False)), "tls tls or timeout tls or connection_reset tls"),
    row("TLS: says nothing", over_tls(lambda c: serving(at_once(falls_silent), read=False)), "timeout tls"),
    row("TLS: closes at once", over_tls(lambda c: serving(at_once(closes), read=False)), "connection_reset tls"),
    row("TLS: resets at once", over_tls(lambda c: serving(at_once(resets), read=False)), "connection_reset tls or connection_reset connect"),
    row("TLS: nonsense", over_tls(lambda c: serving(saying(NOISE[:4096]), read=False)), "tls tls"),
    row("TLS: HTTP", over_tls(lambda c: serving(saying(HTTP), read=False)), "tls tls"),
    row("TLS: SMTP", over_tls(lambda c: serving(saying(SMTP), read=False)), "tls tls"),
    row("TLS: an alert", over_tls(lambda c: serving(saying(ALERT), read=False)), "tls tls"),
    row("TLS: nonsense without end", over_tls(lambda c: serving(endless(NOISE), read=False)), "tls tls", heavy=True),
    row("TLS: warnings without end", over_tls(lambda c: serving(endless(WARNING), read=False)), "tls tls", heavy=True),
    row("TLS: a hello of 16 MB", over_tls(lambda c: serving(endless(RECORD + bytes(16_384), RECORD + HUGE_HELLO), read=False)), "tls tls", heavy=True),
    row("TLS: silent in the handshake", over_tls(broken_tls(1, falls_silent, within=True)), "timeout tls"),
    row("TLS: closes in the handshake", over_tls(broken_tls(1, closes, within=True)), "connection_reset tls"),
    row("TLS: resets in the handshake", over_tls(broken_tls(1, resets, within=True)), "connection_reset tls"),
    row("TLS: nonsense in the handshake", over_tls(broken_tls(1, talks_nonsense, within=True)), "tls tls"),
    row("TLS: one byte a second", over_tls(broken_tls(1, dribbles, within=False)), "timeout tls"),
    row("TLS: silent after the handshake", over_tls(broken_tls(2, falls_silent, within=False)), "timeout ttfb", {"tls": "up"}),
    row("TLS: closes after the handshake", over_tls(broken_tls(2, closes, within=False)), CLOSED, {"tls": "up", "tcp": TOLD, "web": "connection_reset ttfb"}),
    row("TLS: resets after the handshake", over_tls(broken_tls(2, resets, within=False)), "connection_reset ttfb", {"tls": "up"}),
    row("TLS: nonsense after the handshake", over_tls(broken_tls(2, talks_nonsense, within=False)), "tls ttfb", {"tls": "up"}),
    # Where TLS begins later.
    row("STARTTLS: it is sound", after_starttls(None), "up"),
    row("STARTTLS: silent in the handshake", after_starttls(falls_silent, within=True), "timeout tls"),
    row("STARTTLS: closes in the handshake", after_starttls(closes, within=True), "connection_reset tls"),
    row("STARTTLS: resets in the handshake", after_starttls(resets, within=True), "connection_reset tls"),
    row("STARTTLS: nonsense in the handshake", after_starttls(talks_nonsense, within=True), "tls tls"),
    row("STARTTLS: nonsense where it is to begin", after_starttls(talks_nonsense, within=False), "tls tls"),
]  # fmt: skip

ROWS = [*GENERAL, *HTTP_ROWS, *SMTP_ROWS, *DNS_ROWS]

# --- datagrams ---


def _sends(*said: bytes) -> Serve:
    def reply(asked: bytes, say: Say) -> None:
        for data in said:
            say(data)

    return served(lambda column: replying(reply))


def _changes(change: Callable[[bytes], bytes]) -> Serve:
    """What becomes of the right answer."""
    return served(lambda column: replying(lambda asked, say: say(change(column.answer(asked)))))


def _dns(change: Change) -> Serve:
    return only("dns", served(lambda column: replying(lambda asked, say: say(change(asked, sound.dns_answer(asked))))))


def _snmp(said: bytes) -> Serve:
    return only("snmp, snmp_3", _sends(said))


OTHER = {"udp": "assertion ttfb"}

DATAGRAM_ROWS = [
    row("it is sound", served(lambda c: c.sound()), "up"),
    row("nobody listens", nowhere(refusing), "connection_refused ttfb"),
    row("says nothing", _sends(), "timeout ttfb"),
    row("answers from another port", served(lambda c: replying(lambda asked, say: say(c.answer(asked)), other=True)), "timeout ttfb"),
    row("nonsense", _sends(NOISE[:400]), "protocol ttfb", OTHER),
    row("nonsense of 60 KB", _sends(NOISE[:60_000]), "protocol ttfb", OTHER, heavy=True),
    row("a thousand datagrams of nonsense", _sends(*[NOISE[:1000]] * 1000), "protocol ttfb", OTHER, heavy=True),
    row("an empty datagram", _sends(b""), "protocol ttfb", OTHER),
    row("one byte", _sends(b"\x30"), "protocol ttfb", OTHER),
    row("HTTP", _sends(HTTP), "protocol ttfb", OTHER),
    row("zeros", _sends(bytes(512)), "protocol ttfb", OTHER),
    row("the question itself", served(lambda c: replying(lambda asked, say: say(asked))), "protocol ttfb", OTHER),
    row("half of the answer", _changes(lambda right: right[: len(right) // 2]), "protocol ttfb", OTHER),
    row("all of the answer but one byte", _changes(lambda right: right[:-1]), "protocol ttfb", OTHER),
    *(row(f"DNS: {name}", _dns(change), expect, heavy=True) for name, (change, expect) in DNS_CHANGES.items()),
    row("DNS: too long, and nobody listens for connections", only("dns", served(lambda c: replying(lambda asked, say: say(asked[:2] + b"\x83\x80" + asked[4:])))), "connection_refused connect"),
    row("DNS: too long, and silence over a connection", only("dns", nowhere(lambda: truncating(at_once(falls_silent)))), "timeout ttfb"),
    row("DNS: too long, and a reset over a connection", only("dns", nowhere(lambda: truncating(at_once(resets)))), "connection_reset ttfb"),
    row("DNS: too long, and nonsense without end over a connection", only("dns", nowhere(lambda: truncating(endless(NOISE)))), "protocol ttfb", heavy=True),
    row("SNMP: a length of 2 GB", _snmp(b"\x30\x84\x7f\xff\xff\xff" + bytes(100)), "protocol ttfb"),
    row("SNMP: a negative length", _snmp(b"\x30\x84\xff\xff\xff\xff" + bytes(100)), "protocol ttfb"),
    row("SNMP: a length of 2,040 bits", _snmp(b"\x30\xff" + b"\xff" * 300), "protocol ttfb"),
    row("SNMP: a length of nothing", _snmp(b"\x30\0"), "protocol ttfb"),
    row("SNMP: a length that is not said", _snmp(b"\x30\x80" + bytes(100)), "protocol ttfb"),
    row("SNMP: nesting without end", _snmp(b"\x30\x82\xff\xf0" * 10_000), "protocol ttfb", heavy=True),
    row("SNMP: another request", only("snmp", served(lambda c: replying(lambda asked, say: say(sound.snmp_answer(asked, more=1))))), "protocol ttfb"),
]  # fmt: skip
