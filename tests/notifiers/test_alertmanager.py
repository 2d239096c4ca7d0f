"""alertmanager: the end of an incident meets its opening, by a service of ours and by the real Alertmanager."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from builders import a_channel
from needs import program
from notifiers.samples import EVENTS, URL, of, texts
from notifiers.services import Alertmanager
from notifiers.sinks import Request, http_sink
from tocsin import notifiers
from tocsin.core.alert import Channel, Message
from tocsin.core.result import iso
from tocsin.core.shape import read
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import send
from tocsin.notifiers.alertmanager import Config, payload


def channel(port: int, **more: object) -> Channel:
    return a_channel(type="alertmanager", config={"url": f"http://127.0.0.1:{port}"} | more)


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(Alertmanager()) as sink:
        receipt = await send(channel(sink.port, labels={"team": "web"}, token="t"), of(event), net)
    (alert,) = sink.requests[0].json
    assert receipt.detail == "HTTP 200"
    assert sink.requests[0].headers["authorization"] == "Bearer t"
    assert (alert["labels"]["team"], alert["generatorURL"]) == ("web", URL)
    assert alert["annotations"]["summary"] == of(event).title


async def test_an_incident_keeps_its_labels_to_its_end_whatever_changes(net: Net) -> None:
    service = Alertmanager()
    renamed = {"id": "m", "name": "New name", "type": "http", "target": "http://elsewhere/"}
    async with http_sink(service) as sink:
        ops = channel(sink.port)
        await send(ops, of("incident.opened"), net)
        await send(ops, of("incident.escalated", severity="critical", monitor=renamed, title="Worse"), net)
        await send(ops, of("incident.resolved", monitor=renamed, severity="warning", at=late(60)), net)
    ((starts, ends),) = service.alerts.values()
    assert (starts, ends) == (of("test").at, of("test").at)
    assert notifiers.kind("alertmanager").grouped


def late(seconds: float) -> datetime:
    return of("test").at + timedelta(seconds=seconds)


@given(texts, texts)
def test_whatever_a_message_says_alertmanager_takes_it(title: str, text: str) -> None:
    made = json.dumps([payload({}, of("incident.opened", title=title, text=text, reason=text))]).encode()
    status, _, why = Alertmanager()(Request("POST", "/api/v2/alerts", {"content-type": "application/json"}, made))
    assert status == 200, why


async def test_its_whole_address_will_do_and_another_page_is_refused(net: Net) -> None:
    async with http_sink(Alertmanager()) as sink:
        url = f"http://127.0.0.1:{sink.port}"
        await send(channel(0, url=f"{url}/api/v2/alerts"), of("incident.opened"), net)
        with pytest.raises(DeliveryFailed, match="404 page not found"):
            await send(channel(0, url=f"{url}/elsewhere"), of("incident.opened"), net)


@pytest.mark.parametrize(
    ("config", "field"),
    [({"labels": {"a-b": "x"}}, "labels.a-b"), ({"labels": {"alertname": "x"}}, "labels.alertname"),
     ({"url": "http://am.example.org", "token": "t"}, "url")],
)  # fmt: skip
def test_a_wrong_config_is_named_by_its_field(config: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, {"url": "http://127.0.0.1:9093"} | config)
    assert [p.field for p in refused.value.problems] == [field]


# The real one


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[int]:
    """The port of a real Alertmanager that tells nobody."""
    binary = program("prometheus-alertmanager")
    (tmp_path / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        binary, f"--config.file={tmp_path}/am.yml", f"--storage.path={tmp_path}/data", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}", stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while await asyncio.to_thread(_alerts, port) is None:
                await asyncio.sleep(0.05)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _alerts(port: int) -> list[dict[str, Any]] | None:
    """What fires there now."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/alerts", timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


async def test_the_real_one_fires_and_ends_with_the_incident(net: Net, alertmanager: int) -> None:
    now = datetime.now(UTC)
    opened_at = iso(now - timedelta(minutes=3))

    def told(event: str, at: datetime, **more: Any) -> Message:
        return of(event, at=at, incident={"opened_at": opened_at, "acknowledged_at": None}, **more)

    async def firing() -> list[str]:
        found = await asyncio.to_thread(_alerts, alertmanager)
        return [alert["annotations"]["summary"] for alert in found or []]

    ops = channel(alertmanager, labels={"team": "web"})
    await send(ops, told("incident.opened", now - timedelta(minutes=3)), net)
    assert await firing() == ["Shop is down: HTTP 503"]
    await send(ops, told("incident.escalated", now - timedelta(minutes=2), title="Worse", severity="critical"), net)
    assert await firing() == ["Worse"]
    # A clock of ours that is half a minute ahead changes nothing.
    await send(ops, told("incident.resolved", now + timedelta(seconds=30)), net)
    async with asyncio.timeout(20):
        while await firing():
            await asyncio.sleep(0.1)
    await send(ops, told("incident.reopened", now), net)
    assert await firing() == ["Shop is down: HTTP 503"]
    await send(ops, of("test", at=now), net)
    assert sorted(await firing()) == ["Shop is down: HTTP 503", "Test message for Ops"]
