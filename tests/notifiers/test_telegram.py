"""telegram: within its limits, nothing in a name can format, and the end is written where the opening stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, URL, digests, many, of, texts
from notifiers.services import Telegram
from notifiers.sinks import Request, always, http_sink
from tocsin.core.alert import Channel
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers._fit import link_words
from tocsin.notifiers.telegram import Config, text_of


def channel(port: int, **more: object) -> Channel:
    config = {"token": "123:abc", "chat_id": "-100123", "base_url": f"http://127.0.0.1:{port}"}
    return a_channel(type="telegram", config=config | more)


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    service = Telegram()
    async with http_sink(service) as sink:
        receipt = await send(channel(sink.port), of(event), net)
    assert (receipt.detail, receipt.ref) == ("HTTP 200: message 1", "1")
    assert service.messages[1].startswith(f"<b>{of(event).title}</b>\n")
    assert service.messages[1].endswith(f'<a href="{URL}">{link_words(of(event))}</a>')
    assert sink.requests[0].json["link_preview_options"] == {"is_disabled": True}


@given(texts, texts, digests)
def test_whatever_a_message_says_telegram_takes_it(title: str, text: str, items: list[object]) -> None:
    made = text_of(of("digest", title=title.strip() or "t", text=text, items=tuple(items)))
    said = {"chat_id": -100123, "text": made, "parse_mode": "HTML"}
    head = {"content-type": "application/json"}
    status, _, why = Telegram()(Request("POST", "/bot123:abc/sendMessage", head, json.dumps(said).encode()))
    assert status == 200, why


def test_a_digest_names_as_many_as_fit() -> None:
    assert text_of(of("digest", items=many(3))).count("\n• <a href=") == 3
    long = text_of(of("digest", items=many(500)))
    shown = long.count("\n• <a href=")
    assert 20 < shown < 500
    assert f"\nand {500 - shown} more\n" in long


async def test_the_end_is_written_into_the_message_of_the_opening(net: Net) -> None:
    service = Telegram()
    async with http_sink(service) as sink:
        ops = channel(sink.port)
        opened = await send(ops, of("incident.opened"), net)
        over = await send(ops, of("incident.resolved"), net, earlier=opened.ref)
        again = await send(ops, of("incident.resolved"), net, earlier=opened.ref)
        rings = await send(ops, of("incident.reopened"), net, earlier=opened.ref)
    assert (opened.ref, over.ref, again.ref, rings.ref) == ("1", "1", "1", "2")
    assert service.messages[1].startswith("<b>Shop is up again")
    assert again.detail == "the message says so already"


@pytest.mark.parametrize("earlier", ["77", "no number", "²", ""])
async def test_where_the_earlier_message_is_gone_a_new_one_is_posted(net: Net, earlier: str) -> None:
    service = Telegram()
    async with http_sink(service) as sink:
        receipt = await send(channel(sink.port), of("incident.resolved"), net, earlier=earlier)
    assert (receipt.ref, len(service.messages)) == ("1", 1)


@pytest.mark.parametrize(
    ("config", "said", "permanent"),
    [({"token": "9:x"}, "401", True), ({"chat_id": "@nobody"}, "chat not found", True)],
)
async def test_refusals_are_for_good_and_name_no_secret(
    net: Net, config: dict[str, object], said: str, permanent: bool
) -> None:
    async with http_sink(Telegram()) as sink:
        with pytest.raises(DeliveryFailed, match=said) as failed:
            await send(channel(sink.port, **config), of("test"), net)
    assert failed.value.permanent is permanent
    assert "9:x" not in str(failed.value)


async def test_telegram_says_when_to_come_again(net: Net) -> None:
    body = b'{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}'
    async with http_sink(always(429, body)) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(channel(sink.port), of("incident.opened"), net)
    assert (failed.value.permanent, failed.value.retry_after_s) == (False, 35.0)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"token": "1:a/../x", "chat_id": 1}, "token"),
        ({"token": "1:a", "chat_id": "a chat"}, "chat_id"),
        ({"token": "1:a", "chat_id": 1, "base_url": "http://8.8.8.8"}, "base_url"),
        ({"token": "1:a"}, "chat_id"),
    ],
)
def test_a_wrong_config_is_named_by_its_field(config: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, config)
    assert [p.field for p in refused.value.problems] == [field]
