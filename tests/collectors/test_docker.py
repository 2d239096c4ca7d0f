"""A real Podman behind the Docker API; what only Docker says is written from its API documents (version 1.47)."""

# ruff: noqa: E501

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from builders import FakeClock
from collectors.answering import Answering, answering
from collectors.looking import named, source, troubles
from podman import Podman, engine
from tocsin import collectors
from tocsin.core.host_rule import look
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import CheckInvalid, Invalid
from tocsin.net import Egress, Net


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with engine() as made:
        yield made


@asynccontextmanager
async def looking(path: Path, **options: Any) -> AsyncIterator[tuple[Any, FakeClock]]:
    clock = FakeClock()
    async with Net(egress=Egress("private")) as net:
        made = source("docker", net=net, clock=clock, socket=str(path), **options)
        yield made, clock
        await made.close()


def states(reading: Reading, kind: str = "container") -> dict[str, tuple[str, bool | None]]:
    return {s.name: (s.state, s.ok) for s in reading.services if s.kind == kind}


async def test_containers_of_a_real_engine(podman: Podman) -> None:
    async with looking(podman.socket, timeout=25) as (made, clock):
        reading = named(await made.collect())
        found = states(reading)
        assert found["well"] == ("running", True)
        assert found["frozen"] == ("paused", None)
        assert found["never"][1] is None
        assert found["failed"] == ("exited", None)  # nobody said that it should run
        assert reading.services[0].state == "answers"
        assert (reading.values["docker.containers"], reading.values["docker.images"]) == (5, 1)
        facts = {s.name: s.facts for s in reading.services}
        assert facts["failed"]["exit_code"] == 3
        assert str(facts["well"]["image"]).endswith("tiny:latest")
        assert reading.values["container.memory_bytes{container=well}"] > 0
        await clock.advance(15)
        after = named(await made.collect())
        assert after.values["container.cpu_percent{container=well}"] >= 0
    async with looking(podman.socket, containers=["well", "failed", "frozen", "gone"], disk=False, timeout=25) as (
        made,
        _,
    ):
        reading = named(await made.collect())
        assert states(reading) == {
            "well": ("running", True),
            "failed": ("exited", False),
            "frozen": ("paused", False),
            "gone": ("not there", False),
        }
        assert troubles("docker", reading) == {
            ("container", f"container/{name}") for name in ("failed", "frozen", "gone")
        }


ID = "ab" * 32


def container(**state: Any) -> dict[str, Any]:
    """A container as Docker's documents show one, cut to what matters here."""
    whole = {
        "Status": "running",
        "Running": True,
        "OOMKilled": False,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-01-02T03:04:05.6Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    return {
        "Id": ID, "Name": "/shop", "RestartCount": 0, "State": whole | state, "Config": {"Image": "shop:1.2", "Env": ["PASSWORD=hunter2"]},
        "HostConfig": {"Memory": 1000, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}},
    }  # fmt: skip


def stats(cpu: int, bytes_: int) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": 5, "online_cpus": 2}, "pids_stats": {"current": 7},
        "memory_stats": {"usage": 990, "stats": {"inactive_file": 30}, "limit": 1000},
        "networks": {"eth0": {"rx_bytes": bytes_, "tx_bytes": 2 * bytes_}, "eth1": {"rx_bytes": bytes_, "tx_bytes": 0}},
    }  # fmt: skip


def routes(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "/containers/json": [{"Id": ID, "Names": ["/shop"], "State": told["State"]["Status"], "Image": "shop:1.2"}],
        f"/containers/{ID}/json": told,
        f"/containers/{ID}/stats": stats(0, 0),
        "/system/df": {
            "LayersSize": 1000, "Images": [{"Size": 700}, {"Size": 600}], "Containers": [{"SizeRw": 5}], "BuildCache": [{"Size": 40}],
            "Volumes": [{"Name": "a", "UsageData": {"Size": 30, "RefCount": 1}}, {"Name": "b", "UsageData": {"Size": -1}}],
        },
    }  # fmt: skip


@asynccontextmanager
async def docker(
    tmp_path: Path, told: dict[str, Any], **options: Any
) -> AsyncIterator[tuple[Any, FakeClock, Answering]]:
    path = tmp_path / "s"
    async with answering(routes(told), path) as server, looking(path, **options) as (made, clock):
        yield made, clock, server


