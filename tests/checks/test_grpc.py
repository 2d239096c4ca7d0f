"""grpc: real servers (grpcio with its health service), plain and with TLS, and ones that speak HTTP/2 wrongly."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from hostile.sound import GRPC_ASKED as BODY
from hostile.sound import GRPC_END as FINE
from hostile.sound import GRPC_HEAD as RIGHT
from hostile.sound import GRPC_SERVES as SERVES
from hostile.sound import H2_HELLO, literal
from hostile.sound import h2 as frame
from tocsin.checks.grpc import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid

STATES = health_pb2.HealthCheckResponse


class Asked(health.HealthServicer):
    """The health service of grpcio; some names are answered by a status, and one wants a token."""

    def Check(self, request: Any, context: Any) -> Any:
        if request.service == "busy":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the ünit is\nbeing moved")
        if request.service == "locked" and ("authorization", "Bearer s3cret") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        if request.service == "locked":
            return STATES(status=STATES.SERVING)
        if request.service == "own":
            return STATES(status=STATES.SERVICE_UNKNOWN)
        return super().Check(request, context)


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """plain and tls have a health service, bare has none, mutual wants a client certificate."""
    pool = futures.ThreadPoolExecutor(4)
    server, bare = grpc.server(pool), grpc.server(pool)
    service = Asked()
    service.set("", STATES.SERVING)
    service.set("shop.Cart", STATES.SERVING)
    service.set("shop.Till", STATES.NOT_SERVING)
    service.set("x" * 300, STATES.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    own = issue("127.0.0.1", by=authority(), names=("127.0.0.1", "shop.test"))
    pair, root = [(own.key_pem.encode(), own.pem.encode())], authority().pem.encode()
    found = {
        "plain": server.add_insecure_port("127.0.0.1:0"),
        "tls": server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair)),
        "mutual": server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair, root, require_client_auth=True)),
        "bare": bare.add_insecure_port("127.0.0.1:0"),
    }  # fmt: skip
    server.start()
    bare.start()
    yield found
    server.stop(None).wait()
    bare.stop(None).wait()
    pool.shutdown()


async def test_a_server_that_serves(ports: dict[str, int]):
    for service in ("", "shop.Cart", "x" * 300):
        outcome = await look("grpc", host="127.0.0.1", port=ports["plain"], service=service)
        assert why(outcome) == ("up", "", None), outcome.error
        assert outcome.seen.facts == {"grpc_status": "OK", "serving": "SERVING"}
    assert (outcome.seen.status_code, outcome.seen.http_version) == (200, "2")
    assert outcome.seen.timing.ttfb is not None
    assert outcome.target == f"127.0.0.1:{ports['plain']} {'x' * 300}"


@pytest.mark.parametrize(
    ("service", "type_", "says"),
    [
        ("shop.Till", "assertion", "expected SERVING of shop.Till, found NOT_SERVING"), ("own", "assertion", "found SERVICE_UNKNOWN"),
        ("nobody", "assertion", "NOT_FOUND: the server knows no such service"),
        ("busy", "protocol", "UNAVAILABLE: the server says that it cannot serve now: the ünit is\\nbeing moved"),
        ("locked", "protocol", "UNAUTHENTICATED: the server wants a sign-in: no token"),
    ],
)  # fmt: skip
async def test_a_server_that_does_not(ports: dict[str, int], service: str, type_: str, says: str):
    outcome = await look("grpc", host="127.0.0.1", port=ports["plain"], service=service)
    assert why(outcome) == ("down", type_, "transfer")
    assert outcome.error is not None
    assert says in outcome.error.message
    assert outcome.seen.status_code == 200


async def test_metadata_and_authority_go_along(ports: dict[str, int]):
    given = {"host": "127.0.0.1", "port": ports["plain"], "service": "locked", "authority": "shop.test"}
    assert why(await look("grpc", **given, metadata={"Authorization": "Bearer s3cret"})) == ("up", "", None)
    wrong = await look("grpc", **given, metadata={"authorization": "Bearer hunter2"})
    assert why(wrong)[:2] == ("down", "protocol")
    assert "hunter2" not in str(wrong)


async def test_a_server_without_a_health_service(ports: dict[str, int]):
    outcome = await look("grpc", host="127.0.0.1", port=ports["bare"])
    assert why(outcome) == ("down", "protocol", "transfer")
    assert "UNIMPLEMENTED: the server has no health service" in str(outcome.error)


async def test_tls_and_its_certificates(ports: dict[str, int]):
    given: dict[str, Any] = {
        "host": "shop.test",
        "port": ports["tls"],
        "tls": True,
        "resolve": [f"shop.test:{ports['tls']}:127.0.0.1"],
    }
    days = [{"type": "certificate_days", "op": "gte", "value": 5}]
    outcome = await look("grpc", **given, ca_file=authority().pem, rules=days)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.tls is not None
    assert outcome.seen.tls.verified
    assert why(await look("grpc", **given)) == ("down", "tls", "tls")
    assert why(await look("grpc", **given, verify_tls=False)) == ("up", "", None)
    plain = await look("grpc", host="127.0.0.1", port=ports["tls"])
    assert plain.status == "down"
    crossed = await look("grpc", host="127.0.0.1", port=ports["plain"], tls=True)
    assert why(crossed)[:2] == ("down", "tls")


async def test_a_client_certificate(ports: dict[str, int]):
    mine = issue("me", by=authority())
    given: dict[str, Any] = {"host": "127.0.0.1", "port": ports["mutual"], "tls": True, "ca_file": authority().pem}
    assert why(await look("grpc", **given, client_cert=mine.pem, client_key=mine.key_pem)) == ("up", "", None)
    assert (await look("grpc", **given)).status == "down"


def answers(*frames: bytes) -> Callable[[Talk], Any]:
    """A server that takes the request as it comes and answers with these frames."""

    async def script(talk: Talk) -> None:
        await talk.reader.readuntil(BODY)
        await talk.send(H2_HELLO + b"".join(frames))
        await talk.hang()

    return script


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([frame(1, 4, 1, RIGHT), frame(0, 1, 1, SERVES)], "expected grpc-status at the end"), ([frame(1, 4, 1, RIGHT), FINE], "expected a message, found 0 bytes"),
        ([frame(1, 5, 1, b"\x88" + literal("content-type", "text/html"))], "expected application/grpc, found text/html"), ([frame(1, 5, 1, b"\x88")], "found no content type"),
        ([frame(1, 5, 1, literal(":status", "503"))], "HTTP status 503 (not available now)"), ([frame(1, 5, 1, literal(":status", "302") + literal("location", "http://127.0.0.1/"))], "HTTP status 302"),
        ([frame(1, 5, 1, RIGHT + literal("grpc-status", "0\x7f"))], "expected grpc-status at the end"), ([frame(1, 5, 1, RIGHT + literal("grpc-status", "99"))], "grpc-status 99"),
        ([frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\1" + SERVES[1:]), FINE], "found a compressed one"), ([frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\xff\xff\xff\xff\x08\1"), FINE], "says 4294967295 bytes in 2"),
        ([frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\0\0\0\x0c" + b"\x08" + b"\xff" * 11), FINE], "expected a HealthCheckResponse"), ([frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\0\0\0\2\x0b\1"), FINE], "expected a HealthCheckResponse"),
        ([frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\0\0\0\2\x12\x7f"), FINE], "expected a HealthCheckResponse"), ([frame(1, 4, 1, RIGHT), *[frame(0, 0, 1, b"\0" * 16_384)] * 5], "more than 65536 bytes"),
        ([frame(3, 0, 1, b"\0\0\0\x0b")], "broke"), ([b"\xff" * 300], "broke"),
    ],
)  # fmt: skip
async def test_servers_that_answer_wrongly(frames: list[bytes], says: str):
    async with serving(answers(*frames), read=False) as server:
        outcome = await look("grpc", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", "protocol"), outcome.error
    assert says in str(outcome.error)


async def test_fields_that_newer_servers_may_add():
    message = b"\x12\3abc\x19" + b"\0" * 8 + b"\x25\0\0\0\0\x08\1\x18\x96\1"
    sent = [frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\0\0\0" + bytes([len(message)]) + message), FINE]
    async with serving(answers(*sent), read=False) as server:
        assert why(await look("grpc", host="127.0.0.1", port=server.port)) == ("up", "", None)
    async with serving(
        answers(frame(1, 4, 1, RIGHT), frame(0, 0, 1, b"\0\0\0\0\2\x08\x2a"), FINE), read=False
    ) as server:
        outcome = await look("grpc", host="127.0.0.1", port=server.port)
    assert "found status 42" in str(outcome.error)


async def test_servers_of_another_kind():
    async def http1(talk: Talk) -> None:
        await talk.reader.readuntil(BODY)
        await talk.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async def closes(talk: Talk) -> None:
        await talk.reader.readuntil(BODY)

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(http1, read=False) as server:
        outcome = await look("grpc", host="127.0.0.1", port=server.port)
    assert why(outcome)[:2] == ("down", "protocol")
    assert "the answer is not HTTP/2" in str(outcome.error)
    tls = issue("127.0.0.1", by=authority()).context(alpn=("http/1.1",))
    async with serving(hostile.good, tls=tls) as server:
        outcome = await look("grpc", host="127.0.0.1", port=server.port, tls=True, verify_tls=False)
    assert "expected HTTP/2, found HTTP/1.1" in str(outcome.error)
    async with serving(closes, read=False) as server:
        assert why(await look("grpc", host="127.0.0.1", port=server.port))[:2] in (
            ("down", "connection_reset"),
            ("down", "protocol"),
        )
    async with serving(quiet, read=False) as server:
        assert why(await look("grpc", host="127.0.0.1", port=server.port, timeout_s=0.3))[:2] == ("down", "timeout")
    assert why(await look("grpc", host="127.0.0.1", port=hostile.refused_port()))[1] == "connection_refused"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"host": "a/b?"}, "host"), ({"host": "u@a"}, "host"), ({"host": "a:80"}, "host"), ({"metadata": {"grpc-timeout": "1S"}}, "metadata"), ({"metadata": {"TE": "x"}}, "metadata"),
        ({"metadata": {"a": "b\r\nc: d"}}, "metadata"), ({"resolve": ["x"]}, "resolve[0]"), ({"authority": "a b"}, "authority"), ({"client_key": "-----BEGIN X"}, "client_cert"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"host": "a", "port": 1, **data})
    assert [p.field for p in caught.value.problems] == [field]
