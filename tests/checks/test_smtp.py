"""smtp: a real server in process (aiosmtpd), and ones that turn us away, offer nothing, or answer nonsense."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from tocsin.checks.smtp import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


class Seen(Sink):
    """A sink that remembers whether mail came."""

    mails = 0

    async def handle_DATA(self, *_: Any) -> str:
        Seen.mails += 1
        return "250 ok"


def only_alice(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"alice", b"s3cret"), handled=False)


@contextlib.asynccontextmanager
async def mail_server(*, secure: bool = False, at_once: bool = False, **more: Any) -> AsyncIterator[int]:
    tls = issue("127.0.0.1", by=authority()).context()
    loop = asyncio.get_running_loop()

    def make() -> SMTP:
        return SMTP(Seen(), hostname="mail.test", loop=loop, tls_context=tls if secure else None, **more)

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls if at_once else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def test_a_mail_server_is_up_and_gets_no_mail():
    async with mail_server() as port:
        outcome = await look("smtp", host="127.0.0.1", port=port)
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["banner"].startswith("mail.test")
    assert any(x.startswith("SIZE") for x in outcome.seen.facts["offers"])
    assert outcome.seen.timing.ttfb is not None
    assert Seen.mails == 0


async def test_starttls_and_sign_in():
    async with mail_server(secure=True, authenticator=only_alice, auth_require_tls=True) as port:
        target: dict[str, Any] = {"host": "127.0.0.1", "port": port, "starttls": True, "ca_file": authority().pem}
        outcome = await look("smtp", **target, user="alice", password="s3cret")
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        assert outcome.seen.facts["signed_in"] is True
        wrong = await look("smtp", **target, user="alice", password="hunter2")
        assert why(wrong)[:2] == ("down", "protocol")
        assert "did not let the user in: 535" in str(wrong.error)
        assert "hunter2" not in str(wrong)
        untrusted = await look("smtp", host="127.0.0.1", port=port, starttls=True)
        assert why(untrusted) == ("down", "tls", "tls")


async def test_tls_from_the_start():
    async with mail_server(at_once=True) as port:
        outcome = await look("smtp", host="127.0.0.1", port=port, tls=True, ca_file=authority().pem)
    assert why(outcome) == ("up", "", None)


async def test_sign_in_by_login_words():
    async def script(talk: Talk) -> None:
        await talk.send(b"220 hi\r\n")
        await talk.reader.readline()
        await talk.send(b"250-me\r\n250 AUTH LOGIN\r\n")
        assert await talk.reader.readline() == b"AUTH LOGIN\r\n"
        await talk.send(b"334 VXNlcm5hbWU6\r\n")
        assert await talk.reader.readline() == b"YWxpY2U=\r\n"
        await talk.send(b"334 UGFzc3dvcmQ6\r\n")
        assert await talk.reader.readline() == b"czNjcmV0\r\n"
        await talk.send(b"235 ok\r\n")
        await talk.reader.readline()

    async with serving(script, read=False) as server:
        outcome = await look("smtp", host="127.0.0.1", port=server.port, user="alice", password="s3cret")
    assert why(outcome) == ("up", "", None)


async def test_starttls_that_is_not_offered_is_down():
    async with mail_server() as port:
        outcome = await look("smtp", host="127.0.0.1", port=port, starttls=True)
        assert why(outcome) == ("down", "protocol", "tls")
        assert "does not offer STARTTLS" in str(outcome.error)
        outcome = await look("smtp", host="127.0.0.1", port=port, user="a", password="b")
        assert why(outcome)[:2] == ("down", "protocol")


@pytest.mark.parametrize(
    ("said", "type_", "says"),
    [
        (b"554 no service\r\n", "protocol", "554 no service"), (b"421-busy\r\n421 later\r\n", "protocol", "421 busy later"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol", "expected an SMTP reply"), (b"", "protocol", "ended"), (b"x" * 9000, "protocol", "end of a line"),
        (b"220-" + b"a\r\n220-" * 200, "protocol", "more than 100 lines"), (b"220 hi\r\n502 what\r\n", "protocol", "expected 250 to EHLO"),
        ("22٣ hi\r\n".encode(), "protocol", "expected an SMTP reply"),
    ],
)  # fmt: skip
async def test_servers_that_turn_us_away(said: bytes, type_: str, says: str):
    async def script(talk: Talk) -> None:
        await talk.send(said)
        if said.startswith(b"220 "):
            await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("smtp", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", type_)
    assert says in str(outcome.error)


async def test_nobody_and_silence():
    assert why(await look("smtp", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("smtp", host="127.0.0.1", port=server.port, timeout_s=0.3)) == ("down", "timeout", "ttfb")


@pytest.mark.parametrize(
    ("data", "field"),
    [({"user": "a"}, "password"), ({"password": "a"}, "user"), ({"starttls": True, "tls": True}, "starttls"), ({"helo": "a b\r\n"}, "helo")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]
