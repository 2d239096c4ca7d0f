"""One check through the real run(), for the tests of the kinds."""

from __future__ import annotations

from typing import Any

from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome, outcome_json
from tocsin.core.shape import read
from tocsin.net import Egress, Net


async def look(type_: str, *, timeout_s: float = 5, net: Net | None = None, rules: Any = (), **target: Any) -> Outcome:
    """The outcome of one check of plain data, as the API would run it."""
    given = checks.check_assertions(list(rules), type_)
    order = checks.Order(type_, read(checks.kind(type_).target, target), timeout_s, given)
    if net is not None:
        outcome = await checks.run(order, net, SystemClock())
    else:
        async with Net(egress=Egress("private")) as fresh:
            outcome = await checks.run(order, fresh, SystemClock())
    outcome_json(outcome)
    return outcome


def why(outcome: Outcome) -> tuple[str, str, str | None]:
    """Status, error type and phase."""
    return (outcome.status, outcome.error.type, outcome.error.phase) if outcome.error else (outcome.status, "", None)
