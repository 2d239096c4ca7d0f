"""pagerduty: what it says of an incident (that it is one alert: test_alert_services)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import URL, of, texts
from notifiers.services import PagerDuty
from notifiers.sinks import Request, http_sink
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.pagerduty import Config, payload

KEY = PagerDuty().key


def channel(port: int, key: str = KEY) -> Channel:
    return a_channel(type="pagerduty", config={"routing_key": key, "base_url": f"http://127.0.0.1:{port}/"})


async def test_an_alert_says_how_bad_it_is_and_where(net: Net) -> None:
    async with http_sink(PagerDuty()) as sink:
        await send(channel(sink.port), of("incident.opened", severity="down"), net)
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


@given(texts, texts)
def test_whatever_a_message_says_pagerduty_takes_it(title: str, text: str) -> None:
    made = json.dumps(payload(KEY, of("incident.opened", title=title, text=text, reason=text))).encode()
    status, _, why = PagerDuty()(Request("POST", "/v2/enqueue", {"content-type": "application/json"}, made))
    assert status == 202, why


def test_the_key_is_a_secret_and_goes_over_https_alone() -> None:
    assert hide(Config, {"routing_key": KEY}) == {"routing_key": "***"}
    with pytest.raises(Invalid, match=r"base_url: expected an https:// URL \(a secret goes there\)"):
        read(Config, {"routing_key": KEY, "base_url": "http://events.example.org"})
