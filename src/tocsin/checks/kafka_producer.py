"""Kafka, writing: a record is accepted by the leader of a partition and acknowledged by all replicas in sync."""

from __future__ import annotations

import time
from dataclasses import dataclass

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
from tocsin.net import Net, kafka

TITLE, SAYS = "Kafka, write", "a record is acknowledged"

OFFERS = ("certificate_days",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A Kafka topic that should take a record in, and have all replicas in sync acknowledge it."""

    host: Host
    port: Port = 9092
    topic: _kafka.TopicName
    partition: _kafka.Partition = 0
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


def summary(target: Target) -> str:
    """Topic and first broker."""
    return f"write to {target.topic} at {_kafka.place(target)}"


async def check(target: Target, net: Net) -> Observation:
    """Ask the first broker who leads the partition, write one small record there, wait for the acknowledgement."""
    async with kafka.Cluster(net, _kafka.access(target)) as cluster:
        first = cluster.first.connection
        timing, tls = first.timing, first.tls
        topic = await cluster.topic(target.topic)
        leader = await cluster.leader(topic, target.partition)
        _, batch = _kafka.marker()
        began = time.perf_counter()
        offset = await kafka.produce(leader, topic.name, target.partition, batch)
        took_ms = (time.perf_counter() - began) * 1000
        return Observation(
            timing=replace(timing, ttfb=took_ms),
            ip=leader.connection.peer,
            tls=tls,
            facts=_kafka.facts(topic, target.partition) | {"offset": offset},
        )
