"""`tocsin agent` as a program of its own, against a small real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from pathlib import Path

from agent.center import Host, agent, center
from builders import until


async def test_it_enrols_beats_and_hands_over(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url, more="tags: [web, eu]")
        async with agent(host) as program:
            await until(lambda: len(server.values("toy.value")) >= 3 and server.beats)
            assert [(e.name, e.tags) for e in server.enrolments] == [("production-server-1", ["web", "eu"])]
            beat = server.beats[-1]
            assert (beat.server_uuid, beat.incarnation) == ("host-1", next(iter(server.batches)))
            assert [said.facts for said in (*server.enrolments, *server.beats)] == [{"os": "Toy 1"}] * (
                len(server.beats) + 1
            )
            code, out, _ = await asyncio.to_thread(host.does, "status", "--json")
            assert (code, json.loads(out)["connected_to"]) == (0, server.url)
            assert await program.end() == 0
        assert sorted(server.batches[beat.incarnation]) == list(range(1, len(server.batches[beat.incarnation]) + 1))
        async with agent(host, TOCSIN_API_KEY=""):  # a key is needed once
            count = len(server.beats)
            await until(lambda: len(server.beats) > count + 1)
    assert len(server.enrolments) == 1
    assert server.repeated == 0
    assert (host.data / "agent.json").stat().st_mode & 0o777 == 0o600
    assert (await asyncio.to_thread(host.does, "status"))[0] == 3


async def test_a_configuration_is_taken_without_a_library_that_signs(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        server.set_config(heartbeat_interval_s=2)
        host.writes(server.url)
        async with agent(host) as program:
            await until(lambda: any(beat.config_version == 1 for beat in server.beats))
            loaded = Path(f"/proc/{program.process.pid}/maps").read_text()
    assert "msgspec" in loaded
    assert not any(name in loaded for name in ("cryptography", "pycurl", "re2"))


async def test_a_kill_loses_and_doubles_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host) as program:
            await until(lambda: len(server.values("toy.value")) >= 1)
            await server.stop()
            host.sees(2)
            await program.says("agent.not_handed_over")
            await until(lambda: _buffered(host) >= 3)
            waiting = _buffered(host)
            assert all(beat.late_s == 0 for beat in server.beats)
            await program.kill()
        host.sees(3)
        async with agent(host) as program:
            await program.says("agent.not_handed_over", times=2)
            await asyncio.sleep(3)  # two push intervals, and more
            await server.start()
            await until(lambda: any(beat.late_s > 2 and beat.buffered > 2 for beat in server.beats))
            await until(lambda: 3.0 in server.values("toy.value"))
        (incarnation,) = server.batches
        seqs = sorted(server.batches[incarnation])
        assert seqs == list(range(1, len(seqs) + 1))
        assert server.values("toy.value").count(2.0) >= waiting - 1
        assert server.values("toy.value") == sorted(server.values("toy.value"))


def _buffered(host: Host) -> int:
    try:
        return int(json.loads((host.data / "status.json").read_text())["buffered"])
    except FileNotFoundError:
        return 0


async def test_a_changed_file_counts_after_sighup_and_a_bad_one_does_not(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host) as program:
            await until(lambda: bool(server.beats))
            good = host.file.read_text()
            host.file.write_text(good + "monitor: []\n")
            program.process.send_signal(signal.SIGHUP)
            await program.says("agent.file_refused")
            await until(lambda: "did you mean monitors?" in server.beats[-1].troubles.get("file", ""))
            assert "line 13" in server.beats[-1].troubles["file"]
            code, out, err = await asyncio.to_thread(host.does, "status")
            assert (code, "did you mean monitors?" in err, "production-server-1: agent" in out) == (0, True, True)
            host.file.write_text(good + "  bad: [\n")
            code, out, err = await asyncio.to_thread(host.does, "status")
            assert (code, "not known where an agent keeps its things" in err, out) == (4, True, "")
            count = len(server.values("toy.value"))
            await until(lambda: len(server.values("toy.value")) > count + 1)
            host.file.write_text(good.replace("type: toy", "type: toy\n    name: renamed"))
            program.process.send_signal(signal.SIGHUP)
            await until(
                lambda: any(b.collector == "renamed" for all_ in server.batches.values() for b in all_.values())
            )
            await until(lambda: "file" not in server.beats[-1].troubles)
            assert program.process.returncode is None


def test_a_wrong_file_stops_the_start_with_lines(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.writes("http://192.0.2.1", more="heartbeat: 5\nrules: [{name: a, metric: b}]")
    for word in ("run", "check-config"):
        code, _, error = host.does(word)
        assert code == 2
        lines = error.splitlines()
        known = "line 12: heartbeat: expected a known field (did you mean heartbeat_interval?)"
        assert any(known in x for x in lines), lines
        assert any("line 13: rules[0].above: expected a limit" in x for x in lines), lines
    host.writes("http://127.0.0.1:9", more="rules: [{builtin: toy.hihg, above: 5}]")
    code, said, error = host.does("check-config")
    assert (code, "some of it is odd" in said) == (0, True)
    assert f"The file {host.file} can be taken" in said
    assert "rule toy.hihg: no collector has a built-in rule of that name" in error
    host.writes("http://192.0.2.1")
    error = host.does("check-config")[2]
    assert "server_url: expected https://" in error
    assert "line 3" in error


def test_a_command_that_there_is_not(tmp_path: Path) -> None:
    code, _, error = Host(tmp_path).does("statsu")
    assert (code, error.strip()) == (
        2, "tocsin agent: expected run, check-config, status, install, found 'statsu' (did you mean status?)",
    )  # fmt: skip


async def test_two_agents_never_share_a_folder(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host):
            await until(lambda: bool(server.beats))
            code, _, error = await asyncio.to_thread(host.does, "run")
    assert code == 2
    assert "found another agent at work" in error


async def test_the_service_manager_hears_how_it_is(tmp_path: Path) -> None:
    host, place = Host(tmp_path), tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.setblocking(False)
        said: list[str] = []

        def hears() -> str:
            with contextlib.suppress(BlockingIOError):
                said.append(manager.recv(4096).decode())
            return "\n".join(said)

        host.writes("http://127.0.0.1:9")
        async with agent(host, NOTIFY_SOCKET=str(place), WATCHDOG_USEC="400000") as running:
            await until(lambda: hears().count("WATCHDOG=1") >= 2)
            assert said[0].startswith("READY=1")
            running.process.send_signal(signal.SIGHUP)
            await until(lambda: "RELOADING=1\nMONOTONIC_USEC=" in hears())
            await until(lambda: hears().count("READY=1") == 2)
            assert await running.end() == 0
            await until(lambda: "STOPPING=1" in hears())
