"""Parsers of what servers on a host answer to its agent."""

# ruff: noqa: E501

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.collectors import _answer, _containers, _isapi, _pg, _prometheus, _xml, minio, postgres, tailscale
from tocsin.core.plain import as_map, loads
from tocsin.core.sample import Service, parts
from tocsin.errors import CheckFailed, Invalid

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def sound(seen: tuple[dict[str, float], list[Service]]) -> None:
    """What was made of it can be kept and shown."""
    values, services = seen
    for name, value in values.items():
        parts(name)
        assert abs(value) < 1e30, name
    names = [(s.kind, s.name) for s in services]
    assert len(set(names)) == len(names)
    for service in services:
        assert 1 <= len(service.name) <= 200
        assert service.name.isprintable()
        assert 1 <= len(service.state) <= 100
        assert len(service.detail) <= 400


def told(data: bytes) -> dict[Any, Any]:
    """The object that an answer is."""
    found = as_map(loads(data))
    if found is None:
        raise Invalid
    return found


def _connection(data: bytes) -> object:
    return postgres.where(text(data))


def _statistics(data: bytes) -> tuple[dict[str, float], list[Service]]:
    seen = told(data)
    values = _pg.connections(seen, seen, seen, "a:5432")
    values |= _pg.of_databases(seen, dict(_pg.counters(seen)), "a:5432")
    made, services = _pg.replicas(seen, "a:5432")
    more, own = _pg.reception(seen, "a:5432")
    return values | made | more, services + own


def _container(data: bytes) -> tuple[dict[str, float], list[Service]]:
    seen = as_map(_answer.read_json(data, "a container")) or {}
    name = _containers.name_of(seen) or "a"
    services = [_containers.seen(name, seen, named=named, lately=0) for named in (True, False)]
    values = _containers.memory(name, seen, seen) | _containers.rates(_containers.counters(name, seen))
    return values | _containers.room(seen), services[:1]


_CONTAINER = json.dumps(
    {
        "Id": "ab" * 32, "Names": ["/shop"], "RestartCount": 1, "Config": {"Image": "shop:1.2"}, "LayersSize": 5,
        "State": {"Status": "exited", "OOMKilled": False, "ExitCode": 2, "Error": "", "StartedAt": "2026-01-02T03:04:05.6Z",
                  "FinishedAt": "2026-01-02T03:04:05Z", "Health": {"Status": "unhealthy", "Log": [{"Output": "a\nb"}]}},
        "HostConfig": {"Memory": 1000, "RestartPolicy": {"Name": "always"}}, "Images": [{"Size": 5}],
        "memory_stats": {"usage": 990, "stats": {"inactive_file": 30}}, "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 5}},
        "cpu_stats": {"cpu_usage": {"total_usage": 5}}, "Volumes": [{"UsageData": {"Size": 30}}],
    }
)  # fmt: skip


def _tailnet(data: bytes) -> tuple[dict[str, float], list[Service]]:
    seen = as_map(_answer.read_json(data, "a state")) or {}
    assert all(len(name) > 1 for name in tailscale.counters(seen))
    return tailscale.figures(seen, NOW), tailscale.standing(seen, ("web-*", "db"))


_TAILNET = json.dumps(
    {
        "Version": "1.80.0", "BackendState": "Running", "Health": ["a"], "Self": {"HostName": "a", "Online": True, "KeyExpiry": "2026-06-02T09:00:00Z"},
        "Peer": {"nodekey:1": {"HostName": "web-1", "DNSName": "web-1.tail.ts.net.", "Online": True, "LastHandshake": "2026-03-02T08:59:00.5Z", "RxBytes": 5, "TxBytes": 5, "CurAddr": "", "Relay": "fra"}},
        "ExitNodeStatus": {"Online": True, "TailscaleIPs": ["100.64.0.2/32"]},
    }
)  # fmt: skip


