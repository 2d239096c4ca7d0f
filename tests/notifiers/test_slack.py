"""slack: what Slack refuses never leaves, and nothing in a name can mention or format."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_channel, a_message
from notifiers.sinks import Request, always, http_sink, slack
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


@given(texts, texts, st.sampled_from(["", "https://watch.example/incidents/i1?a|b>c"]))
def test_whatever_a_message_says_slack_takes_it(title: str, text: str, url: str) -> None:
    made = payload(a_message(title=title.strip() or "t", text=text, url=url))
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
