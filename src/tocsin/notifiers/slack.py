"""slack: a message to an incoming webhook of Slack, or by a bot, whose message is edited when the incident is over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tocsin.core.alert import Item, Message
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.core.wording import one_line
from tocsin.errors import DeliveryFailed, Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, link_words, listed
from tocsin.notifiers._post import ask, check_url, json_of, judge, post_json, under

# Slack's own limits: text of a section block, and what it shows of a message's first line.
_SECTION_MAX = 3000
_FIRST_LINE_MAX = 1000
_COLOURS = {"incident.resolved": "#2e7d32", "test": "#546e7a"}
_TROUBLE = "#c62828"
_REF = re.compile(r"([A-Z0-9]{1,30})/([0-9]{1,20}\.[0-9]{1,10})")
_GONE = frozenset(("message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"))
_MAY_PASS = frozenset(
    ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Slack channel, through an incoming webhook or a bot."""

    url: Annotated[
        str | None, Hidden, Length(1, 2048), Help("the incoming webhook's address, https://hooks.slack.com/services/…")
    ] = None
    token: Annotated[
        str | None,
        Hidden,
        Pattern(r"[A-Za-z0-9._-]{1,300}", "a bot's token"),
        Help("in place of the webhook: a bot's token, xoxb-…, with the right chat:write"),
    ] = None
    channel: Annotated[str | None, Length(1, 100), Help("where the bot writes: C0123ABCD, or #name")] = None
    base_url: Annotated[str, Length(1, 2048), Help("another server that speaks Slack's API")] = "https://slack.com/api"

    def __post_init__(self) -> None:
        if self.url is not None:
            check_url(self.url, hidden=True, secure=True)
        if (self.url is None) == (self.token is None):
            found = "nothing" if self.url is None else "both"
            raise Invalid(Problem("url", "an incoming webhook's address, or else a bot's token and a channel", found))
        if (self.token is None) != (self.channel is None):
            found = "no channel" if self.channel is None else "a channel, but no token"
            raise Invalid(Problem("channel", "the bot's channel, and only beside its token", found))
        check_url(self.base_url, secure=True, field="base_url")


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; a webhook answers "ok". A bot edits the earlier message where this one takes its place."""
    if config.url is not None:
        return await post_json(way, config.url, payload(message), {}, secrets=(config.url,))
    said = payload(message)
    earlier = _REF.fullmatch(way.instead_of(message) or "")
    if earlier is not None:
        kept = {name: said[name] for name in ("text", "attachments")}
        reply = await _call(config, way, "chat.update", kept | {"channel": earlier[1], "ts": earlier[2]})
        if reply.get("error") not in _GONE:
            return _receipt(reply)
    return _receipt(await _call(config, way, "chat.postMessage", said | {"channel": config.channel}))


async def _call(config: Config, way: Way, method: str, said: dict[str, Any]) -> dict[str, Any]:
    """What a method of the Web API answered with 200."""
    headers = {"Authorization": f"Bearer {config.token}"}
    secrets = (config.token or "",)
    reply = await ask(way, under(config.base_url, method), msgspec.json.encode(said), headers, secrets=secrets)
    judge(reply, secrets=secrets)
    return json_of(reply)


def _receipt(answer: dict[str, Any]) -> Receipt:
    if answer.get("ok") is not True:
        word = one_line(str(answer.get("error") or "its answer cannot be understood"), 100)
        raise DeliveryFailed(f"Slack refused it: {word}", permanent="error" in answer and word not in _MAY_PASS)
    ref = f"{answer.get('channel')}/{answer.get('ts')}"
    return Receipt(f"HTTP 200: message {ref}", ref if _REF.fullmatch(ref) else None)


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that Slack takes. Nothing in a name can format, link or mention."""
    title = fitted(message.title, _FIRST_LINE_MAX, escape)
    blocks: list[dict[str, Any]] = [_section(fitted(message.text or message.title, _SECTION_MAX, escape))]
    if message.items:
        blocks.append(_section(listed(message.items, _SECTION_MAX, _line)))
    if message.url:
        blocks.append(_section(f"<{_link(message.url)}|{link_words(message)}>"))
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


def _line(item: Item) -> str:
    title = fitted(item.title, 300, escape).replace("|", "¦") or "…"
    named = f"• <{_link(item.url)}|{title}>" if item.url else f"• {title}"
    return f"{named} · <{_link(item.acknowledge_url)}|Acknowledge>" if item.acknowledge_url else named


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _link(url: str) -> str:
    return escape(url.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C"))
