"""Real servers that a test starts as programs of their own: on a free port, ended by their own process."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens yet."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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
