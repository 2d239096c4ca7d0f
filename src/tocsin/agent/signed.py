"""What the server sets of an agent, once its signature is found good: never a command, never a path."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.agent.config import direct_channel
from tocsin.agent.monitors import Monitor, read_monitors
from tocsin.agent.rules import LocalRule, read_rules
from tocsin.agent.wire import Config, Signed
from tocsin.core.alert import Channel
from tocsin.core.ed25519 import is_signed
from tocsin.core.plain import as_map, clip, loads
from tocsin.errors import Invalid, Problem

FROM_AFAR = ("email", "slack", "webhook")
"""Kinds of channels that the server may have the agent tell through: they send, and load nothing."""
MOST_TEXT = 512 * 1024


class ServerConfig(Struct, frozen=True, kw_only=True):
    """A Config with its parts read."""

    config: Config
    monitors: tuple[Monitor, ...] = ()
    changes: tuple[LocalRule, ...] = ()
    channels: tuple[Channel, ...] = ()


def verified(signed: Signed, host_id: str, public_key: str) -> bool:
    """Whether the server that holds the key signed this text for this host."""
    try:
        return is_signed(_decoded(public_key), _decoded(signed.signature), f"{host_id}\n{signed.text}".encode())
    except (ValueError, binascii.Error, UnicodeEncodeError):
        return False


def read_server_config(signed: Signed, host_id: str, public_key: str) -> ServerConfig:
    """What the server sets. Raises Invalid when it is not signed, or cannot be run by."""
    if len(signed.text) > MOST_TEXT:
        raise Invalid(Problem("config", f"at most {MOST_TEXT} characters", f"{len(signed.text)}"))
    if not verified(signed, host_id, public_key):
        raise Invalid(Problem("config", "a configuration signed by our server for this host", "another signature"))
    try:
        config = msgspec.convert(loads(signed.text), Config)
    except msgspec.ValidationError as error:
        raise Invalid(Problem("config", "a configuration", clip(str(error), 200))) from None
    problems: list[Problem] = []
    monitors = read_monitors(config.monitors, "monitors", problems, from_afar=True)
    changes = read_rules(config.builtin, {}, problems, from_afar=True)
    channels: list[Channel] = []
    for i, entry in enumerate(config.channels):
        where = f"channels[{i}]"
        try:
            channels.append(_channel(entry, where))
        except Invalid as error:
            problems += error.problems
    if not (1 <= config.heartbeat_interval_s <= 3600 and 1 <= config.metrics_push_interval_s <= 3600):
        problems.append(Problem("heartbeat_interval_s", "intervals from 1 to 3600 seconds", "others"))
    if problems:
        raise Invalid(*problems)
    return ServerConfig(config=config, monitors=monitors, changes=changes, channels=tuple(channels))


def _channel(entry: dict[str, Any], where: str) -> Channel:
    kind, id, config = entry.get("type"), entry.get("id"), entry.get("config")
    if kind not in FROM_AFAR or not isinstance(kind, str):
        raise Invalid(Problem(f"{where}.type", f"one of {', '.join(FROM_AFAR)}", clip(str(kind), 40)))
    plain = as_map(config)
    if not isinstance(id, str) or plain is None:
        raise Invalid(Problem(where, "an id and a config", "none"))
    return direct_channel(id, str(entry.get("name") or id), kind, plain, where=f"{where}.config")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
