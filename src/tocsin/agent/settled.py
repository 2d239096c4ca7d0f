"""What the server sets of agents: put together from what a workspace wrote down, numbered, and signed. The called end's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tocsin.agent import wire
from tocsin.core.host import Host
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.pipeline.telling import Telling
from tocsin.store import Store
from tocsin.store.agents import HostConfig

_DAY_S = 86_400
DIRECT = ("email", "slack", "webhook")
"""The kinds of channels that an agent tells by itself."""


class Settled:
    """Gives each agent what it runs by. The key that signs is the cluster's: it is made by who leads first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret: bytes | None = None

    async def public_key(self) -> str:
        """What agents check signatures with, base64url."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _text(Ed25519PrivateKey.from_private_bytes(await self._key()).public_key().public_bytes_raw())

    async def of(self, host: Host, telling: Telling, has: int | None) -> wire.Signed | None:
        """What a host's agent runs by, None when that is the version that it `has`. A whole that is another than before gets
        a number of its own, which is more than any that the agent knows."""
        scoped = self._store.of(host.workspace_id)
        known = await scoped.read(lambda s: s.host_configs.get(host.id))
        held = known or HostConfig(workspace_id=host.workspace_id, host_id=host.id)
        config = whole(host, telling, held)
        digest = hashlib.sha256(msgspec.json.encode(replace(config, version=0))).hexdigest()
        if held.digest != digest or (has is not None and has > held.version):
            held = replace(held, digest=digest, version=max(held.version, has or 0) + 1)
            await scoped.write(lambda s: s.host_configs.put(held))
        if has == held.version:
            return None
        return await self._signed(host.id, replace(config, version=held.version))

    async def _signed(self, host_id: str, config: wire.Config) -> wire.Signed:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        text = msgspec.json.encode(config).decode()
        signature = Ed25519PrivateKey.from_private_bytes(await self._key()).sign(f"{host_id}\n{text}".encode())
        return wire.Signed(text=text, signature=_text(signature))

    async def _key(self) -> bytes:
        """The key that counts, made when there is none."""
        if self._secret is None:
            everything = self._store.everything()
            secret = await everything.read(lambda s: s.host_configs.signing())
            if secret is None:
                from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

                fresh = Ed25519PrivateKey.generate().private_bytes_raw()
                secret = await everything.write(lambda s: s.host_configs.keep_signing(fresh))
            self._secret = secret
        return self._secret

    def forget(self) -> None:
        """Read the key again when it is needed: another instance may have made one."""
        self._secret = None


def whole(host: Host, telling: Telling, held: HostConfig) -> wire.Config:
    """All that is set of a host's agent: rules that cover it, channels that it may tell, what it looks at."""
    channels = _channels(host, telling)
    able = [channel["id"] for channel in channels]
    rules: list[HostRule] = []
    for rule in sorted(telling.rules_of(host), key=lambda rule: rule.id):
        if isinstance(rule.condition, OnSample | OnService):
            named = None if rule.channels is None else tuple(id for id in rule.channels if id in able)
            rules.append(
                HostRule(
                    id=rule.id, name=rule.name, condition=rule.condition, severity=rule.severity,
                    for_s=min(rule.for_s, _DAY_S), recovery_s=min(rule.recovery_s, _DAY_S), direct=rule.direct,
                    channels=named,
                )
            )  # fmt: skip
    return wire.Config(
        version=held.version, rules=tuple(rules), monitors=held.monitors, builtin=held.rules, channels=channels,
        heartbeat_interval_s=held.heartbeat_interval_s, metrics_push_interval_s=held.metrics_push_interval_s,
    )  # fmt: skip


def _channels(host: Host, telling: Telling) -> list[dict[str, Any]]:
    wanted: Sequence[str] = sorted(set(host.direct_channels))
    return [
        {"id": channel.id, "name": channel.name, "type": channel.type, "config": channel.config}
        for channel in sorted(telling.channels, key=lambda channel: channel.id)
        if channel.id in wanted and channel.enabled and channel.type in DIRECT
    ]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
