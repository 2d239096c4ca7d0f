"""tls: from the start and after STARTTLS; certificates with every fault, and servers that do not offer TLS."""

# ruff: noqa: E501

from __future__ import annotations

import ssl
from typing import Any

import pytest

import hostile
from checks.looking import look, why
from hostile import Identity, Script, Talk, authority, issue, serving


async def quiet(talk: Talk) -> None:
    await talk.hang()


async def up(talk: Talk, made: Identity) -> None:
    """Speak TLS from here on."""
    await talk.writer.start_tls(made.context())
    await talk.hang()


def smtp(
    offers: bytes = b"250-me\r\n250 STARTTLS\r\n",
    answer: bytes = b"220 go\r\n",
    banner: bytes = b"220-me\r\n220 hi\r\n",
) -> Any:
    async def script(talk: Talk, made: Identity) -> None:
        await talk.send(banner)
        assert (await talk.reader.readline()).startswith(b"EHLO ")
        await talk.send(offers)
        await talk.reader.readline()
        await talk.send(answer)
        if answer.startswith(b"220"):
            await up(talk, made)

    return script


def lines(banner: bytes, asked: bytes, answer: bytes, good: bytes) -> Any:
    async def script(talk: Talk, made: Identity) -> None:
        await talk.send(banner)
        assert await talk.reader.readline() == asked
        await talk.send(answer)
        if good in answer:
            await up(talk, made)

    return script


def binary(size: int, answer: bytes, good: bool = True) -> Any:
    async def script(talk: Talk, made: Identity) -> None:
        await talk.reader.readexactly(size)
        await talk.send(answer)
        if good:
            await up(talk, made)

    return script


IMAP = (b"t1 STARTTLS\r\n", b"t1 OK")
LDAP_OK = bytes.fromhex("300c02010178070a010004000400")
LDAP_NO = bytes.fromhex("300c02010178070a013404000400")
GOOD = {
    "smtp": smtp(),
    "imap": lines(b"* OK hi\r\n", b"t1 STARTTLS\r\n", b"* CAPABILITY\r\nt1 OK go\r\n", b"t1 OK"),
    "pop3": lines(b"+OK hi\r\n", b"STLS\r\n", b"+OK go\r\n", b"+OK"),
    "postgres": binary(8, b"S"),
    "ldap": binary(31, LDAP_OK),
}
BAD = [
    ("smtp", smtp(offers=b"250 me\r\n"), "does not offer STARTTLS"), ("smtp", smtp(answer=b"454 later\r\n"), "found 454 later"),
    ("smtp", smtp(banner=b"554 go away\r\n"), "found 554 go away"), ("smtp", smtp(banner=b"SSH-2.0-x\r\n"), "expected an SMTP reply"),
    ("imap", lines(b"* OK hi\r\n", b"t1 STARTTLS\r\n", b"t1 BAD no\r\n", b"t1 OK"), "expected OK to STARTTLS"),
    ("imap", lines(b"220 hi\r\n", b"", b"", b"t1 OK"), "expected an IMAP greeting"),
    ("pop3", lines(b"+OK hi\r\n", b"STLS\r\n", b"-ERR no\r\n", b"+OK"), "expected +OK to STLS"),
    ("pop3", lines(b"-ERR no\r\n", b"", b"", b"+OK"), "expected a POP3 greeting"),
    ("postgres", binary(8, b"N", False), "does not offer TLS"), ("postgres", binary(8, b"E", False), "expected S or N"),
    ("ldap", binary(31, LDAP_NO, False), "result 52"), ("ldap", binary(31, b"HTTP/1.1 400", False), "expected an LDAP message"),
    ("ldap", binary(31, bytes.fromhex("3003020105"), False), "expected an extended response"),
]  # fmt: skip


def with_cert(script: Any, made: Identity) -> Script:
    async def run(talk: Talk) -> None:
        try:
            await script(talk, made)
        except (ssl.SSLError, ConnectionError, AssertionError):
            return

    return run


