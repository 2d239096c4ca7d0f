"""OTLP metrics (opentelemetry-proto, metrics/v1), as JSON and as protobuf, read by hand: what is asked of an export request
are a few fields, and protobuf's own library would cost an agent more memory than all of its collectors."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from tocsin.collectors._pushed import Fresh
from tocsin.core.plain import as_list, as_map

MOST_POINTS = 20_000
_DEPTH = 8
_DELTA, _CUMULATIVE = 1, 2
_SHAPES = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")

# What is read of each message, by field number: its name in the JSON form, and how it is encoded. `message` goes on with
# the table of that name; fields of other numbers are passed over.
_TABLES: dict[str, dict[int, tuple[str, str, bool]]] = {
    "request": {1: ("resourceMetrics", "resource_metrics", True)},
    "resource_metrics": {1: ("resource", "resource", False), 2: ("scopeMetrics", "scope_metrics", True)},
    "resource": {1: ("attributes", "attribute", True)},
    "scope_metrics": {2: ("metrics", "metric", True)},
    "metric": {
        1: ("name", "text", False), 5: ("gauge", "data", False), 7: ("sum", "data", False), 9: ("histogram", "data", False),
        10: ("exponentialHistogram", "data", False), 11: ("summary", "data", False),
    },
    "attribute": {1: ("key", "text", False), 2: ("value", "any", False)},
    "any": {
        1: ("stringValue", "text", False), 2: ("boolValue", "bool", False), 3: ("intValue", "int", False),
        4: ("doubleValue", "double", False),
    },
}  # fmt: skip
_POINTS: dict[str, dict[int, tuple[str, str, bool]]] = {
    "number": {7: ("attributes", "attribute", True), 4: ("asDouble", "double", False), 6: ("asInt", "sfixed", False)},
    "histogram": {9: ("attributes", "attribute", True), 4: ("count", "fixed", False), 5: ("sum", "double", False)},
    "exponentialHistogram": {
        1: ("attributes", "attribute", True), 4: ("count", "fixed", False), 5: ("sum", "double", False),
    },
    "summary": {7: ("attributes", "attribute", True), 4: ("count", "fixed", False), 5: ("sum", "double", False)},
}  # fmt: skip
_WIRE = {"text": 2, "bool": 0, "int": 0, "double": 1, "fixed": 1, "sfixed": 1}


def read_protobuf(data: bytes) -> Iterator[Fresh]:
    """What an ExportMetricsServiceRequest says. Raises ValueError for what is none."""
    yield from read_plain(_message(data, "request", ""))


def read_plain(data: Any) -> Iterator[Fresh]:
    """The same of its JSON form, parsed. Raises ValueError for what is none."""
    if as_map(data) is None:
        raise ValueError("expected an object with resourceMetrics, found something else")
    left = MOST_POINTS
    for resource in _each(data, "resourceMetrics"):
        about = _labels(_inner(resource, "resource"))
        service = {"service": about["service.name"]} if about.get("service.name") else {}
        for scope in _each(resource, "scopeMetrics"):
            for metric in _each(scope, "metrics"):
                for fresh in _metric(metric, service):
                    left -= 1
                    if left < 0:
                        raise ValueError(f"expected at most {MOST_POINTS} points at once, found more")
                    yield fresh


def _metric(metric: Mapping[str, Any], service: Mapping[str, str]) -> Iterator[Fresh]:
    name = metric.get("name")
    for shape in _SHAPES:
        held = _inner(metric, shape)
        if not isinstance(name, str) or not held:
            continue
        total = held.get("aggregationTemporality", _CUMULATIVE) in (_CUMULATIVE, "AGGREGATION_TEMPORALITY_CUMULATIVE")
        for point in _each(held, "dataPoints"):
            labels = {**service, **_labels(point)}
            if shape in ("gauge", "sum"):
                value = _number(point.get("asDouble", point.get("asInt")))
                counts = shape == "sum" and held.get("isMonotonic") is True
                what = ("total" if total else "count") if counts else "gauge" if shape == "gauge" or total else "shift"
                yield Fresh(what, name, value, labels)
            else:
                count, sums = _number(point.get("count")), _number(point.get("sum", 0))
                yield Fresh("spread", name, count, labels, sum=sums, total=total)


def _each(held: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    for entry in as_list(held.get(name)) or ():
        if (found := as_map(entry)) is not None:
            yield found  # pyright: ignore[reportReturnType]


def _inner(held: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Any = as_map(held.get(name))
    return found or {}


def _labels(held: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that are plain: text, numbers, true and false."""
    made: dict[str, str] = {}
    for entry in _each(held, "attributes"):
        key, value = entry.get("key"), next(iter(_inner(entry, "value").values()), None)
        if isinstance(key, str) and isinstance(value, str | int | float):
            made[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return made


def _number(value: Any) -> float:
    """A number; whole ones of 64 bits are texts in JSON. What is none is NaN, which nobody takes."""
    if isinstance(value, str) and len(value) <= 30:
        try:
            return float(int(value)) if value.lstrip("+-").isdigit() else float(value)
        except ValueError:
            return float("nan")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _message(data: bytes, table: str, shape: str, depth: int = 0) -> dict[str, Any]:
    """One message as the JSON form has it. `shape` says what kind of points the data of a metric has."""
    if depth > _DEPTH:
        raise ValueError("expected an OTLP request, found one nested too deep")
    known = _known(table, shape)
    made: dict[str, Any] = {}
    for number, wire, value in _fields(data):
        entry = known.get(number)
        if entry is None:
            continue
        name, kind, many = entry
        if wire != _WIRE.get(kind, 2):
            raise ValueError(f"expected an OTLP request, found field {number} of a {table} in another form")
        read = _value(value, kind, name if kind == "data" else shape, depth)
        if many:
            made.setdefault(name, []).append(read)
        else:
            made[name] = read
    return made


def _known(table: str, shape: str) -> dict[int, tuple[str, str, bool]]:
    if table == "point":
        return _POINTS.get(shape, _POINTS["number"])
    if table == "data":
        points: dict[int, tuple[str, str, bool]] = {1: ("dataPoints", "point", True)}
        if shape != "summary":
            points[2] = ("aggregationTemporality", "int", False)
        return points | ({3: ("isMonotonic", "bool", False)} if shape == "sum" else {})
    return _TABLES[table]


def _value(value: int | bytes, kind: str, shape: str, depth: int) -> Any:
    if isinstance(value, int):
        return bool(value) if kind == "bool" else value - (1 << 64) if value >= 1 << 63 else value
    match kind:
        case "text":
            return value.decode("utf-8", "replace")
        case "double":
            return struct.unpack("<d", value)[0]
        case "fixed" | "sfixed":
            return int.from_bytes(value, "little", signed=kind == "sfixed")
        case _:
            return _message(value, kind, shape, depth + 1)


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message: number, wire type, value (protobuf.dev, Encoding). Raises ValueError."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        size = 8 if wire == 1 else 4 if wire == 5 else -1
        if wire == 2:
            size, at = _varint(data, at)
        if number == 0 or size < 0 or at + size > len(data):
            raise ValueError("expected an OTLP request in protobuf, found something else")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise ValueError("expected an OTLP request in protobuf, found one that ends in the middle of a number")
