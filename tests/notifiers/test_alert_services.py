"""pagerduty and opsgenie: one alert for one incident, from its opening to its end; what the two have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from builders import a_channel
from notifiers.samples import EVENTS, of
from notifiers.services import Opsgenie, PagerDuty
from notifiers.sinks import always, http_sink
from tocsin import notifiers
from tocsin.core.alert import Channel
from tocsin.errors import DeliveryFailed
from tocsin.net import Net
from tocsin.notifiers import send

GROUP = "ab" * 16


@dataclass(frozen=True)
class Service:
    """One of them: how it is made, the field of its key, what it says, and which alerts are open there."""

    name: str
    make: Callable[[], Any]
    key: str
    taken: str
    refused: str
    open: Callable[[Any], set[str]]

    def channel(self, port: int, key: str | None = None) -> Channel:
        config = {self.key: key or self.make().key, "base_url": f"http://127.0.0.1:{port}/"}
        return a_channel(type=self.name, config=config)


PAGERDUTY = Service(
    "pagerduty", PagerDuty, "routing_key", 'HTTP 202: {"status": "success"', "HTTP 400",
    lambda service: {group for group, state in service.alerts.items() if state != "resolve"},
)  # fmt: skip
OPSGENIE = Service(
    "opsgenie", Opsgenie, "api_key", 'HTTP 202: {"result": "Request will be processed"', "HTTP 401",
    lambda service: set(service.open),
)  # fmt: skip
each = pytest.mark.parametrize("kind", [PAGERDUTY, OPSGENIE], ids=lambda kind: kind.name)


@each
@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, kind: Service, event: str) -> None:
    async with http_sink(kind.make()) as sink:
        receipt = await send(kind.channel(sink.port), of(event), net)
    assert receipt.detail.startswith(kind.taken)


@each
async def test_an_incident_is_one_alert_from_its_opening_to_its_end(net: Net, kind: Service) -> None:
    service, story = kind.make(), list[bool]()
    async with http_sink(service) as sink:
        for event in ("opened", "escalated", "reminder", "resolved", "reopened", "resolved"):
            await send(kind.channel(sink.port), of(f"incident.{event}"), net)
            story.append(kind.open(service) == {GROUP})
        assert kind.open(service) == set()
        await send(kind.channel(sink.port), of("incident.opened", group="cd" * 16), net)
    assert story == [True, True, True, False, True, False]
    assert kind.open(service) == {"cd" * 16}
    assert notifiers.kind(kind.name).grouped


@each
async def test_a_test_leaves_no_alert_open(net: Net, kind: Service) -> None:
    service = kind.make()
    async with http_sink(service) as sink:
        await send(kind.channel(sink.port), of("test", severity="info"), net)
        assert sink.requests
    assert kind.open(service) == set()


@each
async def test_a_wrong_key_fails_for_good_and_is_not_repeated(net: Net, kind: Service) -> None:
    async with http_sink(kind.make()) as sink:
        with pytest.raises(DeliveryFailed, match=kind.refused) as failed:
            await send(kind.channel(sink.port, "0000canary0000"), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


@each
async def test_too_many_requests_may_be_tried_again(net: Net, kind: Service) -> None:
    async with http_sink(always(429, b'{"message":"too many requests"}')) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(kind.channel(sink.port), of("incident.opened"), net)
    assert not failed.value.permanent
