from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys

import pytest

from hostile import refused_port
from namespace import alone
from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.net import Net
from tocsin.net.shortage import exhausted, shortage, shortage_now

# Run in a process of its own, for its limit: every descriptor is taken; then each kind looks.
SCRIPT = """
import asyncio, os, resource, socket, sys
from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.shape import read
from tocsin.net import Net

async def main(first_look):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    here = {"host": "127.0.0.1", "port": port}
    looks = [
        ("http", {"url": f"http://127.0.0.1:{port}/"}),
        ("http", {"url": f"https://127.0.0.1:{port}/"}),
        ("http", {"url": f"http://localhost:{port}/"}),
        ("tcp", here),
        ("tcp", {"host": "no-such-name.invalid", "port": port}),
        ("tls", here),
        ("dns", {"name": "a.example", "server": f"127.0.0.1:{port}"}),
        ("dns", {"name": "a.example", "server": f"127.0.0.1:{port}", "protocol": "tcp"}),
        ("smtp", here),
        ("ping", {"host": "127.0.0.1"}),
    ]
    orders = [checks.Order(k, read(checks.kind(k).target, t), timeout_s=1) for k, t in looks]
    async with Net() as net:
        if first_look:
            await checks.run(checks.Order("http", orders[0].target, timeout_s=0.1), net, SystemClock())
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for order in orders:
            outcome = await checks.run(order, net, SystemClock())
            print(order.type, outcome.status, outcome.error.message if outcome.error else "")
        for fd in held:
            os.close(fd)
        print("again", (await checks.run(orders[3], net, SystemClock())).status)
        print("again", (await checks.run(orders[0], net, SystemClock())).error.type)

asyncio.run(main(sys.argv[1] == "warm"))
"""


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_without_a_descriptor_left_every_kind_is_invalid_and_recovers(start: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, start], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 12, done.stdout + done.stderr
    assert [line for line in lines[:10] if line.split()[1] != "invalid" or "descriptor" not in line] == []
    assert lines[10:] == ["again up", "again timeout"]  # the server takes connections and says nothing
    assert "Traceback" not in done.stderr


def test_what_is_ours_and_what_is_the_other_sides() -> None:
    ours = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EPERM]
    theirs = [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ETIMEDOUT, 0]
    for number in ours:
        assert os.strerror(number) in str(shortage(OSError(number, "")))
        assert shortage(number) is not None
    assert [n for n in theirs if shortage(OSError(n, "")) or shortage(n)] == []
    assert [n for n in ours if exhausted(OSError(n, ""))] == ours[:4]


def test_errors_that_count_otherwise_are_no_shortage() -> None:
    assert shortage(ssl.SSLError(1, "EPERM is 1 too")) is None
    assert shortage(socket.gaierror(errno.ENOMEM, "an address error")) is None
    assert shortage(OSError("no number")) is None
    assert shortage_now() is None


def test_no_address_of_our_own_is_invalid_unless_another_one_of_the_target_answers() -> None:
    """A machine without IPv6 still has ::1 as an address of localhost."""
    port = refused_port()

    async def look() -> list[Outcome]:
        async with Net() as net:
            targets = [
                ("tcp", {"host": "::1", "port": port}),
                ("http", {"url": f"http://[::1]:{port}/"}),
                ("http", {"url": f"http://a.example:{port}/", "resolve": [f"a.example:{port}:::1,127.0.0.1"]}),
            ]
            orders = [checks.Order(k, read(checks.kind(k).target, t)) for k, t in targets]
            return [await checks.run(order, net, SystemClock()) for order in orders]

    async def connect() -> str:
        async with Net() as net:
            try:
                async with net.connect("a.example", port, pins=[f"a.example:{port}:::1,127.0.0.1"]):
                    return "connected"
            except Exception as failure:
                return getattr(failure, "type", "invalid")

    without = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6"
    outcomes = alone(look, without)
    assert [o.status for o in outcomes] == ["invalid", "invalid", "down"]
    assert outcomes[2].error is not None
    assert outcomes[2].error.type == "connection_refused"
    assert alone(connect, without) == "connection_refused"
