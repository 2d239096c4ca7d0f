"""opsgenie: one alert for one incident by its alias: created, noted, closed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, of, texts
from notifiers.services import Opsgenie
from notifiers.sinks import Request, always, http_sink
from tocsin import notifiers
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.opsgenie import Config, payload

KEY = Opsgenie().key


def channel(port: int, key: str = KEY) -> Channel:
    return a_channel(type="opsgenie", config={"api_key": key, "base_url": f"http://127.0.0.1:{port}"})


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(Opsgenie()) as sink:
        receipt = await send(channel(sink.port), of(event), net)
    assert receipt.detail.startswith('HTTP 202: {"result": "Request will be processed"')


async def test_an_incident_is_one_alert_from_its_opening_to_its_end(net: Net) -> None:
    service, alias = Opsgenie(), "ab" * 16
    story: list[int] = []
    async with http_sink(service) as sink:
        for event in ("opened", "escalated", "reminder", "resolved", "reopened", "resolved"):
            await send(channel(sink.port), of(f"incident.{event}"), net)
            story.append(service.open.get(alias, 0))
    assert story == [1, 2, 3, 0, 1, 0]
    assert len(service.notes) == 2
    assert service.notes[0].startswith("Shop is down: HTTP 503\n")
    assert service.priorities == ["P1"] * 4


async def test_a_test_leaves_no_alert_open(net: Net) -> None:
    service = Opsgenie()
    async with http_sink(service) as sink:
        await send(channel(sink.port), of("test", severity="info"), net)
    assert (service.open, service.priorities) == ({}, ["P5"])


@given(texts, texts)
def test_whatever_a_message_says_opsgenie_takes_it(title: str, text: str) -> None:
    made = json.dumps(payload(of("incident.opened", title=title, text=text, reason=text))).encode()
    head = {"authorization": f"GenieKey {KEY}", "content-type": "application/json"}
    status, _, why = Opsgenie()(Request("POST", "/v2/alerts", head, made))
    assert status == 202, why


async def test_a_wrong_key_fails_for_good_and_is_not_repeated(net: Net) -> None:
    async with http_sink(Opsgenie()) as sink:
        with pytest.raises(DeliveryFailed, match="HTTP 401") as failed:
            await send(channel(sink.port, "canary"), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


async def test_too_many_requests_may_be_tried_again(net: Net) -> None:
    async with http_sink(always(429, b'{"message":"You are making too many requests!"}')) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(channel(sink.port), of("incident.opened"), net)
    assert not failed.value.permanent


def test_the_region_is_one_of_two() -> None:
    assert read(Config, {"api_key": "k"}).region == "us"
    assert hide(Config, {"api_key": "k", "region": "eu"}) == {"api_key": "***", "region": "eu"}
    assert notifiers.kind("opsgenie").grouped
    with pytest.raises(Invalid, match="region"):
        read(Config, {"api_key": "k", "region": "mars"})
