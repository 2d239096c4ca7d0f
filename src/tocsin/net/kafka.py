"""A Kafka cluster as a client sees it: brokers, sign-in, who leads a partition, records in and out, a group's lag.

Every broker that the cluster names is dialled like any other target: looked up, checked by the guard, and timed.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core import kafka as wire
from tocsin.core.kafka import Batch, Reader, array, blob, error_text, malformed, text
from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, EgressRefused
from tocsin.net import Connection, Net, TlsWish, scram

T = TypeVar("T")

_CLIENT = "tocsin"
_MOST = {wire.FETCH: 4 << 20, wire.METADATA: 512 << 10, wire.OFFSET_FETCH: 512 << 10}
"""No answer is longer (others: 64 KiB): a record of the largest usual size has 1 MiB, a partition is told in 40 bytes."""
_FETCHED = 1 << 20
_WAIT_MS = 500
_TRIES = 100
_ACK_MS = 30_000
_WHY = {
    wire.API_VERSIONS: " (it may want TLS)", wire.METADATA: " (it may want a sign-in)",
    wire.SASL_HANDSHAKE: " (it may want no sign-in, or another way)",
}  # fmt: skip
"""What brokers do that without a word about."""
_ALGORITHMS: dict[str, Any] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Access(Struct, frozen=True, kw_only=True):
    """How to get to a cluster: the first broker, and what is spoken with every one. `tls` is for the first broker; when
    `named` is not given others must show a certificate of their own names."""

    host: str
    port: int
    tls: TlsWish | None = None
    named: bool = False
    user: str | None = None
    password: str = ""
    mechanism: str = "PLAIN"
    ip_version: int | None = None


class Partition(Struct, frozen=True):
    """A partition and the broker that leads it (-1: none does)."""

    number: int
    leader: int
    replicas: int
    in_sync: int


class Topic(Struct, frozen=True):
    """A topic's partitions by number, and the cluster around it."""

    name: str
    partitions: dict[int, Partition]
    brokers: dict[int, tuple[str, int]]


class Lag(Struct, frozen=True):
    """How many records a group has not read, over the partitions in which it committed an offset."""

    records: int
    committed: int
    uncommitted: int


class Broker:
    """A connection to one broker, signed in."""

    def __init__(self, connection: Connection, place: str) -> None:
        self.connection, self._place = connection, place
        self._number = 0

    async def ask(self, api: int, body: bytes = b"") -> Reader:
        """The answer to a request. CheckFailed when none comes, or it is none."""
        self._number += 1
        await self.connection.write(wire.request(api, self._number, _CLIENT, body))
        head = await self.connection.read_some(4)
        if not head:
            said = f"the broker closed the connection at {wire.NAMES[api]}{_WHY.get(api, '')}"
            raise CheckFailed("protocol", said, phase="ttfb")
        head += await self.connection.read(4 - len(head)) if len(head) < 4 else b""
        size = int.from_bytes(head, "big", signed=True)
        if not 4 <= size <= _MOST.get(api, 64 << 10):
            raise malformed(f"one of {size} bytes (0x{head.hex()})")
        answer = Reader(await self.connection.read(size))
        if (number := answer.int32()) != self._number:
            raise malformed(f"the answer to request {number} instead of {self._number}")
        return answer

    async def check_versions(self) -> None:
        """Raise CheckFailed when the broker does not speak the versions that we speak."""
        answer = await self.ask(wire.API_VERSIONS)
        _refuse(answer.int16(), "ApiVersions")
        spoken = {
            api: (low, high)
            for api, low, high in answer.array(lambda: (answer.int16(), answer.int16(), answer.int16()))
        }
        for api in (wire.METADATA, wire.PRODUCE, wire.FETCH, wire.LIST_OFFSETS):
            low, high = spoken.get(api, (0, -1))
            if not low <= wire.VERSIONS[api] <= high:
                found = f"{low} to {high}" if high >= 0 else "none"
                wanted = f"version {wire.VERSIONS[api]} of {wire.NAMES[api]}"
                raise CheckFailed("protocol", f"expected a broker that speaks {wanted}, found {found}", phase="ttfb")

    async def sign_in(self, access: Access) -> None:
        """Prove who we are, by SASL."""
        connection, mechanism, user = self.connection, access.mechanism, access.user or ""
        if mechanism == "PLAIN" and connection.tls is None and not ipaddress.ip_address(connection.peer).is_loopback:
            raise CheckFailed(
                "protocol", "a password is not sent without TLS: use tls, or a SCRAM mechanism", phase="send"
            )
        answer = await self.ask(wire.SASL_HANDSHAKE, text(mechanism))
        code, offered = answer.int16(), answer.array(answer.text)
        if mechanism not in offered:
            shown = clip(", ".join(offered), 100) or "none"
            raise CheckFailed("protocol", f"expected {mechanism} to be offered, found {shown}", phase="ttfb")
        _refuse(code, "SaslHandshake")
        if mechanism == "PLAIN":
            await self._say_sasl(f"\0{user}\0{access.password}".encode())
            return

        async def say(message: str) -> str:
            return (await self._say_sasl(message.encode())).decode("utf-8", "replace")

        await scram.converse(say, user, access.password, _ALGORITHMS[mechanism])

    async def _say_sasl(self, data: bytes) -> bytes:
        answer = await self.ask(wire.SASL_AUTHENTICATE, blob(data))
        code, message = answer.int16(), answer.text()
        if code:
            said = clip(message, 200) or error_text(code)
            raise CheckFailed("protocol", f"the broker did not let the user in: {said}", phase="ttfb")
        return answer.blob()


