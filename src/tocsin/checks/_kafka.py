"""What the two Kafka check types share: fields, the way to the cluster, the record that is written."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Literal, Protocol

from tocsin.checks._terms import SpeaksTls, wish
from tocsin.core.kafka import record_batch
from tocsin.core.shape import Front, Help, Pattern, Range
from tocsin.errors import Invalid, Problem
from tocsin.net.kafka import Access, Topic

TopicName = Annotated[
    str,
    Pattern(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", "a topic's name: letters, digits, . _ -"),
    Help("Topic; it must be there, and is not made"),
]
Partition = Annotated[int, Range(0, 100_000), Help("Partition of the topic")]
Mechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Front, Help("How the user signs in (SASL)")]
_KEY = b"tocsin"


class Reaches(SpeaksTls, Protocol):
    """A Target with the fields that say how to get to a cluster."""

    @property
    def port(self) -> int: ...
    @property
    def tls(self) -> bool: ...
    @property
    def user(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def mechanism(self) -> str: ...
    @property
    def ip_version(self) -> int | None: ...


def check_sign_in(target: Reaches) -> None:
    """Raise Invalid when a user comes without a password, or a password without its user."""
    if target.user is not None and target.password is None:
        raise Invalid(Problem("password", "the user's password", "nothing"))
    if target.password is not None and target.user is None:
        raise Invalid(Problem("user", "whose password it is", "nothing"))


def access(target: Reaches) -> Access:
    """How to get to the target's cluster."""
    return Access(
        host=target.host, port=target.port, tls=wish(target) if target.tls else None,
        named=target.server_name is not None, user=target.user, password=target.password or "",
        mechanism=target.mechanism, ip_version=target.ip_version,
    )  # fmt: skip


def marker() -> tuple[bytes, bytes]:
    """(the value, the batch) of a record that no other is like."""
    value = f"tocsin check {secrets.token_hex(8)}".encode()
    return value, record_batch(_KEY, value, int(time.time() * 1000))


def facts(topic: Topic, number: int) -> dict[str, Any]:
    """What the cluster says of the partition."""
    partition = topic.partitions[number]
    return {
        "topic": topic.name, "partition": number, "leader": partition.leader, "replicas": partition.replicas,
        "in_sync": partition.in_sync, "partitions": len(topic.partitions), "brokers": len(topic.brokers),
    }  # fmt: skip


def place(target: Reaches) -> str:
    """The first broker, for people."""
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
