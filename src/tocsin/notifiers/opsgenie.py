"""opsgenie: alerts by Opsgenie's Alert API; all messages of an incident have one alias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tocsin.core.alert import Message
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted
from tocsin.notifiers._post import check_url, post_json, under

GROUPED = True

# Opsgenie's own limits, in characters.
_MESSAGE_MAX = 130
_DESCRIPTION_MAX = 15_000
_NOTE_MAX = 25_000
_ENTITY_MAX = 512
_TAG_MAX = 50
_DETAIL_MAX = 2000
_PRIORITIES = {"critical": "P1", "down": "P2", "warning": "P3", "info": "P5"}
_SERVERS = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A team of Opsgenie, through an API integration."""

    api_key: Annotated[
        str, Hidden, Pattern(r"[A-Za-z0-9-]{1,100}", "an API key"), Help("the key of the team's API integration")
    ]
    region: Annotated[Literal["us", "eu"], Help("where the account is")] = "us"
    base_url: Annotated[str | None, Length(1, 2048), Help("another server that speaks the same API")] = None

    def __post_init__(self) -> None:
        if self.base_url is not None:
            check_url(self.base_url, secure=True, field="base_url")


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Create, note or close by the alias; Opsgenie answers 202. A test opens an alert and closes it again.

    A worse severity and a reminder create too (the alert counts up, or comes back where somebody closed it) and are noted.
    """
    alias = message.group or message.key
    if message.event == "incident.resolved":
        return await _post(config, way, f"/{alias}/close?identifierType=alias", _note(message))
    receipt = await _post(config, way, "", payload(message))
    if message.event in ("incident.escalated", "incident.reminder"):
        await _post(config, way, f"/{alias}/notes?identifierType=alias", _note(message))
    if message.event == "test":
        way.taken(receipt)
        await _post(config, way, f"/{alias}/close?identifierType=alias", _note(message))
    return receipt


async def _post(config: Config, way: Way, path: str, said: dict[str, Any]) -> Receipt:
    url = under(config.base_url or _SERVERS[config.region], f"v2/alerts{path}")
    headers = {"Authorization": f"GenieKey {config.api_key}"}
    return await post_json(way, url, said, headers, secrets=(config.api_key,))


def payload(message: Message) -> dict[str, Any]:
    """The JSON object that creates an alert."""
    monitor = message.monitor or {}
    link = f"\n{message.url}" if message.url else ""
    text = f"{message.title}\n{fitted(message.text, _DESCRIPTION_MAX - 3000, str)}{link}"
    details = {"reason": fitted(message.reason, _DETAIL_MAX, str), "key": message.key, "event": message.event}
    return {
        "message": fitted(message.title, _MESSAGE_MAX, str) or "Tocsin",
        "alias": message.group or message.key,
        "description": fitted(text, _DESCRIPTION_MAX, str),
        "entity": fitted(str(monitor.get("name") or ""), _ENTITY_MAX, str),
        "tags": [
            fitted(tag, _TAG_MAX, str) for tag in ("tocsin", message.severity, str(monitor.get("type") or "")) if tag
        ],
        "details": details | ({"url": fitted(message.url, _DETAIL_MAX, str)} if message.url else {}),
        "source": "Tocsin",
        "priority": _PRIORITIES.get(message.severity, "P3"),
    }


def _note(message: Message) -> dict[str, Any]:
    return {"note": fitted(f"{message.title}\n{message.text}", _NOTE_MAX, str), "source": "Tocsin"}