def _storage(data: bytes) -> tuple[dict[str, float], list[Service]]:
    said = list(_prometheus.read_text(text(data), ("minio_",)))
    assert all(value >= 0 for value in minio.counters(said).values())
    return minio.figures(said, "a:9000"), []


_METRICS = """# TYPE minio_cluster_capacity_usable_total_bytes gauge
minio_cluster_capacity_usable_total_bytes{server="a"} 1e+12
# TYPE minio_cluster_capacity_usable_free_bytes gauge
minio_cluster_capacity_usable_free_bytes{server="a"} 2e+11
# TYPE minio_s3_requests_total counter
minio_s3_requests_total{api="getobject"} 5
# TYPE minio_node_drive_latency_us gauge
minio_node_drive_latency_us{drive="/data"} 5
# TYPE minio_bucket_usage_total_bytes gauge
minio_bucket_usage_total_bytes{bucket="a"} 5
"""


def _recorder(data: bytes) -> tuple[dict[str, float], list[Service]]:
    told = _xml.read_xml(data, "an answer")
    names, records = _isapi.names_of(told), _isapi.recording(told)
    values, services = _isapi.cameras(told, names, records, "a", must_record=True)
    more, found = _isapi.disks(told, "a")
    return values | more | _isapi.status(told, "a") | _isapi.drift(told, "a", NOW), services + found


_RECORDER = (
    '<?xml version="1.0" encoding="UTF-8"?><x xmlns="http://www.hikvision.com/ver20/XMLSchema"><deviceUpTime>5</deviceUpTime><cpuUtilization>5</cpuUtilization>'
    "<memoryUsage>5</memoryUsage><memoryAvailable>5</memoryAvailable><localTime>2026-03-02T09:00:00</localTime><timeZone>CST-8:00:00</timeZone>"
    "<hdd><id>1</id><status>ok</status><capacity>5</capacity><freeSpace>5</freeSpace></hdd><Track><id>101</id><Enable>true</Enable></Track>"
    "<InputProxyChannel><id>1</id><name>a</name></InputProxyChannel><InputProxyChannelStatus><id>1</id><online>true</online></InputProxyChannelStatus></x>"
)
_STATISTICS = json.dumps(
    {
        "total": 5, "active": 1, "max": 100, "longest_query_s": 0.5, "waiting": 0, "backends": 6, "up_s": 100.5,
        "databases": [{"name": "shop", "connections": 2, "commits": 10, "hits": 5, "reads": 1, "deadlocks": 0}],
        "ages": [{"name": "shop", "age": 700}], "receives": 1, "paused": False, "caught_up": True, "from": True,
        "replicas": [{"name": "standby", "address": "10.0.0.2", "state": "streaming", "lag_s": 0.1, "lag_bytes": 5}],
        "slots": [{"name": "standby", "type": "physical", "active": True, "wal_status": "reserved", "retained": 5}],
    }
)  # fmt: skip

PARSERS = (
    Parser(name="metrics of MinIO", files=("collectors/minio.py",), read=_storage, allowed=(ValueError,), examples=given(_METRICS), holds=sound),
    Parser(name="answers of recorders", files=("collectors/_xml.py", "collectors/_isapi.py"), read=_recorder, allowed=(CheckFailed,), examples=given(_RECORDER), holds=sound),
    Parser(name="state of a tailnet", files=("collectors/tailscale.py",), read=_tailnet, allowed=(CheckFailed,), examples=given(_TAILNET), holds=sound),
    Parser(name="containers of an engine", files=("collectors/_answer.py", "collectors/_containers.py"), read=_container, allowed=(CheckFailed,), examples=given(_CONTAINER), holds=sound),
    Parser(name="connections to PostgreSQL", files=("collectors/postgres.py",), read=_connection, allowed=(ValueError,), examples=given("postgres://a%40b:p@[::1]:5432/shop?sslmode=require")),
    Parser(name="statistics of PostgreSQL", files=("collectors/_pg.py",), read=_statistics, allowed=(Invalid,), examples=given(_STATISTICS), holds=sound),
)  # fmt: skip
