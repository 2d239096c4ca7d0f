"""Raw answers of an HTTP server, good ones and broken ones, each with a name: what is sent, and how the connection ends.

`PORT` in an answer stands for the server's own port. An answer is a list of what the first, the second … request on a
fresh connection gets; the last one is for all that follow."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from hostile import Server, Talk, serving

_CLOSE = "Connection: close"  # or curl asks once more over the same connection, which is closed by then
Ending = Literal["close", "reset", "hang"]


@dataclass(frozen=True)
class Answer:
    """What a server sends to one request, and what it does then."""

    name: str
    sent: tuple[bytes, ...]
    ending: Ending = "close"


def _one(name: str, *sent: bytes, ending: Ending = "close") -> Answer:
    return Answer(name, sent, ending)


def _head(status: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", *headers]).encode("latin-1") + b"\r\n\r\n"


def _plain(status: str, *headers: str, body: bytes = b"ok") -> bytes:
    return _head(status, f"Content-Length: {len(body)}", *headers) + body


def _statuses() -> Iterator[Answer]:
    empty = (204, 205, 304)
    for code in (
        200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 299, 304, 306, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409,
        410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503,
        504, 505, 506, 507, 508, 510, 511, 520, 599, 600, 777, 999,
    ):  # fmt: skip
        yield _one(f"status {code}", _plain(f"{code} Word", body=b"" if code in empty else b"ok"))
    yield _one("no reason phrase", _plain("200"))
    yield _one("no reason, no space", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")
    yield _one("reason in UTF-8", _plain("200 Œuvre".encode().decode("latin-1")))
    yield _one("HTTP/1.0", _head("200 OK", version="HTTP/1.0") + b"until the end")
    yield _one("HTTP/1.0 with length", _head("200 OK", "Content-Length: 2", version="HTTP/1.0") + b"ok")


def _status_lines() -> Iterator[Answer]:
    for name, line in (
        ("two digits", b"HTTP/1.1 99 Low\r\n\r\n"), ("four digits", b"HTTP/1.1 2000 High\r\n\r\n"),
        ("letters", b"HTTP/1.1 abc OK\r\n\r\n"), ("no code", b"HTTP/1.1\r\n\r\n"), ("version 3", b"HTTP/3.7 200 OK\r\n\r\n"),
        ("lower case", b"http/1.1 200 OK\r\n\r\n"), ("garbage", b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"), ("SMTP", b"220 mail.test ESMTP\r\n"), ("HTML alone", b"<html>hello</html>"),
        ("empty line", b"\r\n\r\n"), ("one byte", b"H"), ("half a line", b"HTTP/1.1 2"), ("RTSP", b"RTSP/1.0 200 OK\r\n\r\n"),
        ("ICY", b"ICY 200 OK\r\n\r\nmusic"), ("space before", b" HTTP/1.1 200 OK\r\n\r\n"),
    ):  # fmt: skip
        yield _one(f"status line: {name}", line)
    yield _one("nothing at all")
    yield _one("reset at once", ending="reset")
    yield _one("silence", ending="hang")
    yield _one("reset in the status line", b"HTTP/1.1 20", ending="reset")
    yield _one("silence in the status line", b"HTTP/1.1 20", ending="hang")


def _headers() -> Iterator[Answer]:
    yield _one("closed in the headers", b"HTTP/1.1 200 OK\r\nContent-Le")
    yield _one("reset in the headers", b"HTTP/1.1 200 OK\r\nContent-Le", ending="reset")
    yield _one("silence in the headers", b"HTTP/1.1 200 OK\r\nContent-Le", ending="hang")
    yield _one("line feeds only", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
    yield _one("a folded header", b"HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok")
    yield _one("a header without colon", b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok")
    yield _one("a header without name", b"HTTP/1.1 200 OK\r\n: value\r\nContent-Length: 2\r\n\r\nok")
    yield _one("space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok")
    yield _one("NUL in a header", b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\nok")
    yield _one("8-bit header", b"HTTP/1.1 200 OK\r\nX-A: \xff\xfe\r\nContent-Length: 2\r\n\r\nok")
    yield _one("200 headers", _plain("200 OK", *(f"X-{n}: {n}" for n in range(200))))
    yield _one("a header of 90 KB", _plain("200 OK", "X-Long: " + "a" * 90_000))
    yield _one("a header of 400 KB", _plain("200 OK", "X-Long: " + "a" * 400_000))
    yield _one("headers of 1 MB", _plain("200 OK", *(f"X-{n}: {'b' * 1000}" for n in range(1000))))
    yield _one("Content-Length twice, the same", _plain("200 OK", "Content-Length: 2"))
    yield _one("Content-Length twice, not the same", _plain("200 OK", "Content-Length: 5"))
    for given in ("-1", "abc", "", "2, 2", "99999999999999999999999", "+2", "0x2", "2.0"):
        yield _one(f"Content-Length {given!r}", _head("200 OK", f"Content-Length: {given}") + b"ok")
    yield _one("Connection: keep-alive and closed", _plain("200 OK", "Connection: keep-alive"))
    yield _one("length and left open", _plain("200 OK"), ending="hang")
    yield _one("Set-Cookie without name", _plain("200 OK", "Set-Cookie: =x; ;;"))


def _bodies() -> Iterator[Answer]:
    yield _one("body to the end", _head("200 OK") + b"to the end")
    yield _one("body to a reset", _head("200 OK") + b"to the reset", ending="reset")
    yield _one("body to silence", _head("200 OK") + b"some", ending="hang")
    yield _one("body shorter than promised", _head("200 OK", "Content-Length: 10") + b"short")
    yield _one("body shorter, then reset", _head("200 OK", "Content-Length: 10") + b"short", ending="reset")
    yield _one("body shorter, then silence", _head("200 OK", "Content-Length: 10") + b"short", ending="hang")
    yield _one("body longer than promised", _head("200 OK", "Content-Length: 2") + b"longer")
    yield _one("empty body", _plain("200 OK", body=b""))
    yield _one("a body with 204", _plain("204 No Content", body=b"there should be none"))
    chunked = "Transfer-Encoding: chunked"
    for name, text in (
        ("good", b"2\r\nok\r\n0\r\n\r\n"), ("capital hex", b"A\r\n0123456789\r\n0\r\n\r\n"),
        ("extension", b'2;a="b"\r\nok\r\n0\r\n\r\n'), ("trailers", b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"),
        ("leading zeros", b"0002\r\nok\r\n0000\r\n\r\n"), ("line feeds", b"2\nok\n0\n\n"), ("no last chunk", b"2\r\nok\r\n"),
        ("no last line", b"2\r\nok\r\n0\r\n"), ("size is a word", b"zz\r\nok\r\n0\r\n\r\n"), ("no size", b"\r\nok\r\n0\r\n\r\n"),
        ("negative size", b"-2\r\nok\r\n0\r\n\r\n"), ("size of 20 digits", b"FFFFFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n"),
        ("chunk too long", b"2\r\nokay\r\n0\r\n\r\n"), ("cut in a chunk", b"9\r\nok"), ("empty", b"0\r\n\r\n"),
        ("broken trailer", b"2\r\nok\r\n0\r\nX-T"), ("space after size", b"2 \r\nok\r\n0\r\n\r\n"),
    ):  # fmt: skip
        yield _one(f"chunked: {name}", _head("200 OK", chunked) + text)
    yield _one("chunked, then silence", _head("200 OK", chunked) + b"2\r\nok\r\n", ending="hang")
    yield _one("chunked and a length", _head("200 OK", chunked, "Content-Length: 5") + b"2\r\nok\r\n0\r\n\r\n")
    yield _one("chunked twice", _head("200 OK", chunked, chunked) + b"2\r\nok\r\n0\r\n\r\n")
    yield _one(
        "Transfer-Encoding: identity", _head("200 OK", "Transfer-Encoding: identity", "Content-Length: 2") + b"ok"
    )
    yield _one("Transfer-Encoding: unknown", _head("200 OK", "Transfer-Encoding: zip") + b"ok")


def _encodings() -> Iterator[Answer]:
    packed = gzip.compress(b"hello")
    for name, coding, body in (
        ("gzip", "gzip", packed), ("x-gzip", "x-gzip", packed), ("deflate", "deflate", zlib.compress(b"hello")),
        ("raw deflate", "deflate", zlib.compress(b"hello")[2:-4]), ("gzip in capitals", "GZIP", packed),
        ("gzip that is none", "gzip", b"plain"), ("gzip cut", "gzip", packed[:12]), ("gzip and more", "gzip", packed + b"!!"),
        ("gzip with a wrong sum", "gzip", packed[:-8] + b"\0\0\0\0" + packed[-4:]), ("gzip, nothing", "gzip", b""),
        ("deflate that is none", "deflate", b"\xff\xff\xff"), ("br that is none", "br", b"\xff\xff\xff\xff"),
        ("unknown coding", "rot13", b"uryyb"), ("identity", "identity", b"hello"), ("empty coding", "", b"hello"),
        ("gzip twice", "gzip, gzip", gzip.compress(packed)),
    ):  # fmt: skip
        yield _one(f"encoding: {name}", _plain("200 OK", f"Content-Encoding: {coding}", body=body))
    yield _one("encoding: gzip in two members", _plain("200 OK", "Content-Encoding: gzip", body=packed + packed))


def _interim() -> Iterator[Answer]:
    good = _plain("200 OK")
    yield _one("100 first", _head("100 Continue") + good)
    yield _one("102 first", _head("102 Processing") + good)
    yield _one("103 first", _head("103 Early Hints", "Link: </a.css>") + good)
    yield _one("five 100s first", _head("100 Continue") * 5 + good)
    yield _one("100 and nothing", _head("100 Continue"))
    yield _one("100 and silence", _head("100 Continue"), ending="hang")
    yield _one("101 that nobody asked for", _head("101 Switching Protocols", "Upgrade: x", "Connection: upgrade"))


def _redirects() -> Iterator[Answer]:
    good = _plain("200 OK")
    for code in (301, 302, 303, 307, 308):
        yield _one(f"{code} to a path", _plain(f"{code} Go", _CLOSE, "Location: /there"), good)
        yield _one(f"{code} without Location", _plain(f"{code} Go", _CLOSE))
    for name, to in (
        ("absolute", "http://127.0.0.1:PORT/there"), ("without scheme", "//127.0.0.1:PORT/there"), ("relative", "there"),
        ("query only", "?a=1"), ("fragment", "/there#part"), ("dots", "/a/../b/./c"), ("scheme in capitals", "HTTP://127.0.0.1:PORT/"),
        ("percent signs", "/%7Ethere%20now"), ("ftp", "ftp://127.0.0.1/"), ("file", "file:///etc/passwd"), ("gopher", "gopher://127.0.0.1/"),
        ("data", "data:text/plain,hi"), ("a port that is none", "http://127.0.0.1:99999/"), ("a port with letters", "http://127.0.0.1:ab/"),
        ("no host", "http:///there"), ("unknown name", "http://no-such-name.invalid/"), ("a closed port", "http://127.0.0.1:1/"),
    ):  # fmt: skip
        yield _one(f"redirect: {name}", _plain("302 Go", _CLOSE, f"Location: {to}"), good)
    yield _one("redirect: loop", _plain("302 Go", _CLOSE, "Location: /"))
    yield _one("redirect: ten hops", *[_plain("302 Go", _CLOSE, f"Location: /{n}") for n in range(10)], good)
    yield _one("redirect: eleven hops", *[_plain("302 Go", _CLOSE, f"Location: /{n}") for n in range(11)], good)
    yield _one("redirect: then 500", _plain("302 Go", _CLOSE, "Location: /there"), _plain("500 Oops"))
    yield _one("redirect: then nothing", _plain("302 Go", _CLOSE, "Location: /there"), b"")
    yield _one(
        "redirect: with a cut body", _head("302 Go", _CLOSE, "Location: /there", "Content-Length: 50") + b"x", good
    )


def answers() -> list[Answer]:
    """All of them, each with a name of its own."""
    made = [
        *_statuses(), *_status_lines(), *_headers(), *_bodies(), *_encodings(), *_interim(), *_redirects(),
    ]  # fmt: skip
    assert len({a.name for a in made}) == len(made)
    return made


@asynccontextmanager
async def raw(answer: Answer) -> AsyncIterator[Server]:
    """A server that gives this answer."""
    count = 0

    async def script(talk: Talk) -> None:
        nonlocal count
        if answer.sent:
            text = answer.sent[min(count, len(answer.sent) - 1)]
            count += 1
            await talk.send(text.replace(b"PORT", str(server.port).encode()))
        if answer.ending == "reset":
            await asyncio.sleep(0.02)  # what was sent has to arrive before it
            talk.reset()
        elif answer.ending == "hang":
            await talk.hang()

    async with serving(script) as server:
        yield server
