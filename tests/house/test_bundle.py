"""What hosts get packed is what an agent can import, no more and no less."""

from __future__ import annotations

import re
import sys
from importlib import metadata

import grimp

from tocsin.agent.bundle import NEEDS

PARTS = (
    "tocsin.app.agent", "tocsin.cli.agent", "tocsin.cli.main", "tocsin.checks.http", "tocsin.checks.nagios",
    "tocsin.checks.docker",
)  # fmt: skip
ON_REQUEST = {"apprise"}  # a channel of that kind says what is missing
THROUGH_OTHERS = {"cffi", "pycparser"}  # what those that are imported import


def test_the_bundle_holds_what_an_agent_reaches() -> None:
    graph = grimp.build_graph("tocsin", include_external_packages=True)
    kinds = {m for m in graph.modules if m.startswith(("tocsin.collectors.", "tocsin.notifiers."))}
    waiting, seen = [*PARTS, *kinds], set[str]()
    while waiting:
        module = waiting.pop()
        other_kind = re.match(r"tocsin\.checks\.[a-z]", module) and module not in PARTS
        if module in seen or other_kind or module not in graph.modules:
            continue
        seen.add(module)
        if module.startswith("tocsin"):
            waiting += graph.find_modules_directly_imported_by(module)
    outside = {m.split(".")[0] for m in seen if not m.startswith("tocsin")} - sys.stdlib_module_names
    whose = metadata.packages_distributions()
    found = {re.sub(r"[-_.]+", "-", whose[name][0]).lower() for name in outside if name in whose}
    assert found - ON_REQUEST == set(NEEDS) - THROUGH_OTHERS
