"""Who may do what: one principal type, one function that decides."""

from __future__ import annotations

from collections.abc import Mapping
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
    "enrol",             # an agent's first call
    "agent",             # what an agent calls
]  # fmt: skip


class Principal(Struct, frozen=True, kw_only=True):
    """Who calls. `kind`: a person's session, an API key, the agent of a host (`host_id`), or one that enrols. There is no
    such thing as an absent workspace or role: who has none is not a Principal. `workspaces`: (id, name) of all that a
    person belongs to, where that are several."""

    kind: Literal["session", "api_key", "agent", "enrolment"]
    workspace_id: str
    role: UserRole
    user_id: str | None
    name: str
    session_id: str | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    workspaces: tuple[tuple[str, str], ...] = ()
    host_id: str | None = None


_READS = frozenset[Permission](("public", "self", "read", "metrics"))
_WORKS = _READS | frozenset[Permission](("operate", "write"))

BY_ROLE: dict[UserRole, frozenset[Permission]] = {
    "VIEWER": _READS,
    "USER": _WORKS,
    "ADMIN": _WORKS | frozenset[Permission](("admin",)),
}

# What each scope of an API key lets through. A key without scopes is narrowed by its role alone.
BY_SCOPE: dict[str, frozenset[Permission]] = {
    "read": frozenset(("public", "read")),
    "operate": frozenset(("public", "read", "operate")),
    "write": frozenset(("public", "read", "operate", "write")),
    "admin": frozenset(("public", "read", "operate", "write", "admin")),
    "metrics": frozenset(("public", "metrics")),
}


def keeps_an_admin(roles: Mapping[str, UserRole], member: str, role: UserRole | None) -> bool:
    """Whether somebody can still administer a workspace whose members have these roles, by id, when this member gets
    that role (None: leaves)."""
    return role == "ADMIN" or any(other == "ADMIN" for id, other in roles.items() if id != member)


def may(principal: Principal | None, permission: Permission) -> bool:
    """Whether this caller may do this: the only place that decides it.

    Nobody (None) may do what is public. An agent may speak for its host, who enrols may enrol, and neither may do anything
    else, nor anybody else that. An API key may do what both its role and one of its scopes allow, and is never
    a person ("self"). A role or scope that is not known here allows nothing.
    """
    if principal is None:
        return permission == "public"
    if principal.kind in ("agent", "enrolment"):
        return permission == "enrol" or (permission == "agent" and principal.kind == "agent")
    if permission not in BY_ROLE.get(principal.role, frozenset()):
        return False
    if principal.kind != "api_key":
        return True
    if permission == "self":
        return False
    return not principal.scopes or any(permission in BY_SCOPE.get(scope, frozenset()) for scope in principal.scopes)
