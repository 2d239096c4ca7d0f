"""Real programs by the rules of Nagios, as the agent runs them."""

# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collectors.looking import named, troubles
from collectors.test_http import looking, states, until
from tocsin.agent.monitors import refuse_local
from tocsin.collectors import kind
from tocsin.core.shape import read
from tocsin.errors import Invalid

SAYS = {
    "check_well": "echo \"OK - fine | 'load 1'=0.5;1;2 rta=12.5ms;; lost=5% odd=U\"; exit 0",
    "check_warns": "echo 'WARNING - nearly'; exit 1",
    "check_fails": "echo 'CRITICAL - no'; exit 2",
    "check_odd": "echo 'UNKNOWN - what'; exit 3",
    "check_hangs": "sleep 1000",
    "check_arguments": 'echo "OK $1"; exit 0',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    for name, script in SAYS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


async def test_plugins(folder: Path) -> None:
    plugins: list[dict[str, Any]] = [{"plugin": name, "timeout": 1 if name == "check_hangs" else 20} for name in SAYS]
    plugins += [{"plugin": "check_arguments", "name": "again", "arguments": ["$(id)"]}, {"plugin": "gone"}]
    async with looking("nagios", folder=str(folder), plugins=plugins) as (made, _):
        reading = await until(made, lambda r: len(r.services) == len(plugins))
        assert states(named(reading)) == {
            "check_well": ("up", True), "check_warns": ("degraded", None), "check_fails": ("down", False), "check_odd": ("cannot be judged", None),
            "check_hangs": ("down", False), "check_arguments": ("up", True), "again": ("up", True), "gone": ("cannot be judged", None),
        }  # fmt: skip
        figures = {name: value for name, value in reading.values.items() if name.startswith("plugin.")}
        assert figures == {
            "plugin.value{label=load 1,name=check_well}": 0.5, "plugin.value{label=rta,name=check_well,unit=ms}": 12.5,
            "plugin.value{label=lost,name=check_well,unit=%25}": 5,
        }  # fmt: skip
        assert troubles("nagios", reading) == {
            ("plugin", "plugin/check_fails"), ("plugin", "plugin/check_hangs"), ("warning", "check.degraded{name=check_warns,type=nagios}"),
        }  # fmt: skip


def test_only_the_file_may_set_it() -> None:
    with pytest.raises(Invalid, match="only a file may"):
        refuse_local("nagios", {"plugins": []}, "monitors[0]")


@pytest.mark.parametrize("wrong", [{"plugin": "../x"}, {"plugin": "/bin/sh"}, {"plugin": "a", "arguments": "x"}])
def test_plugins_are_read_strictly(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(kind("nagios").options, {"plugins": [wrong]})