async def test_what_a_container_uses(tmp_path: Path) -> None:
    async with docker(tmp_path, container()) as (made, clock, server):
        await made.collect()
        server.routes[f"/containers/{ID}/stats"] = stats(5_000_000_000, 1000)
        await clock.advance(10, step=10)
        reading = named(await made.collect())
        assert "hunter2" not in str(reading)
        assert server.asked.count("/system/df") == 1
        assert reading.values == {
            "docker.containers": 1, "docker.containers_running": 1, "docker.images": 2, "docker.volumes": 2, "docker.images_bytes": 1000,
            "docker.volumes_bytes": 30, "docker.containers_bytes": 5, "docker.build_cache_bytes": 40,
            "container.memory_bytes{container=shop}": 960, "container.memory_percent{container=shop}": 96, "container.processes{container=shop}": 7,
            "container.restarts{container=shop}": 0, "container.cpu_percent{container=shop}": 50,
            "container.network_received_bytes_per_s{container=shop}": 200, "container.network_sent_bytes_per_s{container=shop}": 200,
        }  # fmt: skip
        assert troubles("docker", reading) == {("memory", "container.memory_percent{container=shop}")}


@pytest.mark.parametrize(
    ("state", "seen", "says"),
    [
        ({"Health": {"Status": "healthy", "Log": []}}, ("running", True), ""),
        ({"Health": {"Status": "starting"}}, ("starting", None), ""),
        ({"Health": {"Status": "unhealthy", "Log": [{"Output": "curl: (7)\n\x1b[31mno\n"}]}}, ("unhealthy", False), "no"),
        ({"Status": "restarting", "ExitCode": 1}, ("restarting", False), "exit code 1"),
        ({"Status": "exited", "ExitCode": 2}, ("exited", False), "exit code 2"),
        ({"Status": "exited", "ExitCode": 143}, ("exited", None), "exit code 143"),
        ({"Status": "exited", "ExitCode": 0}, ("exited", None), ""),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, ("exited", False), "want of memory"),
        ({"Status": "dead", "Error": "busy"}, ("dead", False), "busy"),
    ],
)  # fmt: skip
async def test_states(tmp_path: Path, state: dict[str, Any], seen: tuple[str, bool | None], says: str) -> None:
    async with docker(tmp_path, container(**state)) as (made, _, _):
        reading = named(await made.collect())
        assert states(reading) == {"shop": seen}
        assert says in reading.services[1].detail


async def test_one_that_begins_anew_again_and_again(tmp_path: Path) -> None:
    async with docker(tmp_path, container()) as (made, clock, server):
        for count in range(6):
            server.routes[f"/containers/{ID}/json"] = container() | {"RestartCount": count}
            reading = named(await made.collect())
            await clock.advance(15, step=15)
        assert states(reading) == {"shop": ("running", False)}
        assert "began anew 5 times" in reading.services[1].detail


async def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    async with docker(tmp_path, container(), timeout=0.5) as (made, _, server):
        server.silent = True
        reading = named(await made.collect())
        assert states(reading, "engine") == {"docker": ("not answering", False)}
        assert troubles("docker", reading) == {("engine", "engine/docker")}
        (seen,) = [s for rule in collectors.kind("docker").rules for s in look(rule, reading, frozenset())]
        assert seen.words == "container engine docker is not answering: no answer within 0.5 s"
        server.silent = False
        for answer, says in (
            ((500, b'{"message":"no"}'), "status 500"),
            (b"{", "as JSON"),
            ({"a": 1}, "another value"),
        ):
            server.routes["/containers/json"] = answer
            assert says in (await made.collect()).trouble
        server.routes["/containers/json"] = [
            5,
            {"Id": "../x", "Names": ["/odd"]},
            {"Id": "cd", "Names": ["/went"], "State": "running"},
        ]
        assert states(named(await made.collect())) == {}
        server.routes["/system/df"] = (500, b"")
    async with looking(tmp_path / "none") as (made, _):
        assert "there is no socket" in (await made.collect()).trouble


async def test_the_room_costs_nothing_else(tmp_path: Path) -> None:
    async with docker(tmp_path, container(), timeout=1) as (made, _, server):
        server.routes["/system/df"] = None
        reading = named(await made.collect())
        assert states(reading) == {"shop": ("running", True)}
        assert "use of disk" in reading.trouble


async def test_a_socket_that_is_not_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        monkeypatch.setattr("os.access", lambda *_: False)  # root may open everything
        async with looking(tmp_path / "s") as (made, _):
            with pytest.raises(CheckInvalid, match="may not open"):
                await made.collect()


def test_options_are_read_strictly() -> None:
    for wrong in ({"containers": ["a/b"]}, {"socket": "docker.sock"}, {"timeout": 100}):
        with pytest.raises(Invalid):
            read(collectors.kind("docker").options, wrong)
