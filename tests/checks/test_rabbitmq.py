"""rabbitmq: a real RabbitMQ of the test's own, and servers that break the protocol in every way."""

# ruff: noqa: E501

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pamqp import body, commands, frame, header

from checks.looking import look, why
from hostile import Talk, authority, issue, refused_port, serving
from hostile.sound import AMQP_DECLARED as DECLARED
from hostile.sound import AMQP_GOT as GOT
from hostile.sound import AMQP_HELLO as HELLO
from hostile.sound import AMQP_START as START
from hostile.sound import AMQP_TUNE as TUNE
from hostile.sound import amqp_frame as raw_frame
from hostile.sound import amqp_table as table
from needs import program, require
from tocsin.checks.rabbitmq import Target
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
DEFINITIONS = {
    "users": [{"name": "guest", "password": "guest", "tags": ""}, {"name": "alice", "password": "s3cret", "tags": ""}],
    "vhosts": [{"name": "/"}, {"name": "shop"}],
    "permissions": [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "alice", "vhost": "shop", "configure": "^$", "write": "^$", "read": "^$"},
    ],
    "queues": [{"name": n, "vhost": v, "durable": True, "auto_delete": False, "arguments": {}} for n, v in (("orders", "/"), ("mail", "shop"))],
}  # fmt: skip


def listens(port: int, process: subprocess.Popen[bytes], most_s: float) -> None:
    """Wait until somebody listens there."""
    until = time.monotonic() + most_s
    while True:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < until, "it does not listen"
        time.sleep(0.05)


def configured(folder: Path, ports: list[int]) -> dict[str, str]:
    """Write a configuration there, and give the variables that lead to it."""
    identity = issue("127.0.0.1", by=authority())
    for name, text in (
        ("cert.pem", identity.pem), ("key.pem", identity.key_pem), ("ca.pem", authority().pem), ("plugins", "[]."),
        ("definitions.json", json.dumps(DEFINITIONS)),
        ("rabbitmq.conf", f"""
listeners.tcp.1 = 127.0.0.1:{ports[0]}
listeners.ssl.1 = 127.0.0.1:{ports[1]}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/cert.pem
ssl_options.keyfile = {folder}/key.pem
load_definitions = {folder}/definitions.json
log.console = true
log.console.level = warning
log.file = false
"""),
    ):  # fmt: skip
        (folder / name).write_text(text)
    return {
        "PATH": os.environ["PATH"], "HOME": str(folder), "RABBITMQ_NODENAME": f"tocsin{ports[0]}@localhost",
        "RABBITMQ_DIST_PORT": str(ports[2]), "ERL_EPMD_PORT": str(ports[3]), "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"), "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"), "RABBITMQ_LOG_BASE": str(folder / "log"), "RABBITMQ_PID_FILE": str(folder / "pid"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A RabbitMQ of our own: its port, and its port for TLS. It takes 5 to 15 seconds to start."""
    require("rabbitmq-server", SERVER.is_file())
    folder = tmp_path_factory.mktemp("rabbitmq")
    free = [refused_port() for _ in range(4)]
    environment = configured(folder, free)
    names = subprocess.Popen([program("epmd"), "-address", "127.0.0.1", "-port", str(free[3])], stdout=-3, stderr=-3)
    try:
        listens(free[3], names, 10)
        server = subprocess.Popen(
            [str(SERVER)], env=environment, cwd=folder, stdout=-3, stderr=-3, start_new_session=True
        )
        try:
            listens(free[1], server, 60)
            yield free[0], free[1]
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(20)
    finally:
        names.kill()
        names.wait(20)


async def see(port: int, **more: Any) -> Outcome:
    return await look("rabbitmq", host="127.0.0.1", port=port, **more)


async def test_a_message_goes_through_and_comes_back(ports: tuple[int, int]):
    outcome = await see(ports[0])
    assert why(outcome) == ("up", "", None)
    facts = outcome.seen.facts
    assert (facts["product"], facts["version"].split(".")[0].isdigit()) == ("RabbitMQ", True)
    assert facts["round_trip_ms"] > 0
    assert outcome.seen.timing.ttfb is not None


async def test_over_tls(ports: tuple[int, int]):
    outcome = await see(
        ports[1], tls=True, ca_file=authority().pem, rules=[{"type": "certificate_days", "op": "gt", "value": 0}]
    )
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.tls is not None
    assert why(await see(ports[1], tls=True)) == ("down", "tls", "tls")


async def test_a_queue_and_its_limits(ports: tuple[int, int]):
    outcome = await see(ports[0], queue="orders", max_messages=0)
    assert why(outcome) == ("up", "", None)
    assert (outcome.seen.facts["messages"], outcome.seen.facts["consumers"]) == (0, 0)
    lonely = await see(ports[0], queue="orders", min_consumers=1)
    assert lonely.status == "degraded"
    assert "expected at least 1 consumers, found 0" in str(lonely.error)
    with filled(ports[0], "orders", 3):
        assert (await see(ports[0], queue="orders", max_messages=3)).status == "up"
        full = await see(ports[0], queue="orders", max_messages=2)
    assert full.status == "degraded"
    assert "expected at most 2 messages in the queue, found 3" in str(full.error)
    assert (await see(ports[0], queue="orders")).seen.facts["messages"] == 0


class filled:
    """A queue with some messages in it, taken out again at the end; over a plain socket of the test's own."""

    def __init__(self, port: int, queue: str, count: int) -> None:
        self.queue, self.count = queue, count
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.file = self.sock.makefile("rb")

    def say(self, *frames: Any, channel: int = 1) -> None:
        self.sock.sendall(b"".join(frame.marshal(f, channel) for f in frames))

    def hear(self, kind: type[Any]) -> Any:
        while True:
            head = self.file.read(7)
            got = frame.unmarshal(head + self.file.read(struct.unpack(">BHI", head)[2] + 1))[2]
            if isinstance(got, kind):
                return got

    def __enter__(self) -> None:
        self.sock.sendall(HELLO)
        self.say(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), commands.Connection.TuneOk(8, 16384, 0), commands.Connection.Open("/"), channel=0)  # fmt: skip
        self.say(commands.Channel.Open())
        self.say(commands.Confirm.Select())
        for _ in range(self.count):
            self.say(commands.Basic.Publish(exchange="", routing_key=self.queue), header.ContentHeader(0, 1, commands.Basic.Properties()), body.ContentBody(b"x"))  # fmt: skip
        acknowledged = 0
        while acknowledged < self.count:
            acknowledged = self.hear(commands.Basic.Ack).delivery_tag

    def __exit__(self, *exc: object) -> None:
        self.say(commands.Queue.Purge(queue=self.queue))
        self.hear(commands.Queue.PurgeOk)
        self.file.close()
        self.sock.close()


