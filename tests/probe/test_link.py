"""Pull mode over real sockets: a probe calls a server, and is asked over its link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import until
from probe.hub import KEY, WHO, Hub, Registry, a_worker, an_order, hub, listener
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.errors import PeerLost
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.channel import Channel, NotOpened, open_channel
from tocsin.probe import link, pull, session
from tocsin.probe.enrol import Enrolled, Offer
from tocsin.probe.join import Seat
from tocsin.probe.joining import ask_to_join
from tocsin.probe.pull import Pull
from tocsin.probe.wire import Health, Hello, Refused, Welcome, read_to_probe
from tocsin.probe.work import Worker
from tocsin.secret import Secret
from world import Web


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits half a minute for a server that is gone."""
    monkeypatch.setattr(pull, "LONGEST_S", 0.3)
    monkeypatch.setattr(pull, "FIRST_S", 0.05)
    monkeypatch.setattr(session, "TAKEN_S", 0.05)


@asynccontextmanager
async def calling(
    net: Net, worker: Worker, *servers: str, key: str = KEY, clock: SystemClock | None = None
) -> AsyncIterator[Pull]:
    saved: list[Enrolled] = []
    made = Pull(
        net,
        worker,
        clock or SystemClock(),
        Enrolled(probe_id="p1", location="europe", key=key, urls=servers),
        saved.append,
    )
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        await made.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def by_hand(net: Net, server: Hub, key: str = KEY) -> Channel:
    """A link whose probe is the test itself, welcomed."""
    place = urls.parse(server.url + pull.PATH)
    channel = await open_channel(net, place, [("Authorization", f"Bearer {key}")])
    await channel.send(msgspec.json.encode(Hello(Health(version="1"))))
    assert isinstance(read_to_probe(await channel.receive()), Welcome)
    return channel


def linked(server: Hub) -> bool:
    return server.links.linked(WHO) is not None


async def test_a_linked_probe_is_a_location() -> None:
    async with Net() as net, Web() as web, hub() as server, a_worker(net, "") as worker:
        there = server.links.location(WHO)
        with pytest.raises(PeerLost, match="no link"):
            await there(an_order(url=web.url))
        async with calling(net, worker, server.url) as probe:
            await until(lambda: linked(server))
            up, again = await asyncio.gather(there(an_order(url=web.url)), there(an_order(url=web.url)))
            web.status = 500
            down = await there(an_order(url=web.url))
            assert worker.region == "europe"
            await until(lambda: not len(probe.buffer))
            state = server.links.linked(WHO)
            assert state is not None
            assert (state.version, state.address, state.waiting) == (worker.health().version, "127.0.0.1", 0)
        await until(lambda: not linked(server))
        assert server.links.last(WHO) is not None
        assert server.changes == [WHO, WHO]
    assert isinstance(up, Outcome)
    assert (up.status, again.status, up.location, up.seen.status_code) == ("up", "up", "europe", 200)
    assert (down.status, down.seen.body) == ("down", b"hello")


async def test_a_result_that_waited_for_the_link_comes_late_and_once() -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker:
        web.hang = asyncio.Event()
        registry = Registry(keys={KEY: Seat(who=WHO, probe_id="p1")})
        async with hub(registry=registry) as server:
            async with calling(net, worker, server.url) as probe:
                await until(lambda: linked(server))
                asked = asyncio.create_task(server.links.location(WHO)(an_order(url=web.url, monitor="m7")))
                await until(lambda: worker.in_flight == 1)
                await server.stop()  # the server is gone while the check runs
                asked.cancel()
                web.hang.set()
                await until(lambda: len(probe.buffer) == 1)
                async with hub(server.port, registry) as again:
                    again.late_fails = 1  # the first time there is no room for it
                    await until(lambda: again.late_fails == 0)
                    assert len(probe.buffer) == 1
                    await again.links.end(WHO, "once more")
                    await until(lambda: bool(again.late))
                    await until(lambda: not len(probe.buffer))
    (late,) = again.late
    assert (late.who, late.monitor_id, late.attempt) == (WHO, "m7", 0)
    assert (late.outcome.status, late.outcome.location) == ("up", "europe")
    assert late.outcome.started_at >= late.scheduled_at


async def test_an_order_outlives_a_cut_connection() -> None:
    """The probe calls again at once; the check that ran meanwhile is not run twice."""
    async with Net() as net, Web() as web, hub() as server, a_worker(net) as worker:
        web.hang = asyncio.Event()
        async with calling(net, worker, server.url) as probe:
            await until(lambda: linked(server))
            asked = asyncio.create_task(server.links.location(WHO)(an_order(url=web.url)))
            await until(lambda: worker.in_flight == 1)
            first = probe._channel
            assert first is not None
            first.abort()
            await until(lambda: probe._channel not in (None, first) and linked(server))
            web.hang.set()
            assert (await asked).status == "up"
            await until(lambda: not len(probe.buffer))
    assert len(web.calls) == 1
    assert server.late == []


