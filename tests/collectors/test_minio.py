"""What MinIO answers, written from its documents (docs/metrics/prometheus/list.md) and in the form that it prints."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from builders import FakeClock
from collectors.answering import Answering, answering
from collectors.looking import named, source, troubles
from tocsin import collectors
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net

CLUSTER = """# HELP minio_cluster_capacity_usable_free_bytes Total free usable capacity online in the cluster
# TYPE minio_cluster_capacity_usable_free_bytes gauge
minio_cluster_capacity_usable_free_bytes{server="127.0.0.1:9000"} 2.5e+11
# TYPE minio_cluster_capacity_usable_total_bytes gauge
minio_cluster_capacity_usable_total_bytes{server="127.0.0.1:9000"} 1e+12
# TYPE minio_cluster_drive_offline_total gauge
minio_cluster_drive_offline_total{server="127.0.0.1:9000"} 1
# TYPE minio_cluster_drive_online_total gauge
minio_cluster_drive_online_total{server="127.0.0.1:9000"} 3
# TYPE minio_cluster_nodes_offline_total gauge
minio_cluster_nodes_offline_total{server="127.0.0.1:9000"} 0
# TYPE minio_cluster_usage_object_total gauge
minio_cluster_usage_object_total{server="127.0.0.1:9000"} 12
# TYPE minio_heal_objects_errors_total gauge
minio_heal_objects_errors_total{server="127.0.0.1:9000"} 0
# TYPE minio_s3_requests_total counter
minio_s3_requests_total{api="getobject",server="127.0.0.1:9000"} %d
minio_s3_requests_total{api="putobject",server="127.0.0.1:9000"} %d
# TYPE minio_s3_traffic_sent_bytes counter
minio_s3_traffic_sent_bytes{server="127.0.0.1:9000",type="s3"} %d
# TYPE minio_s3_requests_ttfb_seconds_distribution gauge
minio_s3_requests_ttfb_seconds_distribution{api="getobject",le="0.05",server="127.0.0.1:9000"} 5
"""
NODE = """# TYPE minio_node_drive_latency_us gauge
minio_node_drive_latency_us{api="storage.ReadXL",drive="/data1",server="127.0.0.1:9000"} 250
minio_node_drive_latency_us{api="storage.WriteAll",drive="/data1",server="127.0.0.1:9000"} 1500
# TYPE minio_node_drive_free_bytes gauge
minio_node_drive_free_bytes{drive="/data1",server="127.0.0.1:9000"} 40
# TYPE minio_node_drive_total_bytes gauge
minio_node_drive_total_bytes{drive="/data1",server="127.0.0.1:9000"} 100
"""
BUCKET = """# TYPE minio_bucket_usage_total_bytes gauge
minio_bucket_usage_total_bytes{bucket="photos",server="127.0.0.1:9000"} 1234
minio_bucket_usage_total_bytes{bucket="logs",server="127.0.0.1:9000"} 5
# TYPE minio_bucket_usage_object_total gauge
minio_bucket_usage_object_total{bucket="photos",server="127.0.0.1:9000"} 7
"""


def routes() -> dict[str, Any]:
    return {
        "/minio/health/live": b"", "/minio/health/cluster": b"", "/minio/v2/metrics/cluster": CLUSTER % (0, 0, 0),
        "/minio/v2/metrics/node": NODE, "/minio/v2/metrics/bucket": BUCKET,
    }  # fmt: skip


@asynccontextmanager
async def minio(**options: Any) -> AsyncIterator[tuple[Any, FakeClock, Answering]]:
    clock = FakeClock()
    async with answering(routes()) as server, Net(egress=Egress("private")) as net:
        made = source("minio", net=net, clock=clock, url=server.url, **options)
        yield made, clock, server
        await made.close()


def state(reading: Reading) -> tuple[str, bool | None]:
    (found,) = reading.services
    return found.state, found.ok


async def test_what_it_tells() -> None:
    async with minio(token="t0ken", buckets=["ph*"]) as (made, clock, server):
        await made.collect()
        server.routes["/minio/v2/metrics/cluster"] = CLUSTER % (300, 100, 5000)
        await clock.advance(10, step=10)
        reading = named(await made.collect())
        at = f"server=127.0.0.1:{server.port}"
    assert (state(reading), reading.trouble) == (("serves", True), "")
    assert reading.values == {
        f"minio.capacity_bytes{{{at}}}": 1e12, f"minio.free_bytes{{{at}}}": 2.5e11, f"minio.used_percent{{{at}}}": 75, f"minio.drives_online{{{at}}}": 3,
        f"minio.drives_offline{{{at}}}": 1, f"minio.nodes_offline{{{at}}}": 0, f"minio.objects{{{at}}}": 12, f"minio.heal_errors{{{at}}}": 0,
        f"minio.requests_per_s{{{at}}}": 40, f"minio.sent_bytes_per_s{{{at}}}": 500, f"minio.drive_latency_ms{{drive=/data1,{at}}}": 1.5,
        f"minio.drive_used_percent{{drive=/data1,{at}}}": 60, f"minio.bucket_bytes{{bucket=photos,{at}}}": 1234, f"minio.bucket_objects{{bucket=photos,{at}}}": 7,
    }  # fmt: skip
    assert troubles("minio", reading) == {("drives", f"minio.drives_offline{{{at}}}")}
    asked = dict(zip(server.asked, server.heads, strict=True))
    assert "Authorization: Bearer t0ken" in asked["/minio/v2/metrics/cluster"]
    assert "t0ken" not in asked["/minio/health/live"]


async def test_what_can_be_wrong() -> None:
    async with minio(timeout=0.5) as (made, _, server):
        server.routes["/minio/health/cluster"] = (503, b"")
        assert state(named(await made.collect())) == ("without write quorum", False)
        server.routes["/minio/health/cluster"] = b""
        server.routes["/minio/v2/metrics/bucket"] = (403, b"")
        server.routes["/minio/v2/metrics/node"] = b"\xff{{{"
        reading = named(await made.collect())
        assert state(reading) == ("serves", True)
        assert "metrics of bucket: /minio/v2/metrics/bucket is refused" in reading.trouble
        assert any(name.startswith("minio.used_percent") for name in reading.values)
        server.silent = True
        reading = named(await made.collect())
        assert state(reading) == ("not answering", False)
        assert {rule for rule, _ in troubles("minio", reading)} == {"server"}


def test_options_are_read_strictly() -> None:
    for wrong in ({"url": "ftp://a"}, {"token": "a\nb"}, {"url": 5}):
        with pytest.raises(Invalid):
            read(collectors.kind("minio").options, wrong)
