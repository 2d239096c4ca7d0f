"""teams: a card within its limits, in runs of text that know no markup."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, URL, digests, many, of, texts
from notifiers.services import teams
from notifiers.sinks import Request, always, http_sink
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers._fit import link_words
from tocsin.notifiers.teams import Config, payload


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(teams) as sink:
        receipt = await send(a_channel(type="teams", config={"url": sink.url}), of(event), net)
    assert receipt.detail == "HTTP 202"
    card = sink.requests[0].json["attachments"][0]["content"]
    assert card["body"][0]["inlines"][0]["text"] == of(event).title
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": link_words(of(event)), "url": URL}]


@given(texts, texts, digests)
def test_whatever_a_message_says_teams_takes_it(title: str, text: str, items: list[object]) -> None:
    made = json.dumps(payload(of("digest", title=title, text=text, items=tuple(items))), ensure_ascii=False).encode()
    status, _, why = teams(Request("POST", "/", {"content-type": "application/json"}, made))
    assert status == 202, why


def test_a_digest_names_as_many_as_fit() -> None:
    lines = [
        block["inlines"][0]["text"]
        for block in payload(of("digest", items=many(900)))["attachments"][0]["content"]["body"]
    ]
    shown = sum(line.startswith("• ") for line in lines)
    assert 30 < shown < 900
    assert f"and {900 - shown} more" in lines


async def test_an_old_connector_that_failed_says_so_in_words(net: Net) -> None:
    said = b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429"
    async with http_sink(always(200, said)) as sink:
        with pytest.raises(DeliveryFailed, match="delivery failed") as failed:
            await send(a_channel(type="teams", config={"url": sink.url}), of("incident.opened"), net)
    assert not failed.value.permanent


@pytest.mark.parametrize(("status", "permanent"), [(400, True), (404, True), (413, True), (429, False), (502, False)])
async def test_what_a_workflow_refuses(net: Net, status: int, permanent: bool) -> None:
    async with http_sink(always(status, b"secret-token")) as sink:
        with pytest.raises(DeliveryFailed) as failed:
            await send(a_channel(type="teams", config={"url": sink.url + "secret-token"}), of("incident.opened"), net)
    assert failed.value.permanent is permanent


def test_its_secret_address_is_not_sent_in_the_clear() -> None:
    with pytest.raises(Invalid, match=r"url: expected an https:// URL \(its address is a secret\), found \*\*\*"):
        read(Config, {"url": "http://prod.logic.azure.example/workflows/1?sig=canary"})
