"""webhook: what is posted is what was promised, and the signature proves it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from builders import a_channel, a_message
from notifiers.samples import EVENTS, of
from notifiers.sinks import always, http_sink
from tocsin.core import shape
from tocsin.core.alert import message_json
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.webhook import Config


async def test_the_event_is_posted_as_json_with_its_key(net: Net) -> None:
    async with http_sink(always(202, b"queued")) as sink:
        message = a_message(title="Größe", reason="HTTP 503 where 200–299 was expected")
        receipt = await send(a_channel(config={"url": sink.url}), message, net)
    (request,) = sink.requests
    assert receipt.detail == "HTTP 202: queued"
    assert (request.method, request.path) == ("POST", "/services/T0/B0/secret-token")
    assert request.json == message_json(message)
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["idempotency-key"] == message.key
    assert "x-tocsin-signature" not in request.headers


async def test_the_signature_is_over_the_bytes_that_were_sent(net: Net) -> None:
    config = {"url": "", "secret": "grüße", "headers": {"Authorization": "Bearer abc"}}
    async with http_sink(always(204)) as sink:
        await send(a_channel(config=config | {"url": sink.url}), a_message(), net)
    (request,) = sink.requests
    expected = "sha256=" + hmac.new("grüße".encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-tocsin-signature"] == expected
    assert request.headers["authorization"] == "Bearer abc"


async def test_the_same_message_again_is_the_same_request(net: Net) -> None:
    message = a_message()
    async with http_sink(always(503, Retry_After="11")) as sink:
        for _ in range(2):
            with pytest.raises(DeliveryFailed) as failed:
                await send(a_channel(config={"url": sink.url, "secret": "s"}), message, net)
            assert (failed.value.permanent, failed.value.retry_after_s) == (False, 11.0)
    one, two = sink.requests
    assert (one.body, one.headers["idempotency-key"]) == (two.body, two.headers["idempotency-key"])


async def test_a_redirect_elsewhere_is_not_followed(net: Net) -> None:
    async with http_sink(always(204)) as other:
        async with http_sink(always(302, Location=f"http://localhost:{other.port}/")) as sink:
            with pytest.raises(DeliveryFailed, match="302") as failed:
                await send(a_channel(config={"url": sink.url}), a_message(), net)
    assert failed.value.permanent
    assert other.requests == []


async def test_a_gone_address_fails_for_good_and_names_no_secret(net: Net) -> None:
    config = {"url": "", "headers": {"X-Token": "t0ps3cret"}}
    async with http_sink(always(410, b"no t0ps3cret here")) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(a_channel(config=config | {"url": sink.url}), a_message(), net)
    assert failed.value.permanent
    assert str(failed.value) == "HTTP 410: no *** here"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"url": "ftp://example.org"}, "url"),
        ({"url": "http://user:pass@example.org"}, "url"),
        ({"url": "http://example.org/a\r\nX: y"}, "url"),
        ({"url": "http://example.org", "headers": {"X": "a\r\nY: b"}}, "headers.X"),
        ({"url": "http://example.org", "headers": {"X\r\nY": "b"}}, "headers"),
        ({"url": "http://example.org", "headers": {"Content-Length": "3"}}, "headers.Content-Length"),
        ({"url": "http://example.org", "headers": {"X-Tocsin-Signature": "3"}}, "headers.X-Tocsin-Signature"),
    ],
)
def test_nothing_gets_into_the_headers_that_does_not_belong(config: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        shape.read(Config, config)
    assert [p.field for p in refused.value.problems] == [field]


def test_secrets_are_hidden_when_it_is_read_back() -> None:
    data = {"url": "http://example.org", "secret": "abc", "headers": {"Authorization": "Bearer abc"}}
    assert shape.hide(Config, data) == {
        "url": "http://example.org",
        "secret": "***",
        "headers": {"Authorization": "***"},
    }


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_says_what_it_is(net: Net, event: str) -> None:
    async with http_sink(always(204)) as sink:
        await send(a_channel(config={"url": sink.url}), of(event), net)
    said = sink.requests[0].json
    assert (said["event"], len(said.get("items", []))) == (event, 40 if event == "digest" else 0)
