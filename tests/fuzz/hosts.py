"""Parsers of what a host says of itself, and of what its programs say to the agent."""

# ruff: noqa: E501

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

from collectors.otlp import as_json, request
from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.collectors import _door, _figures, _otlp, _proc, _prometheus, _space, _statsd
from tocsin.collectors._pushed import Fresh, Pushed
from tocsin.core.plain import loads
from tocsin.core.sample import parts
from tocsin.errors import Invalid


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
    _proc.local_addresses(said, said), _proc.interfaces(said), _proc.process(said), _proc.owner(said), _proc.users(said)
    return made


def _mounts(data: bytes) -> list[_proc.Mount]:
    return _space.chosen(_proc.mounts(text(data)), frozenset(("tmpfs", "proc")), (), ())


def _pushed(said: Iterable[Fresh | None]) -> dict[str, float]:
    """What becomes of what was said, twice, ten seconds apart."""
    whole, pushed = [fresh for fresh in said if fresh is not None], Pushed(500, 300)
    made: dict[str, float] = {}
    for at in (0.0, 10.0):
        for fresh in whole:
            pushed.take(fresh, at)
        made |= pushed.look(at)
    return made


def _pushed_hold(made: dict[str, float]) -> None:
    assert len(made) <= 500
    for name, value in made.items():
        assert parts(name)[0].startswith("custom.")
        assert -1e18 <= value <= 1e23, name


def _opened(data: bytes) -> bytes:
    opened = _door._opened(data, "gzip")
    assert len(opened) <= _door.MOST_BODY
    return opened


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
            "7 (a) R 1 7 7 0 -1 0 1 2 3 4 100 50 0 0 20 0 4 0 777 1000 25 1 0",
        ),
    ),
    Parser(
        name="mounts", files=(), read=_mounts, holds=_mounts_hold,
        examples=given("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n", "23 1 8:2 / /a\\040b ro - xfs /dev/sdb1 rw\n"),
    ),
    Parser(
        name="pushed JSON", files=("collectors/_door.py",), read=lambda data: _pushed(_door.read_json(data)), allowed=(Invalid,), holds=_pushed_hold,
        examples=given('{"a.b": 1, "C-d": 2.5}', '{"metrics": [{"name": "x_total", "value": 5, "type": "counter", "labels": {"a": "b"}}]}'),
    ),
    Parser(
        name="compressed body", files=("collectors/_door.py",), read=_opened, allowed=(_door.Refused,),
        examples=lambda: (zlib.compress(b"{}" * 50), zlib.compress(b"0" * 2_000_000)),
    ),
    Parser(
        name="Prometheus text", files=("collectors/_prometheus.py", "collectors/_pushed.py"), read=lambda data: _pushed(_prometheus.read_text(text(data))),
        allowed=(ValueError,), holds=_pushed_hold,
        examples=given(
            '# TYPE a_total counter\na_total{b="c\\"d"} 5 1700000000\n', "# HELP x y\n# TYPE x histogram\nx_bucket{le=\"+Inf\"} 3\nx_sum 1.5\nx_count 3\n",
            '# TYPE s summary\ns{quantile="0.5"} NaN\ns_sum 1e3\ns_count 7\n', "plain 1\nother -Inf\n",
        ),
    ),
    Parser(
        name="StatsD", files=("collectors/_statsd.py",), read=lambda data: _pushed(_statsd.read_datagram(data)), holds=_pushed_hold,
        examples=given("a:1|c\nb:2.5|ms|@0.1|#x:y,z", "g:-3|g\ns:abc|s\nt:1:2:3|h", "_e{1,1}:a|b"),
    ),
    Parser(
        name="OTLP in protobuf", files=("collectors/_otlp.py",), read=lambda data: _pushed(_otlp.read_protobuf(data)), allowed=(ValueError,), holds=_pushed_hold,
        examples=lambda: (request(1), request(3)),
    ),
    Parser(
        name="OTLP in JSON", files=("collectors/_otlp.py",), read=lambda data: _pushed(_otlp.read_plain(loads(data))), allowed=(ValueError, Invalid),
        holds=_pushed_hold, examples=lambda: (json.dumps(as_json(request(1))).encode(), b'{"resourceMetrics": [{}]}'),
    ),
)  # fmt: skip
