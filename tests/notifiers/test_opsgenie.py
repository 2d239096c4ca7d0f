"""opsgenie: what it says of an incident (that it is one alert: test_alert_services)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import of, texts
from notifiers.services import Opsgenie
from notifiers.sinks import Request, http_sink
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.opsgenie import Config, payload

KEY = Opsgenie().key


def channel(port: int, key: str = KEY) -> Channel:
    return a_channel(type="opsgenie", config={"api_key": key, "base_url": f"http://127.0.0.1:{port}"})


async def test_what_follows_of_an_incident_is_a_note_on_its_alert(net: Net) -> None:
    service = Opsgenie()
    async with http_sink(service) as sink:
        for event in ("incident.opened", "incident.escalated", "incident.reminder", "incident.resolved"):
            await send(channel(sink.port), of(event), net)
        await send(channel(sink.port), of("test", severity="info"), net)
    assert len(service.notes) == 2
    assert service.notes[0].startswith("Shop is down: HTTP 503\n")
    assert service.priorities == ["P1"] * 3 + ["P5"]


@given(texts, texts)
def test_whatever_a_message_says_opsgenie_takes_it(title: str, text: str) -> None:
    made = json.dumps(payload(of("incident.opened", title=title, text=text, reason=text))).encode()
    head = {"authorization": f"GenieKey {KEY}", "content-type": "application/json"}
    status, _, why = Opsgenie()(Request("POST", "/v2/alerts", head, made))
    assert status == 202, why


def test_the_region_is_one_of_two() -> None:
    assert read(Config, {"api_key": "k"}).region == "us"
    assert hide(Config, {"api_key": "k", "region": "eu"}) == {"api_key": "***", "region": "eu"}
    with pytest.raises(Invalid, match="region"):
        read(Config, {"api_key": "k", "region": "mars"})
