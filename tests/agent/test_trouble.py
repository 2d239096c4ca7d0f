"""What an agent does when things around it fail: disks, clocks, keys, files, servers that do not lead."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.center import KEY, Center, Host, agent, center
from builders import until
from needs import program, require
from tocsin.agent.wire import HEARTBEAT, SAMPLES
from tocsin.core.host_rule import HostRule, OnSample
from world import Web

MOUNT = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'


async def inside(pid: int, command: str) -> None:
    """Run it where that process sees its disk."""
    words = [program("nsenter"), f"--mount=/proc/{pid}/ns/mnt", "sh", "-c", command]
    done = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
    await done.wait()


async def ended(host: Host, *words: str) -> tuple[int | None, str]:
    """Exit code, and all that was said, of a program that ends."""
    out = asyncio.subprocess.PIPE
    done = await asyncio.create_subprocess_exec(
        *words, stdout=out, stderr=asyncio.subprocess.STDOUT, env=host.environment()
    )
    said, _ = await done.communicate()
    return done.returncode, said.decode()


async def test_a_full_disk_stops_no_alert_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.data.mkdir()
    before = [program("unshare"), "--mount", "sh", "-c", MOUNT, str(host.data)]
    tried = await asyncio.create_subprocess_exec(*before, "true", stderr=asyncio.subprocess.DEVNULL)
    require("a mount namespace (root)", await tried.wait() == 0)
    async with center() as server, Web() as web:
        alerts = (
            f"alerts: [{{name: ops, type: webhook, url: '{web.url}'}}]\nrules: [{{builtin: toy.high, direct: true}}]"
        )
        host.writes(server.url, more=alerts)
        async with agent(host, *before) as running:
            await until(lambda: len(server.values("toy.value")) >= 2)
            await inside(running.process.pid, f"cat /dev/zero > {host.data}/filler")
            await until(lambda: "buffer" in server.beats[-1].troubles)
            host.sees(20)
            await until(lambda: server.turns() == [(1, "opened", True)])
            assert len(web.posts) == 1
            await until(lambda: 20.0 in server.values("toy.value"))  # from memory
            await inside(running.process.pid, f"rm {host.data}/filler")
            await until(lambda: server.beats[-1].troubles == {})
            assert server.beats[-1].dropped == 0
            host.sees(3)
            await until(lambda: 3.0 in server.values("toy.value"))
        (incarnation,) = server.batches
    assert sorted(server.batches[incarnation]) == list(range(1, len(server.batches[incarnation]) + 1))


async def test_a_disk_that_is_full_at_the_start_stops_no_start(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.data.mkdir()
    mount = f'{MOUNT.partition(" && ")[0]} && {{ cat /dev/zero > {host.data}/filler 2>/dev/null; exec "$@"; }}'
    before = [program("unshare"), "--mount", "sh", "-c", mount, str(host.data)]
    tried = await asyncio.create_subprocess_exec(*before, "true", stderr=asyncio.subprocess.DEVNULL)
    require("a mount namespace (root)", await tried.wait() == 0)
    async with center() as server:
        host.writes(server.url)
        async with agent(host, *before) as running:
            await until(lambda: len(server.values("toy.value")) >= 2)
            assert "in memory only" in server.beats[-1].troubles["data folder"]
            seen = f"/proc/{running.process.pid}/root{host.data}"
            left = sorted(os.listdir(seen))
            assert not [name for name in left if name.startswith(".status")], left
            enter = [program("nsenter"), f"--mount=/proc/{running.process.pid}/ns/mnt", "--wd=" + str(host.folder)]
            code, said = await ended(host, *enter, *host.words("status"))
            assert (code, "an agent runs with the folder" in said) == (0, True), said
            code, said = await ended(host, *enter, *host.words("run"))
            assert (code, "found another agent at work" in said) == (2, True), said
            host.sees(20)
            await until(lambda: server.turns() == [(1, "opened", False)])
            await inside(running.process.pid, f"rm {host.data}/filler")
            await until(lambda: server.beats[-1].troubles == {}, within_s=30)
            await until(lambda: os.path.exists(f"{seen}/agent.json"))
            (incarnation,) = server.batches
            for name in ("agent.db", "agent.db-wal"):
                shutil.copy(f"{seen}/{name}", tmp_path / name)
            with closing(sqlite3.connect(tmp_path / "agent.db")) as db:
                assert db.execute("SELECT value FROM meta WHERE name='incarnation'").fetchall() == [(incarnation,)]
                assert db.execute("SELECT count(*) FROM standings").fetchall() == [(1,)]
            host.sees(3)
            await until(lambda: 3.0 in server.values("toy.value"))
            numbers = sorted(server.batches[incarnation])
            assert numbers == list(range(1, len(numbers) + 1))


async def test_a_truncated_file_begins_a_new_incarnation(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host):
            await until(lambda: len(server.values("toy.value")) >= 2)
        file = host.data / "agent.db"
        file.write_bytes(file.read_bytes()[:6000])
        async with agent(host):
            await until(lambda: len(server.batches) == 2)
            await until(lambda: "set aside" in server.beats[-1].troubles.get("file", "") or _told(server))
    assert len(server.enrolments) == 1  # it is the same host


def _told(server: Center) -> bool:
    return "old file is agent.db.broken" in server.beats[-1].troubles.get("file", "")


async def test_a_clock_that_is_a_day_off_drops_and_ends_nothing(tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    require("libfaketime", library)
    host = Host(tmp_path)
    off = {"LD_PRELOAD": str(library), "FAKETIME": "+1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    async with center() as server:
        host.writes(server.url)
        host.sees(20)
        async with agent(host):
            await until(lambda: server.turns() == [(1, "opened", False)])
            await server.stop()
            await until(lambda: _waiting(host) >= 2)
        kept = _rows(host)
        async with agent(host, **off):
            await until(lambda: _waiting(host) > kept)
            await server.start()
            await until(lambda: server.beats[-1].dropped == 0 and len(server.values("toy.value")) > kept)
    (incarnation,) = server.batches
    assert sorted(server.batches[incarnation]) == list(range(1, len(server.batches[incarnation]) + 1))
    assert server.turns() == [(1, "opened", False)]


def _waiting(host: Host) -> int:
    try:
        return int(json.loads((host.data / "status.json").read_text())["buffered"])
    except FileNotFoundError:
        return 0


def _rows(host: Host) -> int:
    with sqlite3.connect(host.data / "agent.db") as db:
        count = int(db.execute("SELECT count(*) FROM batches").fetchone()[0])
    db.close()
    return count


async def test_a_key_that_does_not_count_any_more_stops_no_alert(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=f"alerts: [{{name: ops, type: webhook, url: '{web.url}'}}]")
        async with agent(host) as running:
            await until(lambda: bool(server.values("toy.value")))
            server.keys = {"key-2"}
            await running.says("agent.not_wanted.*this key does not count")
            host.sees(20)
            await until(lambda: len(web.posts) == 1, within_s=40)
            assert running.process.returncode is None
            server.enrolment_keys = {"another enrolment key"}
            host.file.write_text(host.file.read_text().replace(KEY, "another enrolment key"))
            running.process.send_signal(signal.SIGHUP)
            await until(lambda: len(server.enrolments) == 2)
            assert server.enrolments[1].server_uuid == "host-1"
            await until(lambda: server.turns() == [(1, "opened", True)])


async def test_another_key_in_its_file_is_used_as_soon_as_its_own_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        host.file.write_text(host.file.read_text().replace("heartbeat_interval: 1s", "heartbeat_interval: 60s"))
        async with agent(host) as running:
            await until(lambda: bool(server.beats))
            server.keys, server.enrolment_keys = {"key-2"}, {"another enrolment key"}  # revoked, and nobody noticed
            host.file.write_text(host.file.read_text().replace(KEY, "another enrolment key"))
            running.process.send_signal(signal.SIGHUP)
            await until(lambda: len(server.beats) == 2, within_s=40)
            assert [said.server_uuid for said in server.enrolments] == [None, "host-1"]


async def test_an_outage_that_is_over_is_no_trouble_when_the_server_hears_again(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host) as running:
            await until(lambda: bool(server.beats) and bool(server.values("toy.value")))
            await server.stop()
            await running.says("agent.server_lost")
            await running.says("agent.not_handed_over")
            count, seen = len(server.beats), len(server.values("toy.value"))
            await server.start()
            await until(lambda: len(server.beats) > count + 1 and len(server.values("toy.value")) > seen, within_s=30)
            assert [beat.troubles for beat in server.beats[count:]] == [{}] * len(server.beats[count:])


async def test_an_agent_that_was_refused_is_back_with_its_next_heartbeat(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            server.switch(on=False)
            await program.says("agent.not_wanted")
            count = len(server.asked)
            await until(lambda: len(server.asked) > count + 3)
            server.switch(on=True)
            beats, values = len(server.beats), len(server.values("toy.value"))
            await until(lambda: len(server.beats) > beats and len(server.values("toy.value")) > values)


async def test_a_new_key_is_kept_before_it_counts(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host) as running:
            await until(lambda: bool(server.beats))
            server.keys, server.new_key = {"key-1", "key-2"}, "key-2"
            await running.says("agent.key_renewed")
            server.keys = {"key-2"}
            count = len(server.beats)
            await until(lambda: len(server.beats) > count + 1)
            await running.kill()
        async with agent(host):
            count = len(server.beats)
            await until(lambda: len(server.beats) > count + 1)


async def test_it_goes_to_the_one_that_leads(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as first, center() as second:
        first.urls = second.urls = [first.url, second.url]
        second._signs = first._signs
        host.writes(first.url)
        async with agent(host):
            await until(lambda: bool(first.beats))
            elsewhere = json.dumps({"primary": second.url, "urls": first.urls}).encode()
            for path in (HEARTBEAT, SAMPLES):
                first.answers[path] = (409, {}, elsewhere)
            await until(lambda: second.beats and second.values("toy.value"))
            await second.stop()
            first.answers.clear()
            count = len(first.beats)
            await until(lambda: len(first.beats) > count)


async def test_a_server_that_is_busy_is_asked_when_it_says(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            server.answers[SAMPLES] = (429, {"retry-after": "4"}, b'{"detail": "later"}')
            before = server.asked.count(SAMPLES)
            await until(lambda: server.asked.count(SAMPLES) > before)
            before, beats = server.asked.count(SAMPLES), len(server.beats)
            await until(lambda: len(server.beats) >= beats + 2)
            assert server.asked.count(SAMPLES) == before
            server.answers.clear()
            await until(lambda: len(server.values("toy.value")) > 3)


async def test_a_batch_that_is_never_taken_holds_nothing_up(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            server.answers[SAMPLES] = (422, {}, b'{"detail": "odd"}')
            await until(lambda: server.beats[-1].dropped >= 2)
            assert "does not take batch" in server.beats[-1].troubles["samples"]
            server.answers.clear()
            count = len(server.values("toy.value"))
            await until(lambda: len(server.values("toy.value")) > count)


async def test_what_the_server_sets_counts_when_it_is_signed_and_no_command(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        async with agent(host):
            await until(lambda: bool(server.beats))
            rule = HostRule(id="rule-1", name="low", condition=OnSample(metric="toy.value", below=5))
            server.set_config(rules=(rule,), heartbeat_interval_s=1, metrics_push_interval_s=1)
            await until(lambda: server.turns() == [(1, "opened", False)])
            assert server.arrivals[0].rule == "rule-1"
            await until(lambda: server.beats[-1].config_version == 1)
            server.set_config(Ed25519PrivateKey.generate(), rules=())
            await until(lambda: "signed by our server" in server.beats[-1].config_error)
            server.set_config(monitors=[{"type": "toy", "name": "other", "file": "/etc/passwd"}])
            await until(lambda: "only the agent's own file" in server.beats[-1].config_error)
            assert server.beats[-1].config_version == 1
        async with agent(host):  # what was signed is kept
            await until(lambda: server.beats[-1].config_version == 1)
            assert len(server.turns()) == 1


async def test_what_the_server_sets_is_fetched_when_an_answer_to_samples_says_so(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        host.file.write_text(host.file.read_text().replace("heartbeat_interval: 1s", "heartbeat_interval: 60s"))
        async with agent(host) as running:
            await until(lambda: bool(server.beats) and bool(server.values("toy.value")))
            server.set_config()
            server.has_news = True
            await running.says("agent.configured.*")
            assert len(server.beats) == 2


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_that_others_can_read_is_warned_of(tmp_path: Path, mode: int) -> None:
    host = Host(tmp_path)
    host.writes("http://127.0.0.1:9")
    host.file.chmod(mode)
    code, _, error = host.does("check-config")
    assert code == 0
    assert ("can be read by others" in error) == (mode == 0o644)
