"""The agent installed by one line on a machine of its own: a fresh root, a real systemd, a real server."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from collectors.private_systemd import PrivateSystemd, private_systemd
from daemon import free_port
from real import FIRST, ask, given, running

STATUS = ("/usr/local/lib/tocsin-agent/current/bin/tocsin", "agent", "status")
WHERE = {"TOCSIN_DATA_DIR": "/var/lib/tocsin-agent", "TOCSIN_AGENT_CONFIG": "/etc/tocsin/agent.yaml"}


@contextmanager
def watched(secret: str) -> Iterator[list[str]]:
    """Every list of words of a process in which the secret stands, while the block runs: what `ps` would have shown."""
    found: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    if secret.encode() in (words := file.read_bytes()):
                        found.append(words.decode(errors="replace"))
            over.wait(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


class Site:
    """A server, and a machine beside it."""

    def __init__(self, machine: PrivateSystemd, port: int, token: str, folder: Path) -> None:
        self.machine, self.port, self.token = machine, port, token
        self.shared = folder / "shared"

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        status, data = await ask(self.port, method, "/api/v1" + path, body, self.token)
        assert 200 <= status < 300, (status, data)
        return data

    async def key(self) -> str:
        return str((await self.api("POST", "/enrollment-keys", {"name": "a host"}))["key"])

    async def run(self, *words: str, stdin: str = "", **more: str) -> tuple[int, str]:
        done = await asyncio.to_thread(self.machine.run, *words, stdin=stdin, **more)
        return done.returncode, done.stdout + done.stderr

    async def fetch(self) -> str:
        """install.sh as a host gets it, left in the folder that machine and test share."""
        code, said = await self.run(
            "curl", "-fsS", "-o", "/run/shared/install.sh", f"http://127.0.0.1:{self.port}/install.sh"
        )
        assert code == 0, said
        return (self.shared / "install.sh").read_text()

    async def hosts(self) -> list[dict[str, Any]]:
        return (await self.api("GET", "/hosts"))["items"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[PrivateSystemd]:
    with private_systemd(tmp_path / "machine", {}, fresh=True) as made:
        yield made


@pytest.mark.timeout(300)
async def test_one_line_installs_upgrades_and_takes_away(machine: PrivateSystemd, tmp_path: Path) -> None:
    async with running(given(tmp_path, TOCSIN_PORT=str(free_port()))) as server:
        _, tokens = await ask(server.port, "POST", "/api/v1/setup", FIRST)
        site = Site(machine, server.port, tokens["access_token"], tmp_path / "machine")
        script = await site.fetch()
        key = await site.key()
        await _refuses_what_was_changed(site, script, key)
        log = tmp_path / "machine" / "log"

        with watched(key) as seen:
            code, said = await site.run("sh", "/run/shared/install.sh", "--name", "web-1", "--tag", "eu", stdin=key)
        assert (code, seen) == (0, []), said + log.read_text()[-3000:]
        assert "The agent of web-1 runs and reports to" in said
        (host,) = await site.hosts()
        assert (host["name"], host["tags"]) == ("web-1", ["eu"])
        assert f"/hosts/{host['id']}" in said
        await _runs_as_it_should(site)

        code, said = await site.run("sh", "/run/shared/install.sh")  # again: no key is asked for
        assert (code, "is there already" in said, "stays as it is" in said) == (0, True, True), said
        assert [h["id"] for h in await site.hosts()] == [host["id"]]

        here = ("agent", "install", "--server", f"http://127.0.0.1:{server.port}")  # by what is installed already
        code, said = await site.run(STATUS[0], *here)
        assert (code, "The agent of web-1 runs and reports to" in said) == (0, True), said

        await _takes_a_new_key_after_a_revoke(site, host["id"])
        code, said = await site.run("sh", "/run/shared/install.sh", "--help")
        assert (code, "--from-index" in said, "found --help" in said) == (0, True, False), said

        code, said = await site.run("sh", "/run/shared/install.sh", "--uninstall")
        assert (code, "/var/lib/tocsin-agent stay" in said) == (0, True), said
        assert (await site.run("systemctl", "is-active", "tocsin-agent"))[0] != 0
        with watched(key) as seen:  # as from curl, the key in the environment
            code, said = await site.run("sh", stdin=script, TOCSIN_API_KEY=key)
        assert (code, seen) == (0, []), said
        assert [h["id"] for h in await site.hosts()] == [host["id"]]  # what it kept makes it the same host

        code, said = await site.run("sh", "/run/shared/install.sh", "--uninstall", "--purge")
        left = "ls /etc/tocsin /var/lib/tocsin-agent /usr/local/lib/tocsin-agent 2>/dev/null; id tocsin-agent"
        assert (code, (await site.run("sh", "-c", left))[0]) == (0, 1), said


async def _refuses_what_was_changed(site: Site, script: str, key: str) -> None:
    """A script that names another bundle than the server has (or one that was changed on its way) leaves nothing."""
    (sha,) = re.findall(r"BUNDLE_SHA256=(\w+)\n", script)
    wrong = script.replace(sha, "0" * 64)
    (whole,) = re.findall(r'%% \*}" != (\w+) ]', wrong)
    body = wrong.split("OF-TOCSIN'\n", 1)[1].rsplit("END-OF-THE-INSTALLER-OF-TOCSIN\n", 1)[0]
    wrong = wrong.replace(whole, hashlib.sha256(body.encode()).hexdigest())
    code, said = await site.run("sh", stdin=wrong, TOCSIN_API_KEY=key)
    assert (code, f"expected the SHA-256 {'0' * 64}, found {sha}" in said) == (1, True), said
    code, said = await site.run("sh", stdin=script, TOCSIN_API_KEY="ten_of-nobody")
    assert (code, "the server does not take the key (401)" in said) == (1, True), said
    code, said = await site.run("sh", "/run/shared/install.sh")
    assert (code, "expected an enrolment key" in said) == (1, True), said
    left = await site.run("sh", "-c", "ls /etc/tocsin/agent.yaml /usr/local/lib/tocsin-agent/current")
    assert left[0] == 2, left[1]


async def _takes_a_new_key_after_a_revoke(site: Site, host: str) -> None:
    """With a new key the service begins anew, as with a changed unit."""
    (pid,) = site.machine.processes("tocsin-agent.service")
    code, said = await site.run("sh", "-c", "echo '# mine' >> /etc/systemd/system/tocsin-agent.service")
    assert code == 0, said
    code, said = await site.run("sh", "/run/shared/install.sh")
    (other,) = site.machine.processes("tocsin-agent.service")
    assert (code, other != pid) == (0, True), said
    await site.api("POST", f"/hosts/{host}/revoke-keys")
    key = await site.key()
    code, said = await site.run("sh", "/run/shared/install.sh", TOCSIN_API_KEY=key)
    assert (code, "The agent of web-1 runs and reports to" in said) == (0, True), said
    assert [h["id"] for h in await site.hosts()] == [host]
    code, said = await site.run(*STATUS, **WHERE)
    assert (code, "connected to http" in said) == (0, True), said


async def _runs_as_it_should(site: Site) -> None:
    code, said = await site.run(*STATUS, **WHERE)
    assert (code, "connected to http" in said) == (0, True), said
    code, said = await site.run(
        "systemctl",
        "show",
        "tocsin-agent",
        "--property",
        "User,NoNewPrivileges,PrivateDevices,Type,WatchdogUSec,ActiveState",
    )
    assert set(said.split()) == {
        "User=tocsin-agent", "NoNewPrivileges=yes", "PrivateDevices=yes", "Type=notify", "WatchdogUSec=1min",
        "ActiveState=active",
    }, said  # fmt: skip
    (pid,) = site.machine.processes("tocsin-agent.service")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert int(status["Uid"].split()[0]) != 0
    assert int(status["CapBnd"], 16) == 0
    code, said = await site.run("stat", "-c", "%a %U %G", "/etc/tocsin/agent.yaml")
    assert said.split() == ["640", "root", "tocsin-agent"]
    (host,) = await site.hosts()
    mounts: list[Any] = []
    async with asyncio.timeout(60):
        while not mounts:  # the sandbox shows it what may be written to as such
            await asyncio.sleep(0.5)
            seen = await site.api("GET", f"/hosts/{host['id']}/services")
            mounts = [s for s in seen["items"] if (s["kind"], s["name"]) == ("mount", "/")]
    assert [m["state"] for m in mounts] == ["mounted"]
    code, said = await site.run("systemctl", "reload", "tocsin-agent")
    assert code == 0, said
