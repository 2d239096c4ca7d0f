"""What all tests share. Kept small: a room's own fixtures stand in its own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from resuming import Resuming

# CI must not fail by chance: the same examples each time, and no deadline on a busy machine. Nothing is explained, since
# that traces every line; a failing example is small enough to be read.
_PHASES = [phase for phase in Phase if phase is not Phase.explain]
_QUIET = [HealthCheck.too_slow]
settings.register_profile("ci", derandomize=True, deadline=None, phases=_PHASES, suppress_health_check=_QUIET)
settings.register_profile("here", deadline=None, phases=_PHASES, suppress_health_check=_QUIET)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resume", metavar="FILE", type=Path, help="pass over what FILE says has passed for this code")


def pytest_configure(config: pytest.Config) -> None:
    if (file := config.getoption("--resume")) is not None:
        config.pluginmanager.register(Resuming(file, writes=not hasattr(config, "workerinput")), "resuming")


_WAITING = {"cluster"}
"""Rooms whose tests mostly wait, for leases above all."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits goes first: one process waits while the others work, and none is left with it at the end."""
    items.sort(key=lambda item: _WAITING.isdisjoint(item.path.parts))


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> Iterator[None]:
    """No setting of the machine leaks into a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("TOCSIN_")]:
            patch.delenv(name)
        for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(proxy, raising=False)
        yield
