"""ntfy: a notification on phones that listen to a topic of ntfy.sh, or of an ntfy server of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.errors import Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, listed, plain
from tocsin.notifiers._post import check_url, post_json

# ntfy's own limit of a message in bytes; what is longer becomes a file.
_MESSAGE_MAX = 4096
_TITLE_MAX = 250
_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_PRIORITIES = {"critical": 5, "down": 4, "warning": 3, "info": 2}
_TAGS = {"incident.resolved": "white_check_mark", "test": "bell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A topic of ntfy, on ntfy.sh or your own server."""

    url: Annotated[str, Length(1, 2048), Help("the server, https://ntfy.sh, or the topic's whole address")]
    topic: Annotated[str | None, Length(1, 64), Help("the topic, where the address does not name it")] = None
    token: Annotated[
        str | None, Hidden, Pattern(r"[\x21-\x7e]{1,200}", "an access token"), Help("an access token of the server")
    ] = None

    def __post_init__(self) -> None:
        check_url(self.url, secure=self.token is not None)
        if urlsplit(self.url).query or urlsplit(self.url).path.count("/") > 1 + self.url.endswith("/"):
            raise Invalid(Problem("url", "the server's address, with the topic as its only path", self.url[:80]))
        if not _TOPIC.fullmatch(self.place()[1]):
            raise Invalid(
                Problem("topic", "a topic of 1 to 64 letters, digits, - or _, here or in the url", self.place()[1][:70])
            )

    def place(self) -> tuple[str, str]:
        """The server's address and the topic."""
        parts = urlsplit(self.url)
        named = parts.path.strip("/")
        return f"{parts.scheme}://{parts.netloc}/", self.topic or named


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Publish it as JSON; ntfy answers 200 with the message."""
    server, topic = config.place()
    headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
    receipt = await post_json(way, server, payload(topic, message), headers, secrets=(config.token or "",))
    return Receipt(receipt.detail.split(":", 1)[0])


def payload(topic: str, message: Message) -> dict[str, Any]:
    """The JSON object that ntfy takes. A message is plain text there."""
    over = message.event == "incident.resolved"
    room = _MESSAGE_MAX // 2 if message.items else _MESSAGE_MAX
    text = fitted(message.text or message.title, room, str, _bytes)
    if message.items:
        text += "\n" + listed(message.items, _MESSAGE_MAX - _bytes(text) - 1, plain, _bytes)
    made: dict[str, Any] = {
        "topic": topic,
        "title": fitted(message.title, _TITLE_MAX, str) or "Tocsin",
        "message": text,
        "priority": 3 if over else _PRIORITIES.get(message.severity, 4),
        "tags": [_TAGS.get(message.event, "rotating_light" if message.severity in ("critical", "down") else "warning")],
    }
    if message.url:
        made["click"] = message.url
    return made


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
