"""discord: within its limits, and nothing in a name can mention or format."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_channel, a_message
from notifiers.samples import EVENTS, digests, many, of
from notifiers.services import Discord
from notifiers.sinks import Request, always, discord, http_sink
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers._fit import fitted, utf16
from tocsin.notifiers.discord import Config, escape, payload

texts = st.text(st.characters(codec="utf-8"), max_size=300) | st.text("@*_~`|<>[]#\\ 😀\n", max_size=5000)


async def test_a_message_is_taken(net: Net) -> None:
    async with http_sink(Discord()) as sink:
        message = a_message(title="@everyone *Shop* is down", url="https://watch.example/incidents/i1")
        receipt = await send(a_channel(type="discord", config={"url": sink.url}), message, net)
    assert (receipt.detail, receipt.ref) == ("HTTP 200: message 1000000000000000000", "1000000000000000000")
    assert sink.requests[0].path == "/services/T0/B0/secret-token?wait=true"
    said = sink.requests[0].json
    assert said["allowed_mentions"] == {"parse": []}
    (embed,) = said["embeds"]
    assert embed["title"] == r"\@everyone \*Shop\* is down"
    assert (embed["url"], embed["timestamp"]) == ("https://watch.example/incidents/i1", "2026-03-01T12:00:00.000Z")


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    service = Discord()
    async with http_sink(service) as sink:
        await send(a_channel(type="discord", config={"url": sink.url}), of(event), net)
    assert [said["embeds"][0]["title"] for said in service.messages.values()] == [of(event).title]


async def test_the_end_is_written_into_the_message_of_the_opening(net: Net) -> None:
    service = Discord()
    async with http_sink(service) as sink:
        ops = a_channel(type="discord", config={"url": sink.url + "?thread_id=7&wait=false"})
        opened = await send(ops, of("incident.opened"), net)
        over = await send(ops, of("incident.resolved"), net, earlier=opened.ref)
        rings = await send(ops, of("incident.reopened"), net, earlier=opened.ref)
    assert opened.ref == over.ref != rings.ref
    assert [r.method for r in sink.requests] == ["POST", "PATCH", "POST"]
    assert sink.requests[0].path == "/services/T0/B0/secret-token?thread_id=7&wait=true"
    assert sink.requests[1].path == f"/services/T0/B0/secret-token/messages/{opened.ref}?thread_id=7"
    assert service.messages[opened.ref or ""]["embeds"][0]["title"] == "Shop is up again after 14 min 8 s"


@pytest.mark.parametrize("earlier", ["77", "../../x", ""])
async def test_where_the_earlier_message_is_gone_a_new_one_is_posted(net: Net, earlier: str) -> None:
    service = Discord()
    async with http_sink(service) as sink:
        receipt = await send(a_channel(type="discord", config={"url": sink.url}), of("digest"), net, earlier=earlier)
    assert list(service.messages) == [receipt.ref]


def test_a_digest_names_as_many_as_fit() -> None:
    text = payload(of("digest", items=many(300)))["embeds"][0]["description"]
    shown = text.count("\n• [")
    assert 20 < shown < 300
    assert text.endswith(f"\nand {300 - shown} more")
    assert (
        r"• [Monitor \<1\> & Co is down: HTTP 503 where 200–299 was expected](https://watch.example/incidents/i1/1)"
        in text
    )


@given(texts, texts, digests)
def test_whatever_a_message_says_discord_takes_it(title: str, text: str, items: list[object]) -> None:
    made = payload(of("digest", title=title, text=text, items=tuple(items)))
    status, _, _ = discord(Request("POST", "/", {}, json.dumps(made).encode()))
    assert status == 204


@given(texts, st.integers(2, 300))
def test_cutting_never_leaves_half_an_escape(text: str, limit: int) -> None:
    made = fitted(text, limit, escape, utf16)
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
