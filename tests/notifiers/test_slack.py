"""slack: what Slack refuses never leaves, and nothing in a name can mention or format."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_channel, a_message
from notifiers.samples import EVENTS, digests, many, of
from notifiers.services import SlackBot
from notifiers.sinks import Request, always, http_sink, slack
from tocsin.core.alert import Channel
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers._fit import fitted
from tocsin.notifiers.slack import Config, escape, payload

texts = st.text(st.characters(codec="utf-8"), max_size=200) | st.text("<>&|!@#*_`~ \n", max_size=4000)


async def test_a_message_is_taken(net: Net) -> None:
    async with http_sink(slack) as sink:
        message = a_message(title="<!channel> & Co is down", url="https://watch.example/incidents/i?a=1&b=2")
        receipt = await send(a_channel(type="slack", config={"url": sink.url}), message, net)
    assert receipt.detail == "HTTP 200: ok"
    said = sink.requests[0].json
    assert said["text"] == "&lt;!channel&gt; &amp; Co is down"
    assert "<https://watch.example/incidents/i?a=1&amp;b=2|Open the incident>" in json.dumps(said)


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    service, message = SlackBot(), of(event)
    async with http_sink(slack) as hook, http_sink(service) as bot:
        await send(a_channel(type="slack", config={"url": hook.url}), message, net)
        receipt = await send(a_bot(bot.port, channel="#ops"), message, net)
    assert (receipt.detail, receipt.ref) == (
        "HTTP 200: message C0123ABCD/1503435900.000247",
        "C0123ABCD/1503435900.000247",
    )
    assert hook.requests[0].json | {"channel": "#ops"} == bot.requests[0].json


def a_bot(port: int, **more: object) -> Channel:
    config = {"token": "xoxb-right", "channel": "C0123ABCD", "base_url": f"http://127.0.0.1:{port}/api"}
    return a_channel(type="slack", config=config | more)


async def test_a_bot_writes_the_end_into_the_message_of_the_opening(net: Net) -> None:
    service = SlackBot()
    async with http_sink(service) as sink:
        opened = await send(a_bot(sink.port, channel="#ops"), of("incident.opened"), net)
        over = await send(a_bot(sink.port, channel="#ops"), of("incident.resolved"), net, earlier=opened.ref)
        rings = await send(a_bot(sink.port, channel="#ops"), of("incident.reminder"), net, earlier=opened.ref)
    assert opened.ref == over.ref != rings.ref
    assert [said["text"] for said in service.messages.values()] == [
        "Shop is up again after 14 min 8 s", "Shop is down: HTTP 503",
    ]  # fmt: skip


@pytest.mark.parametrize("earlier", ["C0123ABCD/1.1", "CGONE/1.1", "../x", ""])
async def test_where_the_earlier_message_is_gone_a_new_one_is_posted(net: Net, earlier: str) -> None:
    service = SlackBot()
    async with http_sink(service) as sink:
        receipt = await send(a_bot(sink.port), of("digest"), net, earlier=earlier)
    assert receipt.ref == "C0123ABCD/1503435900.000247"
    assert len(service.messages) == 1


@pytest.mark.parametrize(
    ("more", "word"), [({"token": "xoxb-canary"}, "invalid_auth"), ({"channel": "#gone"}, "channel_not_found")]
)
async def test_what_a_bot_may_not_do_fails_for_good(net: Net, more: dict[str, object], word: str) -> None:
    async with http_sink(SlackBot()) as sink:
        with pytest.raises(DeliveryFailed, match=f"Slack refused it: {word}") as failed:
            await send(a_bot(sink.port, **more), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize("body", [b'{"ok":false,"error":"internal_error"}', b"<html>", b"[]", b""])
async def test_what_may_pass_at_a_bots_end_is_tried_again(net: Net, body: bytes) -> None:
    async with http_sink(always(200, body)) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(a_bot(sink.port), of("incident.opened"), net)
    assert not failed.value.permanent


def test_a_digest_names_as_many_as_fit() -> None:
    text = payload(of("digest", items=many(300)))["attachments"][0]["blocks"][1]["text"]["text"]
    shown = text.count("• <https://")
    assert 15 < shown < 300
    assert text.endswith(f"\nand {300 - shown} more")


@pytest.mark.parametrize(
    ("config", "field"),
    [({}, "url"), ({"url": "https://a.example", "token": "t", "channel": "#a"}, "url"), ({"token": "t"}, "channel"),
     ({"url": "https://a.example", "channel": "#a"}, "channel")],
)  # fmt: skip
def test_it_is_either_a_webhook_or_a_bot(config: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, config)
    assert [p.field for p in refused.value.problems] == [field]


@given(texts, texts, st.sampled_from(["", "https://watch.example/incidents/i1?a|b>c"]), digests)
def test_whatever_a_message_says_slack_takes_it(title: str, text: str, url: str, items: list[object]) -> None:
    made = payload(of("digest", title=title.strip() or "t", text=text or "t", url=url, items=tuple(items)))
    status, _, said = slack(Request("POST", "/", {}, json.dumps(made).encode()))
    assert (status, said) == (200, b"ok")


@given(texts, st.integers(1, 300))
def test_cutting_never_splits_an_escape(text: str, limit: int) -> None:
    made = fitted(text, limit, escape)
    assert len(made) <= max(limit, 1)
    assert not re.search(r"&(?!amp;|lt;|gt;)", made)
    plain = made.removesuffix("…").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.startswith(plain) or made == escape(text)


@pytest.mark.parametrize(
    ("status", "word", "permanent"),
    [(403, b"action_prohibited", True), (404, b"no_service", True), (410, b"channel_is_archived", True),
     (429, b"rate_limited", False), (500, b"rollup_error", False)],
)  # fmt: skip
async def test_slacks_refusals(net: Net, status: int, word: bytes, permanent: bool) -> None:
    async with http_sink(always(status, word, Retry_After="30")) as sink:
        with pytest.raises(DeliveryFailed, match=word.decode()) as failed:
            await send(a_channel(type="slack", config={"url": sink.url}), a_message(), net)
    assert failed.value.permanent is permanent
    assert failed.value.retry_after_s == (None if permanent else 30.0)
    assert "secret-token" not in str(failed.value)


@pytest.mark.parametrize("url", ["http://hooks.example.org/canary", "http://8.8.8.8/canary"])
def test_its_secret_address_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, {"url": url}, where="config")
    assert str(refused.value) == "config.url: expected an https:// URL (its address is a secret), found ***"
    for near in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://10.1.2.3/x", "https://hooks.example.org/x"):
        assert read(Config, {"url": near}).url == near
