from __future__ import annotations

from web.conftest import Alice


async def test_a_key_is_shown_once_and_opens_what_it_may(alice: Alice) -> None:
    made = await alice.api.post("/api/v1/api-keys", {"name": "grafana", "role": "VIEWER", "scopes": ["read"]})
    assert made.status == 201
    key = made.data["key"]
    assert key.startswith("tcs_")
    assert len(key) >= 47
    listed = await alice.api.get("/api/v1/api-keys")
    assert key not in listed.text
    assert "key_hash" not in listed.text
    assert listed.data["items"][0]["prefix"] == key[:10]
    program = alice.house.caller(key)
    assert (await program.get("/api/v1/monitors")).status == 200
    assert (await program.post("/api/v1/monitors", {})).status == 403
    assert (await program.get("/metrics")).status == 403
    assert (await program.get("/api/v1/me")).status == 403


async def test_a_revoked_key_opens_nothing(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/api-keys", {"name": "x"})).data
    program = alice.house.caller(made["key"])
    assert (await program.get("/api/v1/monitors")).status == 200
    assert (await alice.api.delete(f"/api/v1/api-keys/{made['id']}")).status == 204
    assert (await program.get("/api/v1/monitors")).status == 401


async def test_nobody_makes_a_key_for_more_than_they_may(alice: Alice) -> None:
    _, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    bob = alice.house.caller(token)
    assert (await bob.post("/api/v1/api-keys", {"name": "x", "role": "ADMIN"})).status == 403
    assert (await bob.post("/api/v1/api-keys", {"name": "x"})).data["role"] == "USER"


async def test_no_key_makes_another(alice: Alice) -> None:
    for wanted in ({"name": "all"}, {"name": "admin", "scopes": ["admin"]}, {"name": "write", "scopes": ["write"]}):
        key = (await alice.api.post("/api/v1/api-keys", wanted)).data["key"]
        answer = await alice.house.caller(key).post("/api/v1/api-keys", {"name": "child", "scopes": ["read"]})
        assert answer.status == 403, answer.text
        assert "signed-in person" in answer.data["detail"]
    assert len((await alice.api.get("/api/v1/api-keys")).data["items"]) == 3


async def test_others_keys_are_the_admins_business(alice: Alice) -> None:
    hers = (await alice.api.post("/api/v1/api-keys", {"name": "hers"})).data
    _, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    bob = alice.house.caller(token)
    assert (await bob.get("/api/v1/api-keys")).data["items"] == []
    assert (await bob.delete(f"/api/v1/api-keys/{hers['id']}")).status == 404
    his = (await bob.post("/api/v1/api-keys", {"name": "his"})).data
    assert (await alice.api.delete(f"/api/v1/api-keys/{his['id']}")).status == 204


async def test_the_database_holds_no_usable_key(alice: Alice) -> None:
    key = (await alice.api.post("/api/v1/api-keys", {"name": "x"})).data["key"]
    folder = alice.house.parts.settings.data_dir
    await alice.house.parts.store.everything().write(lambda s: s.notes.set("flushed", "1"))
    written = b"".join(f.read_bytes() for f in folder.glob("tocsin.db*"))
    assert key.encode() not in written
    assert key[4:].encode() not in written
    assert alice.refresh_token.encode() not in written
