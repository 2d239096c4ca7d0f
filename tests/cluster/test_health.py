"""What /health and /health/ready of one of several servers say of who leads."""

from __future__ import annotations

import asyncio

from builders import until
from cluster.test_people import parts_of, ready
from instances import Group, One
from tocsin.web.routes import application
from web.caller import Answer, Caller


async def asked(one: One, path: str) -> Answer:
    return await Caller(application(parts_of(one))).get(path)


async def says(one: One, words: str) -> None:
    async with asyncio.timeout(30):
        while not any(words in problem for problem in (await asked(one, "/health")).data["problems"]):
            await asyncio.sleep(0.05)


async def test_who_has_known_of_no_primary_for_long_says_so_and_stays_ready(group: Group) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    assert (await asked(c, "/health")).data["status"] == "ok"
    await a.stop()
    await b.stop()
    await says(c, "no primary is known since ")
    assert (await asked(c, "/health")).data["status"] == "degraded"
    answer = await asked(c, "/health/ready")
    assert (answer.status, len(answer.data["problems"])) == (200, 1)
    await a.again()
    await until(lambda: c.cluster.carrier.standing.primary is not None, within_s=20)
    assert (await asked(c, "/health")).data["problems"] == []


async def test_who_starts_is_ready_once_it_knows_who_leads(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    await b.stop()
    await a.stop()
    await b.again()
    answer = await asked(b, "/health/ready")
    assert (answer.status, answer.data["problems"]) == (503, ["no primary is known yet"])
    await a.again()
    await until(lambda: b.cluster.carrier.standing.primary is not None, within_s=30)
    assert (await asked(b, "/health/ready")).status == 200


async def test_who_starts_with_nobody_there_is_ready_when_that_is_sure(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    await b.stop()
    await a.stop()
    await b.again()
    await says(b, "no primary is known since ")
    assert (await asked(b, "/health/ready")).status == 200


async def test_a_witness_says_it_too(group: Group) -> None:
    a, _b = await ready(group, "a", "b")
    w = group.one("w")
    await w.join(a.url, witness=True)
    await until(lambda: w.cluster.carrier.standing.primary is not None, within_s=20)
    for one in (a, group.one("b")):
        await one.stop()
    await says(w, "no primary is known since ")
    assert not w.corridor.alone.on


async def test_who_only_observes_finds_the_next_primary(group: Group) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    away = group.one("away")
    await away.join(a.url, sync_url="")
    await until(lambda: away.cluster.carrier.standing.primary == "instance-a", within_s=20)
    await until(lambda: len(away.cluster.registry.known) == 4, within_s=20)
    await a.stop()
    new = await until(lambda: group.primary() if group.primary() in (b, c) else None, within_s=30)
    await until(lambda: away.cluster.carrier.standing.primary == f"instance-{new.name}", within_s=20)
    for one in (b, c):
        await one.stop()
    await says(away, "no primary is known since ")
