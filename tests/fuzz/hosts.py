"""Parsers of what a host says of itself, and of what its programs say to the agent."""

# ruff: noqa: E501

from __future__ import annotations

from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.collectors import _figures, _proc, _space
from tocsin.core.sample import parts


def _kernel(data: bytes) -> object:
    """One text, read as each of the kernel's files."""
    said = text(data)
    cpu = _proc.cpu_times(said)
    if cpu is not None:
        assert all(0 <= share <= 100.0001 for share in cpu.percents(_proc.CpuTimes()).values())
    made = _figures.memory(_proc.memory(said)) | _figures.load(_proc.decimals(said), 1)
    made |= _figures.disk_series(
        {f"disk/{n}/{what}": v for n, d in _proc.disks(said).items() for what, v in d.items() if "/" not in n}
    )
    _proc.words(said), _proc.pressure(said), _proc.variables(said), _proc.without_device(said), _proc.logged_in(data)
    _proc.local_addresses(said, said), _proc.interfaces(said)
    return made


def _mounts(data: bytes) -> list[_proc.Mount]:
    return _space.chosen(_proc.mounts(text(data)), frozenset(("tmpfs", "proc")), (), ())


def _series_hold(made: dict[str, float]) -> None:
    for name, value in made.items():
        parts(name)
        assert value == value
        assert value >= 0, name


def _mounts_hold(found: list[_proc.Mount]) -> None:
    assert len(found) <= _space.MOST_MOUNTS
    assert all(mount.where.isprintable() for mount in found)


PARSERS = (
    Parser(
        name="a kernel's own words", files=(), read=_kernel, holds=_series_hold,
        examples=given(
            "cpu  10 1 5 100 3 0 1 2 0 0\nbtime 1700000000\n", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 7 kB\n", "0.1 0.2 0.3 1/2 3",
            " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n", "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "some avg10=0.00 avg60=1.25 avg300=0.50 total=1\n",
            "  |-- 10.0.0.5\n      /32 host LOCAL\n", "20010db8000000000000000000000001 02 40 00 80 eth0\n", 'PRETTY_NAME="Debian"\n',
        ),
    ),
    Parser(
        name="mounts", files=(), read=_mounts, holds=_mounts_hold,
        examples=given("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n", "23 1 8:2 / /a\\040b ro - xfs /dev/sdb1 rw\n"),
    ),
)  # fmt: skip
