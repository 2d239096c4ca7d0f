"""What is set from afar: what an agent looks at, never a command or a path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.api.conftest import Agent, Alice
from tocsin.agent import wire
from tocsin.agent.rules import Line, LocalRule, rules_of
from tocsin.agent.signed import read_server_config
from tocsin.collectors.system import RULES
from tocsin.core.host_rule import OnSample


async def test_what_is_set_reaches_the_agent(alice: Alice, agent: Agent) -> None:
    url = f"/api/v1/hosts/{agent.id}/config"
    wanted = {"monitors": [{"type": "system", "check_interval": 15}], "heartbeat_interval_s": 30}
    answer = await alice.api.send("PUT", url, wanted)
    assert answer.status == 200, answer.text
    assert (answer.data["version"], answer.data["metrics_push_interval_s"]) == (2, 30)
    beat = await agent.beat(config_version=1)
    config = msgspec.json.decode(beat.data["config"]["text"], type=wire.Config)
    assert (config.version, config.monitors, config.heartbeat_interval_s) == (2, wanted["monitors"], 30)
    await agent.beat(config_version=2, config_error="no")
    assert ((await alice.api.get(url)).data["has"], (await alice.api.get(url)).data["error"]) == (2, "no")


async def test_built_in_rules_are_changed_from_afar(alice: Alice, agent: Agent) -> None:
    url = f"/api/v1/hosts/{agent.id}/config"
    wanted = [{"builtin": "system.disk", "above": 95, "for": "10m"}, {"builtin": "system.swap", "enabled": False}]
    answer = await alice.api.send("PUT", url, {"rules": wanted})
    assert answer.status == 200, answer.text
    assert answer.data["rules"][0] == {"builtin": "system.disk", "above": 95, "for": 600}
    signed = msgspec.convert((await agent.beat(config_version=1)).data["config"], wire.Signed)
    public = await alice.house.parts.agents.settled.public_key()
    made = read_server_config(signed, agent.id, public)
    own = (LocalRule(line=Line(builtin="system.swap", above=50)),)
    known = {rule.id: rule for rule in rules_of(RULES, (), (), made.changes)}
    assert "builtin:system.swap" not in known
    disk = known["builtin:system.disk"]
    assert isinstance(disk.condition, OnSample)
    assert (disk.condition.above, disk.condition.clear, disk.for_s) == (95, None, 600)
    swap = next(rule for rule in rules_of(RULES, (), own, made.changes) if rule.id == "builtin:system.swap")
    assert isinstance(swap.condition, OnSample)
    assert swap.condition.above == 50  # its own file has the last word


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"name": "x", "metric": "a", "above": 1}, "builtin"), ({"builtin": "system.disc"}, "builtin"),
        ({"builtin": "nothing.at_all"}, "builtin"), ({"builtin": "system.disk", "clear": 95}, "clear"),
        ({"builtin": "system.disk", "channels": ["x"]}, "channels"), ({"builtin": "system.disk", "for": "long"}, "for"),
    ],
)  # fmt: skip
async def test_only_built_in_rules_are_changed_from_afar(
    alice: Alice, agent: Agent, line: dict[str, Any], field: str
) -> None:
    answer = await alice.api.send("PUT", f"/api/v1/hosts/{agent.id}/config", {"rules": [line]})
    assert (answer.status, answer.fields) == (422, [f"rules[0].{field}"]), answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        {"monitors": [{"type": "nagios", "command": "/bin/sh"}]}, {"monitors": [{"type": "nothing"}]},
        {"monitors": [{"type": "system", "root": "/proc"}]}, {"monitors": [{"type": "system", "exec": "x"}]},
        {"monitors": ["system"]}, {"heartbeat_interval_s": 0}, {"command": "x"},
    ],
)  # fmt: skip
async def test_no_command_and_no_path_is_set_from_afar(alice: Alice, agent: Agent, wanted: dict[str, Any]) -> None:
    answer = await alice.api.send("PUT", f"/api/v1/hosts/{agent.id}/config", wanted)
    assert answer.status == 422, answer.text
    beat = await agent.beat(config_version=1)
    assert "config" not in beat.data


async def test_options_are_shown_to_who_administers(alice: Alice, agent: Agent) -> None:
    url = f"/api/v1/hosts/{agent.id}/config"
    await alice.api.send("PUT", url, {"monitors": [{"type": "system", "metrics": ["cpu"]}]})
    _, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    bob = alice.house.caller(token)
    assert (await bob.get(url)).data["monitors"] == [{"type": "system"}]
    assert (await bob.send("PUT", url, {})).status == 403
