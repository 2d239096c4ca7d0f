"""The door of a cluster: what is refused, in which words, and that nothing is half registered. All over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from builders import until
from instances import SECRET, Group, One, registration
from tocsin.cluster import proof, wire
from tocsin.cluster.joining import NotTaken
from tocsin.cluster.peers import BOOT, EPOCH
from tocsin.cluster.registry import MAY
from tocsin.cluster.wire import Hello, Registration, Said, Welcome
from tocsin.core.control_log import Position
from tocsin.core.peer import PreVote
from tocsin.net import url as urls
from tocsin.net.certificate import own_certificate, server_context
from tocsin.net.kept import Kept, OtherCertificate, Reply
from tocsin.secret import Secret
from tocsin.telemetry import REGISTRY


class Stranger:
    """Somebody at the sync API of an instance, who says whatever they like."""

    def __init__(self, at: One) -> None:
        self.at = at
        self._kept = Kept(at.net, urls.parse(at.url), pin=at.fingerprint)

    async def ask(
        self, method: str, path: str, body: Any = b"", token: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> Reply:
        data = body if isinstance(body, bytes) else wire.write(body)
        bearer = (("Authorization", f"Bearer {token}"),) if token else ()
        return await self._kept.ask(method, path, (*bearer, *headers), data, timeout_s=10)

    async def hello(self, version: int = wire.WIRE) -> Reply:
        return await self.ask("POST", "/sync/api/hello", Hello(nonce="abcdefgh", wire=version))

    async def registration(self, secret: Secret = SECRET, **more: Any) -> Registration:
        """A whole registration of instance `x`, rightly proved with this secret; `more` changes it before."""
        welcome = wire.read(Welcome, (await self.hello()).body)
        me = registration(self.at.me(id="instance-x", name="x", location="x", sync_url="", incarnation="disk-of-x"))
        asked = Registration(**(me | {"nonce": welcome.nonce, "proof": "0" * 64} | more))
        if "proof" in more:
            return asked
        return msgspec.structs.replace(asked, proof=proof.of_joiner(secret, asked))

    def close(self) -> None:
        self._kept.close()


def said(reply: Reply) -> dict[str, Any]:
    return msgspec.json.decode(reply.body)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("tocsin_cluster_registrations_total", {"outcome": outcome}) or 0.0


async def known(one: One) -> list[str]:
    return sorted(i.name for i in await one.store.everything().read(lambda s: s.instances.all()))


async def notices(one: One) -> list[str]:
    return [n.text for n in await one.store.of("ws").read(lambda s: s.notices.list())]


async def noticed(one: One, words: str) -> str:
    for _ in range(500):
        if found := [text for text in await notices(one) if words in text]:
            return found[0]
        await asyncio.sleep(0.01)
    raise AssertionError(f"no notice with {words!r}: {await notices(one)}")


def bearer(one: One, instance: str, **more: Any) -> str:
    """A token signed with the cluster's key."""
    key = one.cluster.registry._key
    return proof.token(more.pop("key", key), instance, MAY, one.clock.now() - timedelta(seconds=more.pop("ago_s", 0)))[
        0
    ]


async def test_the_joiner_sees_a_wrong_secret_before_it_says_anything(group: Group) -> None:
    (a,) = await group.gather("a")
    before = counted("secret"), counted("taken_in")
    with pytest.raises(NotTaken, match="found another one there"):
        await group.one("b").join(a.url, Secret("another secret altogether"))
    assert (counted("secret"), counted("taken_in")) == before  # it went before it registered
    assert await known(a) == ["a"]


async def test_who_does_not_know_the_secret_is_refused_and_told_of(group: Group) -> None:
    (a,) = await group.gather("a")
    x, before = Stranger(a), counted("secret")
    reply = await x.ask("POST", "/sync/api/register", await x.registration(Secret("guessed")))
    assert (reply.status, counted("secret") - before) == (403, 1)
    assert "found another one" in said(reply)["detail"]
    assert await known(a) == ["a"]
    text = await noticed(a, "wanted to register")
    assert "127.0.0.1" in text
    assert "'x'" in text
    x.close()


