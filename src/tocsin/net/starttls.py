"""What must be said before TLS in protocols that begin in the clear. Each ends where the TLS handshake begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed
from tocsin.net import smtp
from tocsin.net.connect import Connection

_LINE = 4096
# Message 1, extended request (RFC 4511) with the name of StartTLS, 1.3.6.1.4.1.1466.20037.
_LDAP_START_TLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_POSTGRES_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


async def ask(connection: Connection, protocol: str) -> None:
    """Bring the connection to its TLS handshake. CheckFailed (protocol) when the server does not offer TLS."""
    await _ASK[protocol](connection)


def _refused(expected: str, answer: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {clip(answer, 120)!r}", phase="tls")


async def _line(connection: Connection) -> str:
    return (await connection.read_until(b"\n", _LINE)).rstrip(b"\r\n").decode("utf-8", "replace")


async def _smtp(connection: Connection) -> None:
    await smtp.greeting(connection)
    await smtp.ask_for_tls(connection, await smtp.hello(connection, "tocsin.invalid"))


async def _imap(connection: Connection) -> None:
    banner = await _line(connection)
    if not banner.upper().startswith("* OK"):
        raise _refused("an IMAP greeting", banner)
    await connection.write(b"t1 STARTTLS\r\n")
    for _ in range(20):
        answer = await _line(connection)
        if answer.upper().startswith("T1 OK"):
            return
        if not answer.startswith("* "):
            raise _refused("OK to STARTTLS", answer)
    raise _refused("OK to STARTTLS", "too many untagged lines")


async def _pop3(connection: Connection) -> None:
    banner = await _line(connection)
    if not banner.startswith("+OK"):
        raise _refused("a POP3 greeting", banner)
    await connection.write(b"STLS\r\n")
    answer = await _line(connection)
    if not answer.startswith("+OK"):
        raise _refused("+OK to STLS", answer)


async def _postgres(connection: Connection) -> None:
    if not await offered_by_postgres(connection):
        raise CheckFailed("protocol", "the PostgreSQL server does not offer TLS", phase="tls")


async def offered_by_postgres(connection: Connection) -> bool:
    """Whether the server goes on with a TLS handshake; if not, it goes on in the clear."""
    await connection.write(_POSTGRES_SSL_REQUEST)
    answer = await connection.read(1)
    if answer not in (b"S", b"N"):
        raise _refused("S or N to SSLRequest", answer.decode("latin-1"))
    return answer == b"S"


async def _ldap(connection: Connection) -> None:
    await connection.write(_LDAP_START_TLS)
    head = await connection.read(2)
    if head[0] != 0x30:
        raise _refused("an LDAP message", head.hex())
    size = head[1]
    if size & 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 2:
            raise _refused("an LDAP message of usual size", head.hex())
        size = int.from_bytes(await connection.read(octets), "big")
    message = await connection.read(size)
    # message id, then [APPLICATION 24] ExtendedResponse, whose first element is the result code
    if message[:3] != b"\x02\x01\x01" or message[3:4] != b"\x78":
        raise _refused("an extended response", message[:16].hex())
    start = 5 if len(message) > 4 and message[4] < 0x80 else 5 + (message[4] & 0x7F if len(message) > 4 else 0)
    code = message[start : start + 3]
    if code != b"\x0a\x01\x00":
        raise _refused("success to StartTLS", f"result {code[2] if len(code) == 3 else 'unknown'}")


_ASK: dict[str, Callable[[Connection], Awaitable[None]]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "postgres": _postgres,
    "ldap": _ldap,
}