@pytest.mark.parametrize(
    ("target", "type_", "says"),
    [
        ({"user": "alice", "password": "hunter2"}, "protocol", "did not let the user in: 403 ACCESS_REFUSED"),
        ({"vhost": "nope"}, "protocol", "into the virtual host: 530 NOT_ALLOWED - vhost nope not found"),
        ({"user": "alice", "password": "s3cret"}, "protocol", "into the virtual host: 530"),
        ({"queue": "nope"}, "assertion", "no such thing on the server: 404 NOT_FOUND - no queue 'nope'"),
        ({"user": "alice", "password": "s3cret", "vhost": "shop"}, "protocol", "does not let the user do this: 403"),
    ],
)  # fmt: skip
async def test_what_the_server_refuses(ports: tuple[int, int], target: dict[str, Any], type_: str, says: str):
    outcome = await see(ports[0], **target)
    assert why(outcome)[:2] == ("down", type_)
    assert says in str(outcome.error)
    assert "hunter2" not in str(outcome)


async def test_a_user_without_rights_may_look_at_a_queue(ports: tuple[int, int]):
    outcome = await see(ports[0], user="alice", password="s3cret", vhost="shop", queue="mail")
    assert why(outcome) == ("up", "", None)


def method(frame_: Any, channel: int = 0) -> bytes:
    return frame.marshal(frame_, channel)


OPEN = method(commands.Connection.OpenOk()) + method(commands.Channel.OpenOk(), 1)


