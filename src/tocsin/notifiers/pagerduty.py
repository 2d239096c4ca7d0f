"""pagerduty: alerts by PagerDuty's Events API v2; all messages of an incident have one dedup_key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tocsin.core.alert import Message
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted, link_words
from tocsin.notifiers._post import check_url, post_json, under

GROUPED = True

# PagerDuty's own limits, in characters.
_SUMMARY_MAX = 1024
_DETAIL_MAX = 10_000
_SEVERITIES = {"critical": "critical", "down": "error", "warning": "warning", "info": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A service of PagerDuty, through an Events API v2 integration."""

    routing_key: Annotated[
        str,
        Hidden,
        Pattern(r"[A-Za-z0-9_-]{1,64}", "an integration key"),
        Help("the integration key of the service's Events API v2 integration"),
    ]
    base_url: Annotated[str, Length(1, 2048), Help("https://events.eu.pagerduty.com for accounts in the EU")] = (
        "https://events.pagerduty.com"
    )

    def __post_init__(self) -> None:
        check_url(self.base_url, secure=True, field="base_url")


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Enqueue it; PagerDuty answers 202. A test opens an alert and closes it again."""
    url, secrets = under(config.base_url, "v2/enqueue"), (config.routing_key,)
    receipt = await post_json(way, url, payload(config.routing_key, message), {}, secrets=secrets)
    if message.event == "test":
        way.taken(receipt)
        await post_json(way, url, _event(config.routing_key, message, "resolve"), {}, secrets=secrets)
    return receipt


def payload(routing_key: str, message: Message) -> dict[str, Any]:
    """The JSON object that the Events API takes."""
    action = _action(message)
    made = _event(routing_key, message, action)
    if action != "trigger":
        return made
    monitor = message.monitor or {}
    made["payload"] = {
        "summary": fitted(message.title, _SUMMARY_MAX, str) or "Tocsin",
        "source": fitted(str(monitor.get("target") or monitor.get("name") or "Tocsin"), 255, str),
        "severity": _SEVERITIES.get(message.severity, "error"),
        "timestamp": iso(message.at),
        "component": fitted(str(monitor.get("name") or "Tocsin"), 255, str),
        "class": str(monitor.get("type") or message.event),
        "custom_details": {
            "text": fitted(message.text, _DETAIL_MAX, str),
            "reason": fitted(message.reason, _DETAIL_MAX, str),
            "event": message.event,
            "key": message.key,
        },
    }
    made["client"] = "Tocsin"
    if message.url:
        made["client_url"] = message.url
        made["links"] = [{"href": message.url, "text": link_words(message)}]
    return made


def _action(message: Message) -> str:
    if message.event == "incident.resolved":
        return "resolve"
    seen = message.incident is not None and message.incident.get("acknowledged_at") is not None
    return "acknowledge" if seen and message.event == "incident.reminder" else "trigger"


def _event(routing_key: str, message: Message, action: str) -> dict[str, Any]:
    return {"routing_key": routing_key, "event_action": action, "dedup_key": message.group or message.key}
