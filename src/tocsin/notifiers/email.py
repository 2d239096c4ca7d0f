"""email: one mail for each message, through the SMTP server that the channel names or the operator's."""

from __future__ import annotations

import base64
import html
import ipaddress
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import Policy
from email.utils import format_datetime
from typing import Annotated
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import aiosmtplib
from msgspec import Struct, field

from tocsin.core.alert import Item, Message
from tocsin.core.shape import Help, Hidden, Length
from tocsin.core.wording import one_line
from tocsin.errors import DeliveryFailed, Invalid, Problem
from tocsin.net.tls import context
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import link_words

_ADDRESS = re.compile(
    r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.\-\u00a1-\uffff]{1,190}|[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,64}@\[[0-9a-fA-F.:]{3,45}\]"
)
_MOST = 50
_TITLE_MAX = 200
_PARTING_S = 2.0
_LINE, _WORD = 76, 39  # letters of a header's line, and bytes in an encoded word: a line holds one
# Plain ASCII on the wire, so that no server on the way has to know 8BITMIME.
_POLICY = SMTP_POLICY.clone(cte_type="7bit")
_TLS_WORDS = ("auto", "required", "off")


class Config(Struct, frozen=True, kw_only=True):
    """A mailbox, or several."""

    to: Annotated[str | tuple[str, ...], Length(1, 4000), Help("addresses, separated by commas")]
    smtp_url: Annotated[
        str | None,
        Hidden,
        Length(1, 2000),
        Help("smtp://user:password@host:587, or smtps:// for TLS from the start; left out: the operator's mail server"),
    ] = None
    sender: Annotated[str | None, Length(3, 254), Help("the address it comes from")] = field(default=None, name="from")

    def __post_init__(self) -> None:
        found = self.recipients()
        problems = [Problem("to", "e-mail addresses", one_line(to, 80)) for to in found if not _ADDRESS.fullmatch(to)]
        if not 1 <= len(found) <= _MOST:
            problems.append(Problem("to", f"one to {_MOST} addresses", f"{len(found)} addresses"))
        if self.sender is not None and not _ADDRESS.fullmatch(self.sender):
            problems.append(Problem("from", "an e-mail address", one_line(self.sender, 80)))
        if self.smtp_url is not None:
            try:
                read_url(self.smtp_url)
            except ValueError as error:
                problems.append(Problem("smtp_url", f"smtp://user:password@host:port ({error})", "***"))
        if problems:
            raise Invalid(*problems)

    def recipients(self) -> tuple[str, ...]:
        """The addresses, each once."""
        parts = self.to.split(",") if isinstance(self.to, str) else self.to
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


