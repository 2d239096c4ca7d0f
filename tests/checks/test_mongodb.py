"""mongodb: a small server written from MongoDB's documents (OP_MSG, hello, the authentication specification) and RFC
5802, since a real one was not to be had; MongoDB's own driver vouches for it. And servers that answer something else."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

import bson
import pytest

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from hostile.sound import mongo as framed
from tocsin.checks.mongodb import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid

PASSWORD = "s3cret wörd"
PRIMARY = {
    "isWritablePrimary": True,
    "secondary": False,
    "setName": "rs0",
    "primary": "a.example:27017",
    "hosts": ["a.example:27017"],
}


@dataclass
class Mongo:
    """A server that knows hello, sign-in, ping and buildInfo; for the rest it says that there is no such command."""

    told: dict[str, Any] = field(default_factory=lambda: dict(PRIMARY))
    ways: tuple[str, ...] = ("SCRAM-SHA-256", "SCRAM-SHA-1")
    short: bool = True
    knows_hello: bool = True
    liar: bool = False
    asked: list[str] = field(default_factory=list)

    async def __call__(self, talk: Talk) -> None:
        self.signed_in, self.conversation = False, Conversation(self)
        while head := await talk.reader.read(16):
            size, number, _, code = struct.unpack("<iiii", head)
            assert code == 2013
            body = await talk.reader.readexactly(size - 16)
            assert body[:5] == bytes(5)
            answer = self.answer(bson.decode(body[5:]))
            await talk.send(framed(bson.encode(answer), number))

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(words))
        self.asked.append(name)
        if name in ("hello" if self.knows_hello else "isMaster", "ismaster"):
            about = {
                "helloOk": True,
                "maxWireVersion": 21,
                "minWireVersion": 0,
                "maxBsonObjectSize": 1 << 24,
            } | self.told
            if self.ways and words.get("saslSupportedMechs") == "admin.alice":
                about["saslSupportedMechs"] = list(self.ways)
            return about | {"ok": 1.0}
        if name == "saslStart" and words["$db"] == "admin":
            return self.conversation.first(words)
        if name == "saslContinue":
            return self.conversation.next(words)
        if name == "ping":
            return {"ok": 1.0}
        if name == "buildInfo" and self.signed_in:
            return {"version": "7.0.99-of-a-test", "ok": 1.0}
        if name == "endSessions":
            return {"ok": 1.0}
        if name == "buildInfo":
            return error(13, "Unauthorized", "command buildInfo requires authentication")
        return error(59, "CommandNotFound", f"no such command: '{name}'")


class Conversation:
    """The server's side of SCRAM."""

    def __init__(self, server: Mongo) -> None:
        self.server, self.step = server, 0

    def first(self, words: dict[str, Any]) -> dict[str, Any]:
        if words["mechanism"] not in (self.server.ways or ("SCRAM-SHA-1",)):
            return error(334, "MechanismUnavailable", "no such mechanism for this user")
        self.hash = "sha256" if words["mechanism"] == "SCRAM-SHA-256" else "sha1"
        self.bare = bytes(words["payload"]).decode().removeprefix("n,,")
        nonce = self.bare.partition(",r=")[2] + "theirs"
        self.told = f"r={nonce},s={base64.b64encode(b'some salt of ours').decode()},i=4096"
        self.short = self.server.short and words.get("options") == {"skipEmptyExchange": True}
        return self.say(self.told)

    def next(self, words: dict[str, Any]) -> dict[str, Any]:
        self.step += 1
        if self.step > 1:
            return self.say("", done=True)
        message = bytes(words["payload"]).decode()
        without, _, proof = message.partition(",p=")
        secret = PASSWORD if self.hash == "sha256" else hashlib.md5(f"alice:mongo:{PASSWORD}".encode()).hexdigest()
        salted = hashlib.pbkdf2_hmac(self.hash, secret.encode(), b"some salt of ours", 4096)
        key, server_key = hmac.digest(salted, b"Client Key", self.hash), hmac.digest(salted, b"Server Key", self.hash)
        signed = f"{self.bare},{self.told},{without}".encode()
        mask = hmac.digest(hashlib.new(self.hash, key).digest(), signed, self.hash)
        given = bytes(a ^ b for a, b in zip(base64.b64decode(proof), mask, strict=True))
        if (given != key or not self.bare.startswith("n=alice,")) and not self.server.liar:
            return error(18, "AuthenticationFailed", "Authentication failed.")
        self.server.signed_in = True
        signature = bytes(32) if self.server.liar else hmac.digest(server_key, signed, self.hash)
        return self.say("v=" + base64.b64encode(signature).decode(), done=self.short)

    def say(self, text: str, done: bool = False) -> dict[str, Any]:
        return {"conversationId": 1, "done": done, "payload": text.encode(), "ok": 1.0}


