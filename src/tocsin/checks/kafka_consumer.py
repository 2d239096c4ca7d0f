"""Kafka, reading: a record that was just written comes back, and a group is not too far behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec.structs import replace

from tocsin.checks import _kafka
from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Password,
    Port,
    ServerName,
    Tls,
    User,
    VerifyTls,
)
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Net, kafka

TITLE, SAYS = "Kafka, read", "a record comes back, lag"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A Kafka topic that should give back a record, and a group that should not be far behind in it."""

    host: Host
    port: Port = 9092
    topic: _kafka.TopicName
    partition: _kafka.Partition = 0
    write: Annotated[bool, Help("Write a record and read it back; else read the newest one that is there")] = True
    group: Annotated[str | None, Length(1, 249), Help("Consumer group whose lag in the topic is told")] = None
    max_lag: Annotated[
        int | None, Range(0, 1_000_000_000_000), Help("Down when the group has more records than that before it")
    ] = None
    user: User = None
    password: Password = None
    mechanism: _kafka.Mechanism = "PLAIN"
    tls: Tls = False
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        _kafka.check_sign_in(self)
        if self.max_lag is not None and self.group is None:
            raise Invalid(Problem("group", "the group whose lag is limited", "nothing"))


def summary(target: Target) -> str:
    """Topic, group and first broker."""
    group = f", group {target.group}" if target.group is not None else ""
    return f"read {target.topic} at {_kafka.place(target)}{group}"


async def check(target: Target, net: Net) -> Observation:
    """Write one small record to the partition's leader and fetch it from there (or only fetch the newest one); then see
    how far the group is behind."""
    async with kafka.Cluster(net, _kafka.access(target)) as cluster:
        first = cluster.first.connection
        timing, tls = first.timing, first.tls
        topic = await cluster.topic(target.topic)
        leader = await cluster.leader(topic, target.partition)
        facts = _kafka.facts(topic, target.partition)
        began = time.perf_counter()
        facts |= await (_round_trip if target.write else _newest)(leader, target)
        seen = Observation(
            timing=replace(timing, ttfb=(time.perf_counter() - began) * 1000),
            ip=leader.connection.peer,
            tls=tls,
            facts=facts,
        )
        if target.group is not None:
            found = await kafka.lag(cluster, topic, target.group)
            facts |= {"group": target.group, "lag": found.records, "uncommitted": found.uncommitted}
            _judge(target, found, seen)
        return seen


async def _round_trip(leader: kafka.Broker, target: Target) -> dict[str, Any]:
    value, batch = _kafka.marker()
    offset = await kafka.produce(leader, target.topic, target.partition, batch)
    found = await kafka.fetch(leader, target.topic, target.partition, offset)
    compared = found.codec in ("none", "gzip")
    if compared and found.value != value:
        raise CheckFailed(
            "protocol", f"expected the record written at offset {offset}, found another", phase="transfer"
        )
    return {"offset": offset} if compared else {"offset": offset, "not_compared": f"compressed with {found.codec}"}


async def _newest(leader: kafka.Broker, target: Target) -> dict[str, Any]:
    number = target.partition
    end = (await kafka.offsets(leader, target.topic, [number]))[number]
    if end == (await kafka.offsets(leader, target.topic, [number], first=True))[number]:
        return {"offset": None, "empty": True}
    found = await kafka.fetch(leader, target.topic, number, end - 1)
    return {"offset": found.last_offset}


def _judge(target: Target, found: kafka.Lag, seen: Observation) -> None:
    """Raise CheckFailed when the group is too far behind, or never read the topic."""
    if target.max_lag is None:
        return
    if not found.committed:
        said = f"group {target.group} has committed no offset in topic {target.topic}"
        raise CheckFailed("assertion", said, observation=seen)
    if found.records > target.max_lag:
        said = f"expected a lag of at most {target.max_lag}, found {found.records} (group {target.group})"
        raise CheckFailed("assertion", said, observation=seen)
