"""The registry and `send`: whatever happens, one Receipt or one DeliveryFailed."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest

from builders import a_channel, a_message
from notifiers.sinks import always, http_sink
from tocsin import notifiers
from tocsin.core import shape
from tocsin.core.alert import Template
from tocsin.errors import DeliveryFailed, NotFound
from tocsin.net import Egress, Net
from tocsin.net.http import HttpReply
from tocsin.notifiers import Receipt, send, webhook
from tocsin.notifiers._post import judge, retry_after_s


def test_every_kind_has_a_form_and_a_line() -> None:
    for name in notifiers.names():
        kind = notifiers.kind(name)
        assert kind.name == name
        assert kind.label
        assert shape.schema(kind.config)["type"] == "object"
        assert all(f.help for f in shape.fields(kind.config))


def test_a_kind_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="there is no notifier 'pigeon'"):
        notifiers.kind("pigeon")


@pytest.mark.parametrize(
    ("type_", "config", "said"),
    [
        ("pigeon", {}, "there is no notifier"),
        ("webhook", {}, "configuration is wrong: url"),
        ("webhook", {"url": "http://127.0.0.1:1", "uri": "x"}, "did you mean"),
        ("email", {"to": "ann@example.org"}, "no mail server is configured: the operator can set TOCSIN_SMTP_URL"),
    ],
)
async def test_a_channel_that_cannot_work_fails_for_good(
    net: Net, type_: str, config: dict[str, object], said: str
) -> None:
    with pytest.raises(DeliveryFailed, match=said) as failed:
        await send(a_channel(type=type_, config=config), a_message(), net)
    assert failed.value.permanent


async def test_nobody_there_may_be_tried_again(net: Net) -> None:
    async with http_sink(always(204)) as sink:
        url = sink.url
    with pytest.raises(DeliveryFailed, match="refused") as failed:
        await send(a_channel(config={"url": url}), a_message(), net)
    assert not failed.value.permanent


async def test_silence_ends_at_the_deadline(net: Net) -> None:
    async with http_sink(None) as sink:
        with pytest.raises(DeliveryFailed, match=r"no result within 0\.18 s|not delivered within 0\.2 s") as failed:
            await send(a_channel(config={"url": sink.url}), a_message(), net, deadline_s=0.2)
    assert not failed.value.permanent


async def test_an_answer_whose_body_never_ends_still_says_whether_it_was_taken(net: Net) -> None:
    """The other side acted when it had answered: waiting for its last words must not send the message again."""

    async def said(status: int) -> str | bool:
        """What the receipt says, or whether the failure is permanent."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 100\r\nLocation: /again\r\n\r\nso far".encode())
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
            try:
                return (await send(a_channel(config={"url": url}), a_message(), net, deadline_s=4)).detail
            except DeliveryFailed as failed:
                return failed.permanent

    answers = await asyncio.gather(*(said(status) for status in (200, 404, 503, 307, 103)))
    assert answers == ["HTTP 200: so far", True, False, False, False]


async def test_an_address_that_the_operator_forbids_is_not_contacted() -> None:
    async with Net(egress=Egress("public")) as public, http_sink(always(204)) as sink:
        with pytest.raises(DeliveryFailed, match="loopback") as failed:
            await send(a_channel(config={"url": sink.url}), a_message(), public)
        assert failed.value.permanent
        assert sink.requests == []


async def test_a_late_message_says_how_late(net: Net) -> None:
    async with http_sink(always(200, b"ok")) as sink:
        channel = a_channel(type="slack", config={"url": sink.url})
        await send(channel, a_message(late_s=848.0), net)
    assert "Sent 14 min 8 s late." in sink.requests[0].body.decode()


async def test_a_fault_of_our_own_is_no_reason_to_give_up(net: Net) -> None:
    async with http_sink(always(204)) as sink:
        with pytest.raises(DeliveryFailed, match="failed inside Tocsin: TypeError") as failed:
            await send(a_channel(config={"url": sink.url}), a_message(monitor={"id": object()}), net)
    assert not failed.value.permanent


# What an answer means


