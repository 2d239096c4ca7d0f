"""teams: an Adaptive Card to a channel or chat of Microsoft Teams, through a webhook of the Workflows app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length
from tocsin.errors import DeliveryFailed
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, link_words, listed, plain
from tocsin.notifiers._post import check_url, post_json

# Teams takes about 28 KB; what was seen to be refused begins near 21 KB.
_BYTES_MAX = 20_000
_TITLE_MAX = 300
_TEXT_BYTES = 6000
_LINE_COST = 90
_FRAME_BYTES = 5000
_COLOURS = {"incident.resolved": "Good", "test": "Accent"}
_NOT_DELIVERED = "webhook message delivery failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A channel or chat of Microsoft Teams, through a workflow's webhook."""

    url: Annotated[
        str, Hidden, Length(1, 2048), Help('the address of a workflow "When a Teams webhook request is received"')
    ]

    def __post_init__(self) -> None:
        check_url(self.url, hidden=True, secure=True)


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; a workflow answers 202. An old connector may answer 200 and say in words that it was not delivered."""
    receipt = await post_json(way, config.url, payload(message), {}, secrets=(config.url,))
    if _NOT_DELIVERED in receipt.detail.lower():
        raise DeliveryFailed(receipt.detail)
    return receipt


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that a workflow takes. Runs of text know no markup, so nothing in a name can format or mention."""
    colour = _COLOURS.get(message.event, "Warning" if message.severity in ("warning", "info") else "Attention")
    title = {"type": "TextRun", "size": "Large", "weight": "Bolder", "color": colour}
    title["text"] = fitted(message.title, _TITLE_MAX, str) or "Tocsin"
    text = fitted(message.text, _TEXT_BYTES, str, _cost)
    body = [_block(title), *_lines(text)]
    if message.items:
        body += _lines(listed(message.items, _BYTES_MAX - _FRAME_BYTES - _cost(text), plain, _cost))
    footer = f"Tocsin · {message.severity} · {message.key}"
    body.append(_block({"type": "TextRun", "size": "Small", "isSubtle": True, "text": footer}))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title["text"],
        "msteams": {"width": "Full"},
        "body": body,
    }
    if message.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": link_words(message), "url": message.url}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}]}


def _lines(text: str) -> list[dict[str, Any]]:
    return [_block({"type": "TextRun", "text": line}) for line in text.split("\n") if line.strip()]


def _block(run: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [run]}


def _cost(text: str) -> int:
    """What lines of text take in the payload, in bytes."""
    lines = text.split("\n")
    return sum(len(msgspec.json.encode(line)) for line in lines) + _LINE_COST * len(lines)
