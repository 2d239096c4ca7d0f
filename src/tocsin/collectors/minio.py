"""MinIO by its health checks and its metrics, version 2: space, drives, nodes, buckets, healing, requests.

https://github.com/minio/minio/blob/master/docs/metrics/prometheus/list.md"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from tocsin.collectors import Facility
from tocsin.collectors._answer import Door, asked, labelled, number, word
from tocsin.collectors._prometheus import read_text
from tocsin.collectors._pushed import Fresh
from tocsin.collectors._rates import Rates
from tocsin.core.header import is_value
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Hidden, Length, Long, Pattern, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import url as urls

TITLE, SAYS = "MinIO", "space, drives, nodes, buckets, healing and requests of a MinIO server"
EVERY_S = 60
MOST_BUCKETS, MOST_DRIVES = 100, 100
MOST_PAGE = 8 << 20
_HEALTH = (("/minio/health/live", "not live"), ("/minio/health/cluster", "without write quorum"))

_CLUSTER = {
    "minio_cluster_capacity_usable_total_bytes": "minio.capacity_bytes",
    "minio_cluster_capacity_usable_free_bytes": "minio.free_bytes",
    "minio_cluster_usage_total_bytes": "minio.objects_bytes",
    "minio_cluster_usage_object": "minio.objects",
    "minio_cluster_bucket": "minio.buckets",
    "minio_cluster_drive_online": "minio.drives_online",
    "minio_cluster_drive_offline": "minio.drives_offline",
    "minio_cluster_nodes_online": "minio.nodes_online",
    "minio_cluster_nodes_offline": "minio.nodes_offline",
    "minio_heal_objects_errors": "minio.heal_errors",
    "minio_heal_objects_heal": "minio.healed_objects",
}
"""Metrics of the cluster, each by its name without `_total` (a reader of Prometheus adds and takes that away)."""
_BUCKET = {
    "minio_bucket_usage_total_bytes": "minio.bucket_bytes",
    "minio_bucket_usage_object": "minio.bucket_objects",
    "minio_bucket_quota_total_bytes": "minio.bucket_quota_bytes",
}
_COUNTED = {
    "minio_s3_requests": "minio.requests_per_s",
    "minio_s3_requests_errors": "minio.request_errors_per_s",
    "minio_s3_requests_5xx_errors": "minio.request_5xx_per_s",
    "minio_s3_traffic_received_bytes": "minio.received_bytes_per_s",
    "minio_s3_traffic_sent_bytes": "minio.sent_bytes_per_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which server is asked."""

    url: Annotated[str, Length(1, 500), Help("The server, such as http://localhost:9000")] = "http://localhost:9000"
    token: Annotated[
        str | None, Hidden, Length(1, 4096), Help("Token of `mc admin prometheus generate`; none where they are public")
    ] = None
    buckets: Annotated[
        tuple[Annotated[str, Length(1, 63)], ...], Length(0, 100), Help("Buckets by name or patterns with *; none: all")
    ] = ()
    verify_tls: Annotated[bool, Help("The certificate must be valid")] = True
    ca: Annotated[
        str | None, Long, Pattern(r"\s*-----BEGIN [\s\S]*", "PEM text that begins with -----BEGIN"),
        Help("Authorities to trust instead of the system's, PEM"),
    ] = None  # fmt: skip
    timeout: Annotated[float, Range(0.5, 25), Help("A server that takes longer does not answer")] = 10

    def __post_init__(self) -> None:
        try:
            urls.parse(self.url)
        except ValueError as error:
            raise Invalid(Problem("url", "an http or https URL", f"one that {error}")) from None
        if self.token is not None and not is_value(self.token):
            raise Invalid(Problem("token", "one line", "***"))


RULES = (
    HostRule(
        id="builtin:minio.server", name="MinIO does not serve", condition=OnService(kind="object_storage"),
        severity="critical", for_s=30,
    ),
    HostRule(
        id="builtin:minio.drives", name="Drives of MinIO are offline", severity="critical", for_s=60,
        condition=OnSample(metric="minio.drives_offline", above=0),
    ),
    HostRule(
        id="builtin:minio.nodes", name="Nodes of MinIO are offline", severity="critical", for_s=60,
        condition=OnSample(metric="minio.nodes_offline", above=0),
    ),
    HostRule(
        id="builtin:minio.space", name="MinIO runs out of space",
        condition=OnSample(metric="minio.used_percent", above=85, clear=82), for_s=120,
    ),
    HostRule(
        id="builtin:minio.heal", name="Objects cannot be healed", condition=OnSample(metric="minio.heal_errors", above=0),
        for_s=300,
    ),
)  # fmt: skip


