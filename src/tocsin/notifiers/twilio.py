"""twilio: a text message (SMS) through Twilio, kept to characters that phones send cheaply."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Struct, field

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.errors import Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, listed, utf16
from tocsin.notifiers._post import ask, check_url, json_of, judge, under

# GSM 03.38: what costs seven bits, and what costs twice that. Anything else makes the whole message UCS-2.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("\f^{}\\[~]|€")
_PLAINER = str.maketrans(
    {"–": "-", "—": "-", "…": "...", "’": "'", "‘": "'", "“": '"', "”": '"', "•": "-", "·": "-", "\t": " "}
)
# Twilio's limit is 1,600 characters, which is ten parts of the cheap kind; no message has more parts.
_PARTS_MAX = 10
_LINK_MAX = 200
_TO = re.compile(r"(whatsapp:)?\+[1-9][0-9]{1,14}")
_FROM = re.compile(r"(whatsapp:)?\+?[0-9]{3,15}|[A-Za-z0-9 ]{1,11}|MG[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Size:
    """How a text travels: in how many parts, and whether with seven bits a character."""

    parts: int
    gsm: bool


class Config(Struct, frozen=True, kw_only=True):
    """A phone, by SMS through Twilio."""

    account_sid: Annotated[str, Pattern(r"[A-Za-z0-9]{1,64}", "an account SID"), Help("the account's SID, AC…")]
    auth_token: Annotated[str, Hidden, Length(1, 200), Help("the account's auth token")]
    sender: Annotated[
        str, Length(1, 40), Help("a number of the account, a sender's name, or a messaging service's SID, MG…")
    ] = field(name="from")
    to: Annotated[str, Length(1, 40), Help("the phone's number with its country, +436641234567")]
    base_url: Annotated[str, Length(1, 2048), Help("another server that speaks the same API")] = (
        "https://api.twilio.com"
    )

    def __post_init__(self) -> None:
        check_url(self.base_url, secure=True, field="base_url")
        if not _TO.fullmatch(self.to):
            raise Invalid(Problem("to", "a phone number such as +436641234567", self.to))
        if not _FROM.fullmatch(self.sender):
            raise Invalid(Problem("from", "a phone number, a name of at most 11 characters, or MG…", self.sender))


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; Twilio answers 201 and says in how many parts it travels."""
    text = text_of(message)
    place = "MessagingServiceSid" if config.sender.startswith("MG") and len(config.sender) == 34 else "From"
    body = urlencode({"To": config.to, place: config.sender, "Body": text}).encode()
    known = base64.b64encode(f"{config.account_sid}:{config.auth_token}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {known}"}
    secrets = (config.auth_token, known)
    url = under(config.base_url, f"2010-04-01/Accounts/{config.account_sid}/Messages.json")
    reply = await ask(way, url, body, headers, secrets=secrets)
    receipt = judge(reply, secrets=secrets)
    parts, sid = size(text).parts, str(json_of(reply).get("sid") or "")[:64]
    return (
        Receipt(f"HTTP {reply.status}: {parts} {'part' if parts == 1 else 'parts'} {sid}".rstrip()) if sid else receipt
    )


def text_of(message: Message) -> str:
    """Title, text and address, in at most ten parts; the address is never cut."""
    link = f"\n{message.url}" if message.url and len(message.url) <= _LINK_MAX else ""
    text = f"{message.title}\n{message.text}".strip().translate(_PLAINER) or "Tocsin"
    names = [item.title.translate(_PLAINER) for item in message.items]

    def units(part: str) -> int:
        return _units(part, gsm)

    gsm = _is_gsm(text + "".join(names) + link)
    room = _PARTS_MAX * (153 if gsm else 67) - units(link)
    made = fitted(text, room // 2 if names else room - 2, str, units).replace("…", "...")
    if names:
        made += "\n" + listed(
            message.items, room - units(made) - 1, lambda i: f"- {i.title.translate(_PLAINER)}", units
        )
    return made + link


def size(text: str) -> Size:
    """In how many parts a text travels (GSM 03.38: 160, or 153 each; else UCS-2: 70, or 67 each)."""
    gsm = _is_gsm(text)
    units, alone, each = _units(text, gsm), *((160, 153) if gsm else (70, 67))
    return Size(1 if units <= alone else -(-units // each), gsm)


def _is_gsm(text: str) -> bool:
    return all(c in _GSM or c in _GSM_TWICE for c in text)


def _units(text: str, gsm: bool) -> int:
    return sum(2 if c in _GSM_TWICE else 3 if c == "…" else 1 for c in text) if gsm else utf16(text)
