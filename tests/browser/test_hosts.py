"""Hosts in a real browser: from adding one to what it shows, at two widths, in both themes."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.api.conftest import Agent
from browser.conftest import Reader, Site
from browser.test_manners import _axe
from tocsin.app.server import Running
from tocsin.web.routes import application
from web.test_host_pages import find, send, turn

SHOTS = os.environ.get("TOCSIN_TEST_SHOTS")
"""A folder that pictures of the pages are kept in, for looking at."""
GB = 1e9
UNITS = {"haproxy.service": (11.2, 412e6), "keepalived.service": (0.1, 9e6), "tocsin-agent.service": (0.2, 31e6)}
FACTS = {"os": "Debian GNU/Linux 12 (bookworm)", "cores": "4", "memory_bytes": str(16 * 2**30), "kernel": "6.1.0"}


def look(n: int, of: int, *, cpu: float, disk: float, grows: float = 0.0, **more: float) -> dict[str, float]:
    """What the agent of a busy machine sees at the n-th of so many looks."""
    wave = math.sin(n / 7) * 4 + math.sin(n / 2.3) * 2
    full = disk - grows * (of - 1 - n) / of
    known = {
        "cpu.used_percent": max(0.0, cpu + wave), "memory.used_percent": 61 + wave / 5, "load.1m": 0.9 + wave / 20,
        "load.5m": 1.1, "load.15m": 1.0, "disk.used_percent{mount=/var}": full, "disk.used_percent{mount=/}": 38.0,
        "disk.used_percent{mount=/srv}": 57.0, "disk.total_bytes{mount=/var}": 80 * GB, "disk.total_bytes{mount=/}": 40 * GB,
        "disk.total_bytes{mount=/srv}": 200 * GB, "disk.available_bytes{mount=/var}": (100 - full) * 0.8 * GB,
        "disk.available_bytes{mount=/}": 24.7 * GB, "disk.available_bytes{mount=/srv}": 86 * GB,
        "network.received_bytes_per_s{interface=eth0}": 18.2e6 + wave * 4e5,
        "network.sent_bytes_per_s{interface=eth0}": 41.7e6 + wave * 9e5, "disk_io.write_bytes_per_s{device=vda}": 9.6e6,
        "system.uptime_s": 41.2 * 86_400,
    }  # fmt: skip
    for name, (share, memory) in UNITS.items():
        known |= {f"unit.cpu_percent{{unit={name}}}": share, f"unit.memory_bytes{{unit={name}}}": memory}
    return known | more


async def history(agent: Agent, minutes: int, every_s: int = 60, upto: int = 0, **figures: float) -> None:
    """Looks of so many minutes until `upto` minutes ago."""
    of, end = minutes * 60 // every_s, datetime.now(UTC) - timedelta(minutes=upto)
    looks = [look(n, of, **figures) for n in range(of)]  # type: ignore[arg-type]
    names, batches = sorted(looks[0]), list[dict[str, Any]]()
    for n, one in enumerate(looks):
        agent.seq += 1
        at = end - timedelta(seconds=every_s * (of - 1 - n))
        values = [[names.index(name), value] for name, value in one.items()]
        batches.append({"seq": agent.seq, "at": at, "collector": "system", "values": values})
    for part in range(0, len(batches), 100):
        message = {"incarnation": agent.incarnation, "series": names, "batches": batches[part : part + 100]}
        assert (await agent.call("POST", "samples", message)).status == 200


async def enrolled(house: Running, reader: Reader, name: str, group: str, **more: Any) -> Agent:
    """A host that somebody made, whose agent is heard."""
    made = await reader.call("/hosts", {"name": name, "group": group, "tags": ["prod"]})
    agent = Agent(application(house.parts), made["enrollment_key"])
    assert (await agent.enrol(name, facts=FACTS)).status == 200
    assert (
        await agent.beat(facts=FACTS, rss_bytes=31_000_000, cpu_percent=0.2, config_version=1, **more)
    ).status == 200
    return agent


def unit(name: str, *, ok: bool = True, days: float = 41, state: str = "running", **more: Any) -> dict[str, Any]:
    since = datetime.now(UTC) - timedelta(days=days)
    return {"kind": "unit", "name": name, "state": state, "ok": ok, "since": since, **more}


async def busy(house: Running, reader: Reader) -> Agent:
    """A host with six hours of figures with a gap, a failed unit, a disk that fills up, a collector in trouble."""
    agent = await enrolled(
        house, reader, "edge-lb-2", "Edge", troubles={"minio": "connection refused on 127.0.0.1:9000"}
    )
    await history(agent, 200, upto=160, cpu=23, disk=90, grows=4)
    await history(agent, 120, cpu=23, disk=94, grows=3)
    failed = unit("edge-spool.service", ok=False, days=0.012, state="failed", detail="exit 28")
    await send(agent, "systemd", failed, *(unit(name) for name in UNITS))
    await find(agent, turn())
    return agent


async def shattered(house: Running, reader: Reader) -> Agent:
    """A host that was just made, on which much fails and some cannot be seen."""
    away = {"minio": "connection refused on 127.0.0.1:9000", "postgres": "connection refused on 127.0.0.1:5432"}
    agent = await enrolled(house, reader, "shop-1", "Shop")
    await history(agent, 6, cpu=97, disk=40)
    await agent.beat(troubles=away, facts=FACTS)
    names = ["check_x", "a-check-with-a-name-that-is-far-longer-than-any-column-of-a-phone.example.org", *"abcdef"]
    down = {"kind": "check", "state": "down", "ok": False, "detail": "it refuses connections"}
    database = {"kind": "database", "name": "main", "state": "not answering", "ok": False, "detail": away["postgres"]}
    await send(agent, "http", *({"name": name, **down} for name in names))
    await send(agent, "postgres", database)
    rule = {"rule": "builtin:http.endpoint", "rule_name": "An endpoint is down", "severity": "critical", "value": None}
    turns = [turn(**rule, what=f"check/{name}", words=f"check {name} is down: {down['detail']}") for name in names]
    gone = {"rule": "builtin:postgres.database", "rule_name": "PostgreSQL does not answer", "value": None}
    words = f"database main is not answering: {away['postgres']}"
    turns.append(turn(**gone, severity="critical", what="database/main", words=words))
    turns.append(turn(rule="builtin:system.cpu", rule_name="The processors are busy all the time",
                      what="cpu.used_percent", words="CPU is 97 % busy (limit 95 %)"))  # fmt: skip
    await find(agent, *turns)
    return agent


async def shoot(reader: Reader, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        await reader.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


async def clean(reader: Reader, name: str, width: int, theme: str) -> None:
    """No fault of accessibility, no sideways scroll, on the page as it stands."""
    await reader.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    await reader.ready()
    await reader.page.evaluate("scrollTo(0, 0)")  # what the head of the page covers is not out of reach
    await shoot(reader, f"{name}-{width}-{theme}")
    assert await _axe(reader) == [], name
    assert await reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light"), (1440, "dark"), (390, "light")])
async def test_hosts_and_a_host(reader: Reader, house: Running, site: Site, width: int, theme: str) -> None:
    await reader.begin()
    page = reader.page
    await page.set_viewport_size({"width": width, "height": 900})
    await reader.go("/hosts")
    await clean(reader, "hosts-none", width, theme)
    agent = await busy(house, reader)
    for name, group, cpu in (("web-1", "Web", 34.0), ("web-2", "Web", 31.0), ("db-1", "Data", 41.0)):
        other = await enrolled(house, reader, name, group)
        await history(other, 1, 30, cpu=cpu, disk=63)
        await send(other, "systemd", *(unit(f"{name}-{n}.service") for n in range(6)))
    await reader.call(f"/hosts/{agent.id}", {"addresses": ["tcp:127.0.0.1:9"]}, "PATCH")
    url = {"url": site.url("/")}
    await reader.call("/monitors", {"name": "Checkout API", "type": "http", "target": url, "interval_s": 600})
    silent = await enrolled(house, reader, "backup-1", "Data")
    await history(silent, 1, 30, cpu=4, disk=71)
    await reader.call("/hosts", {"name": "new-1"})
    broken = await shattered(house, reader)
    hosts = house.parts.corridor.hosts
    now = hosts.get(hosts.find(silent.id).host.workspace_id, silent.id)  # type: ignore[union-attr]
    now.heard = hosts.since = hosts.since - 560
    now.heard_at = datetime.now(UTC) - timedelta(seconds=560)

    await reader.go("/hosts")
    said = "7 hosts, one short of disk, one over a limit, one with a service that fails, one silent"
    assert await page.text_content("h1") == said
    names = await page.eval_on_selector_all("#hosts-list a.name b", "all => all.map((b) => b.textContent)")
    assert names == ["backup-1", "shop-1", "edge-lb-2", "db-1", "web-1", "web-2", "new-1"]
    await clean(reader, "hosts", width, theme)
    await page.fill("[data-filter]", "web")
    assert await page.locator("#hosts-list tr[data-text]:visible").count() == 2
    await reader.go("/hosts?view=services")
    await clean(reader, "hosts-services", width, theme)

    for tab, name in (
        ("overview", "host"),
        ("systemd", "host-systemd"),
        ("alerts", "host-alerts"),
        ("agent", "host-agent"),
    ):
        await reader.go(f"/hosts/{agent.id}?tab={tab}")
        if tab == "overview":
            await page.wait_for_selector(".small-plot canvas >> nth=4")
            assert "between" in (await page.get_attribute("[data-name=CPU]", "aria-label") or "")
            await page.click("#figures summary")
            assert await page.locator("#plot-table tbody tr").count() > 50
            await page.click("#figures summary")
        await clean(reader, name, width, theme)
    for path, name in (
        (f"/hosts/{broken.id}", "host-broken"), (f"/hosts/{silent.id}", "host-silent"),
        (f"/hosts/{agent.id}?tab=minio", "host-minio"),
        (f"/hosts/{agent.id}/edit", "host-edit"), ("/hosts/new", "host-new"),
        (f"/alert-rules/new?type=sample&host={agent.id}", "host-rule"),
    ):  # fmt: skip
        await reader.go(path)
        await clean(reader, name, width, theme)
    assert reader.complaints == []


async def test_a_host_is_added_and_appears_by_itself(reader: Reader, house: Running) -> None:
    await reader.begin()
    page = reader.page
    await reader.go("/hosts/new")
    await page.fill("#f-name", "db-1")
    await page.click("button.primary:has-text('Make a key')")
    command = await page.text_content("#host-command") or ""
    await reader.ready()
    assert await _axe(reader) == []
    await shoot(reader, "host-given")
    agent = Agent(application(house.parts), await page.text_content("#host-key") or "")
    await agent.enrol("db-1")
    await page.wait_for_selector("#comes:has-text('It has enrolled')")
    await agent.beat()
    await agent.samples({"cpu.used_percent": 12.0})
    await page.wait_for_selector("#comes:has-text('db-1 is here')")
    assert await page.text_content("#host-command") == command
    await page.click("text=See db-1")
    await page.wait_for_selector("dd:has-text('12')")
    await agent.samples({"cpu.used_percent": 77.0})
    await page.wait_for_selector("dd:has-text('77')")
    await reader.go("/hosts")
    await reader.ready()
    await agent.samples({"cpu.used_percent": 55.0})
    await page.wait_for_selector(".gauge:has-text('55')")
    assert reader.complaints == []


async def test_two_hundred_hosts_are_there_at_once(reader: Reader, house: Running) -> None:
    await reader.begin()
    made = await reader.call("/enrollment-keys", {"name": "all"})
    app = application(house.parts)
    for n in range(200):
        agent = Agent(app, made["key"])
        await agent.enrol(f"node-{n:03}")
        await agent.beat()
        await agent.samples({"cpu.used_percent": float(n % 90), "memory.used_percent": 50.0})
    await reader.go("/hosts")
    assert await reader.page.text_content("h1") == "200 hosts, all as they should be"
    took = await reader.page.evaluate(
        "async () => { const t = performance.now(); await (await fetch('/hosts')).text(); return performance.now() - t; }"
    )
    assert took < 5000
    print(f"200 hosts in {took:.0f} ms")


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light")])
async def test_two_agents_that_say_they_are_one_host_are_named_side_by_side(
    reader: Reader, house: Running, width: int, theme: str
) -> None:
    await reader.begin()
    agent = await enrolled(house, reader, "edge-lb-2", "Edge")
    for incarnation in ("a-folder-that-was-copied", agent.incarnation, "a-folder-that-was-copied"):
        said = Agent(agent.app, agent.key, id=agent.id, incarnation=incarnation)
        await said.beat(facts=FACTS | {"hostname": f"machine-of-{incarnation}"})
    await reader.page.set_viewport_size({"width": width, "height": 900})
    await reader.go(f"/hosts/{agent.id}")
    assert await reader.page.get_by_role("button", name="This one is the host …").count() == 2
    assert await reader.page.get_by_text("It counts now.").count() == 1
    await clean(reader, "two-agents", width, theme)
