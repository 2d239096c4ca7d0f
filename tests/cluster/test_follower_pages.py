"""What an instance shows of others' judgement: what came from who judges, and that it does not know what did not come."""

from __future__ import annotations

import pytest

from builders import a_monitor, until
from cluster.test_cluster import web as web  # noqa: PLC0414 (a fixture)
from cluster.test_lost import becomes
from cluster.test_pages import visit
from cluster.test_people import ready, signed_in
from instances import Group, One
from tocsin.cluster import watch, work
from tocsin.core.probe import Probe
from world import Web


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost after seconds instead of most of a minute."""
    monkeypatch.setattr(watch, "SILENT_S", 3.0)
    monkeypatch.setattr(work, "POLL_S", 0.5)


async def three(group: Group, web: Web) -> tuple[One, One, One, str]:
    """Three instances that look at one site together, and the id of its monitor, which all of them know to be up."""
    a, b, c = await ready(group, "a", "b", "c")
    monitor = a_monitor(
        name="Shop", target={"url": web.url}, interval_s=4, timeout_s=2, retries=0, monitoring_type="global",
        locations=("a", "b", "c"),
    )  # fmt: skip
    await a.store.of("ws").write(lambda s: s.monitors.add(monitor))
    await a.corridor.changed(monitor.id)
    await said_by([a, b, c], monitor.id, "up", 3)
    return a, b, c, monitor.id


async def said_by(ones: list[One], id: str, value: str, votes: int) -> None:
    """Until all of them know this verdict, and so many votes that say the same."""

    def so(one: One) -> bool:
        watched = one.corridor.watchlist.find(id)
        if watched is None or watched.verdict is None or watched.verdict.value != value:
            return False
        return [state.vote for state in watched.states.values()] == [value] * votes

    await until(lambda: all(so(one) for one in ones), within_s=30)


async def test_votes_at_a_follower_are_of_the_results_that_all_have(group: Group, web: Web) -> None:
    _a, b, _c, id = await three(group, web)
    shown = await (await visit(b)).look(f"/monitors/{id}")
    assert "no vote" not in shown.split('id="why"')[1].split("</section>")[0]
    assert "Waiting" not in shown
    assert f'The votes by the results that came here. <a href="http://a.example/monitors/{id}">a</a> judges.' in shown
    api = await signed_in(b)
    for url in (f"/api/v1/monitors/{id}", f"/api/v1/monitors/{id}/explain"):
        assert [s["vote"] for s in (await api.get(url)).data["locations_state"]] == ["up"] * 3, url
    rule = (await api.get(f"/api/v1/monitors/{id}/explain")).data["now"]["rule"]
    assert (rule["up"], rule["fresh"]) == (3, 3)
    assert "Waiting" not in await (await visit(b)).look("/locations/c")


async def test_a_former_primary_shows_no_votes_of_its_own_time(group: Group, web: Web) -> None:
    a, b, c, id = await three(group, web)
    web.status = 500
    await said_by([a, b, c], id, "down", 3)
    await a.cluster.carrier.promote("instance-b")
    await until(lambda: group.primary() is b, within_s=20)
    web.status = 200
    await said_by([a, b, c], id, "up", 3)
    votes = (await (await signed_in(a)).get(f"/api/v1/monitors/{id}")).data["locations_state"]
    assert [(s["location"], s["vote"]) for s in votes] == [("a", "up"), ("b", "up"), ("c", "up")]
    assert (
        'data-st="down"'
        not in (await (await visit(a)).look(f"/monitors/{id}")).split('id="places"')[1].split("</table>")[0]
    )


async def test_how_locations_are_only_who_leads_knows(group: Group, soon: None) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    now = a.clock.now()
    office = Probe(id="p", workspace_id="ws", code="office", name="Office", mode="pull", created_at=now, updated_at=now)
    await a.store.of("ws").write(lambda s: s.probes.add(office))
    await a.corridor.locations_changed("ws")
    await until(lambda: b.corridor.watchlist.roster.find("ws", "office"), within_s=20)
    alice, api = await visit(b), await signed_in(b)
    states = {row["code"]: row["state"] for row in (await api.get("/api/v1/locations")).data["items"]}
    assert states == {"b": "well", "a": "unknown", "c": "unknown", "office": "unknown"}
    assert (await alice.look("/locations")).count("Not known here") == 3
    shown = await alice.look("/locations/office")
    assert 'asked by <a href="http://a.example/locations/office">a</a>, which leads' in shown
    assert "never" not in shown
    await c.stop()
    await becomes(a, "c", "open")
    await until(lambda: b.corridor.watchlist.incidents.get(("ws", "probe:c")), within_s=20)
    row = (await api.get("/api/v1/locations/c")).data
    assert (row["state"], row["is_healthy"]) == ("lost", False)
    assert "Lost" in await alice.look("/locations/c")
    await a.cluster.carrier.promote("instance-b")
    await until(lambda: group.primary() is b, within_s=20)
    assert (await api.get("/api/v1/locations/c")).data["state"] == "lost"


async def test_one_that_is_cut_off_says_that_it_does_not_know(group: Group, web: Web) -> None:
    a, b, c, id = await three(group, web)
    alice = await visit(c)
    await a.stop()
    await b.stop()
    await until(lambda: watch.alone_since(c.cluster) is not None, within_s=30)
    shown = await alice.look("/")
    assert "Nobody leads: how things are is not known here." in shown
    assert "ago, when somebody led: 1 of 1 monitor. Up now, as seen from c alone: 1 of 1." in shown
    assert "Not known, up from here" in shown
    assert "3/3" not in shown
    assert "All quiet" not in shown
    assert "Verdicts and incidents are as they were" in shown
    assert "locations up, of" not in await alice.look(f"/monitors/{id}")
