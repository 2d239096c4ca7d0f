"""Alert rules: a condition on monitors beyond "down", with a severity."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from tocsin.core.marks import Help, Length, Name, Range
from tocsin.core.scope import Scope

RuleSeverity = Literal["critical", "down", "warning", "info"]


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


class OnUptime(Struct, frozen=True, kw_only=True, tag="uptime", tag_field="type"):
    """The uptime over a window. Under `under` it is trouble, until it is at least `back`."""

    under: Annotated[float, Range(0, 1), Help("trouble below this share, such as 0.999")]
    window_s: Annotated[int, Range(300, 90 * 86_400), Help("the window")] = 86_400
    back: Annotated[float, Range(0, 1), Help("over from this share on; left out: the same share")] | None = None


class OnCertificate(Struct, frozen=True, kw_only=True, tag="certificate", tag_field="type"):
    """Days until the certificate (or one of its chain) ends. Each threshold is told once for a certificate."""

    days: Annotated[tuple[int, ...], Length(1, 10), Help("thresholds, in days")] = (30, 14, 7, 1)


class OnAnomaly(Struct, frozen=True, kw_only=True, tag="anomaly", tag_field="type"):
    """The response time is far from what this hour of the week has been in the weeks before."""

    sensitivity: Annotated[float, Range(1, 20), Help("standard deviations from the usual")] = 4
    window_s: Annotated[int, Range(300, 86_400), Help("the window that is compared")] = 900
    weeks: Annotated[int, Range(1, 12), Help("weeks that say what is usual")] = 4


Condition = OnVerdict | OnFailures | OnResponseTime | OnUptime | OnCertificate | OnAnomaly


class AlertRule(Struct, frozen=True, kw_only=True):
    """A rule of a workspace. `channels` None: those the monitor tells. `for_s`: so long the condition must hold before
    it is told. `recovery_s`: so long it must be over. `policy`: the escalation policy its incidents follow."""

    id: str
    workspace_id: str
    name: Name
    scope: Scope
    condition: Condition
    severity: RuleSeverity = "warning"
    enabled: bool = True
    for_s: int = 0
    recovery_s: int = 0
    reminder_s: int = 0
    channels: tuple[str, ...] | None = None
    policy: str | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1
