"""OTLP requests made by protobuf's own library, from messages written down after opentelemetry-proto 1.x (metrics/v1)."""

# ruff: noqa: E501

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_TYPES = {
    "double": 1,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "fixed64": 6,
    "bool": 8,
    "string": 9,
    "uint32": 13,
    "sfixed64": 16,
    "sint32": 17,
}
_MESSAGES: dict[str, list[tuple[str, int, str, str]]] = {
    "AnyValue": [("string_value", 1, "string", "value"), ("bool_value", 2, "bool", "value"), ("int_value", 3, "int64", "value"), ("double_value", 4, "double", "value")],
    "KeyValue": [("key", 1, "string", ""), ("value", 2, "AnyValue", "")],
    "Resource": [("attributes", 1, "KeyValue", "many")],
    "Scope": [("name", 1, "string", ""), ("version", 2, "string", "")],
    "NumberDataPoint": [
        ("attributes", 7, "KeyValue", "many"), ("start_time_unix_nano", 2, "fixed64", ""), ("time_unix_nano", 3, "fixed64", ""),
        ("as_double", 4, "double", "value"), ("as_int", 6, "sfixed64", "value"), ("flags", 8, "uint32", ""),
    ],
    "HistogramDataPoint": [
        ("attributes", 9, "KeyValue", "many"), ("time_unix_nano", 3, "fixed64", ""), ("count", 4, "fixed64", ""), ("sum", 5, "double", "sum_"),
        ("bucket_counts", 6, "fixed64", "many"), ("explicit_bounds", 7, "double", "many"),
    ],
    "ExponentialHistogramDataPoint": [
        ("attributes", 1, "KeyValue", "many"), ("time_unix_nano", 3, "fixed64", ""), ("count", 4, "fixed64", ""), ("sum", 5, "double", "sum_"), ("scale", 6, "sint32", ""),
    ],
    "SummaryDataPoint": [("attributes", 7, "KeyValue", "many"), ("time_unix_nano", 3, "fixed64", ""), ("count", 4, "fixed64", ""), ("sum", 5, "double", "")],
    "Gauge": [("data_points", 1, "NumberDataPoint", "many")],
    "Sum": [("data_points", 1, "NumberDataPoint", "many"), ("aggregation_temporality", 2, "int32", ""), ("is_monotonic", 3, "bool", "")],
    "Histogram": [("data_points", 1, "HistogramDataPoint", "many"), ("aggregation_temporality", 2, "int32", "")],
    "ExponentialHistogram": [("data_points", 1, "ExponentialHistogramDataPoint", "many"), ("aggregation_temporality", 2, "int32", "")],
    "Summary": [("data_points", 1, "SummaryDataPoint", "many")],
    "Metric": [
        ("name", 1, "string", ""), ("description", 2, "string", ""), ("unit", 3, "string", ""), ("gauge", 5, "Gauge", "data"), ("sum", 7, "Sum", "data"),
        ("histogram", 9, "Histogram", "data"), ("exponential_histogram", 10, "ExponentialHistogram", "data"), ("summary", 11, "Summary", "data"),
    ],
    "ScopeMetrics": [("scope", 1, "Scope", ""), ("metrics", 2, "Metric", "many"), ("schema_url", 3, "string", "")],
    "ResourceMetrics": [("resource", 1, "Resource", ""), ("scope_metrics", 2, "ScopeMetrics", "many"), ("schema_url", 3, "string", "")],
    "ExportMetricsServiceRequest": [("resource_metrics", 1, "ResourceMetrics", "many")],
}  # fmt: skip


@cache
def _class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="otlp.proto", package="otlp", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        unions: dict[str, int] = {}
        for field, number, type_, group in fields:
            made = message.field.add(name=field, number=number, label=3 if group == "many" else 1)
            if type_ in _TYPES:
                made.type = _TYPES[type_]
            else:
                made.type, made.type_name = 11, f".otlp.{type_}"
            if group not in ("", "many"):
                if group not in unions:
                    unions[group] = len(message.oneof_decl)
                    message.oneof_decl.add(name=group)
                made.oneof_index = unions[group]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("otlp.ExportMetricsServiceRequest"))


def request(n: int) -> bytes:
    """The n-th request of a program, ten seconds after the one before: every kind of metric there is."""
    made = _class()()
    resource = made.resource_metrics.add(schema_url="https://example.org/schema")
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "shop"
    scope = resource.scope_metrics.add()
    scope.scope.name = "meter"
    scope.metrics.add(name="memory_bytes", unit="By").gauge.data_points.add(
        as_double=1000.5 if n == 1 else 2000.5, time_unix_nano=1
    )
    threads = scope.metrics.add(name="threads").sum
    threads.aggregation_temporality = 2
    point = threads.data_points.add(as_int=-n)
    point.attributes.add(key="pool").value.string_value = "io"
    point.attributes.add(key="list of things")  # no value that is plain
    orders = scope.metrics.add(name="orders").sum
    orders.aggregation_temporality, orders.is_monotonic = 2, True
    orders.data_points.add(as_int=100 * n)
    jobs = scope.metrics.add(name="jobs").sum
    jobs.aggregation_temporality, jobs.is_monotonic = 1, True
    jobs.data_points.add(as_int=5)
    latency = scope.metrics.add(name="latency_milliseconds").histogram
    latency.aggregation_temporality = 2
    latency.data_points.add(count=10 * n, sum=200.0 * n, bucket_counts=[1, 2, 7], explicit_bounds=[1.0, 5.0])
    sizes = scope.metrics.add(name="sizes").exponential_histogram
    sizes.aggregation_temporality = 1
    sizes.data_points.add(count=4, sum=20.0, scale=-2)
    scope.metrics.add(name="old_seconds").summary.data_points.add(count=10 * n, sum=20.0 * n)
    return made.SerializeToString()


def as_json(body: bytes) -> Any:
    """The same in the JSON form of protobuf."""
    return json_format.MessageToDict(_class().FromString(body))
