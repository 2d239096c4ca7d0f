"""discord: a message to a webhook of a Discord channel; the end of an incident is written into the one that opened it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from tocsin.core.alert import Item, Message
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length
from tocsin.net.http import HttpReply
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, listed, utf16
from tocsin.notifiers._post import ask, check_url, json_of, judge

# Discord's own limits, in UTF-16 code units as it counts them.
_TITLE_MAX = 256
_DESCRIPTION_MAX = 4096
_LINE_MAX = 300
_UNKNOWN_MESSAGE = 10008
_REF = re.compile(r"[0-9]{1,30}")
_COLOURS = {"incident.resolved": 0x2E7D32, "test": 0x546E7A}
_TROUBLE = 0xC62828
_SPECIAL = re.compile(r"([\\*_~`|<>\[\]#@])")
_ADDRESS = re.compile(r"(https?://[^\s<>|]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Discord channel, through a webhook of it."""

    url: Annotated[str, Hidden, Length(1, 2048), Help("the webhook's address, https://discord.com/api/webhooks/…")]

    def __post_init__(self) -> None:
        check_url(self.url, hidden=True, secure=True)


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Edit the earlier message where this one takes its place, else post it; Discord answers with the message."""
    said, earlier = payload(message), way.instead_of(message)
    if earlier is not None and _REF.fullmatch(earlier):
        reply = await _call(config, way, "PATCH", f"/messages/{earlier}", said)
        if reply.status != 404 or json_of(reply).get("code") != _UNKNOWN_MESSAGE:
            return _receipt(config, reply)
    return _receipt(config, await _call(config, way, "POST", "", said))


async def _call(config: Config, way: Way, method: str, path: str, said: dict[str, Any]) -> HttpReply:
    """What Discord answered; a new message is waited for, so that the answer names it."""
    parts = urlsplit(config.url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "wait"]
    if method == "POST":
        query.append(("wait", "true"))
    url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, query=urlencode(query)))
    return await ask(way, url, msgspec.json.encode(said), {}, method=method, secrets=_secrets(config))


def _receipt(config: Config, reply: HttpReply) -> Receipt:
    receipt, number = judge(reply, secrets=_secrets(config)), json_of(reply).get("id")
    if not isinstance(number, str) or not _REF.fullmatch(number):
        return receipt
    return Receipt(f"HTTP {reply.status}: message {number}", number)


def _secrets(config: Config) -> tuple[str, ...]:
    return config.url, urlsplit(config.url).path


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that Discord takes. Nothing in a name can format or mention."""
    embed: dict[str, Any] = {
        "title": fitted(message.title, _TITLE_MAX, escape, utf16) or "Tocsin",
        "description": _text(message),
        "color": _COLOURS.get(message.event, _TROUBLE),
        "timestamp": iso(message.at),
        "footer": {"text": f"Tocsin · {message.severity} · {message.key}"},
    }
    if message.url:
        embed["url"] = message.url
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def escape(text: str) -> str:
    """The text as Discord shows it literally; addresses stay whole, or they would lead elsewhere."""
    parts = _ADDRESS.split(text)
    return "".join(part if number % 2 else _SPECIAL.sub(r"\\\1", part) for number, part in enumerate(parts))


def _text(message: Message) -> str:
    if not message.items:
        return fitted(message.text, _DESCRIPTION_MAX, escape, utf16)
    text = fitted(message.text, _DESCRIPTION_MAX // 3, escape, utf16)
    return f"{text}\n{listed(message.items, _DESCRIPTION_MAX - utf16(text) - 1, _line, utf16)}".strip()


def _line(item: Item) -> str:
    title = fitted(item.title, _LINE_MAX, escape, utf16).replace("(", "\\(").replace(")", "\\)")
    named = f"• [{title}]({_address(item.url)})" if item.url else f"• {title}"
    return f"{named} · [Acknowledge]({_address(item.acknowledge_url)})" if item.acknowledge_url else named


def _address(url: str) -> str:
    return url.replace("(", "%28").replace(")", "%29")
