"""People, workspaces and who belongs where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from tocsin.core.access import UserRole
from tocsin.core.account import Membership, User, Workspace
from tocsin.core.result import from_micros, micros
from tocsin.errors import Conflict, NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_USER = "u.id, u.email, u.password_hash, u.token_version, u.disabled, u.created_at"


class Accounts:
    """Users and workspaces. For one workspace: its members and itself; sign-in looks with the store opened for all."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def setup_done(self) -> bool:
        """Whether a first person was ever set up."""
        return self._s.row("SELECT 1 FROM notes WHERE name = 'setup_done'") is not None

    def create_first(self, user: User, workspace: Workspace) -> None:
        """Set up the first person as ADMIN of the first workspace. Conflict when that was done: of many at once one
        wins."""
        s = self._s
        if s.run("INSERT INTO notes (name, value) VALUES ('setup_done', 'true') ON CONFLICT (name) DO NOTHING") == 0:
            raise Conflict("the setup was done already")
        self.add_workspace(workspace)
        self.add_user(user)
        self.add_membership(Membership(user_id=user.id, workspace_id=workspace.id, role="ADMIN"))

    def user_by_email(self, email: str) -> User | None:
        """The person with this address (upper and lower case are one), or None."""
        return self._user("u.email = ?", email.strip().lower())

    def user(self, id: str) -> User | None:
        """The person, or None."""
        return self._user("u.id = ?", id)

    def users(self) -> list[User]:
        """The people of this workspace (of all), by address."""
        where, values = self._seen()
        return [_user(r) for r in self._s.rows(f"SELECT {_USER} FROM users u WHERE {where} ORDER BY u.email", *values)]

    def _user(self, condition: str, value: str) -> User | None:
        where, values = self._seen()
        row = self._s.row(f"SELECT {_USER} FROM users u WHERE {condition} AND {where}", value, *values)
        return None if row is None else _user(row)

    def _seen(self) -> tuple[str, tuple[str, ...]]:
        if self._s.workspace_id is None:
            return "1 = 1", ()
        return "EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id AND m.workspace_id = ?)", (
            self._s.workspace_id,
        )

    def memberships(self, user_id: str) -> list[Membership]:
        """Where the person belongs (of this workspace only, when opened for one)."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT user_id, workspace_id, role FROM memberships WHERE user_id = ? AND {where} ORDER BY workspace_id",
            user_id, *values,
        )  # fmt: skip
        return [_membership(row) for row in rows]

    def belonging(self) -> list[Membership]:
        """Everybody's place in this workspace (in all)."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT user_id, workspace_id, role FROM memberships WHERE {where}", *values)
        return [_membership(row) for row in rows]

    def workspace(self, id: str) -> Workspace | None:
        """The workspace, or None."""
        return next((w for w in self.workspaces() if w.id == id), None)

    def workspaces(self) -> list[Workspace]:
        """Every workspace this session may see, oldest first."""
        where, values = self._s.mine("id")
        rows = self._s.rows(f"SELECT id, name, created_at FROM workspaces WHERE {where} ORDER BY key", *values)
        return [Workspace(id=r[0], name=r[1], created_at=from_micros(r[2])) for r in rows]

    def add_workspace(self, workspace: Workspace) -> None:
        """Add a tenant."""
        self._s.own(workspace.id)
        self._s.door.create(
            "workspace", workspace.id, workspace.id, fields_of(workspace),
            "INSERT INTO workspaces (id, name, created_at) VALUES (?, ?, ?)",
            workspace.id, workspace.name, micros(workspace.created_at),
        )  # fmt: skip

    def add_user(self, user: User) -> None:
        """Add a person. Conflict when the address is taken."""
        self._s.door.create(
            "user", user.id, self._s.workspace_id, fields_of(user),
            "INSERT INTO users (id, email, password_hash, token_version, disabled, created_at) VALUES (?, ?, ?, ?, "
            "?, ?)",
            user.id, user.email.strip().lower(), user.password_hash, user.token_version, int(user.disabled),
            micros(user.created_at),
        )  # fmt: skip

    def add_membership(self, membership: Membership) -> None:
        """Let a person into a workspace."""
        self._s.door.create(
            "membership", membership.user_id, self._s.own(membership.workspace_id), self._named(membership),
            "INSERT INTO memberships (workspace_id, user_id, role) VALUES (?, ?, ?)",
            membership.workspace_id, membership.user_id, membership.role,
        )  # fmt: skip

    def set_role(self, user_id: str, role: UserRole) -> None:
        """Let a member of this workspace do other things from now on."""
        found = self._member(user_id)
        self._s.door.change(
            "membership", user_id, found.workspace_id, self._named(found), self._named(replace(found, role=role)),
            "UPDATE memberships SET role = ? WHERE workspace_id = ? AND user_id = ?", role, found.workspace_id, user_id,
        )  # fmt: skip

    def remove_membership(self, user_id: str) -> None:
        """Put somebody out of this workspace, with their sign-ins in it."""
        found = self._member(user_id)
        self._s.door.delete(
            "membership", user_id, found.workspace_id, self._named(found),
            "DELETE FROM memberships WHERE workspace_id = ? AND user_id = ?", found.workspace_id, user_id,
        )  # fmt: skip

    def _member(self, user_id: str) -> Membership:
        here = self._s.workspace_id
        found = next((one for one in self.memberships(user_id) if one.workspace_id == here), None)
        if found is None:
            raise NotFound(f"no member {user_id}")
        return found

    def _named(self, membership: Membership) -> dict[str, Any]:
        """For the record, with the address: a person who left is not to be looked up any more."""
        user = self.user(membership.user_id)
        return fields_of(membership) | {"name": user.email if user is not None else ""}

    def set_password(self, user_id: str, password_hash: str) -> User:
        """The person with the new password; every older token is refused from now on (token_version + 1). The audit
        log of every workspace they belong to shows it."""
        user = self.user(user_id)
        if user is None:
            raise NotFound(f"no user {user_id}")
        before = {"password_hash": user.password_hash, "token_version": user.token_version}
        after = {"password_hash": password_hash, "token_version": user.token_version + 1}
        homes = [
            row[0]
            for row in self._s.rows(
                "SELECT workspace_id FROM memberships WHERE user_id = ? ORDER BY workspace_id", user_id
            )
        ]
        self._s.door.change(
            "user", user_id, homes[0] if homes else None, before, after,
            "UPDATE users SET password_hash = ?, token_version = token_version + 1 WHERE id = ?", password_hash,
            user_id,
        )  # fmt: skip
        for home in homes[1:]:
            self._s.door.also("user", user_id, home, before, after)
        changed = self.user(user_id)
        assert changed is not None
        return changed


def _membership(row: tuple[Any, ...]) -> Membership:
    return Membership(user_id=row[0], workspace_id=row[1], role=cast(UserRole, row[2]))


def _user(row: tuple[Any, ...]) -> User:
    return User(
        id=row[0], email=row[1], password_hash=row[2], token_version=row[3], disabled=bool(row[4]),
        created_at=from_micros(row[5]),
    )  # fmt: skip
