"""apprise: what it sends arrives, and every connection, file and program is judged before it happens."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_channel
from needs import require
from notifiers.samples import EVENTS, many, of
from notifiers.sinks import always, http_sink
from tocsin.core.alert import Channel
from tocsin.core.shape import hide, read
from tocsin.errors import DeliveryFailed, EgressRefused, Invalid
from tocsin.net import Egress, Net
from tocsin.notifiers import send
from tocsin.notifiers.apprise import Config


@pytest.fixture(autouse=True)
def _apprise() -> None:
    require("apprise", importlib.util.find_spec("apprise"))


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that our log would write at its most talkative."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def channel(url: str) -> Channel:
    return a_channel(type="apprise", config={"url": url})


@pytest.mark.parametrize("event", EVENTS)
async def test_each_event_is_taken(net: Net, event: str) -> None:
    async with http_sink(always(200)) as sink:
        receipt = await send(channel(f"json://127.0.0.1:{sink.port}/hook"), of(event), net)
    said = sink.requests[0].json
    assert receipt.detail == "taken by Apprise"
    assert (said["title"], said["type"]) == (
        of(event).title, {"incident.resolved": "success", "test": "info"}.get(event, "failure"),
    )  # fmt: skip
    assert said["message"].endswith(": https://watch.example/incidents/i1")


async def test_a_digest_names_as_many_as_fit(net: Net) -> None:
    async with http_sink(always(200)) as sink:
        await send(channel(f"json://127.0.0.1:{sink.port}/"), of("digest", items=many(900)), net)
    text = sink.requests[0].json["message"]
    shown = text.count("\n• ")
    assert 40 < shown < 900
    assert f"\nand {900 - shown} more\n" in text


async def test_a_refusal_may_be_tried_again_and_names_no_secret(net: Net, written: io.StringIO) -> None:
    async with http_sink(always(503)) as sink:
        with pytest.raises(DeliveryFailed, match=r"Apprise: .*503") as failed:
            await send(channel(f"json://canary1:canary2@127.0.0.1:{sink.port}/canary3?+x=canary4"), of("test"), net)
    assert not failed.value.permanent
    assert "canary" not in str(failed.value) + written.getvalue()


async def test_what_apprise_does_not_know_fails_for_good(net: Net) -> None:
    for url in ("nosuchthing://canary", "json://", "tgram://"):
        with pytest.raises(DeliveryFailed) as failed:
            await send(channel(url), of("test"), net)
        assert failed.value.permanent
        assert "canary" not in str(failed.value)


@pytest.mark.parametrize("scheme", ["json", "xml", "form", "gotify", "ntfy", "matrix", "mailto", "rsyslog", "irc"])
async def test_no_service_reaches_what_the_operator_forbids(scheme: str) -> None:
    async with Net(egress=Egress("public")) as public, http_sink(always(200)) as sink:
        url = f"{scheme}://user:pass@127.0.0.1:{sink.port}/token?from=a@example.org&to=b@example.org&smtp=127.0.0.1"
        with pytest.raises(DeliveryFailed) as failed:
            await send(channel(url), of("test"), public)
        assert failed.value.permanent
        assert sink.requests == []


async def test_a_name_is_judged_by_its_address_and_a_redirect_too() -> None:
    async with http_sink(always(200)) as own:
        egress = Egress("private", [(None, own.port)])
        async with (
            Net(egress=egress) as guarded,
            http_sink(always(307, Location=f"http://localhost:{own.port}/")) as sink,
        ):
            for url in (f"json://localhost:{own.port}/", f"json://127.0.0.1:{sink.port}/"):
                with pytest.raises(DeliveryFailed, match="of this server itself") as failed:
                    await send(channel(url), of("test"), guarded)
                assert failed.value.permanent
        assert own.requests == []
        assert len(sink.requests) == 1


async def test_no_file_of_this_machine_is_read(net: Net, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"canary": 1}')
    async with http_sink(always(200)) as sink:
        url = f"workflows://127.0.0.1:{sink.port}/workflow/signature?template={secret}"
        with pytest.raises(DeliveryFailed, match="open a file") as failed:
            await send(channel(url), of("test"), net)
    assert failed.value.permanent
    assert all(b"canary" not in request.body for request in sink.requests)


async def test_silence_ends_at_the_deadline(net: Net) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DeliveryFailed, match="not delivered within 1 s") as failed:
            await send(channel(f"json://127.0.0.1:{port}/"), of("test"), net, deadline_s=1)
    assert not failed.value.permanent


async def test_what_may_be_done_elsewhere_may_not_be_done_in_a_guarded_thread(net: Net, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    for work in (
        lambda: Path("/etc/passwd").read_text(),
        link.read_text,
        lambda: (tmp_path / "new").write_text("x"),
        lambda: subprocess.run([sys.executable, "-c", ""], check=False),
        lambda: os.system("true"),
        lambda: os.open(tmp_path / "new", os.O_CREAT | os.O_WRONLY),
    ):
        with pytest.raises(EgressRefused, match="which a channel may not"):
            await net.guarded.run(work)
        assert not (tmp_path / "new").exists()
    assert "root" in await asyncio.to_thread(Path("/etc/passwd").read_text)
    assert await net.guarded.run(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        await net.guarded.run(lambda: 1 // 0)


@pytest.mark.parametrize(
    "url",
    [
        "syslog://",
        "syslog://_/",
        "file:///etc/passwd",
        "exec://x",
        "dbus://x",
        "MQTT://h/t",
        "xmpps://u:p@h",
        "no url",
        "json://a b",
    ],
)
def test_what_cannot_be_judged_is_refused_when_it_is_saved(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(Config, {"url": url})
    assert [p.field for p in refused.value.problems] == ["url"]
    assert hide(Config, {"url": url}) == {"url": "***"}
