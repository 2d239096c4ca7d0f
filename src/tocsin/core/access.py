"""Who may do what: one principal type, one function that decides."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

UserRole = Literal["ADMIN", "USER", "VIEWER"]
ROLES: tuple[UserRole, ...] = ("ADMIN", "USER", "VIEWER")

Permission = Literal[
    "public",            # nobody signed in: health, setup, login
    "self",              # one's own account: any signed-in person
    "read",              # every figure of the workspace
    "operate",           # pause, resume, run, acknowledge, resolve, comment
    "write",             # create, change and delete monitors and channels
    "admin",             # members, keys of others, audit log, backfill, settings
    "metrics",           # /metrics
]  # fmt: skip


class Principal(Struct, frozen=True, kw_only=True):
    """Who calls. `kind`: a person's session, an API key, or a setup-time nobody. There is no such thing as an absent
    workspace or role: who has none is not a Principal."""

    kind: Literal["session", "api_key"]
    workspace_id: str
    role: UserRole
    user_id: str | None
    name: str
    key_id: str | None = None
    scopes: tuple[str, ...] = ()


def may(principal: Principal | None, permission: Permission) -> bool:
    """Whether this caller may do this: the only place that decides it."""
    raise NotImplementedError
