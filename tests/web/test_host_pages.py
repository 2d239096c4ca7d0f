"""The pages of hosts, without JavaScript: the list, a host, adding one, setting its agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from agent.api.conftest import Agent, Alice, alice, an_agent, build
from web.caller import Answer, Caller
from web.test_location_pages import signed_in

__all__ = ["alice", "build"]

FIGURES = {
    "cpu.used_percent": 23.0, "memory.used_percent": 61.0, "disk.used_percent{mount=/}": 38.0,
    "disk.used_percent{mount=/var}": 94.0, "disk.total_bytes{mount=/var}": 80e9, "disk.available_bytes{mount=/var}": 4.8e9,
    "load.1m": 0.9, "load.5m": 1.1, "load.15m": 1.0, "network.received_bytes_per_s{interface=eth0}": 18.2e6,
    "network.sent_bytes_per_s{interface=eth0}": 41.7e6, "unit.cpu_percent{unit=haproxy.service}": 11.2,
    "disk_io.write_bytes_per_s{device=vda}": 9.6e6, "system.uptime_s": 41 * 86400.0 + 60,
}  # fmt: skip


@pytest.fixture
async def browser(alice: Alice) -> Caller:
    return await signed_in(alice, "alice@example.org")


async def post(caller: Caller, path: str, **fields: Any) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test"}
    return await caller.send("POST", path, raw=urlencode(fields, doseq=True).encode(), headers=headers)


async def send(agent: Agent, collector: str, *things: dict[str, Any], **more: Any) -> Answer:
    """What one collector knows of services."""
    agent.seq += 1
    batch = {"seq": agent.seq, "at": datetime.now(UTC), "collector": collector, "values": [], "services": list(things)}
    return await agent.call(
        "POST", "samples", {"incarnation": agent.incarnation, "series": [], "batches": [batch | more]}
    )


def turn(number: int = 1, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "rule": "builtin:system.disk", "rule_name": "A disk is nearly full", "what": "disk.used_percent{mount=/var}",
        "number": number, "turn": "opened", "severity": "warning",
        "words": "disk /var is 94 % full (limit 90 %)", "value": 94.0,
        "at": datetime.now(UTC) - timedelta(minutes=31),
    }  # fmt: skip
    return known | more


async def find(agent: Agent, *turns: dict[str, Any]) -> None:
    answer = await agent.call("POST", "findings", {"incarnation": agent.incarnation, "findings": list(turns)})
    assert answer.data["taken"] == len(turns), answer.text


async def a_host(alice: Alice, name: str = "edge-lb-2", **beat: Any) -> Agent:
    """A host with figures, a unit that runs and one that failed, and a disk that is nearly full."""
    agent = await an_agent(alice, name)
    assert (await agent.beat(**beat)).status == 200
    assert (await agent.samples(FIGURES)).status == 200
    unit = {"kind": "unit", "state": "running", "ok": True, "since": datetime.now(UTC) - timedelta(days=41)}
    failed = {"kind": "unit", "name": "edge-spool.service", "state": "failed", "ok": False, "detail": "exit 28"}
    assert (await send(agent, "systemd", unit | {"name": "haproxy.service"}, failed)).status == 200
    await find(agent, turn())
    return agent


def key_in(page: Answer) -> str:
    """The key that a page shows."""
    return page.text.partition('id="host-key">')[2].partition("<")[0]


async def test_no_host_yet_and_how_to_add_one(browser: Caller) -> None:
    page = await browser.get("/hosts")
    assert page.status == 200
    assert "No host is watched yet" in page.text
    assert "Add a host in one line" in page.text


async def test_what_needs_attention_stands_first(alice: Alice, browser: Caller) -> None:
    await a_host(alice)
    calm = await an_agent(alice, "web-1")
    await calm.beat()
    page = await browser.get("/hosts")
    assert page.status == 200, page.text
    assert "2 hosts, one short of disk" in page.text
    assert page.text.index("Needs attention") < page.text.index("edge-lb-2") < page.text.index("All others")
    assert page.text.index("All others") < page.text.index("web-1")
    assert "edge-spool failed" in page.text
    assert "Over a limit" in page.text
    only = await browser.get("/hosts?state=limit")
    assert "edge-lb-2" in only.text
    assert ">web-1<" not in only.text
    none = await browser.get("/hosts?q=nothing")
    assert "No host matches the filter" in none.text
    assert "2 hosts hidden" in none.text
    by = await browser.get("/hosts?view=services")
    assert by.text.index("edge-spool.service") < by.text.index("haproxy.service")


@pytest.mark.parametrize("name", [*FIGURES, "swap.used_percent", "pressure.cpu_some_percent", ""])
async def test_a_host_is_shown_whatever_of_its_figures_is_missing(alice: Alice, browser: Caller, name: str) -> None:
    agent = await an_agent(alice, "edge")
    await agent.beat()
    if name:
        assert (await agent.samples({name: 99.0})).status == 200
    for path in (
        "/hosts",
        "/hosts?view=services",
        *(f"/hosts/{agent.id}?tab={tab}" for tab in ("overview", "systemd", "agent")),
    ):
        page = await browser.get(path)
        assert page.status == 200, (path, page.text)


async def test_hosts_are_found_and_counted(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    found = await browser.get("/find?q=edge")
    assert f'href="/hosts/{agent.id}"' in found.text
    assert "Go to hosts" in (await browser.get("/find?q=hosts")).text
    assert 'Hosts<span class="n">1</span>' in (await browser.get("/incidents")).text


async def test_a_host_shows_what_is_open_its_figures_and_what_runs(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice, troubles={"minio": "connection refused on 127.0.0.1:9000"}, rss_bytes=31_000_000)
    page = await browser.get(f"/hosts/{agent.id}")
    assert page.status == 200, page.text
    for text in (
        "Disk /var is 94 % full", "disk /var is 94 % full (limit 90 %), for", "up 41 days", "No MinIO figures",
        "connection refused", "disk /var of 80 GB",
        "A disk is nearly full", "edge-spool.service", "Failed, exit 28", "not known yet",
        "2 watched, 1 not as it should be", 'id="charts">Last hour<',
        "buffer empty", "31 MB", 'data-name="CPU"', "By no monitor.", "?tab=minio",
    ):  # fmt: skip
        assert text in page.text, text
    units = await browser.get(f"/hosts/{agent.id}?tab=systemd")
    assert "What changed" in units.text
    assert "unit.cpu_percent" in units.text
    alerts = await browser.get(f"/hosts/{agent.id}?tab=alerts")
    assert "the limits hold that every agent brings along" in alerts.text
    assert "A disk is nearly full" in alerts.text
    inside = await browser.get(f"/hosts/{agent.id}?tab=agent")
    assert "When it was heard" in inside.text
    assert (await browser.get(f"/hosts/{agent.id}?tab=nonsense")).status == 200
    assert (await browser.get("/hosts/none")).status == 404


async def test_what_the_agent_itself_cannot_do_is_no_want_of_figures(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice, "edge", troubles={"data folder": "it takes nothing", "channel local:ops": "401"})
    page = await browser.get(f"/hosts/{agent.id}")
    assert "Its agent cannot write" in page.text
    assert "Its agent cannot tell" in page.text
    assert "?tab=custom" not in page.text
    await agent.samples(FIGURES)
    calm = await an_agent(alice, "calm")
    await calm.beat(troubles={"data folder": "it takes nothing"})
    listed = await browser.get("/hosts")
    for text in (page.text, listed.text):
        assert "figures." not in text.replace("No figures yet", "")
    assert "Its agent cannot write" in listed.text


async def test_a_silent_host_shows_its_figures_as_of_the_past(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice, "backup-1")
    hosts = alice.house.parts.corridor.hosts
    now = hosts.get(alice.workspace_id, agent.id)
    await agent.beat(buffered=7)  # they wait their turn
    assert "<dd>all of it</dd>" in (await browser.get(f"/hosts/{agent.id}")).text
    await agent.beat(buffered=55, late_s=7200)
    assert "none missed in 24 h" in (await browser.get(f"/hosts/{agent.id}")).text
    assert "not all of it yet, 55 batches wait, the oldest for 2 h" in (await browser.get(f"/hosts/{agent.id}")).text
    now.heard = hosts.since = alice.house.parts.clock.monotonic() - 540
    now.heard_at = alice.house.parts.clock.now() - timedelta(seconds=540)
    page = await browser.get(f"/hosts/{agent.id}")
    assert "Figures from" in page.text
    assert "none for 9 min" in page.text
    assert "not known while it is silent; 55 batches waited when it was heard last" in page.text
    listed = await browser.get("/hosts")
    assert "figures from" in listed.text
    assert "1 host, silent" in listed.text
    assert 'data-st="down">Silent' in listed.text
    assert "backup-1" in (await browser.get("/hosts?state=silent")).text


async def test_after_a_restart_the_figures_are_those_of_when_it_was_heard(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    now = alice.house.parts.corridor.hosts.get(alice.workspace_id, agent.id)
    now.latest = {}
    assert "94 %" in (await browser.get("/hosts")).text
    assert now.latest["disk.used_percent{mount=/var}"][1] == 94
    assert "Disk /var is 94 % full" in (await browser.get(f"/hosts/{agent.id}")).text


async def test_a_host_is_added_with_a_command_and_appears(alice: Alice, browser: Caller) -> None:
    assert "Make a key and the command" in (await browser.get("/hosts/new")).text
    wrong = await post(browser, "/hosts/new", name="")
    assert wrong.status == 422
    led = await post(browser, "/hosts/new", name="db-1", group="Data", tags="prod, db")
    assert led.status == 303, led.text
    made = await browser.get(led.headers["location"])
    assert made.status == 200, made.text
    assert "Waiting for its agent" in made.text
    assert "curl -fsSL http://tocsin.test/install.sh | sudo sh<" in made.text
    assert "is this machine alone" not in made.text
    key = key_in(made)
    id = made.text.partition('data-host="')[2].partition('"')[0]
    assert key not in (await browser.get(f"/hosts/{id}/arrival")).text
    assert key in (await browser.get(led.headers["location"])).text  # reloaded: the same, and no second host
    assert len((await alice.api.get("/api/v1/hosts")).data["items"]) == 1
    await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    assert key not in (await (await signed_in(alice, "bob@example.org")).get(led.headers["location"])).text
    shown = alice.house.parts.memory.shown
    shown._held = type(shown._held)((who, (secret, 0.0)) for who, (secret, _) in shown._held.items())
    late = await browser.get(led.headers["location"])
    assert (late.status, key in late.text, "The key was shown once" in late.text) == (200, False, True)
    assert "has not been heard yet" in (await browser.get(f"/hosts/{id}")).text
    agent = Agent(alice.house.app, key)
    assert (await agent.enrol("whatever")).status == 200
    assert agent.id == id
    assert "It has enrolled" in (await browser.get(f"/hosts/{id}/arrival")).text
    await agent.beat()
    await agent.samples(FIGURES)
    assert "db-1 is here" in (await browser.get(f"/hosts/{id}/arrival")).text
    assert "Data<small>1 host" in (await browser.get("/hosts")).text


async def test_an_agent_is_set_from_the_page(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    one = f"/hosts/{agent.id}"
    hook = {"name": "Hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    channel = (await alice.api.post("/api/v1/channels", hook)).data["id"]
    saved = await post(
        browser, f"{one}/edit", name="edge", group="Edge", tags="a, b", addresses="ping:127.0.0.1\n", enabled="1",
        direct_channels=[channel],
    )  # fmt: skip
    assert (saved.status, saved.headers["location"]) == (303, f"{one}?did=saved")
    shown = (await alice.api.get(f"/api/v1{one}")).data
    assert (shown["name"], shown["tags"], shown["addresses"], shown["direct_channels"]) == (
        "edge", ["a", "b"], ["ping:127.0.0.1"], [channel],
    )  # fmt: skip
    wrong = await post(browser, f"{one}/edit", name="edge", addresses="web-1", enabled="1")
    assert wrong.status == 422
    assert "ping:HOST" in wrong.text
    text = '- type: system\n  check_interval: 15\n  mounts: ["/", /var]\n'
    put = await post(browser, f"{one}/config", monitors=text, heartbeat_interval_s="30", metrics_push_interval_s="30")
    assert put.status == 303, put.text
    config = (await alice.api.get(f"/api/v1{one}/config")).data
    assert config["monitors"] == [{"type": "system", "check_interval": 15, "mounts": ["/", "/var"]}]
    form = await browser.get(f"{one}/edit")
    assert "- type: system\n  check_interval: 15" in form.text
    assert "on its way" in form.text
    for text, said in (
        ("- type: [", "YAML"),
        ("- type: nothing", "one of system"),
        ("- type: system\n  root: /x", "own file"),
    ):
        no = await post(
            browser, f"{one}/config", monitors=text, heartbeat_interval_s="30", metrics_push_interval_s="30"
        )
        assert no.status == 422, text
        assert said in no.text, text


async def test_built_in_rules_are_changed_on_the_page(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    one = f"/hosts/{agent.id}"
    often = {"monitors": "", "heartbeat_interval_s": "30", "metrics_push_interval_s": "30"}
    saved = await post(browser, f"{one}/config", rules="- builtin: system.disk\n  enabled: false", **often)
    assert saved.status == 303, saved.text
    assert "- builtin: system.disk\n  enabled: false" in (await browser.get(f"{one}/edit")).text
    for text, said in (
        ("- builtin: system.disc", "system.disk_full"),
        ("- [", "YAML"),
        ("builtin: x", "a list of entries"),
    ):
        no = await post(browser, f"{one}/config", rules=text, **often)
        assert (no.status, said in no.text) == (422, True), no.text


async def test_keys_are_made_replaced_and_revoked(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    one = f"/hosts/{agent.id}"
    assert (await post(browser, f"{one}/rotate")).headers["location"] == f"{one}/edit?did=rotated"
    assert (await agent.beat()).data["key"].startswith("tag_")
    revoked = await browser.get((await post(browser, f"{one}/revoke")).headers["location"])
    assert key_in(revoked).startswith("ten_")
    assert (await agent.beat()).status == 401
    again = Agent(alice.house.app, key_in(revoked), incarnation="one")
    assert (await again.enrol()).status == 200
    assert again.id == agent.id
    assert (await post(browser, f"{one}/delete")).headers["location"] == "/hosts?did=deleted"
    assert (await browser.get(one)).status == 404


async def test_of_two_agents_the_admin_says_which_is_the_host(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    for incarnation in ("two", "one", "two"):
        agent.incarnation = incarnation
        await agent.beat()
    page = await browser.get(f"/hosts/{agent.id}")
    assert "Two agents say they are this host." in page.text
    assert "with two agents" in (await browser.get("/hosts")).text
    assert page.text.count("Two agents say") == 1
    assert [part.partition('"')[0] for part in page.text.split('name="incarnation" value="')[1:]] == ["one", "two"]
    other = "two"
    done = await post(browser, f"/hosts/{agent.id}/release", incarnation=other)
    assert done.headers["location"] == f"/hosts/{agent.id}?did=released"
    page = await browser.get(f"/hosts/{agent.id}")
    assert "Two agents" not in page.text
    assert "Another agent says it is this host." in page.text
    assert (await post(browser, f"/hosts/{agent.id}/release", incarnation="three")).status in (409, 422)


async def test_monitors_of_its_addresses_stand_beside_it(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    await alice.api.send("PATCH", f"/api/v1/hosts/{agent.id}", {"addresses": ["tcp:127.0.0.7:22"]})
    for host, name in (("127.0.0.7", "Its door"), ("127.0.0.8", "Another one")):
        made = {"name": name, "type": "tcp", "target": {"host": host, "port": 9}, "interval_s": 600}
        assert (await alice.api.post("/api/v1/monitors", made)).status == 201
    page = await browser.get(f"/hosts/{agent.id}")
    assert "Its door" in page.text
    assert "Another one" not in page.text


async def test_maintenance_is_begun_and_ended(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    await post(browser, f"/hosts/{agent.id}/maintenance")
    unheard = "has not heard of that yet"
    text = (await browser.get(f"/hosts/{agent.id}")).text
    assert ("In maintenance." in text, unheard in text) == (True, True)
    await agent.beat()
    assert unheard not in (await browser.get(f"/hosts/{agent.id}")).text
    await post(browser, f"/hosts/{agent.id}/maintenance")
    assert "In maintenance." not in (await browser.get(f"/hosts/{agent.id}")).text
    await alice.api.patch(f"/api/v1/hosts/{agent.id}", {"enabled": False})
    text = (await browser.get(f"/hosts/{agent.id}")).text
    assert ("Switched off." in text, unheard in text) == (True, True)
    await agent.beat()
    assert unheard not in (await browser.get(f"/hosts/{agent.id}")).text


async def test_a_viewer_sees_no_forms(alice: Alice) -> None:
    agent = await a_host(alice)
    await alice.house.person("vera@example.org", "VIEWER", alice.workspace_id)
    viewer = await signed_in(alice, "vera@example.org")
    for path in ("/hosts", f"/hosts/{agent.id}", f"/hosts/{agent.id}?tab=alerts", f"/hosts/{agent.id}?tab=agent"):
        page = await viewer.get(path)
        assert page.status == 200, path
        main = page.text.partition("<main")[2].partition("</main>")[0]
        assert 'method="post"' not in main, path
        assert "/edit" not in main, path
    for path in ("/hosts/new", f"/hosts/{agent.id}/edit"):
        assert (await viewer.get(path)).status == 403
    assert (await post(viewer, f"/hosts/{agent.id}/revoke")).status == 403


async def test_rules_about_hosts_are_made_by_the_form(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    form = await browser.get(f"/alert-rules/new?type=sample&host={agent.id}")
    assert f'name="hosts" value="{agent.id}" checked' in form.text
    sample = {
        "type": "sample", "metric": "disk.used_percent", "labels": "mount=/var*, device=vd*", "above": "80", "clear": "75",
        "scope_mode": "named", "hosts": [agent.id], "severity": "critical", "direct": "1", "enabled": "1", "for_s": "60",
    }  # fmt: skip
    words = await post(browser, "/alert-rules/new/words", **sample)
    assert "When disk.used_percent of mount /var*, device vd* is above 80, until it is 75 again for 60 s" in words.text
    assert "on edge-lb-2" in words.text
    assert "The agent tells it by itself" in words.text
    assert (await post(browser, "/alert-rules/new", **sample)).status == 303
    service = {
        "type": "service",
        "kind": "unit",
        "name_like": "nginx*",
        "scope_mode": "tags",
        "tags": "prod",
        "enabled": "1",
    }
    assert (await post(browser, "/alert-rules/new", **service)).status == 303
    silence = {"type": "heartbeat", "warn_s": "90", "down_s": "180", "scope_mode": "everything", "enabled": "1"}
    assert (await post(browser, "/alert-rules/new", **silence)).status == 303
    rules = {r["condition"]["type"]: r for r in (await alice.api.get("/api/v1/alert-rules")).data["items"]}
    assert rules["sample"]["condition"]["labels"] == {"mount": "/var*", "device": "vd*"}
    assert (rules["sample"]["direct"], rules["sample"]["scope"]["hosts"]) == (True, [agent.id])
    assert (rules["service"]["condition"]["name"], rules["heartbeat"]["condition"]["down_s"]) == ("nginx*", 180)
    odd = {"name": "x", "scope": {"hosts": [agent.id]}, "condition": {"type": "sample", "metric": "a b", "above": 1}}
    warned = (await alice.api.post("/api/v1/alert-rules", odd)).data["warnings"]
    assert warned == ["'a b' is no name of a metric, such as disk.used_percent: it can never fire."]
    assert (await agent.samples({"cpu.used_percent": 5.0})).status == 200
    for condition, words in (
        (
            {"metric": "cpu.usd_percent", "above": 90},
            "has sent cpu.usd_percent lately (did you mean cpu.used_percent?)",
        ),
        ({"metric": "cpu.used_percent", "above": 120}, "cpu.used_percent is never above 100: it can never fire."),
    ):
        odd["condition"] = {"type": "sample", **condition}
        (warned,) = (await alice.api.post("/api/v1/alert-rules", odd)).data["warnings"]
        assert words in warned
    listed = await browser.get("/alert-rules")
    assert "on hosts tagged prod" in listed.text
    assert "A unit called nginx* is not as it should be" in listed.text
    again = await browser.get(f"/alert-rules/{rules['sample']['id']}")
    assert 'value="mount=/var*, device=vd*"' in again.text
    assert "the agent, at once" in (await browser.get(f"/hosts/{agent.id}?tab=alerts")).text
    wrong = await post(browser, "/alert-rules/new", **(sample | {"metric": "", "above": "x"}))
    assert wrong.status == 422
    assert "a number" in wrong.text


async def test_an_incident_of_a_host_says_what_its_agent_found(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    what = "disk.used_percent{mount=/srv}"
    await find(agent, turn(what=what, told_at=datetime.now(UTC) - timedelta(minutes=30), told=["local:hook", "gone"]))
    incidents = (await alice.api.get(f"/api/v1/incidents?host={agent.id}")).data["items"]
    one, other = [await browser.get(f"/incidents/{i['id']}") for i in sorted(incidents, key=_is_var)]
    assert f'href="/hosts/{agent.id}"' in one.text
    assert "The agent told it by itself." in one.text
    told = one.text.partition("Who was told")[2].replace("&#39;", "'")
    assert "<b>hook (of the agent's own file)</b><p>opened: told by the agent itself</p>" in told
    assert "<b>a deleted channel</b>" in told
    assert "Nobody." not in told
    assert "Nobody." in other.text.partition("Who was told")[2]
    assert "The agent told it by itself." not in other.text
    assert "94 %" in other.text
    assert "A disk is nearly full" in other.text
    overview = await browser.get("/")
    assert "One host needs a look." in overview.text
    assert "1 host, no monitor yet." in overview.text, "and not that 0 of 0 monitors are up"
    assert "Nothing is watched yet" not in overview.text
    assert "disk /var is 94 % full" in overview.text.partition('aria-label="Open incidents"')[2]


def _is_var(incident: dict[str, Any]) -> bool:
    return "/var" in incident["title"]


async def test_a_channel_hears_of_what_is_severe_only(alice: Alice, browser: Caller) -> None:
    fields = {"type": "webhook", "name": "SMS", "config.url": "http://127.0.0.1:9/", "enabled": "1", "least": "down"}
    assert (await post(browser, "/channels/new", **fields)).status == 303
    channel = (await alice.api.get("/api/v1/channels")).data["items"][0]
    assert channel["least"] == "down"
    assert 'value="down" selected' in (await browser.get(f"/channels/{channel['id']}")).text
    await post(browser, f"/channels/{channel['id']}", **(fields | {"least": ""}))
    assert (await alice.api.get("/api/v1/channels")).data["items"][0]["least"] is None


async def test_a_server_that_only_this_machine_reaches_says_so(alice: Alice, browser: Caller) -> None:
    here = "http://127.0.0.1:3001"
    alice.house.parts.settings.values["BASE_URL"] = here
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": here, "host": "127.0.0.1:3001"}
    for path, body in (("/hosts/new", b"name=db-1"), ("/hosts/keys", b"key_name=all")):
        led = await browser.send("POST", path, raw=body, headers=headers)
        made = await browser.get(led.headers["location"], host="127.0.0.1:3001")
        assert f"{here} is this machine alone." in made.text
        assert "TOCSIN_BASE_URL" in made.text


async def test_the_same_trouble_of_many_things_is_said_once(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice, troubles={"minio": "it refuses connections"})
    rule = {"rule": "builtin:http.endpoint", "rule_name": "An endpoint is down", "severity": "critical", "value": None}
    await find(agent, *(turn(**rule, what=f"check/c{n}", words=f"check c{n} is down: no answer") for n in range(5)))
    server = {"rule": "builtin:minio.server", "rule_name": "MinIO does not serve", "value": None}
    words = "MinIO main is not answering: it refuses connections"
    await find(agent, turn(**server, what="object_storage/main", words=words))
    said = (await browser.get(f"/hosts/{agent.id}")).text.partition('id="open-here"')[2].partition("</section>")[0]
    assert said.count("An endpoint is down") == 1
    assert said.count("check c") == 3
    assert "and 2 more" in said
    assert "MinIO does not serve" in said
    assert "No MinIO figures" not in said


async def test_a_warning_that_fires_does_not_look_like_what_is_down(alice: Alice, browser: Caller) -> None:
    agent = await a_host(alice)
    condition = {"type": "sample", "metric": "disk.used_percent", "above": 20}
    rule = {"name": "Disks", "scope": {"hosts": [agent.id]}, "condition": condition, "severity": "warning"}
    made = (await alice.api.post("/api/v1/alert-rules", rule)).data
    await find(agent, turn(rule=made["id"], rule_name="Disks"))
    listed = (await browser.get("/alert-rules")).text
    assert 'data-st="slow">Fires on' in listed
    assert 'data-st="down">Fires on' not in listed


async def test_one_key_lets_many_hosts_in_until_it_is_ended(alice: Alice, browser: Caller) -> None:
    made = await browser.get((await post(browser, "/hosts/keys", key_name="blue ones")).headers["location"])
    key = key_in(made)
    for name in ("web-1", "web-2"):
        assert (await Agent(alice.house.app, key).enrol(name)).status == 200
    form = await browser.get("/hosts/new")
    assert "blue ones" in form.text
    assert key not in form.text
    id = form.text.partition("/hosts/keys/")[2].partition("/")[0]
    assert (await post(browser, f"/hosts/keys/{id}/delete")).status == 303
    assert (await Agent(alice.house.app, key).enrol("web-3")).status == 401
    assert "blue ones" not in (await browser.get("/hosts/new")).text
    assert (await post(browser, "/hosts/keys", key_name="")).status == 422
