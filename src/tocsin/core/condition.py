"""What alert rules can ask for: each condition with its limits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from tocsin.core.host_rule import OnSample, OnService
from tocsin.core.marks import Help, Length, Range
from tocsin.errors import Invalid, Problem


class OnVerdict(Struct, frozen=True, kw_only=True, tag="verdict", tag_field="type"):
    """The verdict is one of these."""

    values: Annotated[
        tuple[Literal["down", "partial", "degraded", "unknown"], ...], Length(1, 4), Help("verdicts that are trouble")
    ]


class OnFailures(Struct, frozen=True, kw_only=True, tag="failures", tag_field="type"):
    """So many failing checks in a row, at as many locations as the monitor's quorum asks for."""

    count: Annotated[int, Range(1, 1000), Help("failing checks in a row")]


class OnResponseTime(Struct, frozen=True, kw_only=True, tag="response_time", tag_field="type"):
    """A percentile of the response time over a window. Over `over_ms` it is trouble, until it is under `back_ms`."""

    over_ms: Annotated[float, Range(0.001, 3_600_000), Help("trouble above this")]
    percentile: Annotated[float, Range(1, 99.9), Help("which percentile of the window")] = 95
    window_s: Annotated[int, Range(60, 7 * 86_400), Help("the window")] = 300
    back_ms: Annotated[float, Range(0, 3_600_000), Help("over below this; left out: 90 % of over_ms")] | None = None

    def __post_init__(self) -> None:
        if self.back_ms is not None and self.back_ms > self.over_ms:
            raise Invalid(Problem("back_ms", f"at most over_ms ({self.over_ms:.15g})", f"{self.back_ms:.15g}"))


class OnUptime(Struct, frozen=True, kw_only=True, tag="uptime", tag_field="type"):
    """The uptime over a window. Under `under` it is trouble, until it is at least `back`."""

    under: Annotated[float, Range(0, 1), Help("trouble below this share, such as 0.999")]
    window_s: Annotated[int, Range(300, 90 * 86_400), Help("the window")] = 86_400
    back: Annotated[float, Range(0, 1), Help("over from this share on; left out: the same share")] | None = None

    def __post_init__(self) -> None:
        if self.back is not None and self.back < self.under:
            raise Invalid(Problem("back", f"at least under ({self.under:.15g})", f"{self.back:.15g}"))


class OnCertificate(Struct, frozen=True, kw_only=True, tag="certificate", tag_field="type"):
    """Days until the certificate (or one of its chain) ends. Each threshold is told once for a certificate."""

    days: Annotated[tuple[Annotated[int, Range(0, 3650)], ...], Length(1, 10), Help("thresholds, in days")] = (
        30, 14, 7, 1,
    )  # fmt: skip


class OnAnomaly(Struct, frozen=True, kw_only=True, tag="anomaly", tag_field="type"):
    """The response time is far above what it has been at this hour of the week in the weeks before."""

    sensitivity: Annotated[float, Range(1, 20), Help("standard deviations above the usual")] = 4
    window_s: Annotated[int, Range(300, 86_400), Help("the window that is compared")] = 900
    weeks: Annotated[int, Range(1, 12), Help("weeks that say what is usual")] = 4


class OnHeartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat", tag_field="type"):
    """A host's agent is silent: a warning first, then worse, in the same incident."""

    warn_s: Annotated[float, Range(10, 86_400), Help("warning after so many seconds of silence")] = 75
    down_s: Annotated[float, Range(10, 86_400), Help("down after so many")] = 120

    def __post_init__(self) -> None:
        if self.down_s < self.warn_s:
            raise Invalid(Problem("down_s", f"at least warn_s ({self.warn_s:.15g})", f"{self.down_s:.15g}"))


HostConditions = OnHeartbeat | OnSample | OnService
"""Conditions on hosts: of silence the server judges, of the others the agent."""
Condition = OnVerdict | OnFailures | OnResponseTime | OnUptime | OnCertificate | OnAnomaly | HostConditions
Windowed = OnResponseTime | OnUptime | OnCertificate | OnAnomaly
"""Conditions on figures that are kept apart from the states, and refreshed now and then."""

CONDITIONS: dict[str, type[Condition]] = {
    "verdict": OnVerdict,
    "failures": OnFailures,
    "response_time": OnResponseTime,
    "uptime": OnUptime,
    "certificate": OnCertificate,
    "anomaly": OnAnomaly,
}

ON_HOSTS: dict[str, type[Condition]] = {"heartbeat": OnHeartbeat, "sample": OnSample, "service": OnService}


def condition_name(condition: Condition) -> str:
    """Its name in `type`."""
    return next(name for name, known in (CONDITIONS | ON_HOSTS).items() if isinstance(condition, known))
