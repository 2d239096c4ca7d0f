"""ntfy: a notification within its bytes, at the priority of its severity."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from builders import a_channel
from notifiers.samples import EVENTS, URL, digests, many, of, texts
from notifiers.services import ntfy
from notifiers.sinks import Request, http_sink
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.ntfy import Config, payload


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(ntfy) as sink:
        config = {"url": f"http://127.0.0.1:{sink.port}", "topic": "ops", "token": "tk_right"}
        receipt = await send(a_channel(type="ntfy", config=config), of(event), net)
    said = sink.requests[0].json
    assert receipt.detail == "HTTP 200"
    assert (said["topic"], said["title"], said["click"]) == ("ops", of(event).title, URL)
    assert said["message"].startswith("The only location says down.\n")


async def test_the_whole_address_of_a_topic_will_do(net: Net) -> None:
    async with http_sink(ntfy) as sink:
        config = {"url": f"http://127.0.0.1:{sink.port}/ops_1-a/"}
        await send(a_channel(type="ntfy", config=config), of("incident.opened"), net)
    assert sink.requests[0].json["topic"] == "ops_1-a"
    assert "authorization" not in sink.requests[0].headers


@given(texts, texts, digests)
def test_whatever_a_message_says_ntfy_takes_it(title: str, text: str, items: list[object]) -> None:
    made = json.dumps(payload("t", of("digest", title=title, text=text, items=tuple(items)))).encode()
    status, _, why = ntfy(Request("POST", "/", {}, made))
    assert status == 200, why


def test_a_digest_names_as_many_as_fit() -> None:
    lines = payload("t", of("digest", items=many(200)))["message"].split("\n")
    shown = sum(line.startswith("• ") for line in lines)
    assert 20 < shown < 200
    assert lines[-1] == f"and {200 - shown} more"


def test_priority_and_tag_say_how_bad_it_is() -> None:
    levels = {
        s: payload("t", of("incident.opened", severity=s))["priority"] for s in ("critical", "down", "warning", "info")
    }
    assert levels == {"critical": 5, "down": 4, "warning": 3, "info": 2}
    over = payload("t", of("incident.resolved"))
    assert (over["priority"], over["tags"]) == (3, ["white_check_mark"])


async def test_a_wrong_token_fails_for_good_and_is_not_repeated(net: Net) -> None:
    async with http_sink(ntfy) as sink:
        config = {"url": f"http://127.0.0.1:{sink.port}/ops", "token": "tk_canary"}
        with pytest.raises(DeliveryFailed, match="HTTP 401") as failed:
            await send(a_channel(type="ntfy", config=config), of("incident.opened"), net)
    assert failed.value.permanent
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"url": "https://ntfy.sh"}, "topic"),
        ({"url": "https://ntfy.sh/a/b"}, "url"),
        ({"url": "https://ntfy.sh/a?auth=x"}, "url"),
        ({"url": "https://ntfy.sh", "topic": "a b"}, "topic"),
        ({"url": "http://ntfy.example.org/a", "token": "tk"}, "url"),
    ],
)
def test_a_wrong_config_is_named_by_its_field(config: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, config)
    assert [p.field for p in refused.value.problems] == [field]
