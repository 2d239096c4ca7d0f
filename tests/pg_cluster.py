"""A PostgreSQL cluster of a test's own, on a loopback port, ended with the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from needs import program, require


@contextlib.contextmanager
def cluster(furnish: Callable[[Path], None] = lambda data: None) -> Iterator[int]:
    """The port of a fresh cluster whose superuser `tocsin` is trusted; `furnish` may change its data folder before it
    starts."""
    real = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    initdb = str(real[0]) if real else program("initdb")
    pg_ctl = str(Path(initdb).with_name("pg_ctl")) if real else program("pg_ctl")
    if os.geteuid() == 0:
        require("runuser", shutil.which("runuser"))
    folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    _as_postgres(initdb, "-D", data, "-A", "trust", "-U", "tocsin", "--encoding=UTF8", "--no-sync")
    furnish(Path(data))
    port = _started(pg_ctl, data, folder / "log")
    try:
        yield port
    finally:
        _as_postgres(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def standby(primary: int, slot: str = "standby") -> Iterator[int]:
    """The port of a server that receives from the one at that port, through a slot of that name."""
    real = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"), reverse=True)
    backup = str(real[0]) if real else program("pg_basebackup")
    pg_ctl = str(Path(backup).with_name("pg_ctl"))
    folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    where = f"host=127.0.0.1 port={primary} user=tocsin application_name={slot}"
    _as_postgres(backup, "-D", data, "-d", where, "-R", "-X", "stream", "-C", "-S", slot, "-c", "fast", "--no-sync")
    port = _started(pg_ctl, data, folder / "log")
    try:
        yield port
    finally:
        _as_postgres(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(*command: str) -> None:
    """Run one of PostgreSQL's programs; it refuses root, who becomes the user postgres."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _started(pg_ctl: str, data: str, log: Path, attempts: int = 5) -> int:
    """The port on which the cluster of that folder now listens. A free port may be taken before we have it."""
    port = _free_port()
    where = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''"
    options = f"{where} -c fsync=off -c synchronous_commit=off -c shared_buffers=16MB"
    try:
        _as_postgres(pg_ctl, "-D", data, "-w", "-o", options, "-l", str(log), "start")
    except subprocess.CalledProcessError:
        if attempts == 1:
            raise
        return _started(pg_ctl, data, log, attempts - 1)
    return port