class MailServer(Struct, frozen=True, kw_only=True):
    """What a smtp:// or smtps:// URL says. `tls`: auto (STARTTLS when offered), required, or off."""

    host: str
    port: int
    tls_from_start: bool
    tls: str
    verify: bool
    user: str
    password: str
    sender: str

    @property
    def on_this_machine(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_url(url: str) -> MailServer:
    """The mail server a URL names. Options after "?": from=address, tls=auto|required|off, verify=no (accepts any
    certificate). Raises ValueError, which never repeats the URL."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError("it has a space, a backslash or a control character in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("it must start with smtp:// or smtps:// and name a host")
    return _server(parts, port)


def _server(parts: SplitResult, port: int | None) -> MailServer:
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if unknown := set(options) - {"from", "tls", "verify"}:
        raise ValueError(f"it has the unknown option {one_line(min(unknown), 20)!r}; there are from, tls and verify")
    sender, tls, verify = options.get("from", ""), options.get("tls", "auto"), options.get("verify", "yes")
    if tls not in _TLS_WORDS or verify not in ("yes", "no"):
        raise ValueError("tls is auto, required or off, and verify is yes or no")
    if sender and not _ADDRESS.fullmatch(sender):
        raise ValueError("from is no e-mail address")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if any(not c.isprintable() for c in user + password):
        raise ValueError("its user name or password has a control character in it")
    from_start = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname or "",
        port=port or (465 if from_start else 587 if user else 25),
        tls_from_start=from_start,
        tls=tls,
        verify=verify == "yes",
        user=user,
        password=password,
        sender=sender,
    )


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Send it: connect to the address the guard chose, STARTTLS when offered, sign in, hand the mail over."""
    if config.smtp_url is None and not way.smtp_url:
        said = "no mail server is configured: the operator can set TOCSIN_SMTP_URL, an e-mail channel may name its own"
        raise DeliveryFailed(said, permanent=True)
    try:
        server = read_url(config.smtp_url or (way.smtp_url.reveal() if way.smtp_url else ""))
    except ValueError as error:
        raise DeliveryFailed(f"the mail server's URL is wrong: {error}", permanent=True) from None
    mail = mail_of(config, message, server)
    try:
        return await _hand_over(mail, config.recipients(), server, way)
    except aiosmtplib.SMTPRecipientsRefused as refused:
        codes = [one.code for one in refused.recipients]
        first = refused.recipients[0]
        text = f"every recipient was refused: {_said(first.code, first.message)}"
        raise DeliveryFailed(text, permanent=all(code >= 500 for code in codes)) from None
    except aiosmtplib.SMTPResponseException as answer:
        raise DeliveryFailed(_said(answer.code, answer.message), permanent=500 <= answer.code < 600) from None
    except aiosmtplib.SMTPNotSupported as missing:
        raise DeliveryFailed(f"the mail server cannot do what is needed: {missing}", permanent=True) from None
    except (aiosmtplib.SMTPException, OSError) as error:
        text = one_line(str(error).replace(server.password or "\0", "***"), 200)
        raise DeliveryFailed(f"the mail server {server.host} did not take it: {text}") from None


async def _hand_over(mail: EmailMessage, recipients: tuple[str, ...], server: MailServer, way: Way) -> Receipt:
    tls = context(server.verify, None, None, None, ())
    async with way.net.connect(server.host, server.port) as connection:
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            sock=connection.detach(),
            use_tls=server.tls_from_start,
            start_tls=False,
            tls_context=tls,
            local_hostname=_our_name(mail),
            timeout=way.answer_s,
        )
        await smtp.connect()
        try:
            refused, said = await _in_session(smtp, mail, recipients, server)
            receipt = way.taken(_receipt(refused, said))
            await _hang_up(smtp)
        finally:
            smtp.close()
    return receipt


def _receipt(refused: dict[str, aiosmtplib.SMTPResponse], said: str) -> Receipt:
    detail = one_line(said, 200)
    if refused:
        names = ", ".join(f"{to} ({_said(answer.code, answer.message)})" for to, answer in sorted(refused.items()))
        detail = f"{detail}; refused: {one_line(names, 400)}"
    return Receipt(detail)


async def _in_session(
    smtp: aiosmtplib.SMTP, mail: EmailMessage, recipients: tuple[str, ...], server: MailServer
) -> tuple[dict[str, aiosmtplib.SMTPResponse], str]:
    secure = server.tls_from_start or await _start_tls(smtp, server)
    if server.user:
        if not (secure or server.tls == "off" or server.on_this_machine):
            raise DeliveryFailed(
                "the mail server offers no encryption, and the password is not sent in the clear; "
                "tls=off in its URL allows it",
                permanent=True,
            )
        if smtp.is_ehlo_or_helo_needed:
            await smtp.ehlo()
        if not smtp.supports_extension("auth"):
            raise DeliveryFailed("the mail server takes no user name and password here", permanent=True)
        await smtp.login(server.user, server.password)
    return await smtp.send_message(mail, recipients=list(recipients))


async def _hang_up(smtp: aiosmtplib.SMTP) -> None:
    """The mail is theirs by now: a server that is slow or rude in parting must not make us send it again."""
    try:
        await smtp.quit(timeout=_PARTING_S)
    except aiosmtplib.SMTPException:
        return


async def _start_tls(smtp: aiosmtplib.SMTP, server: MailServer) -> bool:
    if server.tls == "off":
        return False
    await smtp.ehlo()
    if not smtp.supports_extension("starttls"):
        if server.tls == "required":
            raise DeliveryFailed("the mail server offers no encryption, and tls=required asks for it", permanent=True)
        return False
    await smtp.starttls(server_hostname=server.host)
    return True


def mail_of(config: Config, message: Message, server: MailServer) -> EmailMessage:
    """The mail: plain text and simple HTML, its Message-ID made from the key, threaded by incident."""
    sender = config.sender or server.sender or _default_sender(server)
    place = sender.rpartition("@")[2]
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = ", ".join(config.recipients())
    mail["Subject"] = _Subject(one_line(message.title, _TITLE_MAX))
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.key}@{_ascii(place)}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.incident is not None:
        thread = f"<incident.{message.incident['id']}@{_ascii(place)}>"
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail.set_content(_plain(message))
    mail.add_alternative(_html(message), subtype="html")
    return mail


