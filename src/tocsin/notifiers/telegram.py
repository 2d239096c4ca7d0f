"""telegram: a bot's message in a Telegram chat; the end of an incident is written into the message that opened it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tocsin.core.alert import Item, Message
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.errors import Invalid, Problem
from tocsin.net.http import HttpReply
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, link_words, listed, utf16
from tocsin.notifiers._post import ask, check_url, json_of, judge, under

# Telegram's own limit of a text, counted here with its markup, which Telegram does not count.
_TEXT_MAX = 4096
_TITLE_MAX = 300
_LINK_MAX = 500
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}")
_GONE = re.compile(r"message to edit not found|message can't be edited|MESSAGE_ID_INVALID", re.IGNORECASE)
_SAME = "message is not modified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Telegram chat, through a bot of yours."""

    token: Annotated[
        str, Hidden, Pattern(r"[A-Za-z0-9:_-]{1,200}", "a bot's token"), Help("the bot's token, as @BotFather gave it")
    ]
    chat_id: Annotated[int | str, Help("the chat's number (a group's begins with -), or @name of a public channel")]
    base_url: Annotated[str, Length(1, 2048), Help("another Bot API server")] = "https://api.telegram.org"

    def __post_init__(self) -> None:
        check_url(self.base_url, secure=True, field="base_url")
        if not _CHAT.fullmatch(str(self.chat_id)):
            raise Invalid(Problem("chat_id", "a chat's number, or @ and a channel's name", str(self.chat_id)[:40]))


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Edit the earlier message where this one takes its place, else post it; Telegram answers with the message."""
    said: dict[str, Any] = {
        "chat_id": config.chat_id,
        "text": text_of(message),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    earlier = way.instead_of(message)
    if earlier is not None and earlier.isascii() and earlier.isdecimal():
        reply = await _call(config, way, "editMessageText", said | {"message_id": int(earlier)})
        answer = str(json_of(reply).get("description", ""))
        if reply.status == 400 and _SAME in answer:
            return Receipt("the message says so already", earlier)
        if reply.status != 400 or not _GONE.search(answer):
            return _receipt(config, reply)
    return _receipt(config, await _call(config, way, "sendMessage", said))


async def _call(config: Config, way: Way, method: str, said: dict[str, Any]) -> HttpReply:
    url = under(config.base_url, f"bot{config.token}/{method}")
    return await ask(way, url, msgspec.json.encode(said), {}, secrets=(config.token,))


def _receipt(config: Config, reply: HttpReply) -> Receipt:
    receipt = judge(reply, secrets=(config.token,))
    result = json_of(reply).get("result")
    number = result.get("message_id") if isinstance(result, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return Receipt(f"HTTP {reply.status}: message {number}", str(number)) if isinstance(number, int) else receipt


def text_of(message: Message) -> str:
    """The message in Telegram's HTML. Nothing in a name can format or link."""
    parts = [f"<b>{fitted(message.title, _TITLE_MAX, escape, utf16)}</b>"]
    url = escape(message.url)
    link = f'<a href="{url}">{link_words(message)}</a>' if message.url and utf16(url) <= _LINK_MAX else ""
    room = _TEXT_MAX - utf16(parts[0]) - utf16(link) - 4
    if message.text:
        parts.append(fitted(message.text, room // 3 if message.items else room, escape, utf16))
        room -= utf16(parts[-1]) + 2
    if message.items:
        parts.append(listed(message.items, room, _line, utf16))
    return "\n".join([*parts, link] if link else parts)


def _line(item: Item) -> str:
    title = fitted(item.title, _TITLE_MAX, escape, utf16)
    named = f'• <a href="{escape(item.url)}">{title}</a>' if item.url else f"• {title}"
    return f'{named} · <a href="{escape(item.acknowledge_url)}">Acknowledge</a>' if item.acknowledge_url else named


def escape(text: str) -> str:
    """The text as Telegram shows it literally: its three special characters, and the quote that ends a link."""
    return html.escape(text)
