"""The protocol of MySQL and MariaDB as far as a look at a server takes it: sign-in, one statement at a time, goodbye.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html, https://mariadb.com/kb/en/clientserver-protocol/"""

from __future__ import annotations

import time

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed
from tocsin.net import clear, mysql_auth
from tocsin.net.connect import Connection, TlsWish
from tocsin.net.sql import LARGEST, MOST_BYTES, MOST_MESSAGES, Rows

_PROTOCOL_41, _CONNECT_WITH_DB, _SSL, _TRANSACTIONS, _SECURE, _PLUGIN_AUTH = 0x200, 8, 0x800, 0x2000, 0x8000, 0x80000
_LONG_PASSWORD = 1
_NEEDED = _PROTOCOL_41 | _SECURE
_UTF8MB4 = 45
_QUIT, _QUERY = b"\x01", b"\x03"
_OK, _MORE, _LOCAL_FILE, _NULL, _EOF, _ERROR = 0x00, 0x01, 0xFB, 0xFB, 0xFE, 0xFF


class Refused(CheckFailed):
    """The server's own error; its text is short and fit to be shown."""

    def __init__(self, body: bytes) -> None:
        number, rest = int.from_bytes(body[1:3], "little"), body[3:]
        self.state = rest[1:6].decode("latin-1") if rest[:1] == b"#" else ""
        words = (rest[6:] if self.state else rest).decode("utf-8", "replace")
        shown = f"{number} ({self.state})" if self.state else str(number)
        super().__init__("protocol", clip(f"{shown}: {words}", 200), phase="ttfb")