def a_reply(status: int, body: bytes = b"", **headers: str) -> HttpReply:
    return HttpReply(status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}, body=body)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert judge(a_reply(status, b"fine\n")) == Receipt(f"HTTP {status}: fine")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        judge(a_reply(status, retry_after="7"))
    assert (failed.value.permanent, failed.value.retry_after_s) == (False, 7.0)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 410, 413, 422])
def test_a_refusal_is_for_good(status: int) -> None:
    with pytest.raises(DeliveryFailed, match=f"HTTP {status}") as failed:
        judge(a_reply(status))
    assert failed.value.permanent


@pytest.mark.parametrize(
    ("reply", "wait"),
    [
        (a_reply(429, retry_after="30"), 30.0),
        (a_reply(429, retry_after="0.5"), 0.5),
        (a_reply(429, retry_after="99999999"), 3600.0),
        (a_reply(429, retry_after="-3"), None),
        (a_reply(429, retry_after="soon"), None),
        (a_reply(429, retry_after="²"), None),
        (a_reply(429, b'{"retry_after": 1.25, "global": false}'), 1.25),
        (a_reply(429, b'{"retry_after": true}'), None),
        (a_reply(429, b'{"retry_after": 1' + b"0" * 400 + b"}"), 3600.0),
        (a_reply(429, b"[1]"), None),
        (a_reply(429, b"\xff{"), None),
        (a_reply(503, retry_after="Sun, 01 Mar 2026 12:02:00 GMT", date="Sun, 01 Mar 2026 12:00:30 GMT"), 90.0),
        (a_reply(503, retry_after="Sun, 01 Mar 2026 12:00:00 GMT", date="Sun, 01 Mar 2026 12:00:30 GMT"), 0.0),
        (a_reply(503, retry_after="Sun, 01 Mar 2026 12:02:00 GMT"), None),
        (a_reply(503), None),
    ],
)
def test_what_the_other_side_asks_for_is_understood(reply: HttpReply, wait: float | None) -> None:
    assert retry_after_s(reply) == wait


def test_secrets_do_not_come_back_in_what_we_say() -> None:
    with pytest.raises(DeliveryFailed) as failed:
        judge(a_reply(404, b"no hook at https://x.example/s3cret"), secrets=("https://x.example/s3cret", ""))
    assert str(failed.value) == "HTTP 404: no hook at ***"


# A channel's own words


async def test_a_channel_speaks_in_its_own_words_and_each_kind_escapes_them(net: Net) -> None:
    own = Template(title="{{ monitor.name }} <b>!</b>", text="{{ reason }} & {{ incident.severity }}")
    async with http_sink(always(200, b"ok")) as sink:
        channel = a_channel(type="slack", config={"url": sink.url}, template=own)
        receipt = await send(channel, a_message(reason="<refused>", late_s=848.0), net)
    said = sink.requests[0].json
    assert said["text"] == "Shop &lt;b&gt;!&lt;/b&gt;"
    text = said["attachments"][0]["blocks"][0]["text"]["text"]
    assert text == "&lt;refused&gt; &amp; critical\nSent 14 min 8 s late."
    assert receipt.note == ""


async def test_a_template_that_fails_is_left_aside_and_the_receipt_says_so(net: Net) -> None:
    async with http_sink(always(204)) as sink:
        channel = a_channel(config={"url": sink.url}, template=Template(text="{{ items[0].title }}"))
        receipt = await send(channel, a_message(title="Ours"), net)
    assert sink.requests[0].json["title"] == "Ours"
    assert receipt.detail == f"HTTP 204; {receipt.note}"
    assert receipt.note.startswith("sent in Tocsin's own words, because the channel's template failed: template.text: ")


def test_a_kind_says_itself_that_it_gathers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one that does is a file and a line of the registry; nothing else knows their names."""
    assert {name for name in notifiers.names() if notifiers.groups(name)} == {"pagerduty", "opsgenie", "alertmanager"}
    toy = ModuleType("toy")
    vars(toy).update(Config=webhook.Config, send=webhook.send, GROUPED=True)
    monkeypatch.setitem(sys.modules, "toy", toy)
    monkeypatch.setitem(notifiers.REGISTRY, "toy", "toy")
    assert notifiers.groups("toy")
    assert not notifiers.groups("gone")
