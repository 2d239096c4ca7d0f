"""slack: a message to an incoming webhook of Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted
from tocsin.notifiers._post import check_url, post_json

# Slack's own limits: text of a section block, and what it shows of a message's first line.
_SECTION_MAX = 3000
_FIRST_LINE_MAX = 1000
_COLOURS = {"incident.resolved": "#2e7d32", "test": "#546e7a"}
_TROUBLE = "#c62828"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Slack channel, through an incoming webhook."""

    url: Annotated[
        str, Hidden, Length(1, 2048), Help("the incoming webhook's address, https://hooks.slack.com/services/…")
    ]

    def __post_init__(self) -> None:
        check_url(self.url, hidden=True, secure=True)


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; Slack answers "ok"."""
    return await post_json(way, config.url, payload(message), {}, secrets=(config.url,))


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that Slack takes. Nothing in a name can format, link or mention."""
    title = fitted(message.title, _FIRST_LINE_MAX, escape)
    blocks: list[dict[str, Any]] = [_section(fitted(message.text or message.title, _SECTION_MAX, escape))]
    if message.url:
        blocks.append(_section(f"<{_link(message.url)}|Open the incident>"))
    footer = f"Tocsin · {message.severity} · {message.key}"
    blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": footer, "emoji": False}]})
    colour = _COLOURS.get(message.event, _TROUBLE)
    return {
        "text": title,
        "mrkdwn": False,
        "unfurl_links": False,
        "attachments": [{"color": colour, "fallback": title, "blocks": blocks}],
    }


def escape(text: str) -> str:
    """The text as Slack shows it literally: its three special characters, as Slack asks for them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _link(url: str) -> str:
    return escape(url.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C"))