class Cluster:
    """`async with` it for a cluster whose first broker has let us in; all its connections end with it."""

    def __init__(self, net: Net, access: Access) -> None:
        self._net, self._access = net, access
        self._stack = AsyncExitStack()
        self._brokers: dict[tuple[str, int], Broker] = {}
        self.first: Broker

    async def __aenter__(self) -> Self:
        self.first = await self._guarded(self._dial(self._access.host, self._access.port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _guarded(self, dialling: Awaitable[Broker]) -> Broker:
        try:
            return await dialling
        except BaseException:
            await self._stack.aclose()
            raise

    async def _dial(self, host: str, port: int) -> Broker:
        access, tls = self._access, self._access.tls
        if tls is not None and host != access.host and not access.named:
            tls = replace(tls, server_name=host)
        connecting = self._net.connect(host, port, tls=tls, ip_version=access.ip_version)
        connection = await self._stack.enter_async_context(connecting)
        broker = Broker(connection, f"{host}:{port}")
        await broker.check_versions()
        if access.user is not None:
            await broker.sign_in(access)
        self._brokers[host, port] = broker
        return broker

    async def broker(self, topic: Topic, number: int) -> Broker:
        """The broker of that number, as the cluster names it. CheckFailed says which one does not answer."""
        place = topic.brokers.get(number)
        if place is None:
            raise malformed(f"broker {number} as a leader, but not in the list of brokers")
        if (known := self._brokers.get(place)) is not None:
            return known
        where = f"broker {number}, named {clip(place[0], 100)}:{place[1]} by the cluster: "
        try:
            return await self._dial(*place)
        except CheckFailed as failure:
            raise CheckFailed(failure.type, where + failure.message, phase=failure.phase) from None
        except EgressRefused as refused:
            raise EgressRefused(f"{where}{refused}") from None

    async def topic(self, name: str) -> Topic:
        """A topic's partitions and brokers; it is not made when it is not there (CheckFailed)."""
        answer = await self.first.ask(wire.METADATA, array([text(name)]) + b"\0")
        answer.int32()
        brokers = dict(answer.array(lambda: _broker(answer)))
        answer.text()
        answer.int32()
        if (count := answer.int32()) != 1:
            raise malformed(f"{count} topics instead of the one that was asked for")
        code, found, partitions = _topic(answer)
        if found != name:
            raise malformed(f"topic {clip(found)} instead of the one that was asked for")
        _refuse(code, f"topic {name}")
        return Topic(name, {p.number: p for p in partitions}, brokers)

    async def leader(self, topic: Topic, partition: int) -> Broker:
        """The broker that leads a partition."""
        found = topic.partitions.get(partition)
        if found is None:
            said = f"expected partition {partition} of topic {topic.name}, found {len(topic.partitions)} partitions"
            raise CheckFailed("protocol", said, phase="ttfb")
        if found.leader < 0:
            raise CheckFailed("protocol", f"partition {partition} of topic {topic.name} has no leader", phase="ttfb")
        return await self.broker(topic, found.leader)


def _broker(answer: Reader) -> tuple[int, tuple[str, int]]:
    number, host, port = answer.int32(), answer.text(), answer.int32()
    answer.text()
    if not 0 < port < 65_536 or not 0 < len(host) <= 253:
        raise malformed(f"a broker at {clip(host)}:{port}")
    return number, (host, port)


def _topic(answer: Reader) -> tuple[int, str, list[Partition]]:
    code, name = answer.int16(), answer.text()
    answer.int8()
    return code, name, answer.array(lambda: _partition(answer))


def _partition(answer: Reader) -> Partition:
    answer.int16()
    number, leader = answer.int32(), answer.int32()
    return Partition(number, leader, answer.skip_list(4), answer.skip_list(4))


def _refuse(code: int, what: str) -> None:
    if code:
        raise CheckFailed("protocol", f"{clip(what, 270)}: {error_text(code)}", phase="ttfb")


def _one(answer: Reader, item: Callable[[Reader], T]) -> T:
    """The only partition of the only topic of an answer."""
    found = answer.array(lambda: (answer.text(), answer.array(lambda: item(answer))))
    if len(found) != 1 or len(found[0][1]) != 1:
        raise malformed("another number of partitions than was asked for")
    return found[0][1][0]


async def produce(leader: Broker, topic: str, partition: int, records: bytes) -> int:
    """Write a record batch and wait until all replicas in sync have it; its offset."""
    ask = array([text(topic) + array([struct.pack(">i", partition) + blob(records)])])
    answer = await leader.ask(wire.PRODUCE, text(None) + struct.pack(">hi", -1, _ACK_MS) + ask)
    number, code, offset = _one(answer, _written)
    _refuse(code, f"partition {number} of topic {topic}")
    if offset < 0:
        raise malformed(f"{offset} as the record's offset")
    return offset


def _written(answer: Reader) -> tuple[int, int, int]:
    number, code, offset = answer.int32(), answer.int16(), answer.int64()
    answer.int64()
    return number, code, offset


async def fetch(leader: Broker, topic: str, partition: int, offset: int) -> Batch:
    """The batch with the record of that offset, as soon as it can be read."""
    ask = struct.pack(">iqi", partition, offset, _FETCHED)
    body = struct.pack(">iiiib", -1, _WAIT_MS, 1, _FETCHED, 0) + array([text(topic) + array([ask])])
    for _ in range(_TRIES):
        answer = await leader.ask(wire.FETCH, body)
        answer.int32()
        code, records = _one(answer, _fetched)
        _refuse(code, f"partition {partition} of topic {topic}")
        if (found := wire.find_record(records, offset)) is not None:
            return found
    raise CheckFailed("protocol", f"the record at offset {offset} did not come back", phase="transfer")


def _fetched(answer: Reader) -> tuple[int, bytes]:
    answer.int32()
    code = answer.int16()
    answer.take(16)
    answer.skip_list(16)
    return code, answer.blob()


async def offsets(broker: Broker, topic: str, partitions: list[int], *, first: bool = False) -> dict[int, int]:
    """Where the next record of each partition will stand, or its first one stands; the broker must lead them all."""
    asked = [struct.pack(">iq", p, -2 if first else -1) for p in partitions]
    answer = await broker.ask(wire.LIST_OFFSETS, struct.pack(">i", -1) + array([text(topic) + array(asked)]))
    found: dict[int, int] = {}
    for _, rows in answer.array(lambda: (answer.text(), answer.array(lambda: _offset(answer)))):
        for number, code, offset in rows:
            _refuse(code, f"partition {number} of topic {topic}")
            found[number] = offset
    if set(found) != set(partitions):
        raise malformed("other partitions than were asked for")
    return found


def _offset(answer: Reader) -> tuple[int, int, int]:
    number, code, _, offset = answer.int32(), answer.int16(), answer.int64(), answer.int64()
    return number, code, offset


async def lag(cluster: Cluster, topic: Topic, group: str) -> Lag:
    """How far a group is behind in a topic: where each partition ends, less what the group committed."""
    coordinator = await _coordinator(cluster, topic, group)
    numbers = sorted(topic.partitions)
    asked = text(group) + array([text(topic.name) + array([struct.pack(">i", n) for n in numbers])])
    answer = await coordinator.ask(wire.OFFSET_FETCH, asked)
    committed: dict[int, int] = {}
    for _, rows in answer.array(lambda: (answer.text(), answer.array(lambda: _commit(answer)))):
        for number, offset, code in rows:
            _refuse(code, f"group {group}")
            committed[number] = offset
    _refuse(answer.int16(), f"group {group}")
    known = {n: offset for n, offset in committed.items() if offset >= 0 and n in topic.partitions}
    by_leader: dict[int, list[int]] = {}
    for number in known:
        by_leader.setdefault(topic.partitions[number].leader, []).append(number)
    behind = 0
    for numbers_ in by_leader.values():
        ends = await offsets(await cluster.leader(topic, numbers_[0]), topic.name, numbers_)
        behind += sum(max(0, ends[n] - known[n]) for n in numbers_)
    return Lag(behind, len(known), len(topic.partitions) - len(known))


def _commit(answer: Reader) -> tuple[int, int, int]:
    number, offset = answer.int32(), answer.int64()
    answer.text()
    return number, offset, answer.int16()


async def _coordinator(cluster: Cluster, topic: Topic, group: str) -> Broker:
    answer = await cluster.first.ask(wire.FIND_COORDINATOR, text(group) + b"\0")
    answer.int32()
    code = answer.int16()
    answer.text()
    _refuse(code, f"group {group}")
    number, host, port = answer.int32(), answer.text(), answer.int32()
    if not 0 < port < 65_536 or not 0 < len(host) <= 253:
        raise malformed(f"a coordinator at {clip(host)}:{port}")
    return await cluster.broker(replace(topic, brokers=topic.brokers | {number: (host, port)}), number)
