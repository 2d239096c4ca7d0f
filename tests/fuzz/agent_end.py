"""Parsers of the agent: its file, what servers answer, what they set, what is left in its folder."""

# ruff: noqa: E501

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.agent import client, config, identity, quiet, signed, standing, strict_yaml, wire
from tocsin.clock import SystemClock
from tocsin.core import duration
from tocsin.core.ed25519 import is_signed
from tocsin.errors import Invalid, PeerLost, SettingsError
from tocsin.net import Net
from tocsin.net.kept import Reply

FILE = """
api_key: "user_api_key_xxx"
server_url: [https://watch.example.org, "https://b.example.org:3001"]
server_name: "production-server-1"
heartbeat_interval: 60s
metrics_push_interval: 1m30s
rules:
  - {name: disk, metric: disk.used_percent, labels: {mount: "/d*"}, above: 90, clear: 85.5, for: 5m, severity: critical}
  - name: "nginx"
    service: unit/nginx*
alerts:
  - {name: ops, type: slack, url: "https://hooks.slack.com/services/x"}
dashboard: {enabled: true}
"""
_SIGNS = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
_PUBLIC = signed.base64.urlsafe_b64encode(_SIGNS.public_key().public_bytes_raw()).decode()
_NET = Net()
CONFIG = '{"version": 3, "rules": [{"id": "r", "name": "r", "condition": {"type": "sample", "metric": "cpu.used_percent", "above": 5}}], "channels": [{"id": "c", "type": "slack", "config": {"url": "https://hooks.slack.com/services/x"}}]}'


def _file(data: bytes) -> config.AgentConfig:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agent.yaml"
        file.write_bytes(data)
        return config.read_config(file, config.Given(), {"NAME": "value"}.get)


def _yaml_holds(document: strict_yaml.Document) -> None:
    assert all(line >= 1 for line in document.lines.values())


def _answers(data: bytes) -> object:
    asked = client.Servers(_NET, ("https://a.example.org",))
    reply = Reply(200, {"retry-after": "5"}, data)
    for kind in (wire.Enrolled, wire.Beat, wire.Taken, wire.Receipt):
        try:
            found: Any = asked._taken("https://a.example.org", reply, kind)
        except PeerLost:
            continue
        asked.learn(found.urls)
        assert all(url.startswith("https://") for url in asked.urls)
        assert len(asked.urls) <= client.MOST_URLS
        if isinstance(found, wire.Beat):
            heard = quiet.Quiet(SystemClock())
            heard.hear(found.quiet)
            _goes_on(heard)
        return found
    client._primary_of(reply)
    raise client._refused("https://a.example.org", reply)


def _set(data: bytes) -> signed.ServerConfig:
    """Signed by our own server: what it says is read strictly all the same."""
    words = text(data)
    made = signed.base64.urlsafe_b64encode(_SIGNS.sign(f"h\n{words}".encode())).decode()
    signed.verified(wire.Signed(text=words, signature=words[:200]), "h", words[:100])
    return signed.read_server_config(wire.Signed(text=words, signature=made), "h", _PUBLIC)


def _signature(data: bytes) -> tuple[bool, bytes]:
    return is_signed(data[:32], data[32:96], data[96:]), data


def _signature_holds(found: tuple[bool, bytes]) -> None:
    """What is taken is taken by the library, too."""
    taken, data = found
    if taken:
        Ed25519PublicKey.from_public_bytes(data[:32]).verify(data[32:96], data[96:])


def _kept(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity.put(folder / identity.FILE, data, safely=False)
        identity.put(folder / standing.FILE, data, safely=False)
        said = standing.read_standing(folder)
        if said is not None:
            standing.lines(said)
        found = identity.read_identity(folder)
        if found is not None:
            heard = quiet.Quiet(SystemClock())
            heard.take_up(found.quiet)
            _goes_on(heard)
        return found


def _goes_on(heard: quiet.Quiet) -> None:
    """What was heard of when nothing is told can be said, and kept and taken up again."""
    assert bool(heard.words) == heard.holds
    again = quiet.Quiet(SystemClock())
    again.take_up(heard.kept)
    assert len(again.kept.stretches) == len(heard.kept.stretches)


PARSERS = (
    Parser(name="an agent's file", files=("agent/config.py", "agent/strict_yaml.py", "agent/references.py", "agent/rules.py", "agent/monitors.py"), read=_file, allowed=(SettingsError,), examples=given(FILE, "server_name: ${NAME}\n")),
    Parser(name="YAML", files=("agent/strict_yaml.py",), read=strict_yaml.loads, allowed=(Invalid,), holds=_yaml_holds, examples=given(FILE, "- a\n- [1, {b: 2.5e3}]\n- |\n  text\n", "{a: ~, b: true}")),
    Parser(name="durations", files=("core/duration.py",), read=lambda data: duration.seconds(text(data)), examples=given("30s", "1h30m", "500ms")),
    Parser(
        name="answers to an agent", files=("agent/client.py", "agent/quiet.py"), read=_answers, allowed=(PeerLost,),
        examples=given(
            '{"urls": ["https://a.example.org"], "epoch": 5, "key": "k", "quiet": [{"why": "w", "in_s": 5, "for_s": 60}, {"why": "x"}]}', '{"acked": 5, "urls": ["https://b.example.org"], "refused": ["x"]}', '{"taken": 2, "urls": []}',
            '{"server_uuid": "u", "workspace_id": "w", "key": "k", "urls": ["https://a.example.org"], "public_key": "p"}',
        ),
    ),
    Parser(name="signatures", files=("core/ed25519.py",), read=_signature, holds=_signature_holds, examples=given(_SIGNS.public_key().public_bytes_raw() + _SIGNS.sign(b"so it is") + b"so it is")),
    Parser(name="what a server sets of an agent", files=("agent/signed.py",), read=_set, allowed=(Invalid,), examples=given(CONFIG)),
    Parser(
        name="what an agent keeps", files=("agent/identity.py", "agent/standing.py", "agent/quiet.py"), read=_kept, allowed=(SettingsError,),
        examples=given('{"server_uuid": "u", "workspace_id": "w", "key": "k", "urls": ["https://a.example.org"], "public_key": "p", "quiet": {"off": "x", "stretches": [{"why": "w", "begins": "2026-01-01T00:00:00Z"}]}, "pid": 1, "troubles": {"a": "b"}}'),
    ),
)  # fmt: skip
