"""The host itself: this machine's own /proc, and what other kernels would say (written after proc(5))."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from collectors.looking import QuickClock, Tree, named, source, troubles
from needs import program, require
from tocsin import collectors
from tocsin.collectors import _proc, _space
from tocsin.collectors._patience import Patience
from tocsin.collectors._rates import Rates
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import Invalid

STAT = "cpu  {} 0 {} {} {} 0 0 {} 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0\nbtime 1700000000\nprocs_running 3\nprocs_blocked 1\n"
MEMINFO = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: {} kB\nBuffers: 10 kB\nCached: 200 kB\nSwapTotal: 500 kB\nSwapFree: 100 kB\n"
DEV = "Inter-| Receive\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n"


def interface(name: str, received: int, sent: int, errors: int = 0, drops: int = 0) -> str:
    return f"{name:>8}: {received} 1 {errors} {drops} 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"


def disk(name: str, reads: int, read_sectors: int, read_ms: int, busy_ms: int) -> str:
    return f" 8 0 {name} {reads} 0 {read_sectors} {read_ms} 0 0 0 0 0 {busy_ms} 0 0 0 0 0 0 0\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    made.write(
        proc__stat=STAT.format(100, 50, 800, 50, 0),
        proc__meminfo=MEMINFO.format(400),
        proc__uptime="5000.25 9000.00\n",
        proc__loadavg="4.00 2.00 1.00 3/200 12345\n",
        proc__diskstats=disk("sda", 100, 1000, 500, 300)
        + disk("sda1", 100, 1000, 500, 300)
        + disk("loop0", 9, 9, 9, 9),
        proc__filesystems="nodev\ttmpfs\nnodev\tnfs4\n\text4\n\tsquashfs\n",
        proc__vmstat="nr_free_pages 5\noom_kill 7\n",
        proc__1__mountinfo="",
    )
    made.at(
        "proc/1/net/dev", DEV + interface("eth0", 1000, 2000) + interface("veth1", 10, 10) + interface("veth2", 10, 10)
    )
    for name in ("sda", "loop0"):
        (tmp_path / "sys" / "block" / name).mkdir(parents=True)
    made.at("sys/class/net/eth0/ifindex", "2\n")
    return made


async def test_this_machine_is_as_another_library_sees_it() -> None:
    seen = named(await source("system").collect())
    assert seen.trouble == ""
    assert seen.values["memory.total_bytes"] == psutil.virtual_memory().total
    assert seen.values["memory.used_percent"] == pytest.approx(psutil.virtual_memory().percent, abs=10)
    usage = psutil.disk_usage("/")
    assert seen.values["disk.total_bytes{mount=/}"] == usage.total
    assert seen.values["disk.used_percent{mount=/}"] == pytest.approx(usage.percent, abs=2)
    assert seen.values["processes.count"] == pytest.approx(len(psutil.pids()), abs=50)
    assert seen.facts["cores"] == str(psutil.cpu_count())
    assert seen.facts["hostname"] == os.uname().nodename
    assert 0 <= seen.values["cpu.used_percent"] <= 100
    assert {s.name: s.ok for s in seen.services}["/"] is True


async def test_rates_are_what_counters_grew_by(tree: Tree) -> None:
    clock = QuickClock()
    looking = source("system", clock=clock, root=str(tree.root))
    await looking.collect()
    tree.write(
        proc__stat=STAT.format(150, 75, 875, 100, 50),
        proc__diskstats=disk("sda", 200, 3000, 700, 5300) + disk("sda1", 200, 3000, 700, 5300),
        proc__vmstat="oom_kill 9\n",
    )
    tree.at(
        "proc/1/net/dev",
        DEV + interface("eth0", 11000, 2000, errors=20) + interface("veth1", 110, 10) + interface("veth2", 210, 10),
    )
    clock.at += 10
    values = named(await looking.collect()).values
    # 250 ticks passed: 50 user, 25 system, 75 idle, 50 waiting, 50 stolen.
    assert values["cpu.used_percent"] == pytest.approx(50)
    assert values["cpu.user_percent"] == pytest.approx(20)
    assert values["cpu.iowait_percent"] == pytest.approx(20)
    assert values["cpu.steal_percent"] == pytest.approx(20)
    assert values["disk_io.read_bytes_per_s{device=sda}"] == 2000 * 512 / 10
    assert values["disk_io.reads_per_s{device=sda}"] == 10
    assert values["disk_io.busy_percent{device=sda}"] == 50
    assert values["disk_io.wait_ms{device=sda}"] == 2
    assert values["network.received_bytes_per_s{interface=eth0}"] == 1000
    assert values["network.errors_per_s{interface=eth0}"] == 2
    assert values["network.received_bytes_per_s{interface=containers}"] == 30
    assert values["memory.oom_kills"] == 2
    assert not any("sda1" in name or "loop0" in name or "interface=lo" in name or "veth" in name for name in values)


async def test_what_does_not_grow(tree: Tree) -> None:
    clock = QuickClock()
    values = named(await source("system", clock=clock, root=str(tree.root)).collect()).values
    assert values["memory.used_percent"] == 60
    assert values["swap.used_percent"] == 80
    assert values["load.5m_per_core"] == 1
    assert values["system.uptime_s"] == 5000.25
    assert values["processes.running"] == 3
    assert values["network.received_bytes_per_s{interface=eth0}"] == 0


@pytest.mark.parametrize("received", [0, 5, 1 << 63])
async def test_counters_that_begin_anew_give_no_odd_rates(tree: Tree, received: int) -> None:
    clock = QuickClock()
    looking = source("system", clock=clock, root=str(tree.root), metrics=["network"])
    await looking.collect()
    for step in (2000, received, received + 100):
        tree.at("proc/1/net/dev", DEV + interface("eth0", step, 2000))
        clock.at += 10
        values = (await looking.collect()).values
        assert 0 <= values["network.received_bytes_per_s{interface=eth0}"] <= 100


async def test_an_interface_that_went_and_came_begins_anew(tree: Tree) -> None:
    clock = QuickClock()
    looking = source("system", clock=clock, root=str(tree.root), metrics=["network"])
    await looking.collect()
    tree.at("proc/1/net/dev", DEV + interface("eth0", 999_999_999, 2000))
    tree.at("sys/class/net/eth0/ifindex", "7\n")
    clock.at += 10
    assert "network.received_bytes_per_s{interface=eth0}" not in (await looking.collect()).values
    clock.at += 10
    assert (await looking.collect()).values["network.received_bytes_per_s{interface=eth0}"] == 0


async def test_only_what_was_asked_for(tree: Tree) -> None:
    looking = source("system", clock=QuickClock(), root=str(tree.root), metrics=["cpu", "ram"])
    await looking.collect()
    tree.write(proc__stat=STAT.format(150, 75, 875, 100, 50))
    seen = await looking.collect()
    assert {name.partition(".")[0] for name in seen.values} == {"cpu", "memory", "swap", "system"}
    assert not seen.services
    with pytest.raises(Invalid, match=r"metrics\[0\]: expected cpu, load, ram"):
        read(collectors.kind("system").options, {"metrics": ["memory"]})


def mount(where: str, fstype: str, source: str, device: str = "8:1", options: str = "rw", supers: str = "rw") -> str:
    return f"22 1 {device} / {where} {options},relatime shared:1 - {fstype} {source} {supers}\n"


MOUNTS = (
    mount("/", "ext4", "/dev/sda1")
    + mount("/proc", "proc", "proc", "0:5")
    + mount("/run", "tmpfs", "tmpfs", "0:6")
    + mount("/srv/with\\040space", "xfs", "/dev/sdb1", "8:17")
    + mount("/var/lib/docker/bind", "ext4", "/dev/sda1")
    + mount("/snap/core/1", "squashfs", "/dev/loop0", "7:0", "ro", "ro")
    + mount("/home", "nfs4", "server:/home", "0:40")
    + mount("/tank", "zfs", "tank", "0:50")
    + mount("/tank/a", "zfs", "tank/a", "0:51")
    + mount("/mnt/" + "x" * 200, "ext4", "/dev/sdc1", "8:33")
)


def test_real_file_systems_are_chosen_once() -> None:
    nodev = frozenset({"proc", "tmpfs", "nfs4", "zfs"})
    found = _proc.mounts(MOUNTS)
    assert [m.where for m in _space.chosen(found, nodev, (), ())] == ["/", "/srv/with space", "/tank", "/tank/a"]
    assert [m.where for m in _space.chosen(found, nodev, (), ("/tank*",))] == ["/", "/srv/with space"]
    assert [m.where for m in _space.chosen(found, nodev, ("/home", "/var/*"), ())] == ["/home", "/var/lib/docker/bind"]


async def test_a_file_system_that_the_kernel_gave_up_is_told(tree: Tree) -> None:
    (tree.root / "data").mkdir()
    tree.write(
        proc__1__mountinfo=mount("/", "ext4", "/dev/sda1") + mount("/data", "ext4", "/dev/sdb1", "8:17", "rw", "ro")
    )
    seen = named(await source("system", clock=QuickClock(), root=str(tree.root), metrics=["disk"]).collect())
    assert {s.name: (s.state, s.ok) for s in seen.services} == {"/": ("mounted", True), "/data": ("read-only", False)}
    assert ("mount", "mount//data") in troubles("system", seen)


async def test_one_that_became_read_only_is_told_also_in_a_sandbox(tree: Tree) -> None:
    looking = source("system", clock=QuickClock(), root=str(tree.root), metrics=["disk"])
    states: list[bool | None] = []
    for supers in ("rw", "ro", "rw"):
        tree.write(proc__1__mountinfo=mount("/", "ext4", "/dev/sda1", options="ro", supers=supers))
        states += [s.ok for s in (await looking.collect()).services]
    assert states == [True, False, True]


HANGS = """
import asyncio, ctypes, json, os, sys, time
sys.path[:0] = {path!r}
from collectors.looking import source
libc = ctypes.CDLL(None, use_errno=True)
where = sys.argv[1]
fuse = os.open("/dev/fuse", os.O_RDWR)
given = f"fd={{fuse}},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"nobody", where.encode(), b"fuse", 0, given):
    sys.exit(f"no mount: {{os.strerror(ctypes.get_errno())}}")
