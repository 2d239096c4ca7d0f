"""A real systemd of a test's own, in namespaces where it can write to nothing of this machine (see inside.sh)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from needs import program, require
from tocsin.net.dbus import Bus

BUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""
_DBUS = "/usr/bin/dbus-daemon --config-file=/run/shared/bus.conf --address=systemd: --nofork --nopidfile"
_BARE = "[Unit]\nDefaultDependencies=no\n"
UNITS = {
    **{f"{name}.target": _BARE for name in ("sysinit", "basic", "shutdown")},
    "test.target": _BARE + "Requires=basic.target dbus.service dbus.socket\nAfter=dbus.service\n",
    "dbus.socket": _BARE + "[Socket]\nListenStream=/run/dbus/system_bus_socket\nListenStream=/run/shared/bus\n",
    "dbus.service": _BARE
    + f"StartLimitIntervalSec=0\nRequires=dbus.socket\n[Service]\nType=notify\nExecStart={_DBUS}\n",
}


class PrivateSystemd:
    """`bus` is the path of its D-Bus socket; processes of its units are found in `cgroup`."""

    def __init__(self, bus: Path, cgroup: Path, child: int) -> None:
        self.bus, self.cgroup, self._child = bus, cgroup, child

    def run(self, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program in there, as root, to its end."""
        (first,) = Path(f"/proc/{self._child}/task/{self._child}/children").read_text().split()
        enter = [program("nsenter"), "--target", first, "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            [*enter, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=110,
            env={"PATH": path} | more,
            cwd="/",
        )

    async def tell(self, method: str, signature: str, *body: Any) -> list[Any]:
        """Call a method of its manager."""
        bus = Bus(str(self.bus), lambda *_: None, lambda: None)
        try:
            await bus.connect()
            return await bus.call(
                "org.freedesktop.systemd1", "/org/freedesktop/systemd1", f"org.freedesktop.systemd1.Manager.{method}",
                signature, *body,
            )  # fmt: skip
        finally:
            await bus.close()

    async def start(self, unit: str) -> None:
        """Start a unit, without waiting for the end of that."""
        await self.tell("StartUnit", "ss", unit, "replace")

    async def stop(self, unit: str) -> None:
        """Stop a unit, without waiting for the end of that."""
        await self.tell("StopUnit", "ss", unit, "replace")

    def processes(self, unit: str) -> list[int]:
        """The process ids (as this machine counts) of a unit."""
        found = list(self.cgroup.rglob(f"{unit}/cgroup.procs"))
        return [int(word) for path in found for word in path.read_text().split()]


def _cgroups() -> Path | None:
    """Where the one hierarchy of cgroups is mounted, when we may make one there."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            path = Path(left.split()[4])
            return path if os.access(path, os.W_OK) else None
    return None


@contextmanager
def private_systemd(folder: Path, units: dict[str, str], *, fresh: bool = False) -> Iterator[PrivateSystemd]:
    """One that runs with these units; ended with all its processes afterwards. `fresh`: on a root that can be written to, in
    this machine's network; what is written is gone afterwards."""
    unshare, systemd, cgroups = program("unshare"), Path("/lib/systemd/systemd"), _cgroups()
    program("dbus-daemon"), program("setpriv"), program("pivot_root")
    require("systemd", systemd.is_file())
    require("the right to make namespaces and cgroups (root)", os.geteuid() == 0 and cgroups is not None)
    assert cgroups is not None
    (folder / "shared" / "units").mkdir(parents=True)
    (folder / "shared" / "bus.conf").write_text(BUS_CONF)
    for name, text in (UNITS | units).items():
        (folder / "shared" / "units" / name).write_text(text)
    cgroup = cgroups / f"tocsin-test-{os.getpid()}-{time.monotonic_ns()}"
    cgroup.mkdir()
    inside = Path(__file__).with_name("inside.sh")
    spaces = "--mount --pid --fork --kill-child --cgroup --ipc --uts" + ("" if fresh else " --net")
    words = f'sh "{inside}" "{folder}"' + (" fresh" if fresh else "")
    command = f'echo $$ >"{cgroup}/cgroup.procs" && exec setpriv --pdeathsig KILL {unshare} {spaces} {words}'
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        made = PrivateSystemd(folder / "shared" / "bus", cgroup, child.pid)
        _wait_for(made, child, folder / "log")
        yield made
    finally:
        child.kill()
        child.wait()
        _remove(cgroup)


def _wait_for(made: PrivateSystemd, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it answers."""

    async def answers() -> bool:
        try:
            async with asyncio.timeout(1):
                await made.tell("ListJobs", "")
        except Exception:
            return False
        return True

    end = time.monotonic() + 60
    while True:
        with asyncio.Runner() as runner:
            if made.bus.exists() and runner.run(answers()):
                return
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def _remove(cgroup: Path) -> None:
    """Take the groups away, once their processes are gone."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for path in sorted([cgroup, *(p for p in cgroup.rglob("*") if p.is_dir())], reverse=True):
            with suppress(OSError):
                path.rmdir()
        if not cgroup.exists():
            return
        time.sleep(0.05)
