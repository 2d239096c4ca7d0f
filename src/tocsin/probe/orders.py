"""An order as the server writes it down for a probe, and what it makes of the answer: the same by either way."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tocsin import checks
from tocsin.checks import Order
from tocsin.core import shape
from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Observation, Outcome
from tocsin.errors import PeerLost
from tocsin.probe.answer import sound
from tocsin.probe.wire import Answer

GRACE_S = 6.0
"""So much longer than its timeout an order may take: a probe looks at itself before it holds a failure against a target."""
_KEPT = 5000


class NotOurs(PeerLost):
    """What answers is not the probe it should be. `cause`: certificate, key or no_probe."""

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class _Written(Struct, frozen=True, omit_defaults=True):
    """An order in its outside form; `config` and `validationRules` were written before."""

    jobId: str
    monitorId: str
    monitorType: str
    config: Raw
    validationRules: Raw
    timeoutMs: float
    scheduledAt: datetime | None = None
    attempt: int = 0


class Orders:
    """Writes orders down. What does not change from run to run is written once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Any, Any, Raw, Raw]] = OrderedDict()

    def write(self, order: Order, job_id: str) -> bytes:
        """The order as JSON."""
        kept = self._kept.get(id(order.target))
        if kept is None or kept[0] is not order.target or kept[1] is not order.assertions:
            config = Raw(msgspec.json.encode(shape.dump(order.target)))
            kept = order.target, order.assertions, config, Raw(msgspec.json.encode(order.assertions))
            self._kept[id(order.target)] = kept
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        written = _Written(
            job_id, order.monitor_id, order.type, kept[2], kept[3], order.timeout_s * 1000, order.scheduled_at,
            order.attempt,
        )  # fmt: skip
        return msgspec.json.encode(written)


def outcome_of(answer: Answer, order: Order, at: datetime, age_ms: float = 0.0) -> Outcome:
    """What came of the order, by an answer that came `at`. Raises Invalid when the answer holds nothing of use."""
    outcome = sound(answer, at, age_ms)
    shown = checks.show(order.type, order.target)
    return replace(outcome, type=order.type, target=shown, location=order.location)


def not_understood(order: Order, why: str, at: datetime) -> Outcome:
    """The outcome of an order that the probe cannot carry out: no evidence against the target."""
    return Outcome(
        type=order.type,
        target=checks.show(order.type, order.target),
        status="invalid",
        error=CheckError("unknown", f"not judged: the probe cannot run it: {clip(why, 300)}"),
        started_at=at,
        location=order.location,
        seen=Observation(),
    )
