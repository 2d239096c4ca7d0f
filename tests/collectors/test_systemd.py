"""Units of a real systemd, in namespaces of its own; and the words for each state, as a table."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from collectors.looking import named, source, troubles
from collectors.private_systemd import PrivateSystemd, private_systemd
from needs import require
from tocsin import collectors
from tocsin.clock import SystemClock
from tocsin.collectors import Facility
from tocsin.collectors._units import LOOP_RESTARTS, Restarts, Unit, full_name, seen
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid
from tocsin.net import Egress, Net
from tocsin.net.dbus import Bus

UNITS = {
    "works.service": "[Service]\nExecStart=/bin/sleep 10000\nCPUAccounting=yes\n",
    "busy.service": "[Service]\nExecStart=/bin/sh -c 'while :; do :; done'\nCPUAccounting=yes\nCPUWeight=10\nNice=19\n",
    "once.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "fails.service": "[Service]\nExecStart=/bin/sh -c 'exit 3'\n",
    "app-1.service": "[Service]\nExecStart=/bin/sleep 10000\n",
    "app-2.service": "[Service]\nExecStart=/bin/sleep 10000\n",
    "loop.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c 'exit 4'\nRestart=always\nRestartSec=20ms\n",
    "slow.service": "[Service]\nType=oneshot\nExecStart=/bin/sleep 10000\n",
    "on-call.socket": "[Socket]\nListenStream=/run/on-call\n",
    "on-call.service": "[Service]\nExecStart=/bin/sleep 10000\n",
}


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSystemd]:
    require("jeepney", find_spec("jeepney"))
    with private_systemd(tmp_path_factory.mktemp("systemd"), UNITS) as made:
        yield made


class Looking:
    """A source on the private systemd, and whether it asked to look."""

    def __init__(self, systemd: PrivateSystemd, *services: str) -> None:
        self.woken = asyncio.Event()
        known = collectors.kind("systemd")
        options = read(known.options, {"services": list(services), "bus": str(systemd.bus)})
        facility = Facility(Net(egress=Egress("private")), SystemClock(), self.woken.set)
        self.source: Any = known.source(options, facility)

    async def __aenter__(self) -> Looking:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.source.close()

    async def until(self, wanted: Any) -> Reading:
        """Look until the reading is as wanted."""
        async with asyncio.timeout(60):
            while True:
                reading = named(await self.source.collect())
                if wanted({s.name: s for s in reading.services}):
                    return reading
                await asyncio.sleep(0.05)

    async def asks(self) -> None:
        """Return when it asks for a look."""
        async with asyncio.timeout(60):
            await self.woken.wait()
        self.woken.clear()


def by_name(reading: Reading) -> dict[str, Service]:
    return {service.name: service for service in reading.services}


async def test_units_are_seen_as_they_are(systemd: PrivateSystemd) -> None:
    for unit in ("works.service", "once.service", "fails.service", "app-1.service", "on-call.socket", "slow.service"):
        await systemd.start(unit)
    names = ("works", "once", "fails.service", "gone", "app-*", "on-call", "on-call.socket", "slow")
    async with Looking(systemd, *names) as looking:
        reading = await looking.until(lambda s: s["fails.service"].state == "failed" and s["works.service"].ok)
    found = {name: (s.state, s.ok) for name, s in by_name(reading).items()}
    assert found == {
        "works.service": ("active", True), "once.service": ("inactive", True), "fails.service": ("failed", False),
        "gone.service": ("not-found", False), "app-1.service": ("active", True), "on-call.socket": ("active", True),
        "on-call.service": ("inactive", True), "slow.service": ("working", None),
    }  # fmt: skip
    assert by_name(reading)["fails.service"].detail == "it ended with exit code 3"
    assert by_name(reading)["works.service"].since is not None
    assert reading.values["systemd.failed_units"] >= 1
    assert troubles("systemd", reading) == {("unit", "unit/fails.service"), ("unit", "unit/gone.service")}
    await systemd.stop("slow.service")


async def test_a_unit_that_ends_is_heard_of_at_once(systemd: PrivateSystemd) -> None:
    await systemd.start("app-2.service")
    async with Looking(systemd, "app-2") as looking:
        await looking.until(lambda s: s["app-2.service"].ok)
        looking.woken.clear()
        for pid in systemd.processes("app-2.service"):
            os.kill(pid, signal.SIGKILL)
        await looking.asks()
        reading = await looking.until(lambda s: s["app-2.service"].ok is False)
        assert by_name(reading)["app-2.service"].detail == "it was ended by signal 9"
        looking.woken.clear()
        await systemd.start("app-2.service")
        await looking.asks()
        await looking.until(lambda s: s["app-2.service"].ok)
    await systemd.stop("app-2.service")


async def test_a_look_asks_for_no_further_look(systemd: PrivateSystemd) -> None:
    """Asking for units that are not loaded loads them for a moment, which systemd tells everybody about."""
    await systemd.start("once.service")
    async with Looking(systemd, "once", "gone", "fails") as looking:
        await looking.until(lambda s: s["once.service"].ok and s["fails.service"].state != "activating")
        await asyncio.sleep(1)
        looking.woken.clear()
        await looking.source.collect()
        await asyncio.sleep(1)
        assert not looking.woken.is_set()


async def test_without_names_every_unit_that_fails_is_shown_until_it_is_well(systemd: PrivateSystemd) -> None:
    await systemd.tell("ResetFailed", "")
    async with Looking(systemd) as looking:
        assert (await looking.source.collect()).services == ()
        await systemd.start("fails.service")
        await looking.asks()
        reading = await looking.until(lambda s: "fails.service" in s)
        assert by_name(reading)["fails.service"].ok is False
        await systemd.tell("ResetFailedUnit", "s", "fails.service")
        reading = await looking.source.collect()
        assert by_name(reading)["fails.service"].ok is not False
        assert (await looking.source.collect()).services == ()


async def test_a_unit_that_restarts_again_and_again(systemd: PrivateSystemd) -> None:
    await systemd.start("loop.service")
    async with Looking(systemd, "loop") as looking:
        reading = await looking.until(lambda s: s["loop.service"].ok is False)
    assert "restarted" in by_name(reading)["loop.service"].detail
    assert reading.values["unit.restarts{unit=loop.service}"] >= LOOP_RESTARTS
    await systemd.stop("loop.service")


async def test_what_a_unit_uses(systemd: PrivateSystemd) -> None:
    await systemd.start("busy.service")
    async with Looking(systemd, "busy") as looking:
        await looking.until(lambda s: s["busy.service"].ok)
        await asyncio.sleep(0.5)
        reading = await looking.source.collect()
    assert 0 < reading.values["unit.cpu_percent{unit=busy.service}"] < 150
    await systemd.stop("busy.service")


async def test_a_bus_that_goes_away_is_found_again(systemd: PrivateSystemd) -> None:
    await systemd.start("works.service")
    async with Looking(systemd, "works") as looking:
        await looking.until(lambda s: s["works.service"].ok)
        looking.woken.clear()
        for pid in systemd.processes("dbus.service"):
            os.kill(pid, signal.SIGKILL)
        await looking.asks()
        async with asyncio.timeout(60):
            while True:  # the socket starts the bus again, and systemd comes back to it
                try:
                    reading = await looking.source.collect()
                    break
                except CheckFailed:
                    await asyncio.sleep(0.1)
        assert by_name(reading)["works.service"].ok


async def test_where_there_is_no_bus_it_says_so(tmp_path: Path) -> None:
    nowhere = source("systemd", bus=str(tmp_path / "no such; bus"))
    with pytest.raises(CheckFailed, match="cannot be used: No such file"):
        await nowhere.collect()
    await nowhere.close()


async def test_a_bus_that_says_nonsense(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "bus")
    async with server:
        bus = Bus(str(tmp_path / "bus"), lambda *_: None, lambda: None)
        with pytest.raises(CheckFailed, match="cannot be used"):
            await bus.connect()
        await bus.close()


def a_unit(**given: Any) -> Unit:
    return Unit(**{"name": "a.service", "load": "loaded", "active": "active", "sub": "running"} | given)


@pytest.mark.parametrize(
    ("given", "restarts", "state", "ok", "detail"),
    [
        ({}, 0, "active", True, ""),
        ({"active": "reloading", "sub": "reload"}, 0, "reloading", None, "reload"),
        ({"active": "activating", "sub": "start", "since": 950.0}, 0, "activating", None, "start"),
        ({"active": "activating", "sub": "start", "since": 900.0}, 0, "activating", False, "start, for more than 90 s"),
        ({"active": "activating", "sub": "auto-restart", "since": 1.0}, 1, "activating", None, "auto-restart"),
        ({"restarts": 9, "result": "oom-kill"}, 5, "active", False, "restarted 5 times within 10 minutes: the kernel ended it for want of memory"),
        ({"active": "activating", "sub": "start", "type": "oneshot", "since": 1.0}, 0, "working", None, ""),
        ({"active": "failed", "result": "timeout"}, 0, "failed", False, "it took too long to start or to stop"),
        ({"active": "failed", "result": "something-new"}, 0, "failed", False, "something-new"),
        ({"active": "inactive", "sub": "dead"}, 0, "inactive", False, "it is not running"),
        ({"active": "inactive", "sub": "dead", "named": False}, 0, "inactive", None, ""),
        ({"active": "inactive", "sub": "dead", "type": "oneshot"}, 0, "inactive", True, "it ended well"),
        ({"active": "inactive", "sub": "dead", "triggered": True}, 0, "inactive", True, "it is started when it is needed"),
        ({"active": "inactive", "load": "masked"}, 0, "masked", False, "it is masked, so it cannot be started"),
    ],
)  # fmt: skip
def test_states(given: dict[str, Any], restarts: int, state: str, ok: bool | None, detail: str) -> None:
    service = seen(a_unit(**given), restarts, 1000.0)
    assert (service.state, service.ok, service.detail) == (state, ok, detail)


def test_restarts_are_counted_for_a_while() -> None:
    counts = Restarts()
    assert [counts.lately("a", n, at) for n, at in ((3, 0.0), (4, 10.0), (6, 20.0), (6, 615.0), (0, 700.0))] == [
        0,
        1,
        3,
        2,
        0,
    ]
    counts.keep({"b"})
    assert counts.lately("a", 9, 800.0) == 0


@pytest.mark.parametrize(
    ("text", "name"), [("nginx", "nginx.service"), ("a.timer", "a.timer"), ("my.app", "my.app.service")]
)
def test_a_name_without_an_ending_is_a_service(text: str, name: str) -> None:
    assert full_name(text) == name


def test_names_are_held_to_what_units_are_called() -> None:
    with pytest.raises(Invalid, match=r"services\[0\]: expected the name of a unit"):
        read(collectors.kind("systemd").options, {"services": ["/etc/passwd"]})
