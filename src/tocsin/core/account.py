"""People, workspaces, and what they sign in with."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tocsin.core.access import UserRole


class User(Struct, frozen=True, kw_only=True):
    """A person. `token_version` goes up with every password change or forced sign-out: older tokens are refused."""

    id: str
    email: str
    password_hash: str
    token_version: int = 1
    disabled: bool = False
    created_at: datetime


class Workspace(Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str
    created_at: datetime


class Preferences(Struct, frozen=True, kw_only=True):
    """What a workspace settled for itself. `failure_domains`: by location what fails together with it (a provider, a
    network, a country). `places`: where on the map (latitude, longitude) the locations of servers are. `partial_is_down`:
    time in partial counts as down in uptimes."""

    failure_domains: dict[str, str] = {}
    places: dict[str, tuple[float, float]] = {}
    partial_is_down: bool = False


class Membership(Struct, frozen=True, kw_only=True):
    """A user's role in a workspace."""

    user_id: str
    workspace_id: str
    role: UserRole


class Session(Struct, frozen=True, kw_only=True):
    """One sign-in: a chain of refresh tokens. `token_hash` is of the newest; a token of the chain that is not the newest
    is reuse and ends the whole session."""

    id: str
    user_id: str
    workspace_id: str
    token_hash: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    agent: str = ""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A program's key: prefix for the eye, SHA-256 hash for the look-up; shown once when made."""

    id: str
    workspace_id: str
    name: str
    role: UserRole
    prefix: str
    key_hash: str
    scopes: tuple[str, ...] = ()
    created_by: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One entry of the audit log: written by the store's one door, in the same transaction as what it tells of.

    `noun` is a table's word (monitor, channel, incident, outbox, api_key, user …), `verb` created, changed, deleted;
    `before` and `after` hold the changed fields only, secrets as "***"."""

    number: int
    workspace_id: str | None
    at: datetime
    by: str
    noun: str
    noun_id: str
    verb: str
    before: dict[str, object]
    after: dict[str, object]