@pytest.mark.parametrize(
    ("said", "type_", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "expected an AMQP frame"), (b"AMQP\x00\x01\x00\x00", "protocol", "the server speaks 1-0-0"),
        (b"", "protocol", "ended in the middle"), (START[:40], "protocol", "ended in the middle"), (b"\x01\0\0\xff\xff\xff\xff", "protocol", "frame of 4294967295 bytes"),
        (raw_frame(b"\0\x0a\0\x0a" + b"\xff" * 60), "protocol", "a broken AMQP frame"), (START[:-1] + b"\0", "protocol", "a broken AMQP frame"),
        (raw_frame(b"\0\x0a\0\x0a\0\x09" + table(1500)), "protocol", "a broken AMQP frame"), (raw_frame(b"\xff\xff\xff\xff"), "protocol", "a broken AMQP frame"),
        (raw_frame(b""), "protocol", "a broken AMQP frame"), (TUNE, "protocol", "expected Connection.Start, found Connection.Tune"),
        (method(commands.Connection.Start(0, 9, {}, "EXTERNAL", "en_US")), "protocol", "expected sign-in by PLAIN to be offered, found EXTERNAL"),
        (b"\x08\0\0\0\0\0\0\xce" * 60, "protocol", "no answer among 50 frames"), (START + TUNE[:5], "protocol", "ended"),
        (START + method(commands.Connection.Tune(0, 100, 0)), "protocol", "frames of at least 4096"),
        (START + method(commands.Connection.Close(320, "CONNECTION_FORCED \x1b[31m", 0, 0)), "protocol", "shutting down: 320 CONNECTION_FORCED \\u001b"),
        (START + TUNE + OPEN + method(commands.Channel.Close(541, "INTERNAL_ERROR", 0, 0), 1), "protocol", "the server refused: 541"),
        (START + TUNE + OPEN + DECLARED + method(commands.Basic.GetEmpty(), 1), "assertion", "the queue is empty"),
        (START + TUNE + OPEN + DECLARED + method(commands.Connection.Blocked("low on memory")), "assertion", "takes no messages now: low on memory"),
        (START + TUNE + OPEN + DECLARED + GOT + method(header.ContentHeader(0, 5), 1), "assertion", "another message came out"),
        (START + TUNE + OPEN + DECLARED + GOT + method(header.ContentHeader(0, 32), 1) + method(body.ContentBody(b"x" * 32), 1), "assertion", "another message came out"),
    ],
)  # fmt: skip
async def test_servers_that_go_wrong(said: bytes, type_: str, says: str):
    async def script(talk: Talk) -> None:
        assert await talk.reader.readexactly(8) == HELLO
        await talk.send(said)
        talk.writer.write_eof()
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await see(server.port)
    assert why(outcome)[:2] == ("down", type_)
    assert outcome.error is not None
    assert says in outcome.error.message


async def test_nobody_and_silence():
    assert why(await see(refused_port()))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await see(server.port, timeout_s=0.3)) == ("down", "timeout", "ttfb")


async def test_a_password_stays_off_open_wires(monkeypatch: pytest.MonkeyPatch):
    """A far machine is not to be had here, so one on another address of this machine is taken for one."""
    sent: list[bytes] = []

    async def script(talk: Talk) -> None:
        await talk.reader.readexactly(8)
        await talk.send(START)
        sent.append(await talk.reader.read(1000))
        await talk.hang()

    monkeypatch.setattr("ipaddress.IPv4Address.is_loopback", property(lambda self: str(self) != "127.0.0.2"))
    async with serving(script, read=False, host="127.0.0.2") as server:
        target: dict[str, Any] = {"host": "127.0.0.2", "port": server.port, "user": "alice", "password": "s3cret"}
        refused = await look("rabbitmq", **target, timeout_s=2)
        allowed = await look("rabbitmq", **target, cleartext_password=True, timeout_s=0.5)
    assert why(refused) == ("down", "protocol", "send")
    assert why(allowed)[1] == "timeout"
    assert [b"s3cret" in data for data in sent] == [False, True]


@pytest.mark.parametrize(
    ("data", "field"),
    [({"user": "a"}, "password"), ({"password": "a"}, "user"), ({"max_messages": 1}, "queue"), ({"min_consumers": 1}, "queue"), ({"queue": "é" * 200}, "queue")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]
