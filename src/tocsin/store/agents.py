"""What lets agents speak for hosts, by the hashes of their keys, and what the server sets of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tocsin.core.host import AgentKey, EnrolmentKey
from tocsin.core.result import from_micros, micros
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_KEY = "workspace_id, host_id, key_hash, prefix, created_at, used_at"
_SIGNING = "1"


class AgentKeys:
    """The keys of agents: a host has one, or two while one replaces the other."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def let_in(self, key: AgentKey) -> None:
        """Keep a new key of a host of this workspace. Of those before it only the newest that was used still counts."""
        s = self._s
        host = s.hosts.get(key.host_id)
        if host.workspace_id != s.own(key.workspace_id):
            raise NotFound(f"there is no host {key.host_id}")
        used = [known for known in self.of(key.host_id) if known.used_at is not None]
        s.run(
            "DELETE FROM agent_keys WHERE workspace_id = ? AND host_id = ? AND key_hash <> ?",
            key.workspace_id, key.host_id, used[0].hash if used else "",
        )  # fmt: skip
        s.door.create(
            "agent_key", key.host_id, key.workspace_id, {"prefix": key.prefix},
            "INSERT INTO agent_keys (key_hash, workspace_id, host_id, prefix, created_at, used_at) "
            "VALUES (?, ?, ?, ?, ?, NULL)",
            key.hash, key.workspace_id, key.host_id, key.prefix, micros(key.created_at),
        )  # fmt: skip

    def of(self, host_id: str) -> list[AgentKey]:
        """The keys of a host, newest first."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT {_KEY} FROM agent_keys WHERE host_id = ? AND {where} ORDER BY created_at DESC, key_hash",
            host_id, *values,
        )  # fmt: skip
        return [_agent_key(row) for row in rows]

    def by_hash(self, hash: str) -> AgentKey | None:
        """The key with this hash, or None."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_KEY} FROM agent_keys WHERE key_hash = ? AND {where}", hash, *values)
        return None if row is None else _agent_key(row)

    def use(self, key: AgentKey, at: datetime) -> None:
        """It is in use: those before it open nothing any more."""
        s, workspace_id = self._s, self._s.own(key.workspace_id)
        s.run(
            "UPDATE agent_keys SET used_at = ? WHERE key_hash = ? AND workspace_id = ? AND used_at IS NULL",
            micros(at), key.hash, workspace_id,
        )  # fmt: skip
        s.run(
            "DELETE FROM agent_keys WHERE workspace_id = ? AND host_id = ? AND created_at < ?",
            workspace_id, key.host_id, micros(key.created_at),
        )  # fmt: skip

    def revoke(self, host_id: str) -> int:
        """How many keys of a host open nothing any more: all of them."""
        s, known = self._s, self.of(host_id)
        for key in known:
            s.door.delete(
                "agent_key", host_id, key.workspace_id, {"prefix": key.prefix},
                "DELETE FROM agent_keys WHERE workspace_id = ? AND key_hash = ?", key.workspace_id, key.hash,
            )  # fmt: skip
        return len(known)


class EnrolmentKeys:
    """What new agents enrol with."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, key: EnrolmentKey) -> None:
        """Keep a new one."""
        s = self._s
        if key.host_id is not None and s.hosts.get(key.host_id).workspace_id != key.workspace_id:
            raise NotFound(f"there is no host {key.host_id}")
        s.door.create(
            "enrolment_key", key.id, s.own(key.workspace_id), fields_of(key),
            "INSERT INTO enrolment_keys (workspace_id, id, key_hash, data) VALUES (?, ?, ?, ?)",
            key.workspace_id, key.id, key.key_hash, msgspec.json.encode(key).decode(),
        )  # fmt: skip

    def list(self) -> list[EnrolmentKey]:
        """All of them, oldest first."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT data FROM enrolment_keys WHERE {where} ORDER BY id", *values)
        return [msgspec.json.decode(row[0], type=EnrolmentKey) for row in rows]

    def by_hash(self, hash: str) -> EnrolmentKey | None:
        """The key with this hash, or None. The caller judges whether it still counts."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data FROM enrolment_keys WHERE key_hash = ? AND {where}", hash, *values)
        return None if row is None else msgspec.json.decode(row[0], type=EnrolmentKey)

    def use(self, key: EnrolmentKey, at: datetime) -> None:
        """A host enrolled with it."""
        used = msgspec.structs.replace(key, used_at=at, uses=key.uses + 1)
        self._s.door.change(
            "enrolment_key", key.id, self._s.own(key.workspace_id), fields_of(key), fields_of(used),
            "UPDATE enrolment_keys SET data = ? WHERE workspace_id = ? AND id = ?",
            msgspec.json.encode(used).decode(), key.workspace_id, key.id,
        )  # fmt: skip

    def delete(self, id: str) -> None:
        """Forget it; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data FROM enrolment_keys WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"there is no enrolment key {id}")
        key = msgspec.json.decode(row[0], type=EnrolmentKey)
        self._s.door.delete(
            "enrolment_key", id, key.workspace_id, fields_of(key),
            "DELETE FROM enrolment_keys WHERE workspace_id = ? AND id = ?", key.workspace_id, id,
        )  # fmt: skip