async def test_a_good_certificate_is_up_with_its_facts():
    made = issue("127.0.0.1", by=authority(), days=20)
    async with serving(quiet, read=False, tls=made.context()) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, ca_file=authority().pem)
    assert why(outcome) == ("up", "", None)
    facts = outcome.seen.tls
    assert facts is not None
    assert facts.verified
    assert facts.protocol == "TLSv1.3"
    assert facts.days_left == pytest.approx(20, abs=0.1)
    assert outcome.seen.timing.tls is not None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: issue("127.0.0.1", by=authority(), days=-3), "expired 3 days ago"),
        (lambda: issue("127.0.0.1", by=authority(), from_days=2), "not valid yet"),
        (lambda: issue("other.example", by=authority()), "not 127.0.0.1"),
        (lambda: issue("127.0.0.1"), "self-signed"),
    ],
)
async def test_a_bad_certificate_is_down_and_its_facts_are_there(make: Any, says: str):
    made: Identity = make()
    async with serving(quiet, read=False, tls=made.context()) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, ca_file=authority().pem)
        unverified = await look("tls", host="127.0.0.1", port=server.port, verify_tls=False)
    assert why(outcome) == ("down", "tls", "tls")
    assert says in str(outcome.error)
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.not_after == made.cert.not_valid_after_utc
    assert not outcome.seen.tls.verified
    assert outcome.seen.timing.tls is not None
    assert why(unverified) == ("up", "", None)
    assert unverified.seen.tls is not None
    assert not unverified.seen.tls.verified


async def test_a_certificate_that_is_trusted_itself_is_not_called_self_signed():
    """It is only for another host."""
    made = issue("other.example")
    async with serving(quiet, read=False, tls=made.context()) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, ca_file=made.pem)
    assert why(outcome) == ("down", "tls", "tls")
    assert outcome.error is not None
    assert outcome.error.message == "certificate is for other.example, not 127.0.0.1"


async def test_few_days_left_degrade():
    made = issue("127.0.0.1", by=authority(), days=5)
    rule = {"type": "certificate_days", "op": "gte", "value": 14, "on_fail": "degrade"}
    async with serving(quiet, read=False, tls=made.context()) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, ca_file=authority().pem, rules=[rule])
    assert why(outcome)[:2] == ("degraded", "assertion")


async def test_what_does_not_speak_tls():
    async def plain(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(plain, read=False) as server:
        assert why(await look("tls", host="127.0.0.1", port=server.port)) == ("down", "tls", "tls")
    assert why(await look("tls", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"
    async with serving(quiet, read=False) as server:
        assert why(await look("tls", host="127.0.0.1", port=server.port, timeout_s=0.3)) == ("down", "timeout", "tls")


@pytest.mark.parametrize("protocol", sorted(GOOD))
async def test_after_starttls(protocol: str):
    made = issue("127.0.0.1", by=authority())
    async with serving(with_cert(GOOD[protocol], made), read=False) as server:
        target: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "starttls": protocol}
        outcome = await look("tls", **target, ca_file=authority().pem)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        refused = await look("tls", **target)
        assert why(refused) == ("down", "tls", "tls")
        assert refused.seen.tls is not None
        assert refused.seen.tls.sans == ("127.0.0.1",)


@pytest.mark.parametrize(("protocol", "script", "says"), BAD)
async def test_a_server_that_does_not_begin_tls_is_down_with_protocol(protocol: str, script: Any, says: str):
    made = issue("127.0.0.1", by=authority())
    async with serving(with_cert(script, made), read=False) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, starttls=protocol, timeout_s=3)
    assert why(outcome)[:2] == ("down", "protocol"), outcome.error
    assert says in str(outcome.error)


async def test_words_smuggled_in_before_the_handshake_are_refused():
    async def script(talk: Talk) -> None:
        await talk.send(b"220 hi\r\n")
        await talk.reader.readline()
        await talk.send(b"250 STARTTLS\r\n")
        await talk.reader.readline()
        await talk.send(b"220 go\r\n250 injected\r\n")
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, starttls="smtp", timeout_s=2)
    assert why(outcome) == ("down", "protocol", "tls")


async def test_a_chain_that_ends_before_the_leaf_is_what_counts() -> None:
    above = issue("Short Authority", by=authority(), authority=True, days=5)
    beside = issue("Old Root", authority=True, days=-3)
    leaf = issue("127.0.0.1", by=above, days=80, send=(above.cert, beside.cert))
    rule = {"type": "certificate_days", "op": "gte", "value": 14, "on_fail": "degrade"}
    async with serving(hostile.good, tls=leaf.context(), read=False) as server:
        outcome = await look("tls", host="127.0.0.1", port=server.port, ca_file=authority().pem, rules=[rule])
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.verified
    assert round(outcome.seen.tls.days_left or 0) == 80
    assert outcome.seen.tls.chain_not_after == above.cert.not_valid_after_utc
    assert outcome.status == "degraded"
    assert outcome.assertions[0].actual < 6