class Source:
    """One server. Keeps the counters of the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        headers = (("Authorization", f"Bearer {options.token}"),) if options.token else ()
        self._health = Door(
            base=options.url, verify_tls=options.verify_tls, ca=options.ca, timeout_s=options.timeout
        )  # the health checks take no token
        self._metrics = Door(
            base=options.url, headers=headers, verify_tls=options.verify_tls, ca=options.ca, timeout_s=options.timeout
        )
        self.name = urls.parse(options.url).authority[:100]
        self._rates = Rates()

    async def collect(self) -> Reading:
        """Ask once. A server that does not answer is a service that is not well."""
        return await asked("object_storage", self.name, self._options.timeout, self._look)

    async def close(self) -> None:
        """Nothing is held but numbers."""

    async def _look(self) -> Reading:
        state, ok, detail = "serves", True, ""
        for path, words in _HEALTH:
            seen = await self._health.get(self._net, path)
            if seen.status_code != 200:
                state, ok, detail = words, False, f"{path} answered with status {seen.status_code}"
                break
        service = Service(kind="object_storage", name=self.name, state=state, ok=ok, detail=detail)
        troubles: list[str] = []
        said: list[Fresh] = []
        for part in ("cluster", "node", "bucket"):
            try:
                body = await self._metrics.body(self._net, f"/minio/v2/metrics/{part}", max_body=MOST_PAGE)
                said += await asyncio.to_thread(_read, body)
            except (CheckFailed, ValueError) as error:
                troubles.append(f"metrics of {part}: {word(str(error), 200)}")
        values = figures(said, self.name, self._options.buckets)
        for name, rate in self._rates.per_s(counters(said), self._clock.monotonic()).items():
            labelled(values, _COUNTED[name], rate, server=self.name)
        return Reading(values=values, services=(service,), trouble="; ".join(troubles)[:400])


def _read(body: bytes) -> list[Fresh]:
    return list(read_text(body.decode("utf-8", "replace"), ("minio_",)))


def figures(said: Sequence[Fresh], server: str, buckets: tuple[str, ...] = ()) -> dict[str, float]:
    """What MinIO's metrics come to. Of those that several of its servers tell, the highest counts."""
    made: dict[str, float] = {}
    highest: dict[str, float] = {}
    for one in said:
        if (name := one.name.removesuffix("_total")) in _CLUSTER:
            highest[name] = max(one.value, highest.get(name, one.value))
    for name, value in highest.items():
        labelled(made, _CLUSTER[name], value, server=server)
    whole, free = (highest.get(f"minio_cluster_capacity_usable_{end}_bytes") for end in ("total", "free"))
    _share(made, "minio.used_percent", whole, free, server=server)
    return made | _of_drives(said, server) | _of_buckets(said, server, buckets)


def _share(made: dict[str, float], metric: str, whole: float | None, free: float | None, **labels: str) -> None:
    if whole is not None and free is not None and whole > 0:
        labelled(made, metric, min(100.0, max(0.0, 100 * (1 - free / whole))), **labels)


def _of_drives(said: Sequence[Fresh], server: str) -> dict[str, float]:
    made: dict[str, float] = {}
    drives: dict[str, dict[str, float]] = {}
    for one in said:
        drive, name = word(one.labels.get("drive"), 60), one.name.removesuffix("_total")
        if drive and name.startswith("minio_node_drive_") and (drive in drives or len(drives) < MOST_DRIVES):
            kept = drives.setdefault(drive, {})
            kept[name] = max(one.value, kept.get(name, one.value))
    for drive, seen in drives.items():
        if (latency := number(seen.get("minio_node_drive_latency_us"))) is not None:
            labelled(made, "minio.drive_latency_ms", latency / 1000, server=server, drive=drive)
        whole, free = seen.get("minio_node_drive_total_bytes"), seen.get("minio_node_drive_free_bytes")
        _share(made, "minio.drive_used_percent", whole, free, server=server, drive=drive)
    return made


def _of_buckets(said: Sequence[Fresh], server: str, buckets: tuple[str, ...]) -> dict[str, float]:
    made: dict[str, float] = {}
    shown: set[str] = set()
    for one in said:
        metric, bucket = _BUCKET.get(one.name.removesuffix("_total")), word(one.labels.get("bucket"), 63)
        wanted = bucket and (not buckets or any(fnmatchcase(bucket, pattern) for pattern in buckets))
        if metric and wanted and (bucket in shown or len(shown) < MOST_BUCKETS):
            shown.add(bucket)
            labelled(made, metric, one.value, server=server, bucket=bucket)
    return made


def counters(said: Sequence[Fresh]) -> dict[str, float]:
    """What only grows, over all kinds of request."""
    found: dict[str, float] = {}
    for one in said:
        name = one.name.removesuffix("_total")
        if name in _COUNTED and 0 <= one.value < 1e18:
            found[name] = found.get(name, 0.0) + one.value
    return found