def error(code: int, name: str, message: str) -> dict[str, Any]:
    return {"ok": 0.0, "errmsg": message, "code": code, "codeName": name}


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


ALICE = {"user": "alice", "password": PASSWORD}


async def test_the_written_server_is_one_to_mongodbs_own_driver() -> None:
    def drive(port: int, password: str) -> str:
        from pymongo import MongoClient
        from pymongo.server_api import ServerApi

        with MongoClient(
            "127.0.0.1", port, username="alice", password=password, directConnection=True, server_api=ServerApi("1"),
            serverSelectionTimeoutMS=3000, timeoutMS=4000,
        ) as client:  # fmt: skip
            return client.admin.command("buildInfo")["version"]

    from pymongo.errors import OperationFailure

    for ways in (("SCRAM-SHA-256",), ("SCRAM-SHA-1",)):
        async with serving(Mongo(ways=ways), read=False) as server:
            assert await asyncio.to_thread(drive, server.port, PASSWORD) == "7.0.99-of-a-test"
            with pytest.raises(OperationFailure, match="Authentication failed"):
                await asyncio.to_thread(drive, server.port, "hunter2")


async def test_a_server_is_up_without_signing_in() -> None:
    mongo = Mongo()
    async with serving(mongo, read=False) as server:
        outcome = await look("mongodb", **at(server.port, role="primary"))
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts == {"role": "primary", "replica_set": "rs0", "primary": "a.example:27017"}
    assert outcome.seen.timing.ttfb is not None
    assert mongo.asked == ["hello", "ping", "buildInfo"]


@pytest.mark.parametrize("ways", [("SCRAM-SHA-256", "SCRAM-SHA-1"), ("SCRAM-SHA-1",), ()])
@pytest.mark.parametrize("short", [True, False])
async def test_signing_in(ways: tuple[str, ...], short: bool) -> None:
    async with serving(Mongo(ways=ways, short=short), read=False) as server:
        outcome = await look("mongodb", **at(server.port, **ALICE))
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.facts["server_version"] == "7.0.99-of-a-test"
        assert PASSWORD not in str(outcome)
        wrong = await look("mongodb", **at(server.port, user="alice", password="hunter2"))
        assert why(wrong) == ("down", "protocol", "ttfb")
        assert "did not let the user in: AuthenticationFailed: Authentication failed." in str(wrong.error)
        assert "hunter2" not in str(wrong)
        elsewhere = await look("mongodb", **at(server.port, **ALICE, auth_source="shop"))
        assert "did not let the user in: CommandNotFound" in str(elsewhere.error)


async def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    async with serving(Mongo(liar=True), read=False) as server:
        outcome = await look("mongodb", **at(server.port, **ALICE))
    assert why(outcome)[:2] == ("down", "protocol")
    assert "did not prove that it knows the password" in str(outcome.error)


@pytest.mark.parametrize(
    ("told", "role"),
    [
        (PRIMARY, "primary"), ({"ismaster": True, "setName": "rs0"}, "primary"), ({"isWritablePrimary": False, "secondary": True, "setName": "rs0"}, "secondary"),
        ({"arbiterOnly": True, "setName": "rs0"}, "arbiter"), ({"msg": "isdbgrid", "isWritablePrimary": True}, "mongos"), ({"isWritablePrimary": True}, "standalone"),
        ({"setName": "rs0"}, "none (starting, recovering or removed)"), ({"isreplicaset": True}, "none (starting, recovering or removed)"),
    ],
)  # fmt: skip
async def test_roles(told: dict[str, Any], role: str) -> None:
    async with serving(Mongo(told=dict(told), knows_hello=False), read=False) as server:
        outcome = await look("mongodb", **at(server.port))
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.facts["role"] == role
        other = await look("mongodb", **at(server.port, role="standalone" if role != "standalone" else "primary"))
    assert why(other)[:2] == ("down", "assertion")
    assert f"found {role}" in str(other.error)
    assert other.seen.facts["role"] == role


async def test_tls() -> None:
    context = issue("127.0.0.1", by=authority()).context()
    async with serving(Mongo(), read=False, tls=context) as server:
        outcome = await look("mongodb", **at(server.port, **ALICE, tls=True, ca_file=authority().pem))
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.tls is not None
        assert outcome.seen.tls.verified
        assert why(await look("mongodb", **at(server.port, tls=True))) == ("down", "tls", "tls")


def nested(levels: int) -> bytes:
    """A document in a document in a document …"""
    sizes = range(13 + 8 * levels, 12, -8)
    return b"".join(struct.pack("<i", size) + b"\x03a\0" for size in sizes) + b"\5\0\0\0\0" + b"\0" * len(sizes)


def deep(levels: int) -> bytes:
    document: Any = 1
    for _ in range(levels):
        document = {"a": document}
    return bson.encode({"errmsg": document, "codeName": document, "ok": 0})


