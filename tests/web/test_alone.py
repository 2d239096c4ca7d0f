"""A server that stands alone, as the instances' page and API show it."""

from __future__ import annotations

from web.conftest import Alice


async def test_a_server_alone_shows_itself(alice: Alice) -> None:
    seen = (await alice.api.get("/api/v1/instances")).data
    assert seen["cluster"] is None
    assert [(i["role"], i["status"], i["here"]) for i in seen["items"]] == [("standalone", "active", True)]
    assert (await alice.api.get("/api/v1/instances/drafts")).data["items"] == []
    answer = await alice.api.post("/api/v1/instances/x/promote")
    assert (answer.status, "stands alone" in answer.data["detail"]) == (404, True)
