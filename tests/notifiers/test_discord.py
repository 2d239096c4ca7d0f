"""discord: within its limits, and nothing in a name can mention or format."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_channel, a_message
from notifiers.sinks import Request, always, discord, http_sink
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers._fit import fitted
from tocsin.notifiers.discord import Config, escape, length, payload

texts = st.text(st.characters(codec="utf-8"), max_size=300) | st.text("@*_~`|<>[]#\\ 😀\n", max_size=5000)


async def test_a_message_is_taken(net: Net) -> None:
    async with http_sink(discord) as sink:
        message = a_message(title="@everyone *Shop* is down", url="https://watch.example/incidents/i1")
        receipt = await send(a_channel(type="discord", config={"url": sink.url}), message, net)
    assert receipt.detail == "HTTP 204"
    said = sink.requests[0].json
    assert said["allowed_mentions"] == {"parse": []}
    (embed,) = said["embeds"]
    assert embed["title"] == r"\@everyone \*Shop\* is down"
    assert (embed["url"], embed["timestamp"]) == ("https://watch.example/incidents/i1", "2026-03-01T12:00:00.000Z")


@given(texts, texts)
def test_whatever_a_message_says_discord_takes_it(title: str, text: str) -> None:
    made = payload(a_message(title=title, text=text))
    status, _, _ = discord(Request("POST", "/", {}, json.dumps(made).encode()))
    assert status == 204


@given(texts, st.integers(2, 300))
def test_cutting_never_leaves_half_an_escape(text: str, limit: int) -> None:
    made = fitted(text, limit, escape, length)
    assert len(made.encode("utf-16-le")) // 2 <= limit
    tail = made.removesuffix("…")
    assert (len(tail) - len(tail.rstrip("\\"))) % 2 == 0


def test_addresses_stay_whole() -> None:
    assert escape("at https://shop.example/a_b_c#x now_") == r"at https://shop.example/a_b_c#x now\_"


async def test_discord_says_when_to_come_again(net: Net) -> None:
    async with http_sink(always(429, b'{"message": "You are being rate limited.", "retry_after": 0.75}')) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(a_channel(type="discord", config={"url": sink.url}), a_message(), net)
    assert (failed.value.permanent, failed.value.retry_after_s) == (False, 0.75)


async def test_a_deleted_webhook_fails_for_good(net: Net) -> None:
    async with http_sink(always(404, b'{"message": "Unknown Webhook", "code": 10015}')) as sink:
        with pytest.raises(DeliveryFailed, match="Unknown Webhook") as failed:
            await send(a_channel(type="discord", config={"url": sink.url}), a_message(), net)
    assert failed.value.permanent


@pytest.mark.parametrize("url", ["http://hooks.example.org/canary", "http://8.8.8.8/canary"])
def test_its_secret_address_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, {"url": url}, where="config")
    assert str(refused.value) == "config.url: expected an https:// URL (its address is a secret), found ***"
    for near in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://10.1.2.3/x", "https://hooks.example.org/x"):
        assert read(Config, {"url": near}).url == near
