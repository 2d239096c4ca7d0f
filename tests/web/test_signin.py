from __future__ import annotations

from web.conftest import Alice


async def test_who_set_up_reads_the_own_account(alice: Alice) -> None:
    answer = await alice.api.get("/api/v1/me")
    assert answer.status == 200
    assert answer.data["email"] == "alice@example.org"
    assert answer.data["workspace"] == {"id": alice.workspace_id, "name": "Home"}
