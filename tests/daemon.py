"""Real servers that a test starts as programs of their own: on a free port, ended by their own process."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens yet: none of those that the system gives to who calls somebody, so that
    it is still free when its server comes back."""
    while True:
        port = 18_000 + secrets.randbelow(14_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def daemon(words: Sequence[str | Path], ports: Sequence[int], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, once all the ports take connections (20 s at most); what it says is in `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 20
        for port in ports:
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{words[0]}: {log.read_text(errors='replace')}")
                select.select([], [], [], 0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