class Session:
    """A conversation with a server: `version` as it names itself, `ttfb_ms` how soon it first spoke."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sequence = self._bytes = self._messages = 0
        self._offered = 0
        self._speaks = _LONG_PASSWORD | _NEEDED | _TRANSACTIONS | _PLUGIN_AUTH
        self._way, self._salt = mysql_auth.NATIVE, b""
        self.version = ""
        self.ttfb_ms = 0.0

    async def greet(self) -> None:
        """Read the greeting. CheckFailed (protocol) when the server turns us away or is none."""
        began = time.perf_counter()
        body = await self._packet()
        self.ttfb_ms = (time.perf_counter() - began) * 1000
        if body[:1] == bytes([_ERROR]):
            raise CheckFailed("protocol", f"the server turns us away: {Refused(body)}", phase="ttfb")
        version, end, rest = body[1:].partition(b"\0")
        if body[:1] != b"\x0a" or not end or len(rest) < 31:
            raise _wrong("a greeting of version 10", repr(clip(body[:20].decode("latin-1"))))
        self.version = version.decode("utf-8", "replace")
        self._offered = int.from_bytes(rest[13:15], "little") | int.from_bytes(rest[18:20], "little") << 16
        if self._offered & _NEEDED != _NEEDED:
            raise _wrong("a server of version 4.1 or later", "an older one")
        self._salt = rest[4:12] + rest[31:43]
        if self._offered & _PLUGIN_AUTH:
            named = rest[31 + max(13, rest[20] - 8) :]
            self._way = named.partition(b"\0")[0].decode("latin-1")

    async def start_tls(self, wish: TlsWish) -> None:
        """Go over to TLS. CheckFailed (protocol) when the server does not offer it."""
        if not self._offered & _SSL:
            raise CheckFailed("protocol", "the server does not offer TLS", phase="tls")
        self._speaks |= _SSL
        await self._send(self._wishes())
        await self._connection.start_tls(wish)

    def _wishes(self) -> bytes:
        """The first part of our answer to the greeting; sent alone it asks for TLS."""
        flags = self._speaks & (self._offered | _LONG_PASSWORD)  # MariaDB gives that bit another meaning
        return flags.to_bytes(4, "little") + LARGEST.to_bytes(4, "little") + bytes([_UTF8MB4]) + bytes(23)

    async def sign_in(self, user: str, password: str | None, database: str | None) -> None:
        """Prove the password as the server wants it. CheckFailed (protocol) when it does not let the user in."""
        password = password or ""
        if self._way not in (mysql_auth.NATIVE, mysql_auth.CACHING_SHA2):
            self._way = mysql_auth.NATIVE  # the server names another one for this user if that is not its own
        proof = self._proof(password)
        self._speaks |= _CONNECT_WITH_DB if database else 0
        body = self._wishes() + user.encode() + b"\0" + bytes([len(proof)]) + proof
        if database:
            body += database.encode() + b"\0"
        await self._send(body + (self._way.encode() + b"\0" if self._offered & _PLUGIN_AUTH else b""))
        try:
            await self._prove(password)
        except Refused as error:
            why = "did not let the user in" if error.state == "28000" else "refused the session"
            raise CheckFailed("protocol", f"the server {why}: {error}", phase="ttfb") from None

    async def _prove(self, password: str) -> None:
        """Answer what the server asks, until it is content."""
        switched = asked = False
        while (body := await self._answer())[:1] != bytes([_OK]):
            if body[0] == _EOF and not switched:
                switched = True
                name, _, salt = body[1:].partition(b"\0")
                self._way, self._salt = name.decode("latin-1"), salt.removesuffix(b"\0")[:20]
                await self._send(self._proof(password))
            elif body[0] == _MORE and self._way == mysql_auth.CACHING_SHA2 and not asked:
                asked = True
                await self._more(password, body[1:])
            else:
                raise _wrong("the end of the sign-in", repr(clip(body[:20].decode("latin-1"))))

    def _proof(self, password: str) -> bytes:
        if self._way == mysql_auth.NATIVE:
            return mysql_auth.native(password, self._salt)
        if self._way == mysql_auth.CACHING_SHA2:
            return mysql_auth.caching_sha2(password, self._salt)
        if self._way == mysql_auth.CLEAR:
            clear.guard(self._connection)
            return password.encode() + b"\0"
        known = f"{mysql_auth.NATIVE} or {mysql_auth.CACHING_SHA2}"
        raise _wrong(known, f"a way to sign in that is not spoken: {clip(self._way) or 'that of version 3'}")

    async def _more(self, password: str, told: bytes) -> None:
        """The server knows the user's password already (3), or wants to see it (4)."""
        if told == b"\x03":
            return
        if told != b"\x04":
            raise _wrong("3 or 4 in caching_sha2_password", repr(clip(told.decode("latin-1"))))
        if self._connection.tls is not None:
            await self._send(password.encode() + b"\0")
            return
        # Whoever stands in between could give us a key of their own, and on the Internet somebody may.
        clear.guard(self._connection, private=True)
        await self._send(b"\x02")
        key = await self._answer()
        if key[:1] != bytes([_MORE]):
            raise _wrong("a public key", repr(clip(key[:20].decode("latin-1"))))
        await self._send(mysql_auth.sealed(password, self._salt, key[1:]))

    async def query(self, statement: str) -> Rows:
        """One statement: the server takes no second one in it. Raises Refused."""
        self._sequence = self._bytes = self._messages = 0
        await self._send(_QUERY + statement.encode())
        body = await self._answer()
        if body[0] == _OK:
            return Rows(0)
        if body[0] == _LOCAL_FILE:
            raise _wrong("rows", "a wish for a file of ours, which is not given")
        columns, _ = _number(body)
        for _ in range(columns or 0):
            await self._answer()
        if not _ends(await self._answer()):
            raise _wrong("the end of the columns", "something else")
        count, first = 0, None
        while not _ends(body := await self._answer()):
            first = _text(body) if count == 0 else first
            count += 1
        return Rows(count, first)

    async def leave(self) -> None:
        """Say goodbye; nothing is answered to it."""
        self._sequence = 0
        await self._send(_QUIT)

    async def _answer(self) -> bytes:
        """The next packet, never an empty one. Raises Refused for an error."""
        body = await self._packet()
        if not body:
            raise _wrong("a packet of MySQL", "an empty one")
        if body[0] == _ERROR:
            raise Refused(body)
        return body

    async def _packet(self) -> bytes:
        head = await self._connection.read(4)
        size = int.from_bytes(head[:3], "little")
        self._bytes, self._messages = self._bytes + size, self._messages + 1
        if head[3] != self._sequence or size > LARGEST:
            raise _wrong("a packet of MySQL", repr(clip(head.decode("latin-1"))))
        if self._bytes > MOST_BYTES or self._messages > MOST_MESSAGES:
            raise _wrong("an answer of usual size", "an endless one")
        self._sequence = (self._sequence + 1) & 0xFF
        return await self._connection.read(size)

    async def _send(self, body: bytes) -> None:
        await self._connection.write(len(body).to_bytes(3, "little") + bytes([self._sequence]) + body)
        self._sequence = (self._sequence + 1) & 0xFF


def _ends(body: bytes) -> bool:
    return body[0] == _EOF and len(body) < 9


def _number(body: bytes) -> tuple[int | None, bytes]:
    """A length-encoded number (None: NULL) and what follows it."""
    octets = {_NULL: 0, 0xFC: 2, 0xFD: 3, 0xFE: 8}.get(body[0]) if body else None
    if not body or body[0] == _ERROR:
        raise _wrong("a number", "nothing")
    if octets is None:
        return body[0], body[1:]
    return (int.from_bytes(body[1 : 1 + octets], "little") if octets else None), body[1 + octets :]


def _text(body: bytes) -> str | None:
    size, rest = _number(body)
    if size is None:
        return None
    if size > len(rest):
        raise _wrong("a row", "one that is cut short")
    return rest[:size].decode("utf-8", "replace")


def _wrong(expected: str, found: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {found}", phase="ttfb")
