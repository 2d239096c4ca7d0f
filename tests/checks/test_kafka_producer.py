"""kafka_producer: a real broker (Tansu), TLS and SASL before it, three brokers (librdkafka's), and hostile ones."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hostile
import kafka_cluster
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from kafka_cluster import PASSWORD, USER, Tansu, free_port, gate
from kafka_scripts import Answers, against, metadata, produced, scripted, text, versions
from namespace import alone
from tocsin.checks import show
from tocsin.checks.kafka_producer import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tansu]:
    with kafka_cluster.broker(tmp_path_factory.mktemp("kafka")) as made:
        made.make_topic("checks")
        yield made


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tansu, int]]:
    """A broker that sends its clients to a door in front of it, and that door's port."""
    port = free_port()
    with kafka_cluster.broker(tmp_path_factory.mktemp("kafka"), named=port) as made:
        yield made, port


async def test_a_record_is_acknowledged(broker: Tansu) -> None:
    outcome = await look("kafka_producer", host="127.0.0.1", port=broker.port, topic="checks", partition=1)
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert (facts["topic"], facts["partition"], facts["partitions"], facts["brokers"]) == ("checks", 1, 3, 1)
    assert outcome.seen.timing.ttfb is not None
    again = await look("kafka_producer", host="127.0.0.1", port=broker.port, topic="checks", partition=1)
    assert again.seen.facts["offset"] == facts["offset"] + 1
    found = await asyncio.to_thread(kafka_cluster.read_all, broker.port, "checks", 1)
    assert len(found) == facts["offset"] + 2
    assert all(value.startswith(b"tocsin check ") for value in found)


async def test_a_topic_that_is_not_there_is_not_made(broker: Tansu) -> None:
    for _ in range(2):
        outcome = await look("kafka_producer", host="127.0.0.1", port=broker.port, topic="nothing")
        assert why(outcome) == ("down", "protocol", "ttfb")
        assert "topic nothing: there is no such topic" in str(outcome.error)
    outcome = await look("kafka_producer", host="127.0.0.1", port=broker.port, topic="checks", partition=3)
    assert "expected partition 3 of topic checks, found 3 partitions" in str(outcome.error)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_user_is_let_in(hidden: tuple[Tansu, int], mechanism: str) -> None:
    broker, port = hidden
    broker.make_topic_once("checks")
    tls = issue("127.0.0.1", by=authority()).context()
    target: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "topic": "checks",
        "tls": True,
        "ca_file": authority().pem,
    }
    async with gate(broker.port, port=port, tls=tls):
        outcome = await look("kafka_producer", **target, user=USER, password=PASSWORD, mechanism=mechanism)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        wrong = await look("kafka_producer", **target, user=USER, password="hunter2", mechanism=mechanism)
        assert why(wrong)[:2] == ("down", "protocol")
        assert "did not let the user in: Authentication failed" in str(wrong.error)
        assert "hunter2" not in str(wrong)
        nobody = await look("kafka_producer", **target, user="bob", password=PASSWORD, mechanism=mechanism)
        assert why(nobody)[:2] == ("down", "protocol")
        unsigned = await look("kafka_producer", **target)
        assert why(unsigned)[:2] == ("down", "protocol")
        assert "closed the connection at Metadata (it may want a sign-in)" in str(unsigned.error)
        untrusted = await look("kafka_producer", **(target | {"ca_file": None}))
        assert why(untrusted) == ("down", "tls", "tls")


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_the_door_of_these_tests_is_one_that_other_clients_pass(
    hidden: tuple[Tansu, int], mechanism: str
) -> None:  # fmt: skip
    broker, port = hidden
    broker.make_topic_once("checks")
    login = {"sasl.username": USER, "sasl.password": PASSWORD, "sasl.mechanism": mechanism}
    login |= {"security.protocol": "SASL_PLAINTEXT"}
    async with gate(broker.port, port=port):
        before = await asyncio.to_thread(kafka_cluster.read_all, port, "checks", 0, **login)
        await asyncio.to_thread(kafka_cluster.write, port, "checks", 0, 1, **login)
        assert await asyncio.to_thread(kafka_cluster.read_all, port, "checks", 0, **login) == [*before, b"record 0"]


