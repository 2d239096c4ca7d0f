"""People, workspaces, sign-ins and keys."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from builders import ALICE, START, at
from store.conftest import Opener, a_user, a_workspace
from tocsin.core.account import ApiKey, Membership, Session
from tocsin.core.invitation import Invitation
from tocsin.errors import Conflict, NotFound
from tocsin.store import Store


def a_session(**more: object) -> Session:
    fields: dict[str, object] = {
        "id": "s1", "user_id": "alice", "workspace_id": "ws", "token_hash": "h1",
        "created_at": START,
        "used_at": START, "expires_at": START + timedelta(days=30),
    }  # fmt: skip
    return Session(**(fields | more))  # pyright: ignore[reportArgumentType]


def a_key(**more: object) -> ApiKey:
    fields: dict[str, object] = {
        "id": "k1", "workspace_id": "ws", "name": "deploy", "role": "USER", "prefix": "tcs_ab", "key_hash": "f" * 64,
        "scopes": ("read",), "created_at": START,
    }  # fmt: skip
    return ApiKey(**(fields | more))  # pyright: ignore[reportArgumentType]


def an_invitation(**more: object) -> Invitation:
    fields: dict[str, object] = {
        "id": "i1", "workspace_id": "ws", "email": "bob@example.org", "role": "USER", "token_hash": "e" * 64,
        "created_by": "alice@example.org", "created_at": START, "expires_at": START + timedelta(days=7),
    }  # fmt: skip
    return Invitation(**(fields | more))  # pyright: ignore[reportArgumentType]


async def test_one_invitation_for_each_address_and_none_after_its_time(store: Store) -> None:
    ws = store.of("ws", by="alice@example.org")
    await ws.write(lambda s: s.invitations.put(an_invitation()))
    later = an_invitation(id="i2", token_hash="d" * 64, role="VIEWER")
    await ws.write(lambda s: s.invitations.put(later))
    assert await ws.read(lambda s: s.invitations.list()) == [later]
    assert await ws.read(lambda s: s.invitations.by_hash("e" * 64)) is None
    assert await ws.read(lambda s: s.invitations.by_hash("d" * 64)) == later
    log, _ = await ws.read(lambda s: s.changes.list())
    kept = [(c.verb, (c.after or c.before)["token_hash"]) for c in log if c.noun == "invitation"]
    assert kept == [("created", "***"), ("deleted", "***"), ("created", "***")]
    assert await ws.write(lambda s: s.invitations.expire(later.expires_at)) == 0
    assert await ws.write(lambda s: s.invitations.expire(later.expires_at + timedelta(seconds=1))) == 1
    with pytest.raises(NotFound):
        await ws.write(lambda s: s.invitations.delete("i2"))


async def test_a_role_changes_and_a_membership_ends_with_its_sign_ins(store: Store) -> None:
    ws = store.of("ws", by="alice@example.org")
    await ws.write(lambda s: s.sessions.add(a_session()))
    await ws.write(lambda s: s.accounts.set_role("alice", "VIEWER"))
    assert [m.role for m in await ws.read(lambda s: s.accounts.belonging())] == ["VIEWER"]
    await ws.write(lambda s: s.accounts.remove_membership("alice"))
    assert await ws.read(lambda s: s.accounts.users()) == []
    assert await store.everything().read(lambda s: s.sessions.get("s1")) is None
    assert (await store.everything().read(lambda s: s.accounts.user("alice"))) is not None
    log, _ = await ws.read(lambda s: s.changes.list())
    kept = [(c.verb, c.before.get("role"), c.after.get("role")) for c in log if c.noun == "membership"]
    assert kept[:2] == [("deleted", "VIEWER", None), ("changed", "ADMIN", "VIEWER")]
    with pytest.raises(NotFound):
        await ws.write(lambda s: s.accounts.set_role("nobody", "ADMIN"))


async def test_the_first_setup_wins_and_every_other_one_is_refused(url: str, open_store: Opener) -> None:
    store = await open_store(url)
    everything = store.everything()
    assert not await everything.read(lambda s: s.accounts.setup_done())

    async def set_up(number: int) -> bool:
        try:
            await everything.write(
                lambda s: s.accounts.create_first(a_user(f"u{number}", f"u{number}@x.org"), a_workspace(f"w{number}"))
            )
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(set_up(n) for n in range(50)))
    assert sum(won) == 1
    assert await everything.read(lambda s: s.accounts.setup_done())
    people = await everything.read(lambda s: s.accounts.users())
    assert [p.id for p in people] == [f"u{won.index(True)}"]
    (membership,) = await everything.read(lambda s: s.accounts.memberships(people[0].id))
    assert membership.role == "ADMIN"


async def test_people_are_found_by_address_whatever_its_case(store: Store) -> None:
    everything = store.everything()
    found = await everything.read(lambda s: s.accounts.user_by_email("Alice@Example.ORG "))
    assert found is not None
    assert (found.id, found.email) == ("alice", ALICE)
    assert await everything.read(lambda s: s.accounts.user_by_email("nobody@example.org")) is None
    with pytest.raises(Conflict):
        await everything.write(lambda s: s.accounts.add_user(a_user("other", ALICE.upper())))


async def test_a_new_password_refuses_older_tokens(store: Store) -> None:
    changed = await store.of("ws").write(lambda s: s.accounts.set_password("alice", "new hash"))
    assert (changed.password_hash, changed.token_version) == ("new hash", 2)
    with pytest.raises(NotFound):
        await store.of("elsewhere").write(lambda s: s.accounts.set_password("alice", "mine now"))


async def test_a_sign_in_rotates_and_ends(store: Store) -> None:
    ws = store.of("ws")
    await ws.write(lambda s: s.sessions.add(a_session()))
    await ws.write(lambda s: s.sessions.rotate("s1", "h2", at(60), at(3600)))
    found = await ws.read(lambda s: s.sessions.get("s1"))
    assert found is not None
    assert (found.token_hash, found.expires_at) == ("h2", at(3600))
    await ws.write(lambda s: s.sessions.end("s1", at(90)))
    ended = await ws.read(lambda s: s.sessions.get("s1"))
    assert ended is not None
    assert ended.ended_at == at(90)
    with pytest.raises(NotFound):
        await ws.write(lambda s: s.sessions.rotate("s1", "h3", at(100), at(3600)))


async def test_every_other_sign_in_of_a_person_ends_at_once(store: Store) -> None:
    everything = store.everything()
    for id in ("s1", "s2", "s3"):
        await everything.write(lambda s, id=id: s.sessions.add(a_session(id=id)))
    await everything.write(lambda s: s.sessions.end_all("alice", at(5), except_id="s2"))
    found = [await everything.read(lambda s, id=id: s.sessions.get(id)) for id in ("s1", "s2", "s3")]
    assert [f is not None and f.ended_at is None for f in found] == [False, True, False]
    assert await everything.write(lambda s: s.sessions.expire(at(10))) == 2


async def test_a_key_is_found_by_its_hash_until_it_is_revoked(store: Store) -> None:
    ws = store.of("ws")
    await ws.write(lambda s: s.api_keys.add(a_key()))
    assert await store.everything().read(lambda s: s.api_keys.by_hash("f" * 64)) == a_key()
    await ws.write(lambda s: s.api_keys.touch("k1", at(7)))
    revoked = await ws.write(lambda s: s.api_keys.revoke("k1", at(8)))
    assert (revoked.last_used_at, revoked.revoked_at) == (at(7), at(8))
    assert await ws.read(lambda s: s.api_keys.list()) == [revoked]
    assert await ws.read(lambda s: s.api_keys.by_hash("0" * 64)) is None


async def test_a_new_password_is_in_the_audit_log_of_every_workspace_of_the_person(store: Store) -> None:
    await store.everything("setup").write(
        lambda s: s.accounts.add_membership(Membership(user_id="alice", workspace_id="elsewhere", role="VIEWER"))
    )
    await store.everything(ALICE).write(lambda s: s.accounts.set_password("alice", "another"))
    for workspace in ("ws", "elsewhere"):
        found, _ = await store.of(workspace).read(lambda s: s.changes.list(limit=1))
        (change,) = found
        assert (change.noun, change.noun_id, change.verb, change.by) == ("user", "alice", "changed", ALICE)
        assert change.after == {"password_hash": "***", "token_version": 2}
    await store.everything("setup").write(lambda s: s.accounts.add_user(a_user("lone", "lone@example.org")))
    await store.everything().write(lambda s: s.accounts.set_password("lone", "another"))
    log, _ = await store.everything().read(lambda s: s.changes.list(limit=1))
    assert (log[0].noun_id, log[0].workspace_id) == ("lone", None)
