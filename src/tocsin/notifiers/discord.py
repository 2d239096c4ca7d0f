"""discord: a message to a webhook of a Discord channel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from tocsin.core.alert import Message
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted
from tocsin.notifiers._post import check_url, post_json

# Discord's own limits, in UTF-16 code units as it counts them.
_TITLE_MAX = 256
_DESCRIPTION_MAX = 4096
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
    """Post it; Discord answers 204."""
    return await post_json(way, config.url, payload(message), {}, secrets=(config.url,))


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that Discord takes. Nothing in a name can format or mention."""
    embed: dict[str, Any] = {
        "title": fitted(message.title, _TITLE_MAX, escape, length) or "Tocsin",
        "description": fitted(message.text, _DESCRIPTION_MAX, escape, length),
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


def length(text: str) -> int:
    """How long it is as Discord counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
