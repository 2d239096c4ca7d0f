"""pagerduty: one alert for one incident, from its opening to its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, URL, of, texts
from notifiers.services import PagerDuty
from notifiers.sinks import Request, always, http_sink
from tocsin import notifiers
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.pagerduty import Config, payload

KEY = PagerDuty().key


def channel(port: int, key: str = KEY) -> Channel:
    return a_channel(type="pagerduty", config={"routing_key": key, "base_url": f"http://127.0.0.1:{port}/"})


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(PagerDuty()) as sink:
        receipt = await send(channel(sink.port), of(event), net)
    assert receipt.detail.startswith('HTTP 202: {"status": "success"')


async def test_an_incident_is_one_alert_from_its_opening_to_its_end(net: Net) -> None:
    service = PagerDuty()
    group, story = "ab" * 16, []
    async with http_sink(service) as sink:
        for event in ("opened", "escalated", "reminder", "resolved", "reopened", "resolved"):
            await send(channel(sink.port), of(f"incident.{event}", severity="down"), net)
            story.append(service.alerts[group])
        await send(channel(sink.port), of("incident.opened", group="cd" * 16), net)
    assert story == ["trigger", "trigger", "trigger", "resolve", "trigger", "resolve"]
    assert service.alerts == {group: "resolve", "cd" * 16: "trigger"}
    said = sink.requests[0].json
    assert (said["payload"]["severity"], said["payload"]["component"]) == ("error", "Shop")
    assert (said["client"], said["client_url"]) == ("Tocsin", URL)


async def test_who_has_seen_it_is_told_on(net: Net) -> None:
    service = PagerDuty()
    seen = (of("incident.reminder").incident or {}) | {"acknowledged_at": "2026-03-01T12:01:00.000Z"}
    async with http_sink(service) as sink:
        await send(channel(sink.port), of("incident.opened"), net)
        await send(channel(sink.port), of("incident.reminder", incident=seen), net)
    assert list(service.alerts.values()) == ["acknowledge"]


async def test_a_test_leaves_no_alert_open(net: Net) -> None:
    service = PagerDuty()
    async with http_sink(service) as sink:
        await send(channel(sink.port), of("test"), net)
    assert list(service.alerts.values()) == ["resolve"]


@given(texts, texts)
def test_whatever_a_message_says_pagerduty_takes_it(title: str, text: str) -> None:
    made = json.dumps(payload(KEY, of("incident.opened", title=title, text=text, reason=text))).encode()
    status, _, why = PagerDuty()(Request("POST", "/v2/enqueue", {"content-type": "application/json"}, made))
    assert status == 202, why


async def test_a_wrong_key_fails_for_good_and_is_not_repeated(net: Net) -> None:
    async with http_sink(PagerDuty()) as sink:
        with pytest.raises(DeliveryFailed, match="HTTP 400") as failed:
            await send(channel(sink.port, "0000canary0000"), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


async def test_too_many_events_may_be_tried_again(net: Net) -> None:
    async with http_sink(always(429, b'{"status":"throttle exceeded"}')) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(channel(sink.port), of("incident.opened"), net)
    assert not failed.value.permanent


def test_the_key_is_a_secret_and_goes_over_https_alone() -> None:
    assert hide(Config, {"routing_key": KEY}) == {"routing_key": "***"}
    assert notifiers.kind("pagerduty").grouped
    with pytest.raises(Invalid, match=r"base_url: expected an https:// URL \(a secret goes there\)"):
        read(Config, {"routing_key": KEY, "base_url": "http://events.example.org"})
