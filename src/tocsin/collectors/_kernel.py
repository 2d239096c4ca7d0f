"""Reading /proc and /sys of a host, by hand: a hundred small files cost a millisecond or two."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

MOST = 4 << 20
"""No text of the kernel that is read here is longer."""


class Kernel:
    """The files of a host whose file system is at `root`."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        elsewhere = bool(self.root)  # an agent in a container: what is "self" there is not the host
        self.net = "proc/1/net" if elsewhere else "proc/net"
        self._mounts = "proc/1/mountinfo" if elsewhere else "proc/self/mountinfo"
        self._cores: int | None = None

    def raw(self, name: str) -> bytes:
        """The content of a file. Raises OSError."""
        at = os.open(f"{self.root}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = [os.read(at, 65_536)]
            while parts[-1] and sum(map(len, parts)) < MOST:
                parts.append(os.read(at, 65_536))
            return b"".join(parts)
        finally:
            os.close(at)

    def read(self, name: str) -> str:
        """A file as text. Raises OSError."""
        return self.raw(name).decode("utf-8", "surrogateescape")

    def maybe(self, name: str) -> str:
        """A file as text, or nothing where there is none (or none for us)."""
        try:
            return self.read(name)
        except OSError:
            return ""

    def names(self, folder: str) -> list[str]:
        """What is in a folder, or nothing."""
        try:
            return os.listdir(f"{self.root}/{folder}")
        except OSError:
            return []

    def open_files(self, pid: int) -> int | None:
        """How many files a process has open; None when it is not ours to see, or the process is gone."""
        folder = f"{self.root}/proc/{pid}/fd"
        try:
            return os.stat(folder).st_size or len(os.listdir(folder))  # since Linux 6.2 the size says it
        except OSError:
            return None

    def mountinfo(self) -> str:
        """What is mounted on the host. Raises OSError."""
        return self.read(self._mounts)

    def cores(self) -> int:
        """How many processors it has."""
        if self._cores is None:
            stat = self.maybe("proc/stat")
            self._cores = max(1, sum(1 for line in stat.splitlines() if line[:3] == "cpu" and line[3:4].isdigit()))
        return self._cores

    def processes(self) -> list[int]:
        """The ids of all processes."""
        return [int(name) for name in self.names("proc") if name.isdigit()]

    def zombies(self) -> int:
        """How many processes have ended and were not waited for."""
        count = 0
        for pid in self.processes():
            stat = self.maybe(f"proc/{pid}/stat")
            count += stat[stat.rfind(")") :].startswith(") Z")
        return count

    def is_device(self, name: str) -> bool:
        """Whether a block device is a whole one, no partition."""
        return _exists(f"{self.root}/sys/block/{name.replace('/', '!')}")


@cache
def _exists(path: str) -> bool:
    return Path(path).exists()
