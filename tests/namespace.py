"""A network of a test's own: a thread in a fresh network namespace, whose loopback and routes the test may break."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from needs import program, require

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


def alone(work: Callable[[], Coroutine[Any, Any, T]], *commands: str) -> T:
    """What `work()` gives, run on a loop of its own in a network namespace where nothing but loopback is up.

    A namespace belongs to a thread, and what the thread starts (threads, programs) is in it too. The shell `commands`
    are run there first. Without the right to make a namespace the test is skipped, or fails in CI.
    """
    program("ip")
    answers: list[T] = []
    problems: list[BaseException] = []

    def inside() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET) != 0:
                require("a network namespace of its own (root)", None)
            for command in ("ip link set lo up", *commands):
                subprocess.run(["sh", "-ec", command], check=True)
            with asyncio.Runner() as runner:
                answers.append(runner.run(work()))
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return answers[0]


def setting(name: str, value: str) -> None:
    """Write a sysctl of the namespace this thread is in."""
    Path("/proc/sys", name.replace(".", "/")).write_text(value)


def echoes_heard() -> int:
    """How many echo requests this thread's namespace has received (IPv4)."""
    head, values = [
        line.split()[1:] for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line[:6] == "Icmp: "
    ]
    return int(values[head.index("InEchos")])