async def main():
    looking = source("system", metrics=["disk"], mounts=["/", where])
    began = time.monotonic()
    first = await looking.collect()
    took = [time.monotonic() - began]
    began = time.monotonic()
    second = await looking.collect()
    took.append(time.monotonic() - began)
    os.close(fuse)  # as when the server comes back and says no
    for _ in range(200):
        third = await looking.collect()
        if not third.trouble:
            break
        await asyncio.sleep(0.05)
    shown = [[{{s.name: s.state for s in r.services}}, r.trouble, "disk.used_percent{{mount=/}}" in r.values] for r in (first, second, third)]
    print(json.dumps([took, shown]))
asyncio.run(main())
"""


def test_a_mount_that_hangs_holds_nothing_up(tmp_path: Path) -> None:
    """A FUSE mount whose other end never answers, in a mount namespace of its own."""
    unshare = program("unshare")
    require("/dev/fuse (root)", os.access("/dev/fuse", os.W_OK) and os.geteuid() == 0)
    (where := tmp_path / "away").mkdir()
    text = HANGS.format(path=[p for p in sys.path if p])
    done = subprocess.run(
        [unshare, "--mount", sys.executable, "-c", text, str(where)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    took, (first, second, third) = json.loads(done.stdout)
    assert first == [{"/": "mounted", str(where): "not answering"}, f"asking hangs: {where}", True]
    assert second == first
    assert third[0][str(where)] == "broken"
    assert third[1] == ""
    assert took[0] < 20
    assert took[1] < took[0]


async def test_calls_that_hang_are_left_and_not_made_twice() -> None:
    patience, gate, made = Patience(0.05), threading.Event(), list[str]()

    def hang() -> str:
        made.append("hang")
        gate.wait(30)
        return "late"

    def fail() -> str:
        raise OSError(5, "Input/output error")

    calls = [("a", lambda: 1), ("b", hang), ("c", lambda: 3), ("d", fail)]
    for _ in range(3):
        answers = await patience.ask(calls)
        assert (answers["a"], answers["c"]) == (1, 3)
        assert isinstance(answers["d"], OSError)
        assert "b" not in answers
        assert patience.stuck == {"b"}
    assert made == ["hang"]
    gate.set()
    while patience.stuck:
        await asyncio.sleep(0.01)
    assert (await patience.ask(calls))["b"] == "late"


def test_rates_of_looks_that_are_too_near_stay() -> None:
    rates = Rates()
    assert rates.per_s({"a": 10}, 1.0) == {}
    assert rates.per_s({"a": 20}, 2.0) == {"a": 10}
    assert rates.per_s({"a": 900}, 2.1) == {"a": 10}
    assert rates.per_s({"a": 40}, 4.0) == {"a": 10}
    assert rates.per_s({"a": 0}, 3.0) == {}  # a clock that went back: begun anew
    assert rates.per_s({"a": 7, "b": 1}, 4.0) == {"a": 7}


def test_the_default_rules_find_what_they_are_for() -> None:
    values = {
        "disk.used_percent{mount=/}": 98.0, "disk.inodes_used_percent{mount=/srv}": 91.0, "memory.used_percent": 96.0,
        "memory.oom_kills": 1.0, "swap.used_percent": 91.0, "cpu.used_percent": 99.0, "files.used_percent": 95.0,
        "temperature.limit_percent{sensor=coretemp Core 0}": 99.0, "network.conntrack_percent": 95.0,
    }  # fmt: skip
    found = {name for name, _ in troubles("system", Reading(values=values))}
    assert found == {
        "disk", "disk_full", "inodes", "memory", "out_of_memory", "swap", "cpu", "temperature", "files", "conntrack",
    }  # fmt: skip


async def test_temperatures_and_their_limits(tree: Tree) -> None:
    chip = "sys/class/hwmon/hwmon0"
    for name, text in {"name": "coretemp", "temp1_input": "61000", "temp1_label": "Core 0", "temp1_crit": "100000",
                       "temp2_input": "-1", "temp3_input": "nothing", "temp4_input": "999999999"}.items():  # fmt: skip
        tree.at(f"{chip}/{name}", text + "\n")
    seen = named(await source("system", clock=QuickClock(), root=str(tree.root), metrics=["temperature"]).collect())
    warm = {name: value for name, value in seen.values.items() if name.startswith("temperature")}
    assert warm == {
        "temperature.celsius{sensor=coretemp Core 0}": 61, "temperature.limit_percent{sensor=coretemp Core 0}": 61,
        "temperature.celsius{sensor=coretemp temp2}": -0.001,
    }  # fmt: skip


async def test_a_host_that_says_nothing_is_an_error_and_one_that_says_little_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await source("system", clock=QuickClock(), root=str(tmp_path), metrics=["ram"]).collect()
    seen = await source(
        "system", clock=QuickClock(), root=str(tmp_path), metrics=["load", "network", "processes"]
    ).collect()
    assert seen.values == {"processes.count": 0, "processes.zombies": 0, "users.logged_in": 0}


async def test_zombies_and_people(tree: Tree) -> None:
    tree.at("proc/7/stat", "7 (a) b) S 1")
    tree.at("proc/8/stat", "8 (gone (x)) Z 1")
    (tree.root / "run").mkdir()
    record = bytearray(384)
    record[0] = 7
    (tree.root / "run" / "utmp").write_bytes(bytes(record) + bytes(384) + b"rest")
    values = (await source("system", clock=QuickClock(), root=str(tree.root), metrics=["processes"]).collect()).values
    assert (values["processes.zombies"], values["users.logged_in"], values["processes.count"]) == (1, 1, 3)


def test_addresses_of_a_host() -> None:
    trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n"
    six = "fe800000000000000000000000000001 02 40 20 80 eth0\n20010db8000000000000000000000001 02 40 00 80 eth0\nnonsense\n"
    assert _proc.local_addresses(trie, six) == ["10.0.0.5", "2001:db8::1"]
