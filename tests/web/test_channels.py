"""Channels by the API: every kind is made, its secrets stay, its template is tried."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin import notifiers
from tocsin.core.refusal import Refusals
from web.conftest import Alice
from world import webs

CONFIGS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "http://127.0.0.1:9/", "secret": "swallow"},
    "email": {"to": "ann@example.org", "smtp_url": "smtp://u:swallow@127.0.0.1:9"},
    "slack": {"token": "swallow", "channel": "#ops", "base_url": "http://127.0.0.1:9"},
    "discord": {"url": "http://127.0.0.1:9/swallow"},
    "telegram": {"token": "swallow", "chat_id": -100123, "base_url": "http://127.0.0.1:9"},
    "teams": {"url": "http://127.0.0.1:9/swallow"},
    "pagerduty": {"routing_key": "swallow", "base_url": "http://127.0.0.1:9"},
    "opsgenie": {"api_key": "swallow", "base_url": "http://127.0.0.1:9"},
    "ntfy": {"url": "http://127.0.0.1:9", "topic": "ops", "token": "swallow"},
    "twilio": {
        "account_sid": "AC1", "auth_token": "swallow", "from": "Tocsin", "to": "+436641234567",
        "base_url": "http://127.0.0.1:9",
    },
    "alertmanager": {"url": "http://127.0.0.1:9", "token": "swallow"},
    "apprise": {"url": "json://127.0.0.1:9/swallow"},
}  # fmt: skip
URL = "/api/v1/channels"


@pytest.mark.parametrize("kind", notifiers.REGISTRY)
async def test_every_kind_is_made_changed_and_tested_and_keeps_its_secret(alice: Alice, kind: str) -> None:
    made = await alice.api.post(URL, {"name": "x", "type": kind, "config": CONFIGS[kind]})
    assert made.status == 201, made.text
    one = f"{URL}/{made.data['id']}"
    changed = await alice.api.patch(one, {"name": "y", "config": made.data["config"]})
    tested = await alice.api.post(f"{one}/test")
    assert (changed.status, tested.data["ok"]) == (200, False)
    seen = "".join([made.text, changed.text, tested.text, (await alice.api.get("/api/v1/audit-log")).text])
    assert "swallow" not in seen
    kept = alice.house.parts.corridor.watchlist.channel(alice.workspace_id, made.data["id"])
    assert kept is not None
    assert kept.config == CONFIGS[kind]


@pytest.mark.parametrize("kind", [k for k, config in CONFIGS.items() if "base_url" in config])
async def test_a_kept_secret_is_not_sent_elsewhere(alice: Alice, kind: str) -> None:
    made = await alice.api.post(URL, {"name": "x", "type": kind, "config": CONFIGS[kind]})
    config = made.data["config"] | {"base_url": "https://elsewhere.example"}
    moved = await alice.api.patch(f"{URL}/{made.data['id']}", {"config": config})
    assert moved.status == 422
    assert "typed again, because base_url leads elsewhere now" in moved.text


async def test_a_place_that_may_not_be_contacted_is_refused(alice: Alice) -> None:
    config = {"token": "1:a", "chat_id": 1, "base_url": "https://169.254.169.254"}
    answer = await alice.api.post(URL, {"name": "x", "type": "telegram", "config": config})
    assert answer.status == 422
    assert answer.fields == ["config.base_url"]


async def test_a_template_is_tried_when_it_is_saved(alice: Alice) -> None:
    channel = {"name": "x", "type": "webhook", "config": CONFIGS["webhook"]}
    wrong = await alice.api.post(URL, channel | {"template": {"title": "{{ nme }}", "text": "{% for"}})
    assert (wrong.status, wrong.fields) == (422, ["template.title", "template.text"])
    long = await alice.api.post(URL, channel | {"template": {"text": "x" * 4001}})
    assert long.fields == ["template.text"]
    made = await alice.api.post(URL, channel | {"template": {"text": "{{ reason }}"}})
    assert made.data["template"] == {"title": "", "text": "{{ reason }}"}
    one = f"{URL}/{made.data['id']}"
    assert (await alice.api.patch(one, {"name": "y"})).data["template"] == {"title": "", "text": "{{ reason }}"}
    assert (await alice.api.patch(one, {"template": None})).data["template"] is None
    assert (await alice.api.get(one)).data["template"] is None


async def test_a_test_message_that_arrives_switches_on_again_what_trouble_switched_off(alice: Alice) -> None:
    async with webs(1) as (sink,):
        made = await alice.api.post(URL, {"name": "Hook", "type": "webhook", "config": {"url": sink.url}})
        one, parts = f"{URL}/{made.data['id']}", alice.house.parts
        channel = parts.corridor.watchlist.channel(alice.workspace_id, made.data["id"])
        assert channel is not None
        often = Refusals(since=parts.clock.now(), of=channel.updated_at, count=3)
        await parts.corridor.delivery.trouble.disable(channel, "HTTP 410", often)
        off = (await alice.api.get(one)).data
        assert (off["enabled"], off["disabled_reason"]) == (False, "HTTP 410")
        sink.status = 410
        assert (await alice.api.post(f"{one}/test")).data["ok"] is False
        assert (await alice.api.get(one)).data["enabled"] is False
        sink.status = 200
        tested = (await alice.api.post(f"{one}/test")).data
        assert (tested["ok"], tested["detail"].endswith("; the channel is used again")) == (True, True)
        on = (await alice.api.get(one)).data
        assert (on["enabled"], on["disabled_reason"]) == (True, None)
        assert (await alice.api.get("/api/v1/notices")).data["items"] == []
        await alice.api.patch(one, {"enabled": False})
        assert (await alice.api.post(f"{one}/test")).data["ok"] is True
        assert (await alice.api.get(one)).data["enabled"] is False, "somebody switched it off by hand"
