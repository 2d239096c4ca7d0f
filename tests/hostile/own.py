"""More rows of the table: what only servers of HTTP, SMTP and DNS can do wrong."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache

import brotli

from differential.answers import answers, raw
from hostile import Script, Server, Talk, bomb, gzipped, serving, sound
from hostile.bed import Cell, Row, begins, nowhere, only, row, tells
from hostile.behaviours import replying
from hostile.columns import Column, Words

# --- HTTP: answers by the names they have in differential/answers.py ---

_BY_NAME = {a.name: a for a in answers()}


def _answers(name: str, expect: str, docker: str | None = None) -> Row:
    made = only("web", nowhere(lambda: raw(_BY_NAME[name])))
    return row(f"HTTP: {name}", made, expect, {"docker": docker} if docker else None)


def _tells(name: str, script: Script, expect: str, docker: str | None = None, *, heavy: bool = False) -> Row:
    return row(
        f"HTTP: {name}", only("web", begins(script)), expect, {"docker": docker} if docker else None, heavy=heavy
    )


def _packed(name: str, make: Callable[[], bytes], coding: str, expect: str, docker: str | None = None) -> Row:
    """A body that is far larger than what is sent of it; it is made when the row is served."""

    def serve(column: Column) -> Iterator[Cell]:
        yield from begins(_answering(make(), f"Content-Encoding: {coding}"))(column)

    return row(f"HTTP: {name}", only("web", serve), expect, {"docker": docker} if docker else None, heavy=True)


def _answering(body: bytes, *headers: str, status: str = "200 OK") -> Script:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.answer(status, body, *headers)

    return script


async def slow_headers(talk: Talk) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 200 OK\r\n")
    while not talk.over.is_set():
        await talk.send(b"X-More: of the same\r\n")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(talk.over.wait(), 0.3)


@cache
def _gzip_bomb() -> bytes:
    return bomb(1 << 28)


@cache
def _gzip_twice() -> bytes:
    return gzipped(_gzip_bomb())


@cache
def _brotli_bomb() -> bytes:
    packer = brotli.Compressor(quality=1)
    return b"".join(packer.process(bytes(1 << 20)) for _ in range(64)) + packer.finish()


def _zstd_bomb() -> bytes:
    """4,000 blocks of 128 KiB of one byte each (RFC 8878, 3.1.1)."""
    block = (1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x38" + block * 4000 + b"\x01\0\0"


def _many_headers(count: int, value: str = "b") -> Script:
    return _answering(b"ok", *(f"X-{n}: {value}" for n in range(count)))


def _leads_to(place: str) -> Script:
    return _answering(b"", f"Location: {place}", status="302 Found")


HTTP_ROWS = [
    *(_answers(f"status line: {name}", "protocol ttfb or protocol transfer") for name in ("HTML alone", "two digits", "four digits", "letters", "no code", "version 3", "garbage", "SSH", "SMTP", "RTSP", "ICY", "empty line")),
    _answers("status line: half a line", "connection_reset ttfb"),
    _answers("closed in the headers", "protocol ttfb"),
    _answers("reset in the headers", "connection_reset transfer"),
    _answers("silence in the headers", "timeout transfer"),
    _tells("a header every third of a second", slow_headers, "timeout transfer"),
    _answers("a header of 400 KB", "protocol transfer"),
    _answers("headers of 1 MB", "protocol transfer"),
    _tells("a header of 1 MB", _many_headers(1, "b" * (1 << 20)), "protocol transfer", heavy=True),
    _tells("100,000 headers", _many_headers(100_000), "protocol transfer", heavy=True),
    *(_answers(f"Content-Length {given!r}", "protocol transfer") for given in ("-1", "abc", "+2", "0x2")),
    _answers("Content-Length '99999999999999999999999'", "up", "protocol transfer"),
    _answers("Content-Length twice, not the same", "protocol transfer"),
    _answers("body shorter than promised", "protocol transfer"),
    _answers("body shorter, then reset", "connection_reset transfer"),
    _answers("body shorter, then silence", "timeout transfer"),
    _answers("body longer than promised", "up", "protocol transfer"),
    _answers("body to a reset", "connection_reset transfer"),
    _answers("body to silence", "timeout transfer"),
    *(_answers(f"chunked: {name}", "protocol transfer") for name in ("size is a word", "no size", "negative size", "size of 20 digits", "chunk too long", "cut in a chunk", "no last chunk", "broken trailer")),
    _answers("chunked, then silence", "timeout transfer"),
    *(_answers(f"encoding: {name}", "protocol transfer") for name in ("gzip that is none", "gzip with a wrong sum", "deflate that is none", "br that is none", "unknown coding")),
    _answers("encoding: gzip cut", "up", "protocol transfer"),
    _packed("a gzip bomb", _gzip_bomb, "gzip", "up", "protocol transfer"),
    _packed("a gzip bomb in gzip", _gzip_twice, "gzip, gzip", "up", "protocol transfer"),
    _packed("a brotli bomb", _brotli_bomb, "br", "up", "protocol transfer"),
    _packed("a zstd bomb", _zstd_bomb, "zstd", "protocol transfer"),
    _answers("100 and silence", "timeout transfer"),
    _answers("101 that nobody asked for", "connection_reset transfer"),
    *(_answers(f"redirect: {name}", "protocol transfer", "protocol transfer") for name in ("file", "ftp", "gopher", "data", "a port that is none", "loop", "eleven hops")),
    *(_tells(f"a redirect to {place}", _leads_to(place), "network dns", "protocol transfer") for place in (
        "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://0xa9.254.169.254/", "http://2852039166/",
        "http://metadata.google.internal/")),
]  # fmt: skip

# --- SMTP ---


def _smtp(name: str, words: Words, expect: str, *, heavy: bool = False) -> Row:
    return row(f"SMTP: {name}", only("smtp", tells(words)), expect, heavy=heavy)


def _starttls(name: str, words: Words, expect: str) -> Row:
    return row(f"SMTP: {name}", only("smtp", tells(words, tls=True)), expect)


SMTP_ROWS = [
    _smtp("it turns us away", Words(1, b"554 no service\r\n"), "protocol ttfb"),
    _smtp("it is busy, in two lines", Words(1, b"421-busy\r\n421 later\r\n"), "protocol ttfb"),
    *(_smtp(f"a code that is none: {code}", Words(1, code.encode() + b" hi\r\n"), "protocol ttfb") for code in ("22", "2200", "abc", "22٣", "-20", "+22")),
    _smtp("a banner that goes on, and silence", Words(1, b"220-hello\r\n"), "timeout ttfb"),
    _smtp("half a line, and silence", Words(1, b"220 hel"), "timeout transfer"),
    _smtp("a line of 1 MB", Words(1, b"220 " + b"a" * (1 << 20) + b"\r\n"), "protocol ttfb", heavy=True),
    _smtp("100,000 lines", Words(1, b"220-a\r\n" * 100_000 + b"220 b\r\n"), "protocol ttfb", heavy=True),
    _smtp("zeros in a line", Words(1, b"220 \0\0\0\r\n250 \0\0\r\n"), "up"),
    _smtp("it takes no EHLO", Words(2, b"502 what\r\n"), "protocol ttfb"),
    _smtp("100,000 offers", Words(2, b"250-MORE\r\n" * 100_000 + b"250 SIZE\r\n"), "protocol ttfb", heavy=True),
    _starttls("no STARTTLS is offered", Words(2, b"250 SIZE\r\n"), "protocol tls"),
    _starttls("STARTTLS is refused", Words(3, b"454 not now\r\n"), "protocol tls"),
    _starttls("words slipped in before TLS", Words(3, b"220 go ahead\r\n250 SIZE\r\n"), "protocol tls"),
    _starttls("silence after STARTTLS", Words(3, b"220 go ahead\r\n"), "timeout tls"),
]  # fmt: skip

# --- DNS ---

Change = Callable[[bytes, bytes], bytes]
"""Of a question and its right answer, what is sent."""

A_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"


def _claims(asked: bytes, count: int, body: bytes) -> bytes:
    """An answer with that many records by its head, the question and these bytes."""
    question = asked[12 : asked.index(b"\0", 12) + 5]
    return asked[:2] + b"\x81\x80\0\1" + count.to_bytes(2, "big") + bytes(4) + question + body


DNS_CHANGES: dict[str, tuple[Change, str]] = {
    "another id": (lambda asked, right: bytes([right[0] ^ 1]) + right[1:], "protocol ttfb"),
    "another question": (lambda asked, right: right.replace(b"\1a\4test", b"\1b\4test", 1), "protocol ttfb"),
    "the question itself": (lambda asked, right: asked, "protocol ttfb"),
    "cut in a record": (lambda asked, right: right[:-3], "protocol ttfb"),
    "cut in the head": (lambda asked, right: right[:7], "protocol ttfb"),
    "nothing in it": (lambda asked, right: b"", "protocol ttfb"),
    "a name that points at itself": (lambda asked, right: asked[:2] + b"\x81\x80\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", "protocol ttfb"),
    "a name of a thousand pointers": (lambda asked, right: _claims(asked, 1, b"".join((0xC000 | (24 + 2 * i)).to_bytes(2, "big") for i in range(1, 1000)) + A_RECORD), "protocol ttfb"),
    "a label of 64 letters": (lambda asked, right: _claims(asked, 1, b"\x40" + b"a" * 64 + b"\0\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"), "protocol ttfb"),
    "65,535 records promised": (lambda asked, right: _claims(asked, 65_535, A_RECORD), "protocol ttfb"),
    "a record of 64 KB promised": (lambda asked, right: _claims(asked, 1, A_RECORD[:10] + b"\xff\xff\x7f"), "protocol ttfb"),
    "4,000 records": (lambda asked, right: _claims(asked, 4000, b"".join(A_RECORD[:-2] + i.to_bytes(2, "big") for i in range(4000))), "protocol ttfb"),
    "1,000 records": (lambda asked, right: _claims(asked, 1000, b"".join(A_RECORD[:-2] + i.to_bytes(2, "big") for i in range(1000))), "up"),
    "nonsense after the answer": (lambda asked, right: right + b"\xff" * 100, "up"),
    "SERVFAIL": (lambda asked, right: asked[:2] + b"\x81\x82" + bytes(8), "dns ttfb"),
    "no such name": (lambda asked, right: right[:3] + b"\x83" + right[4:6] + bytes(2) + right[8:], "dns ttfb"),
    "another type": (lambda asked, right: _claims(asked, 1, b"\xc0\x0c\0\x10\0\1\0\0\0\1\0\2\1a"), "dns ttfb"),
}  # fmt: skip


def _stream(change: Change) -> Script:
    async def script(talk: Talk) -> None:
        asked = await talk.reader.readexactly(int.from_bytes(await talk.reader.readexactly(2), "big"))
        made = change(asked, sound.dns_answer(asked))
        await talk.send(len(made).to_bytes(2, "big") + made)
        await talk.hang()

    return script


@contextlib.asynccontextmanager
async def truncating(then: Script) -> AsyncIterator[Server]:
    """By datagram it says that the answer is too long; over a connection to the same port it does something else."""
    async with serving(then, read=False) as server:
        async with replying(lambda asked, say: say(asked[:2] + b"\x83\x80" + asked[4:]), server.port):
            yield server


DNS_ROWS = [
    *(row(f"DNS: {name}", only("dns", begins(_stream(change))), expect, heavy=True) for name, (change, expect) in DNS_CHANGES.items()),
    row("DNS: too long for a connection, too", only("dns", begins(_stream(lambda asked, right: right[:2] + b"\x83" + right[3:]))), "protocol ttfb"),
]  # fmt: skip