@dataclass(frozen=True, slots=True)
class _Subject:
    """A subject as a header: what is long takes several lines, and comes out with the spaces that went in (the standard
    library's folding puts one before it, and loses some between encoded words)."""

    text: str
    name: str = "Subject"

    def __str__(self) -> str:
        return self.text

    def fold(self, *, policy: Policy) -> str:
        """The lines of the header (RFC 5322, 2.2.3); what is not plain ASCII in encoded words (RFC 2047)."""
        plain = self.text.isascii() and "=?" not in self.text
        lines = [f"{self.name}:"]
        for word in self.text.split(" ") if plain else _encoded(self.text):
            if len(lines[-1]) + 1 + len(word) > _LINE and lines != [f"{self.name}:"]:
                lines.append("")
            lines[-1] += f" {word}"
        return policy.linesep.join([*lines, ""])


def _encoded(text: str) -> list[str]:
    """Encoded words that a reader puts together without the spaces between them, whole letters in each."""
    parts = [b""]
    for letter in text:
        data = letter.encode()
        if len(parts[-1]) + len(data) > _WORD:
            parts.append(b"")
        parts[-1] += data
    return [f"=?utf-8?b?{base64.b64encode(part).decode()}?=" for part in parts]


def _plain(message: Message) -> str:
    lines = [message.title, "", message.text]
    if message.items:
        lines.append("")
        for item in message.items:
            lines += [f"- {one_line(item.title, _TITLE_MAX)}", *([f"  {item.url}"] if item.url else [])]
            lines += [f"  Acknowledge: {item.acknowledge_url}"] if item.acknowledge_url else []
    if message.url:
        lines += ["", f"{link_words(message)}: {message.url}"]
    return "\n".join([*lines, "", "-- ", f"Tocsin · {message.severity} · {message.key}", ""])


def _html(message: Message) -> str:
    lines = "<br>\n".join(_html_line(line, message.acknowledge_url) for line in message.text.splitlines())
    url = html.escape(message.url)
    link = f'<p><a href="{url}">{link_words(message)}</a></p>\n' if message.url else ""
    items = "".join(_html_item(item) for item in message.items)
    gathered = f"<ul>\n{items}</ul>\n" if items else ""
    footer = html.escape(f"Tocsin · {message.severity} · {message.key}")
    return (
        '<!doctype html>\n<html lang="en"><body style="font-family:system-ui,sans-serif;line-height:1.5">\n'
        f'<p style="font-size:1.15em"><strong>{html.escape(message.title)}</strong></p>\n<p>{lines}</p>\n{gathered}{link}'
        f'<p style="color:#667;font-size:.85em">{footer}</p>\n</body></html>\n'
    )


def _html_line(line: str, acknowledge_url: str) -> str:
    """A line of the text; that to acknowledge by is a link, as not every mail program makes links of addresses."""
    if acknowledge_url and line == f"Acknowledge: {acknowledge_url}":
        return f'<a href="{html.escape(acknowledge_url)}"><strong>Acknowledge</strong></a>'
    return html.escape(line)


def _html_item(item: Item) -> str:
    title = html.escape(one_line(item.title, _TITLE_MAX))
    named = f'<a href="{html.escape(item.url)}">{title}</a>' if item.url else title
    url = html.escape(item.acknowledge_url)
    return f'<li>{named} · <a href="{url}">Acknowledge</a></li>\n' if url else f"<li>{named}</li>\n"


def _default_sender(server: MailServer) -> str:
    if _ADDRESS.fullmatch(server.user):
        return server.user
    try:
        ipaddress.ip_address(server.host)
    except ValueError:
        return f"tocsin@{server.host}"
    return "tocsin@localhost"


def _our_name(mail: EmailMessage) -> str:
    """What we greet with: the sender's domain, or localhost."""
    name = _ascii(str(mail["From"]).rpartition("@")[2].strip("<>"))
    return name if re.fullmatch(r"[A-Za-z0-9.\-]+", name) else "localhost"


def _ascii(name: str) -> str:
    try:
        return name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return "localhost"


def _said(code: int, text: str) -> str:
    return one_line(f"{code} {text}", 200)
