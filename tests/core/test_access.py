"""Who may do what, as one table."""

from __future__ import annotations

from typing import get_args

import pytest

from tocsin.core.access import BY_SCOPE, ROLES, Permission, Principal, UserRole, may

ALL: tuple[Permission, ...] = get_args(Permission)
ALLOWED = {
    "VIEWER": {"public", "self", "read", "metrics"},
    "USER": {"public", "self", "read", "metrics", "operate", "write"},
    "ADMIN": set(ALL) - {"enrol", "agent"},
}


def a_person(role: str) -> Principal:
    return Principal(kind="session", workspace_id="w", role=role, user_id="u", name="ann")  # pyright: ignore[reportArgumentType]


def a_key(role: UserRole, *scopes: str) -> Principal:
    return Principal(
        kind="api_key", workspace_id="w", role=role, user_id="u", name="ci", key_id="k", scopes=tuple(scopes)
    )


@pytest.mark.parametrize("permission", ALL)
@pytest.mark.parametrize("role", ROLES)
def test_a_person_may_what_the_role_allows(role: UserRole, permission: Permission) -> None:
    assert may(a_person(role), permission) is (permission in ALLOWED[role])


@pytest.mark.parametrize("permission", ALL)
def test_nobody_may_only_what_is_public(permission: Permission) -> None:
    assert may(None, permission) is (permission == "public")


@pytest.mark.parametrize("permission", ALL)
@pytest.mark.parametrize("role", ROLES)
def test_a_key_without_scopes_may_what_its_role_allows_but_is_no_person(role: UserRole, permission: Permission) -> None:
    assert may(a_key(role), permission) is (permission in ALLOWED[role] - {"self"})


@pytest.mark.parametrize("scope", sorted(BY_SCOPE))
@pytest.mark.parametrize("role", ROLES)
def test_a_scope_never_gives_more_than_the_role(role: UserRole, scope: str) -> None:
    for permission in ALL:
        allowed = may(a_key(role, scope), permission)
        assert not (allowed and permission not in ALLOWED[role])
        assert allowed is (permission in ALLOWED[role] and permission in BY_SCOPE[scope])


def test_each_role_may_more_than_the_one_below() -> None:
    assert ALLOWED["VIEWER"] < ALLOWED["USER"] < ALLOWED["ADMIN"]


def test_what_is_not_known_allows_nothing() -> None:
    assert not any(may(a_person("OWNER"), permission) for permission in ALL)
    assert not any(may(a_key("ADMIN", "everything"), permission) for permission in ALL)


def test_a_scraper_key_reads_metrics_and_nothing_else() -> None:
    assert {p for p in ALL if may(a_key("ADMIN", "metrics"), p)} == {"public", "metrics"}
