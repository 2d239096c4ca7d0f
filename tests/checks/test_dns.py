"""dns: every record type against a server of our own, and servers that lie, truncate, or say nothing."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, RR, DNSRecord

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from tocsin.checks import dns
from tocsin.checks.dns import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid

ZONE = """
a.test. 300 A 192.0.2.1
a.test. 60 A 192.0.2.2
a.test. 300 AAAA 2001:db8::1
www.test. 300 CNAME a.test.
a.test. 300 MX 10 Mail.a.test.
a.test. 300 NS ns1.a.test.
a.test. 300 TXT "v=spf1 " "-all"
a.test. 300 SOA ns1.a.test. root.a.test. 1 2 3 4 5
_s._tcp.a.test. 300 SRV 1 2 443 a.test.
a.test. 300 CAA 0 issue "letsencrypt.org"
1.2.0.192.in-addr.arpa. 300 PTR a.test.
"""
Change = Callable[[DNSRecord, DNSRecord], "DNSRecord | bytes | None"]


def answer(raw: bytes, change: Change | None, stream: bool) -> bytes | None:
    asked = DNSRecord.parse(raw)
    name, kind = str(asked.q.qname).lower(), QTYPE[asked.q.qtype]
    reply = asked.reply()
    records = [r for r in RR.fromZone(ZONE) if str(r.rname).lower() == name]
    for record in records:
        if QTYPE[record.rtype] == kind:
            reply.add_answer(record)
    if not records:
        reply.header.rcode = RCODE.NXDOMAIN
    made: Any = reply if change is None or (stream and change is truncate) else change(asked, reply)
    return made.pack() if isinstance(made, DNSRecord) else made


@contextlib.asynccontextmanager
async def name_server(change: Change | None = None) -> AsyncIterator[str]:
    """UDP and TCP on one port; gives ADDRESS:PORT."""
    loop = asyncio.get_running_loop()

    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if (made := answer(data, change, False)) is not None:
                self.transport.sendto(made, addr)

    async with serving(lambda talk: stream(talk, change), read=False) as tcp:
        transport, _ = await loop.create_datagram_endpoint(Udp, local_addr=("127.0.0.1", tcp.port))
        try:
            yield f"127.0.0.1:{tcp.port}"
        finally:
            transport.close()


async def stream(talk: Talk, change: Change | None = None) -> None:
    size = int.from_bytes(await talk.reader.readexactly(2), "big")
    made = answer(await talk.reader.readexactly(size), change, True)
    if made is not None:
        await talk.send(len(made).to_bytes(2, "big") + made)


def truncate(asked: DNSRecord, reply: DNSRecord) -> bytes:
    reply.header.tc = 1
    return reply.pack()[:-7]


@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        ("a.test", "A", ["192.0.2.1", "192.0.2.2"]), ("A.Test.", "AAAA", ["2001:db8::1"]), ("www.test", "CNAME", ["a.test."]),
        ("a.test", "MX", ["10 Mail.a.test."]), ("a.test", "NS", ["ns1.a.test."]), ("a.test", "TXT", ["v=spf1 -all"]),
        ("a.test", "SOA", ["ns1.a.test. root.a.test. 1 2 3 4 5"]), ("_s._tcp.a.test", "SRV", ["1 2 443 a.test."]),
        ("a.test", "CAA", ['0 issue "letsencrypt.org"']), ("192.0.2.1", "PTR", ["a.test."]), ("1.2.0.192.in-addr.arpa", "PTR", ["a.test."]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_every_record_type(name: str, kind: str, answers: list[str], protocol: str):
    async with name_server() as server:
        outcome = await look(
            "dns", name=name, server=server, record_type=kind, protocol=protocol, expect=list(reversed(answers))
        )
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert facts["answers"] == answers
    assert (facts["rcode"], facts["protocol"], facts["authenticated"]) == ("NOERROR", protocol, False)
    assert outcome.seen.timing.ttfb is not None


async def test_a_wrong_answer_names_both():
    async with name_server() as server:
        outcome = await look("dns", name="a.test", server=server, expect=["192.0.2.1", "192.0.2.9"])
        rule = {"type": "dns_answer", "op": "eq", "value": ["192.0.2.9"]}
        judged = await look("dns", name="a.test", server=server, rules=[rule])
    assert why(outcome)[:2] == ("down", "assertion")
    assert str(outcome.error).count("192.0.2.9") == 1
    assert "expected 192.0.2.1, 192.0.2.9, found 192.0.2.1, 192.0.2.2" in str(outcome.error)
    assert outcome.seen.facts["ttl_s"] == 60
    assert why(judged)[:2] == ("down", "assertion")
    assert judged.assertions[0].actual == ["192.0.2.1", "192.0.2.2"]


async def test_names_that_do_not_exist():
    async with name_server() as server:
        gone = await look("dns", name="gone.test", server=server)
        assert why(gone)[:2] == ("down", "dns")
        assert "NXDOMAIN" in str(gone.error)
        none = await look("dns", name="www.test", server=server, record_type="MX")
        assert why(none)[:2] == ("down", "dns")
        assert "has no MX record" in str(none.error)
        assert why(await look("dns", name="gone.test", server=server, rcode="NXDOMAIN"))[0] == "up"
        assert why(await look("dns", name="a.test", server=server, rcode="NXDOMAIN"))[:2] == ("down", "assertion")


async def test_servfail_and_refused_are_dns():
    for code in ("SERVFAIL", "REFUSED"):

        def fail(asked: DNSRecord, reply: DNSRecord, code: str = code) -> DNSRecord:
            reply.header.rcode = getattr(RCODE, code)
            reply.rr, reply.questions = [], []
            return reply

        async with name_server(fail) as server:
            outcome = await look("dns", name="a.test", server=server)
        assert why(outcome)[:2] == ("down", "dns")
        assert code in str(outcome.error)


async def test_a_truncated_answer_is_asked_again_over_tcp():
    async with name_server(truncate) as server:
        outcome = await look("dns", name="a.test", server=server)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["protocol"] == "tcp"
    assert outcome.seen.facts["answers"] == ["192.0.2.1", "192.0.2.2"]


async def test_a_lost_datagram_is_asked_again():
    asked_times: list[int] = []

    def lose_the_first(asked: DNSRecord, reply: DNSRecord) -> DNSRecord | None:
        asked_times.append(1)
        return None if len(asked_times) == 1 else reply

    async with name_server(lose_the_first) as server:
        outcome = await look("dns", name="a.test", server=server, timeout_s=1)
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["tries"] == 2
    assert outcome.seen.timing.ttfb is not None
    assert outcome.seen.timing.ttfb < 400


def other_id(asked: DNSRecord, reply: DNSRecord) -> DNSRecord:
    reply.header.id ^= 1
    return reply


def other_question(asked: DNSRecord, reply: DNSRecord) -> DNSRecord:
    reply.q.qname = "evil.test"
    return reply


def no_reply(asked: DNSRecord, reply: DNSRecord) -> DNSRecord:
    reply.header.qr = 0
    return reply


def junk(asked: DNSRecord, reply: DNSRecord) -> bytes:
    return b"\xff" * 40


def short(asked: DNSRecord, reply: DNSRecord) -> bytes:
    return b"\x00"


def loop(asked: DNSRecord, reply: DNSRecord) -> bytes:
    """A name that points at itself."""
    return asked.pack()[:2] + b"\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + b"\xc0\x0c\x00\x01\x00\x01"


@pytest.mark.parametrize("change", [other_id, other_question, no_reply, junk, short, loop])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_answers_that_are_none(change: Change, protocol: str):
    async with name_server(change) as server:
        outcome = await look("dns", name="a.test", server=server, protocol=protocol)
    assert why(outcome)[:2] == ("down", "protocol"), outcome.error


async def test_silence_and_nobody():
    async with name_server(lambda asked, reply: None) as server:
        assert why(await look("dns", name="a.test", server=server, timeout_s=0.4)) == ("down", "timeout", "ttfb")
        assert why(await look("dns", name="a.test", server=server, timeout_s=0.4, protocol="tcp"))[:2] == (
            "down",
            "protocol",
        )
    nobody = f"127.0.0.1:{hostile.refused_port()}"
    assert why(await look("dns", name="a.test", server=nobody))[1] == "connection_refused"
    assert why(await look("dns", name="a.test", server=nobody, protocol="tcp"))[1] == "connection_refused"
    assert why(await look("dns", name="a.test", server="169.254.169.254"))[:2] == ("invalid", "network")


async def test_over_tls():
    async with serving(stream, read=False, tls=issue("127.0.0.1", by=authority()).context()) as server:
        target = {"name": "a.test", "server": f"127.0.0.1:{server.port}", "protocol": "tls"}
        outcome = await look("dns", **target, ca_file=authority().pem)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        assert why(await look("dns", **target))[:2] == ("down", "tls")


async def test_the_ad_flag():
    def validated(asked: DNSRecord, reply: DNSRecord) -> DNSRecord:
        assert asked.header.ad == 0
        assert asked.ar[0].edns_do == 1
        reply.header.ad = 1
        return reply

    async with name_server(validated) as server:
        outcome = await look("dns", name="a.test", server=server, authenticated=True)
    assert why(outcome)[0] == "up"
    assert outcome.seen.facts["authenticated"] is True
    async with name_server() as server:
        assert why(await look("dns", name="a.test", server=server, authenticated=True))[:2] == ("down", "assertion")


async def test_the_systems_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    conf = tmp_path / "resolv.conf"
    monkeypatch.setattr(dns, "_RESOLV_CONF", conf)
    assert (await look("dns", name="a.test")).status == "invalid"
    conf.write_text("# nothing\nsearch x\n")
    assert (await look("dns", name="a.test")).status == "invalid"
    conf.write_text("search x\nnameserver 127.0.0.1\n")
    outcome = await look("dns", name="a.test", timeout_s=0.5)
    assert outcome.status == "down"
    assert outcome.seen.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "a..b"}, "name"), ({"name": "x" * 70 + ".test"}, "name"), ({"name": "a", "server": "::1:99999"}, "server"),
        ({"name": "a", "server": "1.2.3.4:0"}, "server"), ({"name": "a", "server": "a b"}, "server"), ({"name": "a", "record_type": "ANY"}, "record_type"),
        ({"name": "a", "rcode": "NXDOMAIN", "expect": ["x"]}, "expect"), ({"name": "not an address", "record_type": "PTR"}, "name"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, data)
    assert [p.field for p in caught.value.problems] == [field]


@pytest.mark.parametrize(
    ("text", "pair"),
    [("9.9.9.9", ("9.9.9.9", 53)), ("::1", ("::1", 53)), ("[::1]:5353", ("::1", 5353)), ("ns.example:54", ("ns.example", 54)), ("ns.example", ("ns.example", 53))],
)  # fmt: skip
def test_how_a_server_is_written(text: str, pair: tuple[str, int]):
    assert dns._server(text, 53) == pair


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"expect": ["192.0.2.2"], "expect_mode": "subset"}, "up", ""),
        ({"expect": ["192.0.2.3"], "expect_mode": "subset"}, "down", "expected 192.0.2.3"),
        ({"expect": [r"^192\.0\.2\.\d$"], "expect_mode": "regex"}, "up", ""),
        ({"expect": ["^10"], "expect_mode": "regex"}, "down", "expected an answer like ^10, found 192.0.2.1"),
        ({"expect": ["192.0.2.2"]}, "down", "expected 192.0.2.2, found"),
        ({"record_type": "SOA", "min_serial": 1}, "up", ""),
        ({"record_type": "SOA", "min_serial": 2}, "down", "expected a serial not older than 2, found 1"),
        ({"record_type": "SOA", "min_serial": 4_294_967_290}, "up", ""),
    ],
)
async def test_what_an_answer_should_be(more: dict[str, Any], status: str, words: str) -> None:
    async with name_server() as server:
        outcome = await look("dns", name="a.test", server=server, **more)
    assert outcome.status == status, outcome.error
    assert words in str(outcome.error)
    if more.get("record_type") == "SOA":
        assert outcome.seen.facts["serial"] == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"expect": ["("], "expect_mode": "regex"}, "expect[0]"),
        ({"min_serial": 1}, "min_serial"),
        ({"expect_mode": "x"}, "expect_mode"),
    ],
)
def test_modes_that_make_no_sense(more: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, {"name": "a.test", **more})
    assert [p.field for p in caught.value.problems] == [field]