async def test_an_order_that_comes_in_between_two_links_waits_for_the_next() -> None:
    async with Net() as net, Web() as web, hub() as server, a_worker(net) as worker:
        async with calling(net, worker, server.url):
            await until(lambda: linked(server))
            await server.links.end(WHO, "once more")
            await until(lambda: not linked(server))
            assert (await server.links.location(WHO)(an_order(url=web.url))).status == "up"


async def test_the_next_server_is_tried_and_the_one_that_leads_is_followed() -> None:
    gone = listener()
    nobody = f"http://127.0.0.1:{gone.getsockname()[1]}"
    gone.close()
    async with Net() as net, Web() as web, hub() as one, hub() as two, a_worker(net) as worker:
        one.urls = two.urls = [nobody, one.url, two.url]
        async with calling(net, worker, nobody, one.url, two.url) as probe:
            await until(lambda: linked(one))
            await until(lambda: probe.linked_to == one.url)
            one.primary = two.url
            await one.links.moved(two.url)
            await until(lambda: linked(two))
            assert not linked(one)
            two.primary = one.url  # 409 to who calls; then back
            one.primary = None
            await two.links.end(WHO, "restart")
            await until(lambda: linked(one))
            assert (await one.links.location(WHO)(an_order(url=web.url))).status == "up"