async def test_a_registration_cannot_be_said_twice_nor_changed(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    asked = await x.registration()
    assert (await x.ask("POST", "/sync/api/register", asked)).status == 200
    again = await x.ask("POST", "/sync/api/register", asked)
    assert again.status == 403
    assert "a minute ago at most" in said(again)["detail"]
    changed = msgspec.structs.replace(await x.registration(), publicEndpoint="https://evil.example")
    assert (await x.ask("POST", "/sync/api/register", changed)).status == 403
    (found,) = [i for i in await a.store.everything().read(lambda s: s.instances.all()) if i.name == "x"]
    assert found.sync_url == ""
    x.close()


async def test_tokens_that_are_over_foreign_or_nonsense(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    message = Said(
        sender="instance-b", message=PreVote(epoch=99, stamp=0.0, last=Position(99, 99), incarnation="disk-of-b")
    )
    over, foreign = bearer(a, "instance-b", ago_s=wire.TOKEN_S + 1), bearer(a, "instance-b", key=b"x" * 32)
    for token, words in (
        ("", "found none"), (over, "is over"), (foreign, "found another one"), ("a.b.c", "found another one"),
        ("e30.e30.", "found another one"), ("x" * 5000, "larger"),
    ):  # fmt: skip
        reply = await x.ask("POST", "/sync/api/message", message, token)
        assert (reply.status, words in said(reply)["detail"]) == (401, True), (token[:20], reply.body)
    unknown = await x.ask("GET", "/sync/api/instances", token=bearer(a, "instance-b"))
    assert unknown.status == 401  # rightly signed, yet never given out
    assert "taken back" in said(unknown)["detail"]
    x.close()


async def test_after_many_wrong_tokens_the_caller_waits_and_admins_know(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    for _ in range(31):
        reply = await x.ask("GET", "/sync/api/instances", token="wrong")
    assert reply.status == 429
    await noticed(a, "keeps asking")
    x.close()


async def test_nobody_speaks_for_another(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    message = Said(
        sender="instance-c", message=PreVote(epoch=99, stamp=0.0, last=Position(99, 99), incarnation="disk-of-c")
    )
    reply = await x.ask("POST", "/sync/api/message", message, bearer(a, "instance-b"))
    assert (reply.status, "found one of instance-c" in said(reply)["detail"]) == (403, True)
    beat = {"instanceId": "instance-c", "timestamp": "now", "status": "healthy", "uptime": 1}
    reply = await x.ask("PUT", "/sync/api/heartbeat", beat, bearer(a, "instance-b"))
    assert (reply.status, "found one of instance-c" in said(reply)["detail"]) == (403, True)
    assert a.cluster.carrier.node.epoch < 99
    x.close()


async def test_an_epoch_that_is_over_is_refused_with_where_the_primary_is(group: Group) -> None:
    a, b = await group.gather("a", "b")
    x = Stranger(b)
    await until(lambda: b.cluster.carrier.standing.primary == "instance-a")
    beat = {"instanceId": "instance-c", "timestamp": "now", "status": "healthy", "uptime": 1}
    for epoch, status in (("0", 409), ("99", 409), ("\xb2", 409), ("9" * 5000, 409)):
        reply = await x.ask("PUT", "/sync/api/heartbeat", beat, bearer(b, "instance-c"), headers=((EPOCH, epoch),))
        assert reply.status == status, reply.body
        assert said(reply)["primary"] == a.url
        assert said(reply)["epoch"] == b.cluster.carrier.node.epoch
        assert said(reply)["urls"][0] == a.url
        assert ("epoch 0 is over" in said(reply)["detail"]) == (epoch == "0")
    x.close()


@pytest.mark.parametrize(("version", "status"), [(-1, 200), (0, 200), (1, 200), (-2, 409), (2, 409)])
async def test_versions_that_differ_by_one_understand_each_other(group: Group, version: int, status: int) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    reply = await x.hello(wire.WIRE + version)
    assert reply.status == status
    if status == 409:
        assert f"expected version {wire.WIRE} of the sync API" in said(reply)["detail"]
        assert f"found {wire.WIRE + version}" in said(reply)["detail"]
    asked = await x.registration(wire=wire.WIRE + version)
    assert (await x.ask("POST", "/sync/api/register", asked)).status == status
    assert await known(a) == (["a", "x"] if status == 200 else ["a"])
    question = PreVote(epoch=1, stamp=0.0, last=Position(0, 0), incarnation="disk-of-x")
    message = Said(sender="instance-x", message=question, wire=wire.WIRE + version)
    assert (await x.ask("POST", "/sync/api/message", message, bearer(a, "instance-x"))).status == status
    x.close()


async def test_bodies_that_are_cut_off_nonsense_or_too_large(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    whole = wire.write(await x.registration())
    for body, status in (
        (whole[:-20], 400), (b"", 400), (b"[" * 20_000, 400), (b"\xff\xfe", 400), (b'{"instanceId": 5}', 400),
        (b"{" + b" " * 70_000 + b"}", 413),
    ):  # fmt: skip
        assert (await x.ask("POST", "/sync/api/register", body)).status == status, body[:20]
    reply = await x.ask("POST", "/sync/api/message", b"{}", bearer(a, "instance-b"))
    assert reply.status == 400
    assert "sender" in said(reply)["errors"][0]["found"]
    assert await known(a) == ["a"]
    x.close()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"instanceName": "b"}, "name: expected one that no other instance has, found 'b'"),
        ({"location": "b"}, "location: expected one that no other instance has, found 'b'"),
        ({"location": "a"}, "which is the primary's"),
        ({"location": "local"}, "expected the name of this server's place (TOCSIN_LOCATION), found 'local'"),
    ],
)
async def test_a_name_or_location_that_exists(group: Group, more: dict[str, str], words: str) -> None:
    a, _b = await group.gather("a", "b")
    x, before = Stranger(a), counted("taken")
    reply = await x.ask("POST", "/sync/api/register", await x.registration(**more))
    assert (reply.status, counted("taken") - before) == (409, 1)
    assert words in said(reply)["detail"]
    assert await known(a) == ["a", "b"]
    tokens = await a.store.everything().read(lambda s: s.rows("SELECT instance_id FROM instance_tokens"))
    assert {row[0] for row in tokens} == {"instance-b"}
    x.close()


async def test_a_copy_of_the_primary_is_not_taken_in(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    reply = await x.ask("POST", "/sync/api/register", await x.registration(instanceId="instance-a"))
    assert reply.status == 403
    assert "its data folder is a copy" in said(reply)["detail"]
    await noticed(a, "its data folder is a copy")
    x.close()


async def test_a_second_process_with_the_same_identity_is_found_out(group: Group) -> None:
    """Its data folder was copied, and both run: the one that was there first is listened to."""
    a, b = await group.gather("a", "b")
    await until(lambda: "instance-b" in a.cluster.heard)
    x = Stranger(a)
    beat = {"instanceId": "instance-b", "timestamp": "now", "status": "healthy", "uptime": 1}

    async def twin() -> Reply:
        return await x.ask("PUT", "/sync/api/heartbeat", beat, bearer(a, "instance-b"), headers=((BOOT, "another"),))

    assert (await twin()).status == 200  # it may be a restart
    for _ in range(300):
        reply = await twin()
        if reply.status == 403:
            break
        await asyncio.sleep(0.02)
    assert "runs twice" in said(reply)["detail"]
    assert "give it a data folder of its own" in await noticed(a, "runs twice")
    await until(lambda: b.cluster.sync_errors == 0)
    x.close()


async def test_what_speaks_as_the_primary_itself_is_a_copy(group: Group) -> None:
    (a,) = await group.gather("a")
    x = Stranger(a)
    message = Said(
        sender="instance-a", message=PreVote(epoch=99, stamp=0.0, last=Position(99, 99), incarnation="disk-of-a")
    )
    reply = await x.ask("POST", "/sync/api/message", message, bearer(a, "instance-a"), headers=((BOOT, "another"),))
    assert reply.status == 403
    await noticed(a, "runs twice")
    assert a.cluster.carrier.standing.leads
    x.close()


async def test_without_tls_only_this_machine_itself_may_speak(group: Group) -> None:
    from tocsin.cluster.api import Api
    from tocsin.cluster.routes import ROUTES

    (a,) = await group.gather("a")
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403), ("", 403)):
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http", "method": "GET", "path": "/health", "scheme": "http", "headers": [], "client": (address, 1)
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(event: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(event)

        await Api(a.cluster, ROUTES)(scope, receive, send)
        assert sent[0]["status"] == status, address


async def test_an_instance_that_shows_another_certificate_is_not_spoken_to(group: Group) -> None:
    a, b = await group.gather("a", "b")
    await b.stop()
    (b.folder / "elsewhere").mkdir()
    context = server_context(*own_certificate(b.folder / "elsewhere", b.clock.now()))
    heard: list[bytes] = []

    async def imposter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(imposter, sock=socket.create_server(("127.0.0.1", b.port)), ssl=context)
    text = await noticed(a, "shows another certificate")
    assert "Instance b is not spoken to" in text
    with pytest.raises(OtherCertificate):
        await a.cluster.peers.ask("instance-b", "GET", "/health")
    assert not any(heard)  # no token was said to it
    server.close()
