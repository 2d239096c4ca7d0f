"""From a due check to a stored, judged result, and to an incident."""

from __future__ import annotations

from pathlib import Path

from builders import until
from world import a_world, webs


async def test_a_new_monitor_is_checked_at_once_and_is_up(tmp_path: Path) -> None:
    async with webs(1) as (target,), a_world(tmp_path) as world:
        watched = await world.watch(target={"url": target.url})
        await world.go(1)
        assert watched.verdict is not None
        assert watched.verdict.value == "up"
        assert watched.tally == b"u"
        stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
        assert [r.status for r in stored] == ["up"]
        held = await world.store.of("ws").read(lambda s: s.verdicts.open_all())
        assert held[watched.monitor.id].value == "up"


async def test_it_is_checked_once_an_interval(tmp_path: Path) -> None:
    async with webs(1) as (target,), a_world(tmp_path) as world:
        await world.watch(target={"url": target.url}, interval_s=10, timeout_s=5)
        await world.go(60)
        assert 6 <= len(target.calls) <= 8


async def test_two_failures_open_an_incident_and_recovery_resolves_it(tmp_path: Path) -> None:
    async with webs(1) as (target,), a_world(tmp_path) as world:
        watched = await world.watch(target={"url": target.url})
        await world.go(5)
        target.status, target.body = 500, b"out of order"
        await until(lambda: watched.incident, clock=world.clock)
        await world.quiet()
        incident = watched.incident
        assert incident is not None
        assert incident.open
        assert watched.verdict is not None
        assert watched.verdict.value == "down"
        assert incident.evidence["response"]["status_code"] == 500
        assert incident.evidence["response"]["body"] == "out of order"
        kept = await world.store.of("ws").read(lambda s: s.incidents.get(incident.id))
        assert kept == incident
        target.status = 200
        await world.go(61)
        assert watched.incident is not None
        assert not watched.incident.open
        kinds = [e.kind for e in await world.store.of("ws").read(lambda s: s.incidents.timeline(incident.id))]
        assert kinds[0] == "opened"
        assert kinds[-1] == "resolved"


async def test_one_failure_that_passes_opens_nothing(tmp_path: Path) -> None:
    async with webs(1) as (target,), a_world(tmp_path) as world:
        watched = await world.watch(target={"url": target.url})
        await world.go(5)
        target.script.append(503)
        await world.go(70)
        assert watched.incident is None
        assert watched.verdict is not None
        assert watched.verdict.value == "up"
        statuses = [
            r.status for r in (await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id)))[0]
        ]
        assert statuses.count("down") == 1