class Recorded(SystemClock):
    """The pauses that were asked for; each takes a hundredth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await super().sleep(0.01)


async def test_a_round_over_all_addresses_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "LONGEST_S", 30.0)
    monkeypatch.setattr(pull, "FIRST_S", 1.0)
    gone = [listener() for _ in range(5)]
    servers = tuple(f"http://127.0.0.1:{one.getsockname()[1]}" for one in gone)
    for one in gone:
        one.close()
    clock = Recorded()
    async with Net() as net, a_worker(net) as worker, calling(net, worker, *servers, clock=clock):
        await until(lambda: len(clock.pauses) >= 8)
    for pause, most in zip(clock.pauses, (1, 1, 2, 4, 8, 16, 30, 30), strict=False):
        assert most / 2 <= pause <= most


async def test_two_that_name_each_other_are_not_asked_without_a_pause() -> None:
    clock = Recorded()
    async with Net() as net, hub() as one, hub() as two, a_worker(net) as worker:
        one.primary, two.primary = two.url, one.url
        async with calling(net, worker, one.url, two.url, clock=clock):
            await until(lambda: len(clock.pauses) >= 3)
            assert one.asked + two.asked <= 4 * (len(clock.pauses) + 1)
            one.primary = None
            await until(lambda: linked(one))


async def test_after_a_link_that_held_pauses_are_short_again() -> None:
    """Whoever led says who leads, and is believed at once, whatever failed before."""
    clock = Recorded()
    async with Net() as net, hub() as one, hub() as two, a_worker(net) as worker:
        one.urls = two.urls = [one.url, two.url]
        one.primary = two.primary = ""  # nobody leads
        async with calling(net, worker, one.url, two.url, clock=clock):
            await until(lambda: len(clock.pauses) >= 8)
            one.primary = None
            await until(lambda: linked(one))
            await asyncio.sleep(0.4)  # longer than the longest pause here
            one.primary = ""
            clock.pauses.clear()
            await one.links.moved("")
            await until(lambda: any(pause < 1 for pause in clock.pauses))
            assert next(pause for pause in clock.pauses if pause < 1) <= pull.FIRST_S


async def test_what_a_server_says_of_the_others_is_kept() -> None:
    async with Net() as net, hub() as server, a_worker(net) as worker:
        server.urls = [server.url, "https://other.example"]
        async with calling(net, worker, server.url) as probe:
            await until(lambda: linked(server))
            await until(lambda: probe.enrolled.urls == (server.url, "https://other.example"))


async def test_a_primary_that_nobody_spoke_of_gets_no_key() -> None:
    async with Net() as net, hub() as server, hub() as stranger, a_worker(net) as worker:
        server.primary = stranger.url
        async with calling(net, worker, server.url):
            await asyncio.sleep(0.5)
            assert not linked(stranger)


async def test_servers_between_two_primaries_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with Net() as net, hub() as server, a_worker(net) as worker:
        server.primary = ""
        async with calling(net, worker, server.url):
            await until(lambda: "pull.no_primary_yet" in [record.getMessage() for record in caplog.records])
    (first, *_) = [record for record in caplog.records if record.getMessage() == "pull.no_primary_yet"]
    assert (first.levelname, first.__dict__["fields"]["reason"]) == ("WARNING", "it knows of no primary just now")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_without_the_right_key_there_is_no_link(caplog: pytest.LogCaptureFixture) -> None:
    async with Net() as net, hub() as server:
        for headers in ((), (("Authorization", "Bearer nobody's"),), (("Authorization", f"Basic {KEY}"),)):
            with pytest.raises(NotOpened) as caught:
                await open_channel(net, urls.parse(server.url + pull.PATH), headers)
            assert caught.value.status == 401
        server.primary = "https://other.example"
        with pytest.raises(NotOpened) as elsewhere:
            await open_channel(net, urls.parse(server.url + pull.PATH), [("Authorization", f"Bearer {KEY}")])
        assert elsewhere.value.status == 409
        assert not linked(server)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # a refusal is no failure


async def test_a_new_key_is_handed_over_the_link() -> None:
    async with Net() as net, hub() as server, a_worker(net) as worker:
        assert not await server.links.renew(WHO, Secret("x"))
        async with calling(net, worker, server.url) as probe:
            await until(lambda: linked(server))
            assert await server.links.renew(WHO, Secret("a new key of sixteen or more"))
            assert probe.enrolled.key == "a new key of sixteen or more"
            server.registry.keys = {probe.enrolled.key: server.registry.keys[KEY]}
            await server.links.end(WHO, "the old key is void")
            await until(lambda: not linked(server))
            await until(lambda: linked(server))


async def test_a_second_link_takes_the_place_of_the_first() -> None:
    async with Net() as net, hub() as server:
        first = await by_hand(net, server)
        second = await by_hand(net, server)
        with pytest.raises(PeerLost, match="took its place"):
            await first.receive()
        state = server.links.linked(WHO)
        assert state is not None
        await second.close()
        await until(lambda: not linked(server))


async def test_of_two_processes_with_one_identity_the_first_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RELINK_S", 0.1)
    monkeypatch.setattr(pull, "UNWANTED_S", 0.5)
    async with Net() as net, hub() as server, a_worker(net) as worker:
        told: list[tuple[Any, str]] = []

        async def twice(who: Any, address: str) -> None:
            told.append((who, address))

        server.links.twice = twice
        async with calling(net, worker, server.url) as first:
            await until(lambda: first.linked_to)
            async with calling(net, worker, server.url) as copy:
                await until(lambda: told, within_s=20)
                assert told == [(WHO, "127.0.0.1")]
                await until(lambda: first.linked_to and not copy.linked_to, within_s=10)
                since = server.links.linked(WHO)
                assert since is not None
                await asyncio.sleep(1.5)  # three more tries of the copy
                again = server.links.linked(WHO)
                assert again is not None
                assert again.since == since.since, "its link was left alone"
                assert len(told) == 1
        async with calling(net, worker, server.url) as restarted:
            await until(lambda: restarted.linked_to)  # a new process is no copy


async def test_a_server_that_stops_waits_for_no_probe() -> None:
    async with Net() as net, hub() as server:
        channel = await by_hand(net, server)
        asked = asyncio.create_task(server.links.location(WHO)(an_order(url="http://127.0.0.1:1/", timeout_s=60)))
        assert await job_of(channel)
        server.links.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asked, 10)
        await channel.close()
        late = asyncio.create_task(server.links.location(WHO)(an_order(url="http://127.0.0.1:1/", timeout_s=60)))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(late, 10)


async def job_of(channel: Channel) -> dict[str, Any]:
    return json.loads(await channel.receive())["job"]


async def test_a_probe_that_breaks_its_word_does_no_harm() -> None:
    """Nonsense, an answer with nothing in it, one that lies, one twice: counted, and nobody is held up."""
    async with Net() as net, hub() as server:
        channel = await by_hand(net, server)
        await channel.send(b"nonsense")
        await channel.send(b'{"type":"unheard of"}')
        asked = asyncio.create_task(server.links.location(WHO)(an_order(url="http://127.0.0.1:1/")))
        job = await job_of(channel)
        answer = {"jobId": job["jobId"], "region": "x", "status": "success", "responseTimeMs": 1}
        await channel.send(json.dumps({"type": "result", "answer": answer}).encode())
        with pytest.raises(PeerLost, match="cannot be used"):
            await asked
        assert json.loads(await channel.receive()) == {"type": "taken", "jobIds": [job["jobId"]]}
        seen = {"timing": {"total": -5.0}, "ip": "nowhere", "headers": [["a", "b"]], "body": "A" * 40_000}
        outcome = {
            "type": "tcp", "target": "other", "status": "down", "location": "asia", "started_at": "1990-01-01T00:00:00Z",
            "error": {"type": "timeout", "message": "no\u0000\nanswer" * 1000, "phase": "lunch"}, "seen": seen,
        }  # fmt: skip
        asked = asyncio.create_task(server.links.location(WHO)(an_order(url="http://127.0.0.1:1/")))
        job = await job_of(channel)
        result = {"type": "result", "answer": answer | {"jobId": job["jobId"], "outcome": outcome, "tookMs": 1000}}
        for _ in range(2):
            await channel.send(json.dumps(result).encode())
        told = await asked
        await until(lambda: server.late == [])
        await channel.close()
    now = SystemClock().now()
    assert (told.type, told.target, told.location) == ("http", "http://127.0.0.1:1/", "europe")
    assert 0.5 < (now - told.started_at).total_seconds() < 30
    assert told.error is not None
    assert told.error.phase is None
    assert told.error.message.isprintable()
    assert len(told.error.message) <= 2001
    assert (told.seen.timing.total, told.seen.ip, len(told.seen.body)) == (0.0, None, 4096)


async def test_a_refused_order_is_no_evidence() -> None:
    async with Net() as net, hub() as server:
        channel = await by_hand(net, server)
        outcomes: list[Any] = []
        for kind in ("busy", "order"):
            asked = asyncio.create_task(server.links.location(WHO)(an_order(url="http://127.0.0.1:1/")))
            job = await job_of(channel)
            await channel.send(msgspec.json.encode(Refused(job["jobId"], kind, "monitorType: never heard of")))
            outcomes += await asyncio.gather(asked, return_exceptions=True)
        await channel.close()
    assert isinstance(outcomes[0], PeerLost)
    assert outcomes[1].status == "invalid"


async def test_a_silent_probe_is_not_waited_for_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GRACE_S", 0.1)
    async with Net() as net, hub() as server:
        channel = await by_hand(net, server)
        with pytest.raises(PeerLost, match="in time"):
            await server.links.location(WHO)(an_order(timeout_s=0.2, url="http://127.0.0.1:1/"))
        state = server.links.linked(WHO)
        assert state is not None
        assert state.waiting == 0
        await channel.close()


async def test_who_says_no_hello_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HELLO_S", 0.2)
    async with Net() as net, hub() as server:
        channel = await open_channel(net, urls.parse(server.url + pull.PATH), [("Authorization", f"Bearer {KEY}")])
        with pytest.raises(PeerLost, match="hello"):
            await channel.receive()
        assert not linked(server)


async def test_who_falls_silent_is_unlinked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENT_S", 0.3)
    async with Net() as net, hub() as server:
        channel = await by_hand(net, server)
        await until(lambda: not linked(server))
        channel.abort()


async def test_the_certificate_is_looked_at_before_the_key_leaves(tmp_path: Path) -> None:
    cert, key = own_certificate(tmp_path, SystemClock().now())
    async with Net() as net, hub(tls=server_context(cert, key)) as server:
        place = urls.parse(f"https://127.0.0.1:{server.port}{pull.PATH}")
        header = [("Authorization", f"Bearer {KEY}")]
        with pytest.raises(PeerLost, match="another certificate"):
            await open_channel(net, place, header, pin="0" * 64)
        with pytest.raises(PeerLost, match="cannot be reached"):
            await open_channel(net, place, header)
        assert server.asked == 0
        channel = await open_channel(net, place, header, pin=fingerprint_of(cert))
        assert server.asked == 1
        await channel.close()


async def test_joining_follows_the_server_that_leads() -> None:
    async with Net() as net, hub() as one, hub(registry=Registry(tokens={"t": "asia"})) as two:
        one.primary = two.url
        enrolled = await ask_to_join(net, one.url, Offer(token="t", name="here"))
        assert (enrolled.location, enrolled.urls) == ("asia", (two.url,))
        one.primary = None
        with pytest.raises(PeerLost, match="no such token"):
            await ask_to_join(net, one.url, Offer(token="t", name="here"))
        with pytest.raises(PeerLost, match="used before"):
            await ask_to_join(net, two.url, Offer(token="t", name="here"))


async def test_a_fault_of_ours_does_not_end_the_calling(caplog: pytest.LogCaptureFixture) -> None:
    async with Net() as net, hub() as server, a_worker(net) as worker:
        async with calling(net, worker, "no url at all", server.url):
            await until(lambda: linked(server))
    assert "pull.failed" in caplog.text
