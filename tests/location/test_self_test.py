"""A location that is ill itself holds nothing against its targets: with real checks of real and of dead anchors."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

import hostile
from builders import until
from hostile import Talk, serving
from tocsin import checks
from tocsin.checks import Order
from tocsin.clock import SystemClock
from tocsin.core.result import CheckError, Observation, Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.location import self_test
from tocsin.location.self_test import SelfTest, read_anchors
from tocsin.net import Net

CLOCK = SystemClock()
TARGET = read(checks.kind("tcp").target, {"host": "192.0.2.1", "port": 9})


class Looked:
    """Real checks of anchors; the target's own checks fail as the test says. `asked`: what was run."""

    def __init__(self, net: Net, error: CheckError, ip: str | None = "192.0.2.1") -> None:
        self.net, self.error, self.ip = net, error, ip
        self.asked: list[str] = []

    async def __call__(self, order: Order) -> Outcome:
        if order.target is not TARGET:
            self.asked.append(order.type)
            return await checks.run(order, self.net, CLOCK)
        return Outcome(
            type="tcp", target="x", status="down", error=self.error, started_at=CLOCK.now(), location="local",
            seen=Observation(ip=self.ip),
        )  # fmt: skip


async def judged(run: Looked, anchors: str) -> Outcome:
    return await SelfTest(run, read_anchors(anchors), CLOCK)(Order("tcp", TARGET))


async def test_a_failure_counts_while_one_anchor_answers() -> None:
    async with serving(hostile.good) as anchor, Net() as net:
        run = Looked(net, CheckError("timeout", "no answer"))
        gone = f"tcp://127.0.0.1:{hostile.refused_port()}"
        outcome = await judged(run, f"{anchor.url()}, {gone}")
    assert outcome.status == "down"
    assert sorted(run.asked) == ["dns", "http", "tcp"]


async def test_a_failure_does_not_count_while_no_anchor_answers() -> None:
    async with Net() as net:
        run = Looked(net, CheckError("timeout", "no answer", "connect"))
        dead = ", ".join(f"tcp://127.0.0.1:{hostile.refused_port()}" for _ in range(2))
        tested = SelfTest(run, read_anchors(dead), CLOCK)
        outcomes = await asyncio.gather(*(tested(Order("tcp", TARGET)) for _ in range(20)))
        assert run.asked.count("tcp") == 2  # one look for all that fail together
        assert {o.status for o in outcomes} == {"invalid"}
        assert "none of its 2 anchors" in str(outcomes[0].error)
        assert tested.trouble is not None
        run.error = CheckError("assertion", "it answered, only wrongly")
        assert (await tested(Order("tcp", TARGET))).status == "down"
        run.error, run.ip = CheckError("timeout", "silence"), "127.0.0.1"
        assert (await tested(Order("tcp", TARGET))).status == "down"


async def test_trouble_that_is_over_is_forgotten(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "KEEP_S", 0.0)
    monkeypatch.setattr(self_test, "_ROUTES", (tmp_path / "none", tmp_path / "neither"))
    async with serving(hostile.good) as anchor, Net() as net:
        down = True

        async def run(order: Order) -> Outcome:
            if order.type == "dns":
                return up
            if down:
                return await checks.run(Order("tcp", gone.target), net, CLOCK)
            return await checks.run(order, net, CLOCK)

        (gone,) = read_anchors(f"tcp://127.0.0.1:{hostile.refused_port()}")
        (there,) = read_anchors(anchor.url())
        up = await checks.run(there, net, CLOCK)
        looked = Looked(net, CheckError("timeout", "no answer"))

        async def both(order: Order) -> Outcome:
            return await (looked(order) if order.target is TARGET and down else run(order))

        tested = SelfTest(both, [there], CLOCK)
        assert (await tested(Order("tcp", TARGET))).status == "invalid"
        assert tested.trouble is not None
        down = False
        await tested(there)
        await until(lambda: tested.trouble is None)


async def test_nothing_is_asked_while_all_is_well() -> None:
    async with Net() as net, serving(hostile.good) as site:
        asked: list[str] = []

        async def run(order: Order) -> Outcome:
            asked.append(order.type)
            return await checks.run(order, net, CLOCK)

        target = read(checks.kind("http").target, {"url": site.url()})
        outcome = await SelfTest(run, read_anchors("ping://127.0.0.1"), CLOCK)(Order("http", target))
    assert (outcome.status, asked) == ("up", ["http"])


async def test_a_dead_resolver_makes_unknown_names_invalid(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tocsin.checks import dns

    conf = tmp_path / "resolv.conf"
    monkeypatch.setattr(dns, "_RESOLV_CONF", conf)
    conf.write_text("nameserver 127.0.0.1\n")  # nobody listens on port 53 here
    async with Net() as net:
        run = Looked(net, CheckError("dns", "shop.example: no such name", "dns"), None)
        outcome = await judged(run, "")
        assert outcome.status == "invalid"
        assert "resolver does not work" in str(outcome.error)
        run.error = CheckError("timeout", "no answer")
        assert (await judged(run, "")).status == "down"  # without anchors only names and routes are doubted


async def test_a_date_that_is_none_says_nothing_of_the_clock() -> None:
    async def far(talk: Talk) -> None:
        await talk.answer("404 No", b"", "Date: Mon, 01 Jan 99999999999999999999 00:00:00 GMT")

    async with serving(far) as anchor, Net() as net:
        outcome = await judged(Looked(net, CheckError("tls", "certificate expired 3 days ago", "tls")), anchor.url())
    assert outcome.status == "down"


async def test_a_clock_that_is_off_makes_certificates_look_wrong() -> None:
    async def old(talk: Talk) -> None:
        await talk.answer("404 No", b"", "Date: Mon, 01 Jan 2024 00:00:00 GMT")

    async with serving(old) as anchor, Net() as net:
        outcome = await judged(Looked(net, CheckError("tls", "certificate expired 3 days ago", "tls")), anchor.url())
    assert outcome.status == "invalid"
    assert "clock is" in str(outcome.error)


def test_a_machine_without_routes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    four, six = tmp_path / "route", tmp_path / "ipv6_route"
    monkeypatch.setattr(self_test, "_ROUTES", (four, six))
    assert self_test._route_trouble() is None
    four.write_text("Iface\tDestination\nlo\t0000007F\n")
    six.write_text("0" * 32 + " 80 " + "0" * 32 + " lo\n")
    assert "no route" in (self_test._route_trouble() or "")
    four.write_text("Iface\tDestination\neth0\t00000000\n")
    assert self_test._route_trouble() is None


@pytest.mark.parametrize("text", ["ftp://x", "tcp://a", "just-a-name", "https://", "ping://", "tcp://a:b"])
def test_anchors_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        read_anchors(f"tcp://192.0.2.1:443, {text}")


def test_kinds_of_anchors() -> None:
    found = read_anchors("https://a.test/x, tcp://a:1,ping://a , dns://192.0.2.53/a.test,dns://192.0.2.53")
    assert [o.type for o in found] == ["http", "tcp", "ping", "dns", "dns"]
    assert [found[3].target.name, found[4].target.name] == ["a.test", "."]
    assert partial(read_anchors, "")() == []
