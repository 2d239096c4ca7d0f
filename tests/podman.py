"""A real Podman of a test's own, behind the Docker API, with a few containers."""

# ruff: noqa: E501

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needs import program, require

LIMITS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class Podman:
    """Podman with images, containers and state below one folder, no daemon needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "api.sock"
        self.words = [
            program("podman"), "--root", str(folder / "root"), "--runroot", str(folder / "run"), "--tmpdir", str(folder / "tmp"),
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", program("runc"),
        ]  # fmt: skip

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self.words, *words], capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done

    def image(self) -> None:
        (self.folder / "tree" / "bin").mkdir(parents=True)
        shutil.copy(program("busybox"), self.folder / "tree" / "bin" / "busybox")
        subprocess.run(["tar", "-C", str(self.folder / "tree"), "-cf", str(self.folder / "tiny.tar"), "."], check=True)
        self("import", str(self.folder / "tiny.tar"), "tiny")

    def start(self, name: str, *words: str, options: tuple[str, ...] = ()) -> None:
        self("run", "-d", "--name", name, *options, *LIMITS, "tiny", "/bin/busybox", *words)

    @contextlib.contextmanager
    def serving(self, where: str) -> Iterator[None]:
        process = subprocess.Popen([*self.words, "system", "service", where, "--time", "0"], stdout=-3, stderr=-3)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def listens(family: int, where: Any) -> None:
    """Wait until somebody listens there, ten seconds at most."""
    until = time.monotonic() + 10
    while True:
        with socket.socket(family) as sock:
            if sock.connect_ex(where) == 0:
                return
        assert time.monotonic() < until
        time.sleep(0.02)


@contextlib.contextmanager
def engine() -> Iterator[Podman]:
    """Podman with a few containers. Its folder's path must be short (50 characters), as those of tests are not."""
    require("root, for containers", os.geteuid() == 0)
    folder = Path(tempfile.mkdtemp(prefix="pod"))
    try:
        yield from furnished(Podman(folder))
    finally:
        until = time.monotonic() + 20
        while named(str(folder)):  # what watches a container cleans up after it, and would make the folder anew
            assert time.monotonic() < until, "Podman does not come to its end"
            time.sleep(0.05)
        shutil.rmtree(folder)


def named(text: str) -> list[str]:
    """The processes that have the text in their command line."""
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [file.parent.name] if text in file.read_text(errors="replace") else []
    return found


def furnished(made: Podman) -> Iterator[Podman]:
    """The same with the containers that the tests look at, as long as it is wanted."""
    made.image()
    probe = ("/bin/busybox", "sh", "-c", "echo first; echo 'not so well'; exit $(/bin/busybox cat /code)")
    with made.serving(f"unix://{made.socket}"):
        listens(socket.AF_UNIX, str(made.socket))
        try:
            made.start("well", "sleep", "300")
            made.start("probed", "sleep", "300", options=("--health-cmd", json.dumps(probe), "--health-interval", "disable", "--health-retries", "1"))  # fmt: skip
            made.start("failed", "sh", "-c", "exit 3")
            made.start("frozen", "sleep", "300")
            made("pause", "frozen")
            made("create", "--name", "never", *LIMITS, "tiny", "/bin/busybox", "true")
            yield made
        finally:
            made("unpause", "frozen", check=False)
            made("rm", "-fa", "-t", "0", check=False)
