"""alertmanager: alerts to a Prometheus Alertmanager; an incident keeps its labels, so its end meets its opening."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

from tocsin.core.alert import Message
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length, Pattern
from tocsin.errors import Invalid, Problem
from tocsin.notifiers import Receipt, Way
from tocsin.notifiers._fit import fitted
from tocsin.notifiers._post import check_url, post_json, under

GROUPED = True

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_OURS = frozenset(("alertname", "monitor_id", "monitor_type", "tocsin_group"))
_TEXT_MAX = 10_000
# An alert without an end is over after a few minutes there; ours is told of its end, so it is given a far one.
_FAR = timedelta(days=365)
_TEST_LASTS = timedelta(minutes=5)
# Its clock may be behind ours, and an end that lies in its future would be no end.
_CLOCKS_APART = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A Prometheus Alertmanager, which decides whom to tell."""

    url: Annotated[str, Length(1, 2048), Help("its address, http://alertmanager:9093")]
    labels: Annotated[dict[str, str], Length(0, 20), Help("more labels for its routes, such as team: web")] = field(
        default_factory=dict[str, str]
    )
    token: Annotated[
        str | None,
        Hidden,
        Pattern(r"[\x21-\x7e]{1,2000}", "a token"),
        Help("a bearer token, where a proxy asks for one"),
    ] = None

    def __post_init__(self) -> None:
        check_url(self.url, secure=self.token is not None)
        problems = [
            Problem(
                f"labels.{name}"[:120], "a label's name of letters, digits and _, and none of Tocsin's own", name[:80]
            )
            for name in self.labels
            if not _LABEL.fullmatch(name) or name in _OURS
        ]
        if problems:
            raise Invalid(*problems)


async def send(config: Config, message: Message, way: Way) -> Receipt:
    """Post it; Alertmanager answers 200."""
    headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
    base = config.url.rstrip("/").removesuffix("/api/v2/alerts")
    said = [payload(config.labels, message)]
    return await post_json(way, under(base, "api/v2/alerts"), said, headers, secrets=(config.token or "",))


def payload(labels: dict[str, str], message: Message) -> dict[str, Any]:
    """One alert. Its labels say nothing that may change while the incident lasts; the rest is in its annotations."""
    monitor = message.monitor or {}
    starts, ends = _span(message)
    own = {
        "alertname": "TocsinTest" if message.event == "test" else "TocsinIncident",
        "tocsin_group": message.group or message.key,
        "monitor_id": str(monitor.get("id") or ""),
        "monitor_type": str(monitor.get("type") or ""),
    }
    notes = {
        "summary": fitted(message.title, _TEXT_MAX, str) or "Tocsin",
        "description": fitted(message.text, _TEXT_MAX, str),
        "monitor": str(monitor.get("name") or ""),
        "target": str(monitor.get("target") or ""),
        "severity": message.severity,
        "event": message.event,
        "reason": fitted(message.reason, _TEXT_MAX, str),
        "key": message.key,
    }
    alert: dict[str, Any] = {
        "labels": {name: value for name, value in (labels | own).items() if value},
        "annotations": {name: value for name, value in notes.items() if value},
        "startsAt": iso(starts),
        "endsAt": iso(ends),
    }
    if message.url:
        alert["generatorURL"] = message.url
    return alert


def _span(message: Message) -> tuple[datetime, datetime]:
    """From when to when it is so."""
    if message.event == "test":
        return message.at, message.at + _TEST_LASTS
    opened = (message.incident or {}).get("opened_at")
    began = min(datetime.fromisoformat(opened), message.at) if isinstance(opened, str) else message.at
    if message.event == "incident.resolved":
        return began, max(began, message.at - _CLOCKS_APART)
    return (message.at if message.event == "incident.reopened" else began), message.at + _FAR