OK = bson.encode({"ok": 1})


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([b""], "ended"), ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "expected a message of MongoDB, found 'HTTP/1.1 400 Bad'"),
        ([struct.pack("<iiii", 1 << 30, 1, 1, 2013)], "a message of MongoDB"), ([struct.pack("<iiii", -5, 1, 1, 2013)], "a message of MongoDB"),
        ([struct.pack("<iiii", 20, 1, 1, 2013)], "a message of MongoDB"), ([framed(OK, code=1)], "a message of MongoDB"), ([framed(OK, answers=9)], "one to another"),
        ([framed(OK, flags=2)], "one document"), ([framed(OK)[:20] + b"\1" + framed(OK)[21:]], "one document"), ([framed(OK)[:-3]], "ended"),
        ([framed(b"\xff\xff\xff\x7f" + OK[4:])], "a BSON document"), ([framed(nested(20_000))], "a BSON document"), ([framed(OK + b"more")], "a BSON document"),
        ([framed(bson.encode({}))], "expected ok to hello, found an error without words"), ([framed(deep(400))], "an error without words"),
        ([framed(bson.encode(error(1, "InternalError", "no \x1b[31m" + "x" * 500)))], "InternalError: no \\u001b[31mxxx"),
        ([framed(OK, flags=1, after=b"csum"), framed(bson.encode(error(91, "ShutdownInProgress", "bye")), 2)], "expected ok to ping, found ShutdownInProgress: bye"),
    ],
)  # fmt: skip
async def test_servers_that_answer_something_else(said: list[bytes], says: str) -> None:
    async def script(talk: Talk) -> None:
        for answer in said:
            await talk.reader.read(1000)
            await talk.send(answer)
        talk.writer.write_eof()
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("mongodb", **at(server.port))
    assert why(outcome)[:2] == ("down", "protocol")
    assert outcome.error is not None
    assert says in outcome.error.message


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{"payload": "text"}], "bytes of SCRAM, found str"), ([{}], "bytes of SCRAM, found NoneType"), ([{"payload": b"r=x,s=AAAA,i=1"}], "continues ours"),
        ([{"payload": b"\xff\xfe"}], "a SCRAM message"),
    ],
)  # fmt: skip
async def test_sign_ins_that_go_astray(answers: list[dict[str, Any]], says: str) -> None:
    async def script(talk: Talk) -> None:
        for number, answer in enumerate([{}, *answers], 1):
            await talk.reader.read(1000)
            await talk.send(framed(bson.encode(answer | {"ok": 1}), number))
        await talk.hang()

    async with serving(script, read=False) as server:
        outcome = await look("mongodb", **at(server.port, user="alice", password="canary"))
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)
    assert "canary" not in str(outcome)


class Endless(Conversation):
    """It is never done, or forgets the number of its conversation."""

    forgets = False

    def next(self, words: dict[str, Any]) -> dict[str, Any]:
        return super().next(words) | {"done": False}

    def say(self, text: str, done: bool = False) -> dict[str, Any]:
        return super().say(text, done) | ({"conversationId": "one"} if self.forgets else {})


@pytest.mark.parametrize(
    ("forgets", "says"), [(False, "the end of the sign-in"), (True, "the number of a conversation")]
)
async def test_sign_ins_without_an_end(forgets: bool, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endless, "forgets", forgets)
    monkeypatch.setattr(sys.modules[__name__], "Conversation", Endless)
    async with serving(Mongo(short=False), read=False) as server:
        outcome = await look("mongodb", **at(server.port, **ALICE))
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)


async def test_without_the_library_nothing_can_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bson", None)
    async with serving(Mongo(), read=False) as server:
        outcome = await look("mongodb", **at(server.port))
    assert why(outcome)[:2] == ("invalid", "unknown")
    assert "pip install 'tocsin[mongodb]'" in str(outcome.error)


async def test_nobody_and_silence() -> None:
    assert why(await look("mongodb", **at(hostile.refused_port())))[1] == "connection_refused"

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet, read=False) as server:
        assert why(await look("mongodb", **at(server.port), timeout_s=0.3)) == ("down", "timeout", "ttfb")


def test_targets_that_are_refused() -> None:
    for data, field_ in (
        ({"user": "a"}, "password"),
        ({"password": "a"}, "user"),
        ({"role": "master"}, "role"),
        ({"auth_source": "a b"}, "auth_source"),
    ):
        with pytest.raises(Invalid) as caught:
            read(Target, {"host": "a", **data})
        assert [p.field for p in caught.value.problems] == [field_]
    assert read(Target, {"host": "a"}).port == 27017
    assert read(Target, {"host": "a", **ALICE, "auth_source": "$external"}).auth_source == "$external"
