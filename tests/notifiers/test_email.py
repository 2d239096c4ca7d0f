"""email: a real mail server takes it, in the clear, over TLS, with a password, and refuses it in every way it can."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_channel, a_message
from notifiers.samples import many, of
from notifiers.sinks import Mailbox, a_server_context, mail_sink
from tocsin.core import shape
from tocsin.core.wording import one_line
from tocsin.errors import DeliveryFailed, Invalid
from tocsin.net import Net
from tocsin.notifiers import Receipt, send
from tocsin.notifiers.email import Config, _in_session, mail_of, read_url
from tocsin.secret import Secret


async def deliver(net: Net, server: str, to: Any = "ann@example.org", **message: Any) -> Receipt:
    channel = a_channel(type="email", config={"to": to, "smtp_url": server})
    return await send(channel, a_message(**message), net)


def parsed(box: Mailbox) -> EmailMessage:
    (envelope,) = box.mails
    made = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    return made


@asynccontextmanager
async def a_rude_server(taken: list[bytes], *, stays: bool = False) -> AsyncIterator[int]:
    """A mail server without any extension, which hangs up where it should say goodbye, or stays and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            taken.append(line)
            if line.startswith(b"QUIT"):
                if stays:
                    await reader.read()
                break
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                taken.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_mail_arrives_in_plain_text_and_html(net: Net) -> None:
    key = "0123456789abcdef0123456789abcdef"
    async with mail_sink(Mailbox()) as box:
        url = f"smtp://127.0.0.1:{box.port}?from=tocsin@watch.example"
        receipt = await deliver(
            net, url, ["ann@example.org", "bob@example.org"], key=key, title="Größe is down: <b>",
            text="One & two.\nThree.", url="https://watch.example/incidents/i?a=1&b=2",
        )  # fmt: skip
    mail = parsed(box)
    assert receipt.detail == "OK taken as 42"
    assert box.mails[0].rcpt_tos == ["ann@example.org", "bob@example.org"]
    assert box.mails[0].mail_from == "tocsin@watch.example"
    assert (mail["Subject"], mail["Message-ID"]) == ("Größe is down: <b>", f"<{key}@watch.example>")
    assert mail["References"] == "<incident.i@watch.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert "One & two.\r\nThree." in plain.get_content()
    assert key in plain.get_content()
    assert "One &amp; two.<br>" in rich.get_content()
    assert '<a href="https://watch.example/incidents/i?a=1&amp;b=2">' in rich.get_content()
    assert "<b>" not in rich.get_content()
    assert box.mails[0].content.isascii()


async def test_acknowledging_is_a_link_to_press(net: Net) -> None:
    url = "https://watch.example/acknowledge/a&b"
    async with mail_sink(Mailbox()) as box:
        server = f"smtp://127.0.0.1:{box.port}"
        await deliver(net, server, text=f"Down.\nAcknowledge: {url}", acknowledge_url=url)
    plain, rich = parsed(box).get_body(("plain",)), parsed(box).get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert f"Acknowledge: {url}" in plain.get_content()
    pressed = '<a href="https://watch.example/acknowledge/a&amp;b"><strong>Acknowledge</strong></a>'
    assert f"Down.<br>\r\n{pressed}" in rich.get_content()


async def test_the_operators_mail_server_stands_in(net: Net) -> None:
    async with mail_sink(Mailbox()) as box:
        channel = a_channel(type="email", config={"to": "ann@example.org", "from": "me@example.org"})
        await send(channel, a_message(), net, smtp_url=Secret(f"smtp://127.0.0.1:{box.port}?from=op@example.org"))
    assert box.mails[0].mail_from == "me@example.org"


async def test_starttls_is_used_when_it_is_offered(net: Net, tmp_path: Path) -> None:
    async with mail_sink(Mailbox(), tls=a_server_context(tmp_path), password="p@ss w") as box:
        await deliver(net, f"smtp://ann:p%40ss%20w@127.0.0.1:{box.port}?verify=no")
    assert (box.secure, box.logins) == ([True], [(b"ann", b"p@ss w")])


