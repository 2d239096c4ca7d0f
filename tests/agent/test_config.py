"""The agent's file: what it may say, and what is said of each mistake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tocsin.agent.config import AgentConfig, Given, read_config
from tocsin.agent.doubts import doubts
from tocsin.agent.rules import rules_of
from tocsin.agent.strict_yaml import loads
from tocsin.collectors.system import RULES
from tocsin.core.duration import seconds, written
from tocsin.core.host_rule import OnSample, OnService
from tocsin.errors import Invalid, SettingsError
from tocsin.secret import Secret

SEED = """
api_key: "user_api_key_xxx"
server_name: "production-server-1"
heartbeat_interval: 60s
metrics_push_interval: 30s

monitors:
  - type: system
    enabled: true
    metrics: [cpu, ram, disk, network]
    check_interval: 30s

  - type: systemd
    enabled: true
    services:
      - nginx
      - myapp.service
"""


def read(folder: Path, text: str, given: Given | None = None, env: Mapping[str, str] | None = None) -> AgentConfig:
    file = folder / "agent.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return read_config(file, given or Given(), (env or {}).get)


def wrong(folder: Path, text: str, **env: str) -> list[str]:
    """What is said of it, without the name of the file."""
    with pytest.raises(SettingsError) as caught:
        read(folder, text, env=env)
    return [line.removeprefix(f"{folder / 'agent.yaml'} ") for line in str(caught.value).splitlines()]


def test_the_file_as_it_is_meant(tmp_path: Path) -> None:
    made = read(tmp_path, SEED)
    assert (made.name, made.heartbeat_s, made.push_s) == ("production-server-1", 60.0, 30.0)
    assert made.api_key == Secret("user_api_key_xxx")
    assert [(m.id, m.type, m.every_s) for m in made.monitors][:1] == [("system", "system", 30.0)]
    assert [m.type for m in made.monitors] == ["system", "systemd"]
    assert "user_api_key_xxx" not in repr(made)


def test_what_the_environment_says_wins(tmp_path: Path) -> None:
    given = Given(api_key=Secret("another_key"), server_url="https://a.example, https://b.example/", server_name="x")
    made = read(tmp_path, SEED, given)
    assert (made.name, made.urls, made.api_key) == (
        "x",
        ("https://a.example", "https://b.example"),
        Secret("another_key"),
    )
    alone = read_config(None, given, {}.get)
    assert (alone.urls, alone.monitors) == (("https://a.example", "https://b.example"), ())


def test_references_are_filled_in_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the secret key\n")
    text = 'api_key: "file:key"\nserver_name: "${NAME}-$${X}"\n'
    made = read(tmp_path, text, env={"NAME": "db"})
    assert (made.api_key, made.name) == (Secret("the secret key"), "db-${X}")
    (said,) = wrong(tmp_path, 'server_name: "${NAME}"\nserver_url: "https://${HOST}"\n', NAME="x" * 200, HOST="a")
    assert said == "line 1: server_name: expected at most 100 characters, found ${NAME} (its value is not shown)"
    assert wrong(tmp_path, 'api_key: "${NONE}"') == [
        "line 1: api_key: expected the environment variable NONE, found none of that name"
    ]
    assert "a file" in wrong(tmp_path, "api_key: file:/nowhere/key")[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("heartbeat_interval: soon", "line 1: heartbeat_interval: expected a duration such as 30s, 5m or 1h30m"),
        ("heartbeat_interval: 2h", "line 1: heartbeat_interval: expected a number from 1 to 60"),
        ("a: 1\na: 2", "line 2 column 1: expected each key once"),
        ("a: &x [1]\nb: *x", "line 2 column 4: expected the thing itself: aliases are not taken"),
        ("a: !!python/object:os.system x", "line 1 column 4: expected plain values without tags"),
        ("- a", "expected an object"),
        ("a: [", "line 1 column 5: expected YAML"),
        ("a: \t- b", "line 1 column 4: expected YAML, found character"),
        ("a: [b}", "line 1 column 6: expected YAML: ',' or ']', found '}'"),
        ("server_ur: https://a", "line 1: server_ur: expected a known field (did you mean server_url?)"),
        ("server_url: http://a.example", "line 1: server_url: expected https://"),
        ("server_url: ftp://a.example", "line 1: server_url: expected a URL such as"),
        ("monitors:\n  - type: sytem", "line 2: monitors[0].type: expected one of system"),
        ("monitors:\n  - {type: system}\n  - type: system", "line 3: monitors[1].name: expected a name of its own"),
        ("monitors:\n  - type: system\n    check_intervall: 5s", "did you mean check_interval?"),
        ("monitors:\n  - type: system\n    check_interval: 0s", "line 3: monitors[0].check_interval: expected"),
        ("monitors:\n  - type: system\n    metrics: [cpu, rum]", "line 3: monitors[0].metrics[1]: expected"),
        ("rules:\n  - name: a\n    metric: b", "line 2: rules[0].above: expected a limit: above or below"),
        ("rules:\n  - {name: a, metric: b, above: 5, clear: 6}", "line 2: rules[0].clear: expected at most above (5)"),
        (
            "rules:\n  - {builtin: system.disk, clear: 95}",
            "line 2: rules[0].clear: expected at most above (90), found 95",
        ),
        (
            "rules:\n  - {builtin: system.disk, above: 80, clear: 85}",
            "rules[0].clear: expected at most above (80), found 85",
        ),
        ("rules:\n  - {name: a, metric: b, above: 5, below: 6}", "rules[0].below: expected less than above (5)"),
        ("rules:\n  - {name: a, metric: b, above: 5, for: long}", "line 2: rules[0].for: expected a duration"),
        ("rules:\n  - {name: a, service: nginx}", "rules[0].service: expected kind/name"),
        ("rules:\n  - {builtin: system.disk, metric: x}", "expected nothing: a built-in rule keeps"),
        ("alerts:\n  - {name: a, type: slak}", "line 2: alerts[0].type: expected one of"),
        ("alerts:\n  - {name: a, type: slack, url: 5}", "alerts[0].url: expected"),
        ("server_pin: abc", "line 1: server_pin: expected a SHA-256 fingerprint"),
        ("server_ca: /nowhere.pem", "line 1: server_ca: expected a file of certificates"),
        ("buffer_mb: 1.5", "line 1: buffer_mb: expected a whole number"),
        ("tags: no", "line 1: tags: expected a list"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, says: str) -> None:
    assert any(says in line for line in wrong(tmp_path, text)), wrong(tmp_path, text)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    said = wrong(tmp_path, "tags: 5\nmonitors: [{type: x}]\nrules: [5]\nalerts: [5]\nnothing: 1\n")
    assert len(said) == 5
    said = wrong(
        tmp_path,
        'api_key: "${NONE}"\nheartbeat_interval: soon\nmetrics_push_interval: later\nmonitors: [{type: x}]\n'
        "rules: [{name: a, metric: b, above: 5, for: long}]\nalerts: [{name: c, type: slack, url: '${NONE}'}]\n",
    )
    assert [line.partition(": expected")[0] for line in said] == [
        "line 1: api_key", "line 6: alerts[0].url", "line 2: heartbeat_interval", "line 3: metrics_push_interval",
        "line 5: rules[0].for", "line 4: monitors[0].type",
    ]  # fmt: skip


def test_what_is_odd_but_not_wrong_is_asked(tmp_path: Path) -> None:
    text = (
        "alerts: [{name: ops, type: webhook, url: 'https://a.example'}]\n"
        "rules:\n- {builtin: system.dsk, above: 5}\n- {builtin: system.disk, channels: [ops]}\n"
        "- {name: a, metric: cpu.used_precent, above: 5, channels: [nobody]}\n- {name: b, metric: my.queue, above: 5}\n"
        "- {name: c, metric: a b, above: 5}\n"
    )
    assert doubts(read(tmp_path, text)) == [
        "rule system.dsk: no collector has a built-in rule of that name (did you mean system.disk?)",
        "rule a: no metric that we know is called cpu.used_precent (did you mean cpu.used_percent?)",
        "rule a: this file has no channel nobody (a channel of the server is meant by its id)",
        "rule c: 'a b' is no name of a metric, such as disk.used_percent: it can never fire",
    ]


def test_a_port_that_two_want_and_a_direct_rule_that_reaches_nobody(tmp_path: Path) -> None:
    text = (
        "dashboard: {enabled: true, port: 4318}\n"
        "monitors: [{type: custom, http_port: 4318, statsd_port: 8125}, {type: custom, name: b, statsd_port: 8125}]\n"
        "rules: [{name: a, metric: my.queue, above: 5, direct: true}]\n"
    )
    assert doubts(read(tmp_path, text)) == [
        "TCP port 4318 is wanted twice: dashboard.port and http_port of custom; only one of them can have it",
        "UDP port 8125 is wanted twice: statsd_port of custom and statsd_port of b; only one of them can have it",
        "rule a: it is direct, but `alerts` names no channel: unless the server gives the agent one, it tells nobody",
    ]


def test_rules_of_the_file_have_the_last_word(tmp_path: Path) -> None:
    text = """