class HostConfig(Struct, frozen=True, kw_only=True):
    """What the server sets of a host's agent. `rules`: what is to change of built-in ones. `digest`: of the whole that was
    made of it last, with rules and channels; a whole with another one is a new `version`."""

    workspace_id: str
    host_id: str
    monitors: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    heartbeat_interval_s: float = 60
    metrics_push_interval_s: float = 30
    version: int = 0
    digest: str = ""


class HostConfigs:
    """What is set from here of the agents of a workspace, sealed: it may hold passwords."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def get(self, host_id: str) -> HostConfig | None:
        """What is set of this host's agent, None when nothing was."""
        where, values = self._s.mine()
        row = self._s.row(
            f"SELECT workspace_id, version, digest, config FROM host_configs WHERE host_id = ? AND {where}",
            host_id, *values,
        )  # fmt: skip
        if row is None:
            return None
        opened = self._s.seal.open(row[3], f"host_configs/{host_id}")
        return HostConfig(workspace_id=row[0], host_id=host_id, version=row[1], digest=row[2], **opened)

    def put(self, config: HostConfig) -> None:
        """Keep it in place of what was set. NotFound when there is no such host in this workspace."""
        s, old = self._s, self.get(config.host_id)
        if s.hosts.get(config.host_id).workspace_id != s.own(config.workspace_id):
            raise NotFound(f"there is no host {config.host_id}")
        held = {
            "monitors": config.monitors, "rules": config.rules, "heartbeat_interval_s": config.heartbeat_interval_s,
            "metrics_push_interval_s": config.metrics_push_interval_s,
        }  # fmt: skip
        before = {} if old is None else {"version": old.version, "config": "set before"}
        s.door.change(
            "host_config", config.host_id, config.workspace_id, before,
            {"version": config.version, "config": "set"},
            "INSERT INTO host_configs (workspace_id, host_id, version, digest, config) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace_id, host_id) DO UPDATE SET version = excluded.version, digest = excluded.digest, "
            "config = excluded.config",
            config.workspace_id, config.host_id, config.version, config.digest,
            s.seal.close(held, f"host_configs/{config.host_id}"),
        )  # fmt: skip

    def signing(self) -> bytes | None:
        """The Ed25519 key that all configurations are signed with, of no workspace; None before there is one."""
        row = self._s.row("SELECT secret FROM agent_signing WHERE id = ?", _SIGNING)
        return None if row is None else self._s.seal.open_bytes(row[0], f"agent_signing/{_SIGNING}")

    def keep_signing(self, secret: bytes) -> bytes:
        """The key that counts: this one, unless another one was kept before."""
        self._s.run(
            "INSERT INTO agent_signing (id, created_at, secret) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            _SIGNING, self._s.now_us, self._s.seal.close_bytes(secret, f"agent_signing/{_SIGNING}"),
        )  # fmt: skip
        return self.signing() or secret


def _agent_key(row: tuple[Any, ...]) -> AgentKey:
    return AgentKey(
        workspace_id=row[0], host_id=row[1], hash=row[2], prefix=row[3], created_at=from_micros(row[4]),
        used_at=None if row[5] is None else from_micros(row[5]),
    )  # fmt: skip
