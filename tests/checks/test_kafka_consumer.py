"""kafka_consumer: records come back from real brokers, lag is what other clients committed; brokers that cheat."""

from __future__ import annotations

import asyncio
import gzip
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import kafka_cluster
from checks.looking import look, why
from kafka_cluster import Tansu
from kafka_scripts import Answers, against, fetched, metadata, produced, text
from tocsin.checks import show
from tocsin.checks.kafka_consumer import Target
from tocsin.core.kafka import crc32c, find_record, record_batch
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tansu]:
    with kafka_cluster.broker(tmp_path_factory.mktemp("kafka")) as made:
        made.make_topic("checks")
        yield made


async def test_a_record_comes_back(broker: Tansu) -> None:
    for n in range(3):
        outcome = await look("kafka_consumer", host="127.0.0.1", port=broker.port, topic="checks", partition=2)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.facts["offset"] == n
        assert "not_compared" not in outcome.seen.facts
        assert outcome.seen.timing.ttfb is not None
    found = await asyncio.to_thread(kafka_cluster.read_all, broker.port, "checks", 2)
    assert len(set(found)) == 3


async def test_without_writing_the_newest_record_is_read(broker: Tansu) -> None:
    broker.make_topic("quiet", 1)
    target: dict[str, Any] = {"host": "127.0.0.1", "port": broker.port, "topic": "quiet", "write": False}
    outcome = await look("kafka_consumer", **target)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["empty"] is True
    await asyncio.to_thread(kafka_cluster.write, broker.port, "quiet", 0, 7)
    outcome = await look("kafka_consumer", **target)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["offset"] == 6
    assert len(await asyncio.to_thread(kafka_cluster.read_all, broker.port, "quiet", 0)) == 7


async def test_how_far_a_group_is_behind(broker: Tansu) -> None:
    broker.make_topic("orders", 3)
    for partition, count in ((0, 5), (1, 4)):
        await asyncio.to_thread(kafka_cluster.write, broker.port, "orders", partition, count)
    target: dict[str, Any] = {
        "host": "127.0.0.1", "port": broker.port, "topic": "orders", "write": False, "group": "billing",
    }  # fmt: skip
    never = await look("kafka_consumer", **target, max_lag=100)
    assert why(never) == ("down", "assertion", None)
    assert "group billing has committed no offset in topic orders" in str(never.error)
    await asyncio.to_thread(kafka_cluster.commit, broker.port, "orders", "billing", {0: 3, 1: 4})
    outcome = await look("kafka_consumer", **target, max_lag=2)
    assert why(outcome) == ("up", "", None), outcome.error
    assert {k: outcome.seen.facts[k] for k in ("lag", "uncommitted")} == {"lag": 2, "uncommitted": 1}
    late = await look("kafka_consumer", **target, max_lag=1)
    assert why(late) == ("down", "assertion", None)
    assert "expected a lag of at most 1, found 2 (group billing)" in str(late.error)
    assert late.seen.facts["lag"] == 2


async def test_lag_over_three_brokers() -> None:
    with kafka_cluster.three_brokers("orders") as ports:
        first = next(iter(ports.values()))
        for partition in range(4):
            await asyncio.to_thread(kafka_cluster.write, first, "orders", partition, partition + 2)
        await asyncio.to_thread(kafka_cluster.commit, first, "orders", "billing", dict.fromkeys(range(4), 1))
        target: dict[str, Any] = {"host": "127.0.0.1", "topic": "orders", "group": "billing", "max_lag": 1000}
        for port in ports.values():
            outcome = await look("kafka_consumer", **target, port=port, write=False)
            assert why(outcome) == ("up", "", None), outcome.error
            assert outcome.seen.facts["lag"] in (10, 11)  # the record that made the topic is somewhere, too
        before = outcome.seen.facts["lag"]
        for n, port in enumerate(ports.values(), 1):
            outcome = await look("kafka_consumer", **target, port=port, partition=n)
            assert why(outcome) == ("up", "", None), outcome.error
            assert outcome.seen.facts["lag"] == before + n


# --- scripted brokers -----------------------------------------------------------------------------------------------


def at(offset: int, batch: bytes) -> bytes:
    """The batch where a broker has put it."""
    return struct.pack(">q", offset) + batch[8:]


def damaged(batch: bytes) -> bytes:
    return batch[:-3] + bytes([batch[-3] ^ 1]) + batch[-2:]


def packed(batch: bytes, codec: int, squeeze: Callable[[bytes], bytes]) -> bytes:
    """The same batch, compressed as a broker would."""
    body = struct.pack(">h", codec) + batch[23:61] + squeeze(batch[61:])
    head = batch[:8] + struct.pack(">i", len(body) + 9) + batch[12:17]
    return head + struct.pack(">I", crc32c(body)) + body