async def test_tls_from_the_start(net: Net, tmp_path: Path) -> None:
    async with mail_sink(Mailbox(), tls=a_server_context(tmp_path), from_start=True) as box:
        await deliver(net, f"smtps://127.0.0.1:{box.port}?verify=no")
    assert box.secure == [True]


@pytest.mark.parametrize("from_start", [False, True])
async def test_a_certificate_nobody_vouches_for_is_not_accepted(net: Net, tmp_path: Path, from_start: bool) -> None:
    async with mail_sink(Mailbox(), tls=a_server_context(tmp_path), from_start=from_start, password="pw") as box:
        scheme = "smtps" if from_start else "smtp"
        with pytest.raises(DeliveryFailed, match="certificate") as failed:
            await deliver(net, f"{scheme}://ann:pw@127.0.0.1:{box.port}")
    assert not failed.value.permanent
    assert (box.mails, box.logins) == ([], [])


async def test_tls_can_be_required(net: Net) -> None:
    async with mail_sink(Mailbox()) as box:
        with pytest.raises(DeliveryFailed, match="offers no encryption") as failed:
            await deliver(net, f"smtp://127.0.0.1:{box.port}?tls=required")
    assert failed.value.permanent
    assert box.mails == []


async def test_a_password_on_this_machine_needs_no_encryption(net: Net) -> None:
    async with mail_sink(Mailbox(), password="pw") as box:
        await deliver(net, f"smtp://ann:pw@127.0.0.1:{box.port}")
    assert box.logins == [(b"ann", b"pw")]


@pytest.mark.parametrize("asked", ["", "?tls=off"])
async def test_a_password_goes_over_the_net_in_the_clear_only_when_asked_to(asked: str) -> None:
    async with mail_sink(Mailbox(), password="pw") as box:
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=box.port, start_tls=False, local_hostname="localhost")
        await smtp.connect()
        server = read_url(f"smtp://ann:pw@mail.example{asked}")
        mail = mail_of(Config(to="ann@example.org"), a_message(), server)
        if asked:
            await _in_session(smtp, mail, ("ann@example.org",), server)
        else:
            with pytest.raises(DeliveryFailed, match="not sent in the clear") as failed:
                await _in_session(smtp, mail, ("ann@example.org",), server)
            assert failed.value.permanent
        await smtp.quit()
    assert len(box.logins) == len(box.mails) == (1 if asked else 0)


def test_only_loopback_is_this_machine() -> None:
    assert read_url("smtp://ann:pw@localhost").on_this_machine
    assert read_url("smtp://ann:pw@[::1]").on_this_machine
    assert not read_url("smtp://ann:pw@mail.example").on_this_machine


async def test_a_wrong_password_fails_for_good_and_is_not_repeated(net: Net) -> None:
    async with mail_sink(Mailbox(), password="right") as box:
        with pytest.raises(DeliveryFailed, match="535") as failed:
            await deliver(net, f"smtp://ann:wr0ng@127.0.0.1:{box.port}")
    assert failed.value.permanent
    assert "wr0ng" not in str(failed.value)


async def test_a_server_that_knows_no_passwords_cannot_be_signed_in_to(net: Net) -> None:
    async with a_rude_server([]) as port:
        with pytest.raises(DeliveryFailed, match="takes no user name and password") as failed:
            await deliver(net, f"smtp://ann:pw@127.0.0.1:{port}")
    assert failed.value.permanent


async def test_a_wrong_url_of_the_operator_is_named_without_its_password(net: Net) -> None:
    channel = a_channel(type="email", config={"to": "ann@example.org"})
    with pytest.raises(DeliveryFailed, match="unknown option 'form'") as failed:
        await send(channel, a_message(), net, smtp_url=Secret("smtp://ann:s3cret@mail.example?form=x"))
    assert failed.value.permanent
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("smtp://mail.example", "tocsin@mail.example"),
        ("smtp://127.0.0.1", "tocsin@localhost"),
        ("smtp://ann%40example.org:pw@mail.example", "ann@example.org"),
        ("smtp://mail.example?from=op@example.org", "op@example.org"),
    ],
)
def test_a_mail_always_has_a_sender(url: str, sender: str) -> None:
    mail = mail_of(Config(to="ann@example.org"), a_message(incident=None), read_url(url))
    assert mail["From"] == sender
    assert mail["References"] is None


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [("451 come back later", False), ("421 too busy", False), ("550 no such place", True), ("554 spam", True)],
)
async def test_4xx_may_pass_and_5xx_is_for_good(net: Net, answer: str, permanent: bool) -> None:
    async with mail_sink(Mailbox(after_data=answer)) as box:
        with pytest.raises(DeliveryFailed, match=answer) as failed:
            await deliver(net, f"smtp://127.0.0.1:{box.port}")
    assert failed.value.permanent is permanent