rules:
  - {builtin: system.disk, above: 95, for: 1m}
  - {builtin: system.swap, enabled: false}
  - {name: data, metric: disk.used_percent, labels: {mount: "/data*"}, above: 50, severity: critical, channels: [ops, c1]}
  - {name: web, service: unit/nginx*, direct: true}
alerts:
  - {name: ops, type: webhook, url: "https://a.example/"}
"""
    made = read(tmp_path, text)
    rules = {rule.id: rule for rule in rules_of(RULES, (), made.rules)}
    assert "builtin:system.swap" not in rules
    disk = rules["builtin:system.disk"]
    assert isinstance(disk.condition, OnSample)
    assert (disk.condition.above, disk.condition.clear, disk.for_s) == (95, None, 60)
    assert rules["local:data"].channels == ("local:ops", "c1")
    assert rules["local:web"].condition == OnService(kind="unit", name="nginx*")
    assert rules["local:web"].direct


def test_yaml_says_what_it_looks_like() -> None:
    document = loads(b"a: no\nb: 12:30\nc: 0x10\nd: 007\ne: 1.5\nf: -3\ng: 'true'\nh: true\ni:\nj: 2026-01-01\n")
    assert document.data == {
        "a": "no", "b": "12:30", "c": "0x10", "d": "007", "e": 1.5, "f": -3, "g": "true", "h": True, "i": None,
        "j": "2026-01-01",
    }  # fmt: skip
    assert document.line("j") == 10


@pytest.mark.parametrize("text", ["[" * 40 + "]" * 40, "- a\n" * 30_000, "a: " + "x" * 300_000, "a: 1e999"])
def test_yaml_has_limits(text: str) -> None:
    with pytest.raises(Invalid):
        loads(text.encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400), (45, 45), ("2d", 172800), ("", None),
     ("5", None), ("5 parsecs", None), ("-5s", None), (True, None), ("s", None), ("5s 5", None)],
)  # fmt: skip
def test_durations(text: object, value: float | None) -> None:
    assert seconds(text) == value
    if value and value >= 1:
        assert seconds(written(value)) == value
