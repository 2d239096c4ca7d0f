"""Looks of a collector, as the agent would make them, and what a host's kernel would say, as files of a test's own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from builders import START
from tocsin import collectors
from tocsin.clock import Clock, SystemClock
from tocsin.collectors import Facility
from tocsin.core.host_rule import HostRule, look
from tocsin.core.sample import Reading, parts
from tocsin.core.shape import read
from tocsin.net import Egress, Net


class QuickClock:
    """A clock that moves only when somebody sleeps by it, at once, or the test moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def source(kind: str, *, clock: Clock | None = None, net: Net | None = None, **options: Any) -> Any:
    """A collector's source, made of plain data as the agent's file has it."""
    known = collectors.kind(kind)
    facility = Facility(net or Net(egress=Egress("private")), clock or SystemClock())
    return known.source(read(known.options, options), facility)


def named(reading: Reading) -> Reading:
    """The reading, when every series in it is one that the other end can read."""
    for name, value in reading.values.items():
        parts(name)
        assert value == value
        assert abs(value) < 1e30, name
    for service in reading.services:
        assert 1 <= len(service.name) <= 200
        assert 1 <= len(service.kind) <= 40
        assert len(service.detail) <= 400
    return reading


def troubles(kind: str, reading: Reading) -> set[tuple[str, str]]:
    """Which of the collector's own rules find trouble, each with what it is about."""
    rules: tuple[HostRule, ...] = collectors.kind(kind).rules
    return {
        (rule.id.rpartition(".")[2], seen.what)
        for rule in rules
        for seen in look(rule, reading, frozenset())
        if seen.trouble
    }


class Tree:
    """A folder with what a kernel would say in /proc and /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        """Write files; a name is a path with `__` for each slash."""
        for name, text in files.items():
            path = self.root / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def at(self, path: str, text: str) -> None:
        """Write one file."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(text)
