"""The few lines of SMTP that looking at a mail server takes: replies, EHLO and its keywords. No mail is ever sent."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed
from tocsin.net.connect import Connection

_MOST_LINES = 100
_LINE = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the server: its code, and its lines without the code."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return clip(f"{self.code} {' '.join(self.lines)}".strip(), 200)


async def reply(connection: Connection) -> Reply:
    """The next reply. CheckFailed (protocol) when it is no SMTP reply."""
    lines: list[str] = []
    while True:
        raw = await connection.read_until(b"\n", _LINE)
        line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
        if not (len(line) >= 3 and line[:3].isascii() and line[:3].isdigit() and line[3:4] in ("", " ", "-")):
            raise CheckFailed("protocol", f"expected an SMTP reply, found {clip(line, 100)!r}", phase="ttfb")
        lines.append(line[4:])
        if line[3:4] != "-":
            return Reply(int(line[:3]), tuple(lines))
        if len(lines) >= _MOST_LINES:
            raise CheckFailed("protocol", f"an SMTP reply of more than {_MOST_LINES} lines", phase="ttfb")


async def command(connection: Connection, text: str) -> Reply:
    """Send one line and give the reply to it."""
    await connection.write(text.encode() + b"\r\n")
    return await reply(connection)


async def greeting(connection: Connection) -> Reply:
    """The banner. CheckFailed (protocol) when the server turns us away."""
    banner = await reply(connection)
    if banner.code != 220:
        raise CheckFailed("protocol", f"expected a banner with 220, found {banner.text}", phase="ttfb")
    return banner


async def hello(connection: Connection, name: str) -> dict[str, str]:
    """The keywords the server offers after EHLO, in capitals, each with its parameters."""
    answer = await command(connection, f"EHLO {name}")
    if answer.code != 250:
        raise CheckFailed("protocol", f"expected 250 to EHLO, found {answer.text}", phase="ttfb")
    words = [line.strip().partition(" ") for line in answer.lines[1:]]
    return {word.upper(): rest.strip() for word, _, rest in words if word}


async def ask_for_tls(connection: Connection, offered: dict[str, str]) -> None:
    """Say STARTTLS and see it accepted; CheckFailed (protocol) when the server does not offer it."""
    if "STARTTLS" not in offered:
        raise CheckFailed("protocol", "the server does not offer STARTTLS", phase="tls")
    answer = await command(connection, "STARTTLS")
    if answer.code != 220:
        raise CheckFailed("protocol", f"expected 220 to STARTTLS, found {answer.text}", phase="tls")