async def test_the_leader_is_found_wherever_it_is() -> None:
    with kafka_cluster.three_brokers("checks") as ports:
        leaders: set[int] = set()
        for partition in range(4):
            for port in ports.values():
                outcome = await look("kafka_producer", host="127.0.0.1", port=port, topic="checks", partition=partition)
                assert why(outcome) == ("up", "", None), outcome.error
                leaders.add(outcome.seen.facts["leader"])
                assert (outcome.seen.facts["brokers"], outcome.seen.facts["replicas"]) == (3, 3)
        assert leaders <= set(ports)  # who leads is drawn; at two of three doors it is somebody else


# --- scripted brokers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({18: b""}, "ends 2 bytes too soon"),
        ({18: versions([(3, 0, 12)])}, "expected a broker that speaks version 3 of Produce, found none"),
        ({18: versions([(3, 0, 12), (0, 0, 2)])}, "expected a broker that speaks version 3 of Produce, found 0 to 2"),
        ({18: versions(code=35)}, "ApiVersions: the version is not supported (Kafka error 35)"),
        ({18: struct.pack(">hi", 0, 2**31 - 1)}, "a list of 2147483647 in 0 bytes"),
        ({18: struct.pack(">hi", 0, -5)}, "a list of -5"),
        ({}, "closed the connection at Metadata (it may want a sign-in)"),
        ({3: b"\0" * 8}, "too soon"),
        ({3: struct.pack(">iih", 0, 1, -9)}, "too soon"),
        ({3: struct.pack(">iiih", 0, 1, 1, -9) + b"x" * 20}, "a negative length"),
    ],
)  # fmt: skip
async def test_brokers_that_answer_nonsense(answers: Answers, says: str) -> None:
    outcome = await against(lambda port: answers)
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error), outcome.error


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda port: {3: metadata("127.0.0.1", port, code=29)}, "topic checks: the user may not use this topic"),
        (lambda port: {3: metadata("127.0.0.1", port, topic="other")}, "topic other instead of the one"),
        (lambda port: {3: metadata("127.0.0.1", port, leader=-1)}, "partition 0 of topic checks has no leader"),
        (lambda port: {3: metadata("127.0.0.1", port, leader=7)}, "broker 7 as a leader, but not in the list"),
        (lambda port: {3: metadata("", port)}, "a broker at"),
        (lambda port: {3: metadata("127.0.0.1", 0)}, "a broker at 127.0.0.1:0"),
        (lambda port: {3: metadata("127.0.0.1", port), 0: produced(code=19)}, "too few replicas are in sync"),
        (lambda port: {3: metadata("127.0.0.1", port), 0: produced(-1)}, "-1 as the record's offset"),
        (lambda port: {3: metadata("127.0.0.1", port), 0: struct.pack(">ii", 0, 0)}, "another number of partitions"),
        (lambda port: {3: metadata("127.0.0.1", port)}, "closed the connection at Produce"),
    ],
)  # fmt: skip
async def test_brokers_that_do_not_take_the_record(made: Callable[[int], Answers], says: str) -> None:
    outcome = await against(made)
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error), outcome.error


async def test_a_scripted_broker_that_takes_it_is_up() -> None:
    outcome = await against(lambda port: {3: metadata("127.0.0.1", port), 0: produced(5)})
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["offset"] == 5


async def test_a_leader_that_cannot_be_reached_is_named() -> None:
    gone = hostile.refused_port()
    outcome = await against(lambda port: {3: metadata("localhost", gone)})
    assert why(outcome) == ("down", "connection_refused", "connect")
    assert f"broker 1, named localhost:{gone} by the cluster: connection refused" in str(outcome.error)


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal"])
async def test_a_leader_that_the_guard_forbids_is_not_dialled(host: str) -> None:
    outcome = await against(lambda port: {3: metadata(host, 80)})
    assert why(outcome)[:2] == ("invalid", "network")
    assert f"broker 1, named {host}:80 by the cluster" in str(outcome.error)


PUBLIC = "93.184.216.34"