@pytest.mark.parametrize(
    ("answers", "permanent"),
    [(("550 unknown", "550 unknown"), True), (("450 greylisted", "550 unknown"), False)],
)
async def test_when_every_recipient_is_refused(net: Net, answers: tuple[str, str], permanent: bool) -> None:
    refuse = {"ann@example.org": answers[0], "bob@example.org": answers[1]}
    async with mail_sink(Mailbox(refuse=refuse)) as box:
        with pytest.raises(DeliveryFailed, match="every recipient was refused") as failed:
            await deliver(net, f"smtp://127.0.0.1:{box.port}", "ann@example.org, bob@example.org")
    assert failed.value.permanent is permanent


async def test_one_refused_recipient_does_not_keep_it_from_the_others(net: Net) -> None:
    async with mail_sink(Mailbox(refuse={"ann@example.org": "550 unknown"})) as box:
        receipt = await deliver(net, f"smtp://127.0.0.1:{box.port}", "ann@example.org, bob@example.org")
    assert box.mails[0].rcpt_tos == ["bob@example.org"]
    assert "refused: ann@example.org (550 unknown)" in receipt.detail


async def test_a_server_that_never_says_goodbye_has_the_mail_all_the_same(net: Net) -> None:
    taken: list[bytes] = []
    async with a_rude_server(taken) as port:
        receipt = await deliver(net, f"smtp://127.0.0.1:{port}")
    assert receipt.detail == "ok"
    assert taken[-1] == b"QUIT\r\n"


async def test_a_parting_that_outlasts_the_deadline_takes_nothing_back(net: Net) -> None:
    taken: list[bytes] = []
    async with a_rude_server(taken, stays=True) as port:
        config = {"to": "ann@example.org", "smtp_url": f"smtp://127.0.0.1:{port}"}
        receipt = await send(a_channel(type="email", config=config), a_message(), net, deadline_s=1)
    assert receipt.detail == "ok"
    assert taken[-1] == b"QUIT\r\n"


async def test_nobody_there_may_be_tried_again(net: Net) -> None:
    async with mail_sink(Mailbox()) as box:
        port = box.port
    with pytest.raises(DeliveryFailed, match="refused") as failed:
        await deliver(net, f"smtp://127.0.0.1:{port}")
    assert not failed.value.permanent


@pytest.mark.parametrize(
    "to",
    ["", "ann", "ann@", "@example.org", "ann@example.org\r\nBcc: eve@example.org", "ann@example.org\nx",
     "a b@example.org", "Ann <ann@example.org>", ["ann@example.org", "x"], [],
     ",".join(f"a{n}@example.org" for n in range(51))],
)  # fmt: skip
def test_recipients_are_addresses_and_nothing_else(to: Any) -> None:
    with pytest.raises(Invalid) as refused:
        shape.read(Config, {"to": to})
    assert {p.field.partition("[")[0] for p in refused.value.problems} == {"to"}


@pytest.mark.parametrize(
    "url",
    ["http://mail.example", "smtp://", "mail.example:25", "smtp://mail.example:99999", "smtp://mail.example?form=a@b.example",
     "smtp://mail.example?tls=maybe", "smtp://mail.example?from=a%0d%0aX:y@b.example", "smtp://a%0d%0aRSET:b@mail.example",
     "smtp://mail.example\r\n"],
)  # fmt: skip
def test_a_mail_server_url_that_makes_no_sense_is_refused_unseen(url: str) -> None:
    with pytest.raises(ValueError, match=r"it|tls|from"):
        read_url(url)
    with pytest.raises(Invalid) as refused:
        shape.read(Config, {"to": "ann@example.org", "smtp_url": url})
    assert [(p.field, p.found) for p in refused.value.problems] == [("smtp_url", "***")]


