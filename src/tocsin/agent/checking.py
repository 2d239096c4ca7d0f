"""Check types run by the agent, with its host as the location: what collectors of checks are given as `Facility.checker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tocsin import checks
from tocsin.clock import Clock
from tocsin.collectors import Check, Checker
from tocsin.core import shape
from tocsin.core.monitor import Assertion
from tocsin.core.result import Outcome
from tocsin.net import Net


def checker(net: Net, clock: Clock, host: str) -> Checker:
    """What makes checks that are run from here. It raises Invalid for a target that is none."""

    def made(
        type_: str, target: Mapping[str, Any], timeout_s: float, assertions: Sequence[Assertion],
        folder: Path | None = None,
    ) -> Check:  # fmt: skip
        order = checks.Order(
            type_, shape.read(checks.kind(type_).target, target), timeout_s, tuple(assertions), location=host
        )
        way = net
        if folder is not None:  # a net of its own, that only says which programs may be run
            way = Net(egress=net.egress, local=replace(net.local, plugin_dir=folder))

        async def run() -> Outcome:
            return await checks.run(order, way, clock)

        return run

    return made