OURS = record_batch(b"k", b"ours", 1)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (at(5, OURS), "expected the record written at offset 5, found another"),
        (at(5, damaged(OURS)), "the record at offset 5 came back damaged"),
        (at(5, OURS[:16] + b"\1" + OURS[17:]), "records in format 1, not 2"),
        (at(5, OURS[:8] + struct.pack(">i", 3) + OURS[12:]), "a record batch of 3 bytes"),
        (b"", "the record at offset 5 did not come back"),
        (at(4, OURS), "the record at offset 5 did not come back"),
        (at(5, OURS)[:-1], "the record at offset 5 did not come back"),
        (at(5, packed(OURS, 1, lambda data: b"not gzip")), "a batch that gzip cannot unpack"),
        (at(5, packed(OURS, 1, lambda data: gzip.compress(b"\0" * (64 << 20)))), "a Kafka answer, found"),
        (at(5, packed(OURS, 0, lambda data: b"\xff" * 20)), "a number of more than 10 bytes"),
        (at(5, packed(OURS, 0, lambda data: b"\x0a\0\0\x08\x01\x01")), "a batch without the record it announces"),
    ],
)  # fmt: skip
async def test_brokers_that_give_back_something_else(records: bytes, says: str) -> None:
    outcome = await against(
        lambda port: {3: metadata("127.0.0.1", port), 0: produced(5), 1: fetched(records)}, "kafka_consumer"
    )
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error), outcome.error


async def test_a_fetch_that_is_refused() -> None:
    outcome = await against(
        lambda port: {3: metadata("127.0.0.1", port), 0: produced(5), 1: fetched(b"", 1)}, "kafka_consumer"
    )
    assert "partition 0 of topic checks: the offset is out of range" in str(outcome.error)


async def test_a_batch_that_the_broker_packed_otherwise_is_not_looked_into() -> None:
    records = at(5, packed(OURS, 4, lambda data: b"zstd"))
    outcome = await against(
        lambda port: {3: metadata("127.0.0.1", port), 0: produced(5), 1: fetched(records)}, "kafka_consumer"
    )
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["not_compared"] == "compressed with zstd"


def test_a_record_is_found_among_others_and_through_gzip() -> None:
    many = (
        at(3, record_batch(b"", b"a", 1)) + at(4, packed(record_batch(b"k", b"b", 1), 1, gzip.compress)) + at(5, OURS)
    )
    assert [(b.value, b.codec) for n in (3, 4, 5) if (b := find_record(many, n))] == [
        (b"a", "none"), (b"b", "gzip"), (b"ours", "none"),
    ]  # fmt: skip
    assert find_record(many, 6) is None


def test_a_large_batch_is_not_taken_apart() -> None:
    large = at(5, packed(OURS, 0, lambda data: b"\x02\0" * 40_000))
    found = find_record(large, 5)
    assert found is not None
    assert found.value is None


def test_the_sum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def coordinator(host: str, port: int, code: int = 0) -> bytes:
    return struct.pack(">ihhi", 0, code, -1, 9) + text(host) + struct.pack(">i", port)


def commits(offset: int, code: int = 0, whole: int = 0) -> bytes:
    row = struct.pack(">iqhh", 0, offset, -1, code)
    return struct.pack(">i", 1) + text("checks") + struct.pack(">i", 1) + row + struct.pack(">h", whole)


def ends(offset: int, code: int = 0, partition: int = 0) -> bytes:
    return (
        struct.pack(">i", 1) + text("checks") + struct.pack(">i", 1) + struct.pack(">ihqq", partition, code, -1, offset)
    )


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(2), 2: ends(5)}, "down", "at most 2, found 3"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(9), 2: ends(5)}, "up", ""),
        (lambda port: {10: coordinator("127.0.0.1", port, 15)}, "down", "group g: the group's coordinator is not available"),
        (lambda port: {10: coordinator("", port)}, "down", "a coordinator at"),
        (lambda port: {10: coordinator("169.254.169.254", 80)}, "invalid", "broker 9, named 169.254.169.254:80"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(2, 30)}, "down", "may not use this group"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(2, 0, 16)}, "down", "is not the group's coordinator"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(2), 2: ends(5, 6)}, "down", "does not lead"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: commits(2), 2: ends(5, 0, 3)}, "down", "other partitions"),
        (lambda port: {10: coordinator("127.0.0.1", port), 9: b"\0"}, "down", "too soon"),
    ],
)  # fmt: skip
async def test_what_the_coordinator_says(more: Callable[[int], Answers], status: str, says: str) -> None:
    def made(port: int) -> Answers:
        batch = at(5, packed(OURS, 4, lambda data: b"zstd"))
        return {3: metadata("127.0.0.1", port), 0: produced(5), 1: fetched(batch)} | more(port)

    outcome = await against(made, "kafka_consumer", group="g", max_lag=2)
    assert outcome.status == status, outcome.error
    assert says in str(outcome.error)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"max_lag": 5}, "group"),
        ({"max_lag": -1, "group": "g"}, "max_lag"),
        ({"group": ""}, "group"),
        ({"user": "a"}, "password"),
    ],
)
def test_targets_that_are_refused(data: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", "topic": "t", **data})
    assert [p.field for p in caught.value.problems] == [field]


def test_what_is_shown() -> None:
    assert show("kafka_consumer", Target(host="k", topic="t", group="g")) == "read t at k:9092, group g"


@pytest.mark.parametrize("cut", range(0, 70, 7))
def test_a_batch_that_is_cut_off_anywhere_is_no_batch_yet(cut: int) -> None:
    batch = at(5, OURS)
    if cut < len(batch):
        assert find_record(batch[:cut], 5) is None
    with pytest.raises(CheckFailed):
        find_record(damaged(batch), 5)
