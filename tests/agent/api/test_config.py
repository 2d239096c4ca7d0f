"""What is set from afar: what an agent looks at, never a command or a path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.api.conftest import Agent, Alice
from tocsin.agent import wire


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
