"""Alert rules through the API: made, changed, tried on the past; what is wrong with them; whose they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from builders import a_result, a_verdict
from tocsin.core.incident import Incident
from tocsin.core.result import CheckError, Timing, TlsFacts
from tocsin.core.wording import COVERAGE
from tocsin.pipeline.beginning import begin_all
from tocsin.store.batch import Batch, IncidentChange, VerdictChange
from web.conftest import Alice, House

RULES = "/api/v1/alert-rules"
SLOW = {"type": "response_time", "over_ms": 500, "window_s": 300, "percentile": 50}


def a_rule(**more: Any) -> dict[str, Any]:
    return {"name": "Slow", "scope": {"everything": True}, "condition": SLOW} | more


async def a_monitor(alice: Alice, **more: Any) -> str:
    wanted = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True} | more
    answer = await alice.api.post("/api/v1/monitors", wanted)
    assert answer.status == 201, answer.text
    return answer.data["id"]


async def test_a_new_workspace_has_one_rule_that_may_be_deleted_for_good(alice: Alice) -> None:
    (rule,) = (await alice.api.get(RULES)).data["items"]
    assert (rule["name"], rule["condition"]) == ("Certificate ends", {"type": "certificate", "days": [30, 14, 7, 1]})
    assert (await alice.api.delete(f"{RULES}/{rule['id']}")).status == 204
    parts = alice.house.parts
    await begin_all(parts.store, parts.clock)
    await parts.corridor.telling_changed(alice.workspace_id)
    assert (await alice.api.get(RULES)).data["items"] == []


async def test_a_workspace_made_before_gets_the_rule_once(alice: Alice) -> None:
    parts = alice.house.parts
    await parts.store.everything().write(lambda s: s.notes.set(f"first_rule:{alice.workspace_id}", None))
    (rule,) = (await alice.api.get(RULES)).data["items"]
    assert (await alice.api.delete(f"{RULES}/{rule['id']}")).status == 204
    for _ in range(2):
        await begin_all(parts.store, parts.clock)
        await parts.corridor.telling_changed(alice.workspace_id)
        assert [r["name"] for r in (await alice.api.get(RULES)).data["items"]] == ["Certificate ends"]


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "verdict", "values": ["partial", "degraded"]},
        {"type": "failures", "count": 5},
        SLOW | {"back_ms": 400},
        {"type": "uptime", "under": 0.999, "window_s": 3600, "back": 0.9995},
        {"type": "certificate", "days": [20, 5]},
        {"type": "anomaly", "sensitivity": 5, "window_s": 600, "weeks": 2},
    ],
)
async def test_every_condition_is_kept_and_read_back(alice: Alice, condition: dict[str, Any]) -> None:
    made = await alice.api.post(RULES, a_rule(condition=condition, severity="info", for_s=60, channels=[]))
    assert made.status == 201, made.text
    rule = (await alice.api.get(made.headers["location"])).data
    assert {k: v for k, v in rule["condition"].items() if v is not None} == condition
    assert (rule["severity"], rule["for_s"], rule["channels"], rule["firing"]) == ("info", 60, [], 0)
    again = await alice.api.patch(f"{RULES}/{rule['id']}", {"name": "Other"})
    assert (again.data["name"], again.data["condition"], again.data["version"]) == ("Other", rule["condition"], 2)
    assert (await alice.api.get("/api/v1/alert-rule-conditions")).status == 200


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"scope": {}}, ["scope"]),
        ({"scope": {"monitors": ["no"]}}, ["scope.monitors[0]"]),
        ({"scope": {"everything": "yes"}}, ["scope.everything"]),
        ({"channels": ["no"]}, ["channels[0]"]),
        ({"policy": "no"}, ["policy"]),
        ({"severity": "loud"}, ["severity"]),
        ({"for_s": -1}, ["for_s"]),
        ({"condition": 5}, ["condition"]),
        ({"condition": {}}, ["condition.type"]),
        ({"condition": {"type": ["verdict"]}}, ["condition.type"]),
        ({"condition": {"type": "cpu"}}, ["condition.type"]),
        ({"condition": {"type": "verdict", "values": []}}, ["condition.values"]),
        ({"condition": {"type": "verdict", "values": ["up"]}}, ["condition.values[0]"]),
        ({"condition": {"type": "failures", "count": 0}}, ["condition.count"]),
        ({"condition": {"type": "failures", "count": 3, "more": 1}}, ["condition.more"]),
        ({"condition": SLOW | {"over_ms": "500"}}, ["condition.over_ms"]),
        ({"condition": SLOW | {"back_ms": 501}}, ["condition.back_ms"]),
        ({"condition": {"type": "uptime", "under": 1.5}}, ["condition.under"]),
        ({"condition": {"type": "uptime", "under": 0.9, "back": 0.8}}, ["condition.back"]),
        ({"condition": {"type": "certificate", "days": [-1]}}, ["condition.days[0]"]),
        ({"condition": {"type": "anomaly", "weeks": 99}}, ["condition.weeks"]),
        ({"for_s": -1, "policy": "no", "condition": {"type": "no"}}, ["for_s", "condition.type", "policy"]),
    ],
)
async def test_what_is_wrong_is_said_field_by_field(alice: Alice, more: dict[str, Any], fields: list[str]) -> None:
    refused = await alice.api.post(RULES, a_rule(**more))
    assert (refused.status, refused.fields) == (422, fields)
    tried = await alice.api.post(RULES + "/try", {"rule": a_rule(**more)})
    assert (tried.status, tried.fields) == (422, [f"rule.{field}" for field in fields])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (SLOW | {"over_ms": 20_000}, "no answer takes longer than the timeout"),
        (SLOW | {"window_s": 60}, "shorter than the interval"),
        ({"type": "uptime", "under": 0}, "it can never fire"),
        ({"type": "verdict", "values": ["partial"]}, "never partly down"),
        ({"type": "anomaly", "weeks": 1, "window_s": 3600}, "too few checks"),
    ],
)
async def test_a_rule_that_can_never_fire_is_kept_and_says_so(
    alice: Alice, condition: dict[str, Any], said: str
) -> None:
    assert (await alice.api.post(RULES, a_rule(condition=SLOW))).data["warnings"] == ["It covers no monitor now."]
    await a_monitor(alice, interval_s=600)
    made = await alice.api.post(RULES, a_rule(condition=condition))
    assert made.status == 201
    assert any(said in sentence for sentence in made.data["warnings"]), made.data["warnings"]
    assert (await alice.api.post(RULES, a_rule(channels=[]))).data["warnings"][-1].startswith("Nobody is told")


async def test_nobody_else_sees_or_names_what_is_of_a_workspace(alice: Alice) -> None:
    monitor = await a_monitor(alice)
    rule = (await alice.api.post(RULES, a_rule(scope={"monitors": [monitor]}))).data["id"]
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    charlie = alice.api.as_(token)
    assert (await charlie.get(RULES)).data["items"] == []
    for method in ("get", "delete"):
        assert (await getattr(charlie, method)(f"{RULES}/{rule}")).status == 404
    assert (await charlie.patch(f"{RULES}/{rule}", {"name": "Mine"})).status == 404
    refused = await charlie.post(RULES, a_rule(scope={"monitors": [monitor]}))
    assert refused.fields == ["scope.monitors[0]"]
    assert (await charlie.post(RULES + "/try", {"rule": a_rule(), "id": rule})).fields == ["id"]
    assert (await charlie.post(RULES + "/try", {"rule": a_rule(), "monitor": monitor})).fields == ["monitor"]


async def test_viewers_read_but_do_not_write(alice: Alice) -> None:
    _, token = await alice.house.person("bob@example.org", "VIEWER", alice.workspace_id)
    bob = alice.api.as_(token)
    (rule,) = (await bob.get(RULES)).data["items"]
    assert (await bob.post(RULES, a_rule())).status == 403
    assert (await bob.patch(f"{RULES}/{rule['id']}", {"enabled": False})).status == 403
    assert (await bob.delete(f"{RULES}/{rule['id']}")).status == 403
    assert (await bob.post(RULES + "/try", {"rule": a_rule()})).status == 403


async def test_a_rule_may_be_changed_after_its_monitor_and_channel_are_gone(alice: Alice) -> None:
    monitor = await a_monitor(alice)
    hook = {"type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    channel, other = [
        (await alice.api.post("/api/v1/channels", {"name": name, **hook})).data["id"] for name in ("Hook", "Other")
    ]
    wanted = a_rule(scope={"monitors": [monitor]}, channels=[channel, other])
    rule = (await alice.api.post(RULES, wanted)).data["id"]
    assert (await alice.api.delete(f"/api/v1/monitors/{monitor}")).status == 204
    assert (await alice.api.delete(f"/api/v1/channels/{channel}")).status == 204
    changed = await alice.api.patch(f"{RULES}/{rule}", {"enabled": False})
    assert (changed.status, changed.data["enabled"]) == (200, False)
    assert changed.data["channels"] == [other]
    last = await alice.api.delete(f"/api/v1/channels/{other}")
    assert (last.status, last.data["detail"]) == (
        409, f"nobody else is told by alert rule “{changed.data['name']}”: give them another channel first"
    )  # fmt: skip


async def fill(house: House, monitor_id: str, results: list[Any], verdicts: list[Any] = []) -> None:  # noqa: B006
    parts = house.parts
    monitor = parts.corridor.watchlist.get(monitor_id).monitor
    changes = tuple(
        VerdictChange(workspace_id=monitor.workspace_id, monitor_id=monitor.id, verdict=v) for v in verdicts
    )
    made = tuple(make(monitor) for make in results)
    await parts.store.commit(Batch(id="past", results=made, verdicts=changes))


WRONG = CheckError("assertion", "HTTP 503 where 200–299 was expected", "assertion")


def result(at: datetime, status: Any = "up", ms: float = 20.0, **seen: Any) -> Callable[[Any], Any]:
    return lambda monitor: a_result(status, monitor=monitor, at=at, timing=Timing(total=ms), **seen)


async def test_trying_a_rule_says_what_would_be_told_and_what_no_longer(alice: Alice) -> None:
    monitor, now = await a_monitor(alice), datetime.now(UTC).replace(microsecond=0)
    past = [now - timedelta(minutes=n) for n in range(120, 0, -1)]
    await fill(alice.house, monitor, [result(at, ms=900 if 40 <= n < 60 else 300) for n, at in enumerate(past)])
    tried = (await alice.api.post(RULES + "/try", {"rule": a_rule(), "hours": 2})).data
    assert [m["what"] for m in tried["would"]] == ["opened", "resolved"]
    assert tried["now"] == tried["vanish"] == []
    assert tried["appear"] == tried["would"]
    first = tried["would"][0]
    assert first["monitor"] == {"id": monitor, "name": "Shop"}
    assert first["reason"].startswith("p50 over 5 min is 8")
    assert past[40] <= datetime.fromisoformat(first["at"]) <= past[50]
    rule = (await alice.api.post(RULES, a_rule())).data["id"]
    asked = {"rule": {"condition": SLOW | {"over_ms": 1000}}, "id": rule, "hours": 2}
    changed = (await alice.api.post(RULES + "/try", asked)).data
    assert (changed["would"], changed["appear"]) == ([], [])
    assert changed["vanish"] == changed["now"] == tried["would"]
    same = (await alice.api.post(RULES + "/try", {"rule": {}, "id": rule, "hours": 2})).data
    assert (same["appear"], same["vanish"], len(same["would"])) == ([], [], 2)


async def test_failures_verdicts_and_uptime_are_tried_on_what_is_stored(alice: Alice) -> None:
    monitor, now = await a_monitor(alice), datetime.now(UTC).replace(microsecond=0)
    past = [now - timedelta(minutes=n) for n in range(120, 0, -1)]
    down = set(range(60, 66)) | {80, 90, 91}
    await fill(
        alice.house, monitor,
        [result(at, "down", error=WRONG) if n in down else result(at, "up") for n, at in enumerate(past)],
        [a_verdict("up", at=past[0]), a_verdict("down", at=past[61]), a_verdict("up", at=past[66])],
    )  # fmt: skip

    async def told(condition: dict[str, Any], **more: Any) -> list[str]:
        asked = {"rule": a_rule(condition=condition, **more), "from": past[0].isoformat(), "monitor": monitor}
        answer = await alice.api.post(RULES + "/try", asked)
        assert answer.status == 200, answer.text
        return [f"{m['what']} {m['at'][:16]}" for m in answer.data["would"]]

    def what(name: str, n: int) -> str:
        return f"{name} {past[n].isoformat()[:16]}"

    assert await told({"type": "failures", "count": 5}) == [what("opened", 64), what("resolved", 66)]
    assert (await told({"type": "failures", "count": 2}))[2:] == [what("opened", 91), what("resolved", 92)]
    rule = a_rule(condition={"type": "failures", "count": 5})
    (first, _) = (await alice.api.post(RULES + "/try", {"rule": rule, "from": past[0].isoformat()})).data["would"]
    assert first["reason"] == WRONG.message
    assert await told({"type": "verdict", "values": ["down"]}) == [what("opened", 61), what("resolved", 66)]
    assert await told({"type": "verdict", "values": ["down"]}, for_s=180) == [what("opened", 64), what("resolved", 66)]
    assert await told({"type": "verdict", "values": ["down"]}, for_s=301) == []
    (opened, _) = await told({"type": "uptime", "under": 0.9, "window_s": 1800})
    assert opened[7:] >= past[62].isoformat()[:16]


async def test_certificates_are_tried_with_the_one_seen_last(alice: Alice) -> None:
    monitor, now = await a_monitor(alice, target={"url": "https://127.0.0.1:9/"}), datetime.now(UTC)
    watched = alice.house.parts.corridor.watchlist.get(monitor)
    tls = TlsFacts(not_after=now + timedelta(days=6, hours=12), fingerprint_sha256="f")
    watched.last["local"] = a_result(monitor=watched.monitor, at=now, tls=tls)
    asked = {"rule": a_rule(condition={"type": "certificate"}), "hours": 48}
    tried = (await alice.api.post(RULES + "/try", asked)).data
    assert [m["what"] for m in tried["would"]] == ["opened", "escalated"]
    assert tried["would"][1]["reason"].startswith("its certificate ends in 7 days")
    assert tried["notes"]


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"hours": 0}, ["hours"]),
        ({"hours": 1000}, ["hours"]),
        ({"hours": 1, "from": "2026-01-01T00:00:00Z"}, ["hours"]),
        ({"from": "2020-01-01T00:00:00Z"}, ["from"]),
        ({"from": "2999-01-01T00:00:00Z"}, ["from"]),
        ({"rule": 5}, ["rule"]),
        ({"id": "no"}, ["id"]),
        ({"monitor": "no"}, ["monitor"]),
        ({"more": 1}, ["more"]),
    ],
)
async def test_what_cannot_be_tried_is_said(alice: Alice, more: dict[str, Any], fields: list[str]) -> None:
    refused = await alice.api.post(RULES + "/try", {"rule": a_rule()} | more)
    assert (refused.status, refused.fields) == (422, fields)


async def test_an_incident_of_a_rule_is_on_every_page_that_shows_what_is_open(alice: Alice) -> None:
    monitor = await a_monitor(alice)
    parts = alice.house.parts
    rule = (await alice.api.post(RULES, a_rule())).data["id"]
    known: dict[str, Any] = {"workspace_id": alice.workspace_id, "opened_at": datetime.now(UTC), "severity": "warning"}
    slow = Incident(
        id="i1", subject=f"rule:{rule}:monitor:{monitor}", monitor_id=monitor, rule_id=rule, words="slow",
        reason="p95 is 812 ms", **known,
    )  # fmt: skip
    lost = Incident(id="i2", subject="coverage", words=COVERAGE, reason="one monitor is not seen", **known)
    for incident in (slow, lost):
        await parts.store.commit(Batch(id=incident.id, incidents=(IncidentChange(incident=incident, opens=True),)))
        parts.corridor.watchlist.put_incident(incident, alice.workspace_id, incident.subject)
    page = alice.api.as_(None)
    page.cookies = {}
    sent = await page.send(
        "POST", "/login", headers={"content-type": "application/x-www-form-urlencoded", "origin": "http://tocsin.test"},
        raw=b"email=alice%40example.org&password=correct+horse+battery",
    )  # fmt: skip
    assert sent.status == 303, sent.text
    shown = (await page.get("/")).text
    assert "Shop is slow" in shown
    assert "Monitoring: one monitor is not seen" in shown
    assert "2 open" in shown
    assert [(await page.get(f"/incidents/{id}")).status for id in ("i1", "i2")] == [200, 200]
    rules = (await page.get("/alert-rules")).text
    assert "1 alert fires." in rules
    assert "Fires on 1 monitor" in rules
    assert (await alice.api.get(f"{RULES}/{rule}")).data["firing"] == 1
    assert (await alice.api.get("/api/v1/incidents?open=true")).data["items"][0]["open"]
    assert (await alice.api.delete(f"{RULES}/{rule}")).status == 204
    assert [i["id"] for i in (await alice.api.get("/api/v1/incidents?open=true")).data["items"]] == ["i2"]