@pytest.mark.parametrize(
    ("url", "port", "from_start", "user", "password"),
    [
        ("smtp://mail.example", 25, False, "", ""),
        ("smtp://ann:pw@mail.example", 587, False, "ann", "pw"),
        ("smtps://ann:p%3Aw@mail.example", 465, True, "ann", "p:w"),
        ("smtp://[::1]:2525", 2525, False, "", ""),
    ],
)
def test_what_a_mail_server_url_says(url: str, port: int, from_start: bool, user: str, password: str) -> None:
    server = read_url(url)
    assert (server.port, server.tls_from_start, server.user, server.password) == (port, from_start, user, password)


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.text(st.characters(codec="utf-8"), max_size=300))
def test_nothing_in_a_message_becomes_a_header(title: str, text: str) -> None:
    config = Config(to="ann@example.org")
    made = mail_of(config, a_message(title=title, text=text), read_url("smtp://mail.example"))
    wire = made.as_bytes()
    read = email.message_from_bytes(wire, policy=email.policy.default)
    names = {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "In-Reply-To",
        "References",
        "MIME-Version",
        "Content-Type",
    }
    assert set(read.keys()) <= names
    assert len(read.keys()) == len(set(read.keys()))
    assert wire.isascii()


def test_secrets_are_hidden_when_it_is_read_back() -> None:
    data = {"to": "ann@example.org", "smtp_url": "smtp://ann:pw@mail.example", "from": "me@example.org"}
    assert shape.hide(Config, data) == data | {"smtp_url": "***"}


async def test_a_digest_names_all_of_them(net: Net) -> None:
    async with mail_sink(Mailbox()) as box:
        channel = a_channel(
            type="email",
            config={"to": "ann@example.org", "smtp_url": f"smtp://127.0.0.1:{box.port}?from=t@example.org"},
        )
        await send(channel, of("digest", items=many(500)), net)
    plain, rich = parsed(box).get_body(("plain",)), parsed(box).get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert plain.get_content().count("\n- Monitor <") == 500
    assert rich.get_content().count('<li><a href="https://watch.example/incidents/i1/') == 500
    assert "Monitor &lt;7&gt; &amp; Co is down" in rich.get_content()
    assert "Open the incidents: https://watch.example/incidents/i1" in plain.get_content()


LONG = "Shop is down: " + "y" * 80 + " where 200–299 was expected, “Café” says “Store” – over and over again"


@pytest.mark.parametrize("title", ["x" * 120, f"https://example.org/{'p' * 100} is down", LONG, "y" + LONG[1:50]])
async def test_a_long_subject_arrives_with_the_spaces_that_it_has(net: Net, title: str) -> None:
    async with mail_sink(Mailbox()) as box:
        await deliver(net, f"smtp://127.0.0.1:{box.port}?from=t@example.org", title=title)
    assert parsed(box)["Subject"] == title


WORDS = st.sampled_from(
    ["Shop", "down:", "“Store”", "Größe", "–", "x" * 70, "y" * 90, "200–299", "=?utf-8?q?a?=", "💥"]
)


@given(st.lists(WORDS | st.text(max_size=40), min_size=1, max_size=30))
def test_every_subject_can_be_read_again_and_no_line_is_long_that_could_be_short(words: list[str]) -> None:
    title = one_line(" ".join(words), 200)
    server = read_url("smtp://mail.example")
    raw = mail_of(Config(to="ann@example.org"), a_message(title=title), server).as_bytes(policy=email.policy.SMTP)
    assert email.message_from_bytes(raw, policy=email.policy.default)["Subject"] == title
    head = raw.partition(b"\r\nDate:")[0].split(b"\r\nSubject:")[1]
    assert head.startswith(b" ")
    assert all(len(line) <= 76 or line.count(b" ") == 1 for line in head.split(b"\r\n"))