def test_a_cluster_on_the_internet_cannot_send_us_to_a_private_address() -> None:
    async def work() -> Any:
        script, asked = scripted(lambda port: {3: metadata("10.1.2.3", 9092)})
        async with serving(script, read=False, host=PUBLIC) as server, Net(Egress("public")) as net:
            return await look("kafka_producer", net=net, host=PUBLIC, port=server.port, topic="checks"), asked

    outcome, asked = alone(work, f"ip address add {PUBLIC}/32 dev lo")
    assert why(outcome)[:2] == ("invalid", "network")
    assert "broker 1, named 10.1.2.3:9092 by the cluster: 10.1.2.3 is a private address" in str(outcome.error)
    assert asked == [18, 3]


def test_a_password_does_not_leave_the_machine_without_tls() -> None:
    async def work() -> Any:
        script, asked = scripted(lambda port: {17: struct.pack(">hi", 0, 1) + text("PLAIN")})
        async with serving(script, read=False, host=PUBLIC) as server:
            target: dict[str, Any] = {"host": PUBLIC, "port": server.port, "topic": "checks"}
            return await look("kafka_producer", **target, user="alice", password="s3cret"), asked

    outcome, asked = alone(work, f"ip address add {PUBLIC}/32 dev lo")
    assert why(outcome) == ("down", "protocol", "send")
    assert "a password is not sent without TLS" in str(outcome.error)
    assert asked == [18]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "one of 1213486160 bytes (0x48545450)"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "(0x15030300)"),
        (b"\0\0\0\2hi", "one of 2 bytes"),
        (b"\xff\xff\xff\xff", "one of -1 bytes"),
        (b"\0\0\0\x10abc", "the connection ended"),
        (b"\0\0\0\x08\0\0\0\x63\0\0\0\0", "the answer to request 99 instead of 1"),
        (b"", "closed the connection at ApiVersions (it may want TLS)"),
    ],
)
async def test_what_is_no_broker(said: bytes, says: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.reader.readexactly(20)
        await talk.send(said)

    async with serving(script, read=False) as server:
        outcome = await look("kafka_producer", host="127.0.0.1", port=server.port, topic="checks")
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error), outcome.error


async def test_nobody_and_silence() -> None:
    outcome = await look("kafka_producer", host="127.0.0.1", port=hostile.refused_port(), topic="checks")
    assert why(outcome) == ("down", "connection_refused", "connect")

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        outcome = await look("kafka_producer", host="127.0.0.1", port=server.port, topic="checks", timeout_s=0.3)
    assert why(outcome) == ("down", "timeout", "ttfb")


async def test_a_way_of_signing_in_that_is_not_offered() -> None:
    offered = struct.pack(">hi", 33, 1) + text("GSSAPI")
    target: dict[str, Any] = {"user": "a", "password": "s3cret"}
    outcome = await against(lambda port: {17: offered}, **target, mechanism="SCRAM-SHA-256")
    assert "expected SCRAM-SHA-256 to be offered, found GSSAPI" in str(outcome.error)
    outcome = await against(lambda port: {17: struct.pack(">hi", 0, 1) + text("PLAIN")}, **target)
    assert "closed the connection at SaslAuthenticate" in str(outcome.error)


@pytest.mark.parametrize("first", ["r=xyz,s=AAAA,i=4096", "r=", "", "r=n,s=AAAA,i=999999999", "e=other-error"])
async def test_brokers_that_answer_scram_with_nonsense(first: str) -> None:
    said = struct.pack(">hhi", 0, -1, len(first)) + first.encode()
    answers = {17: struct.pack(">hi", 0, 1) + text("SCRAM-SHA-512"), 36: said}
    outcome = await against(lambda port: answers, user="a", password="s3cret", mechanism="SCRAM-SHA-512")
    assert why(outcome)[:2] == ("down", "protocol")
    assert "s3cret" not in str(outcome)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"topic": ""}, "topic"), ({"topic": "a b"}, "topic"), ({"topic": ".."}, "topic"), ({"topic": "x" * 250}, "topic"),
        ({"user": "a"}, "password"), ({"password": "a"}, "user"), ({"mechanism": "GSSAPI"}, "mechanism"),
        ({"partition": -1}, "partition"), ({"port": 0}, "port"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", "topic": "t", **data})
    assert [p.field for p in caught.value.problems] == [field]


def test_what_is_shown_has_no_secrets() -> None:
    target = Target(host="::1", topic="checks", user="alice", password="s3cret")
    assert show("kafka_producer", target) == "write to checks at [::1]:9092"
