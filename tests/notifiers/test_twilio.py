"""twilio: a text message in few parts, in the characters that travel cheaply where that is possible."""

from __future__ import annotations

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, URL, digests, many, of, texts
from notifiers.services import Twilio
from notifiers.sinks import http_sink
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.twilio import Config, size, text_of

SID, TOKEN = Twilio().sid, Twilio().token


def config(port: int = 1, **more: object) -> dict[str, object]:
    known = {"account_sid": SID, "auth_token": TOKEN, "from": "+15005550006", "to": "+436641234567"}
    return known | {"base_url": f"http://127.0.0.1:{port}"} | more


def channel(port: int, **more: object) -> Channel:
    return a_channel(type="twilio", config=config(port, **more))


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    service = Twilio()
    async with http_sink(service) as sink:
        receipt = await send(channel(sink.port), of(event), net)
    assert receipt.detail.startswith(f"HTTP 201: {size(service.texts[0]).parts} part")
    assert service.texts[0].startswith(of(event).title)
    assert service.texts[0].endswith(f"\n{URL}")


async def test_a_plain_incident_is_one_cheap_part(net: Net) -> None:
    service = Twilio()
    async with http_sink(service) as sink:
        message = of("incident.opened", title="Größe is down: HTTP 503 where 200–299 was expected…")
        await send(channel(sink.port, **{"from": "MG" + "a" * 32}), message, net)
    assert "200-299 was expected..." in service.texts[0]
    assert (size(service.texts[0]).parts, size(service.texts[0]).gsm) == (1, True)


@given(texts, texts, digests)
def test_no_message_has_more_than_ten_parts_or_1600_characters(title: str, text: str, items: list[object]) -> None:
    made = text_of(of("digest", title=title.strip() or "t", text=text, items=tuple(items)))
    assert 1 <= size(made).parts <= 10
    assert len(made.encode("utf-16-le")) // 2 <= 1600
    assert made.endswith(URL)


@pytest.mark.parametrize(
    ("text", "parts", "gsm"),
    [("a" * 160, 1, True), ("a" * 161, 2, True), ("€" * 80, 1, True), ("€" * 81, 2, True), ("a" * 306, 2, True),
     ("a" * 307, 3, True), ("ш" * 70, 1, False), ("ш" * 71, 2, False), ("😀" * 35, 1, False), ("😀" * 36, 2, False)],
)  # fmt: skip
def test_parts_are_counted_as_the_networks_do(text: str, parts: int, gsm: bool) -> None:
    assert (size(text).parts, size(text).gsm) == (parts, gsm)


def test_a_digest_names_as_many_as_fit() -> None:
    lines = text_of(of("digest", items=many(100, "Monitor {} is down"))).split("\n")
    shown = sum(line.startswith("- ") for line in lines)
    assert 20 < shown < 100
    assert f"and {100 - shown} more" in lines


@pytest.mark.parametrize(
    ("more", "said"),
    [({"auth_token": "canary"}, "20003"), ({"to": "whatsapp:+436641234567"}, "21211")],
)
async def test_refusals_are_for_good_and_name_no_secret(net: Net, more: dict[str, object], said: str) -> None:
    async with http_sink(Twilio()) as sink:
        with pytest.raises(DeliveryFailed, match=said) as failed:
            await send(channel(sink.port, **more), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize(
    ("more", "field"),
    [({"to": "0664 123"}, "to"), ({"from": "a name that is too long"}, "from"), ({"account_sid": "AC/.."}, "account_sid"),
     ({"base_url": "http://api.example.org"}, "base_url")],
)  # fmt: skip
def test_a_wrong_config_is_named_by_its_field(more: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, config(**more))
    assert [p.field for p in refused.value.problems] == [field]
    assert hide(Config, config())["auth_token"] == "***"
