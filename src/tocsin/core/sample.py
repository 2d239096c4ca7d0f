"""What an agent saw of its host at a moment: values of series, and services with their states. Pure.

A series is named by a metric and its labels, in one text: `disk.used_percent{mount=/var}`. The metric ends in its unit:
`_percent`, `_bytes`, `_bytes_per_s`, `_per_s`, `_ms`, `_s`; without one it is a count. Labels stand in alphabetical order;
what a name has no room for (`{`, `}`, `,`, `=`, `%` and what does not print) is written as in a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from tocsin.core.marks import Length

MAX_SERIES = 200
"""The longest name of a series."""
_METRIC = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")


class Service(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something on the host that has a state: a systemd unit, a container, a database, a peer, a camera.

    `kind` is what it is (unit, container, peer, camera …), `name` is unique within its kind. `state` is its own word for it
    ("active", "exited"), `ok` whether that is as it should be (None: nobody said how it should be). `since`: in this state
    since then. `detail`: one line for people. `facts`: what else is shown of it, plain values."""

    kind: Annotated[str, Length(1, 40)]
    name: Annotated[str, Length(1, 200)]
    state: Annotated[str, Length(1, 100)]
    ok: bool | None = None
    since: datetime | None = None
    detail: Annotated[str, Length(0, 400)] = ""
    facts: dict[str, str | float | int | bool | None] = {}


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one look of a collector gave. `values`: by the name of the series. `services`: all that this collector knows,
    each time. `facts`: what is shown of the host itself ("os": "Debian 12"). `trouble`: why there is nothing, in words; what
    could not be seen is no state of the host, and no rule fires for it."""

    values: dict[str, float] = {}
    services: tuple[Service, ...] = ()
    facts: dict[str, str] = {}
    trouble: str = ""


def is_metric(name: str) -> bool:
    """Whether a metric can be called so."""
    return _METRIC.fullmatch(name) is not None


def series(metric: str, **labels: str) -> str:
    """The name of a series. Raises ValueError when the metric or a label's name is none, or the whole is too long."""
    if not _METRIC.fullmatch(metric) or not all(_LABEL.fullmatch(name) for name in labels):
        raise ValueError(
            f"expected a metric like disk.used_percent with labels like mount, found {metric} {sorted(labels)}"
        )
    inside = ",".join(f"{name}={_written(labels[name])}" for name in sorted(labels))
    text = f"{metric}{{{inside}}}" if inside else metric
    if len(text) > MAX_SERIES:
        raise ValueError(f"expected the name of a series to have at most {MAX_SERIES} characters, found {len(text)}")
    return text


def parts(text: str) -> tuple[str, Mapping[str, str]]:
    """The metric and the labels of a series' name. Raises ValueError when it is not written as `series` writes it."""
    metric, brace, rest = text.partition("{")
    labels: dict[str, str] = {}
    if brace:
        if not rest.endswith("}"):
            raise ValueError(f"expected a series like disk.used_percent{{mount=/}}, found {text[:MAX_SERIES]!r}")
        for pair in rest[:-1].split(","):
            name, equals, value = pair.partition("=")
            if not equals or name in labels:
                raise ValueError(f"expected a series like disk.used_percent{{mount=/}}, found {text[:MAX_SERIES]!r}")
            labels[name] = _read(value)
    if series(metric, **labels) != text:
        raise ValueError(f"expected a series like disk.used_percent{{mount=/}}, found {text[:MAX_SERIES]!r}")
    return metric, labels


def _written(value: str) -> str:
    return "".join(
        c if c.isprintable() and c not in "{},=%" else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "replace"))
        for c in value
    )


def _read(value: str) -> str:
    """The label as it was. Raises ValueError for bytes that are no UTF-8."""
    out, at = bytearray(), 0
    for m in _ESCAPED.finditer(value):
        out += value[at : m.start()].encode() + bytes((int(m.group(1), 16),))
        at = m.end()
    return (out + value[at:].encode()).decode()
