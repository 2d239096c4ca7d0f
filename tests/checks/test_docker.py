"""docker: a real Podman behind the Docker API; what only Docker says is written from its API documents (version 1.47)."""

# ruff: noqa: E501

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.looking import look, why
from hostile import Talk, authority, issue, refused_port, serving
from podman import Podman, engine, listens
from tocsin.checks.docker import Target
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Local, Net


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with engine() as made:
        yield made


async def see(container: str, docker_socket: Path | None = None, **more: Any) -> Outcome:
    async with Net(egress=Egress("private"), local=Local(docker_socket=docker_socket)) as net:
        return await look("docker", net=net, container=container, **more)


async def test_a_running_container_is_up(podman: Podman):
    outcome = await see("well", podman.socket)
    assert why(outcome) == ("up", "", None)
    facts = outcome.seen.facts
    assert (facts["status"], facts["restart_count"]) == ("running", 0)
    assert facts["image"].endswith("tiny:latest")
    assert facts["started_at"].startswith("20")
    assert "health" not in facts
    assert outcome.seen.body == b""
    assert outcome.seen.ip is None
    assert str(podman.folder) not in str(outcome)
    by_id = json.loads(podman("inspect", "well").stdout)[0]["Id"]
    assert (await see(by_id[:12], podman.socket)).status == "up"


@pytest.mark.parametrize(
    ("container", "says"),
    [("failed", "found exited with exit code 3"), ("frozen", "found paused"), ("never", "found created"), ("nobody", "there is no such container: nobody")],
)  # fmt: skip
async def test_what_does_not_run_is_down(podman: Podman, container: str, says: str):
    outcome = await see(container, podman.socket)
    assert why(outcome)[:2] == ("down", "assertion")
    assert outcome.error is not None
    assert says in outcome.error.message


async def test_health(podman: Podman):
    assert (await see("probed", podman.socket)).status == "degraded"
    for code, status in (("1", "down"), ("0", "up")):
        podman("exec", "probed", "/bin/busybox", "sh", "-c", f"echo {code} > /code")
        podman("healthcheck", "run", "probed", check=False)
        outcome = await see("probed", podman.socket)
        assert outcome.status == status, outcome.error
    assert outcome.seen.facts["health"] == "healthy"


async def test_unhealthy_says_the_last_words(podman: Podman):
    podman("exec", "probed", "/bin/busybox", "sh", "-c", "echo 1 > /code")
    podman("healthcheck", "run", "probed", check=False)
    outcome = await see("probed", podman.socket)
    assert outcome.error is not None
    assert outcome.error.message == "expected healthy, found unhealthy: not so well"


async def test_an_engine_over_the_network(podman: Podman):
    port = refused_port()
    url = f"http://127.0.0.1:{port}"
    assert why(await see("well", url=url)) == ("down", "connection_refused", "connect")
    with podman.serving(f"tcp:127.0.0.1:{port}"):
        listens(socket.AF_INET, ("127.0.0.1", port))
        assert why(await see("well", url=url)) == ("up", "", None)
        assert why(await see("nobody", url=url + "/"))[:2] == ("down", "assertion")


def told(**state: Any) -> bytes:
    """A container as Docker tells it, cut to what matters here."""
    whole = {
        "Status": "running",
        "Running": True,
        "OOMKilled": False,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-01-02T03:04:05.6Z",
    }
    config = {"Image": "shop:1.2", "Env": ["PASSWORD=hunter2"]}
    return json.dumps({"Id": "ab" * 32, "RestartCount": 4, "State": whole | state, "Config": config}).encode()


async def answered(body: bytes, status: str = "200 OK", **more: Any) -> Outcome:
    async def script(talk: Talk) -> None:
        assert talk.path.endswith("/containers/shop/json")
        await talk.answer(status, body, "Content-Type: application/json")

    async with serving(script) as server:
        return await see("shop", url=server.url(""), **more)


@pytest.mark.parametrize(
    ("state", "status", "says"),
    [
        ({"Health": {"Status": "healthy", "Log": [{"Output": "\u001b[32mok\u001b[0m\n"}]}}, "up", ""),
        ({"Health": {"Status": "none"}}, "up", ""),
        ({"Health": {"Status": "starting"}}, "degraded", "still starting"),
        ({"Health": {"Status": "unhealthy", "Log": [{"Output": "old"}, {"Output": "curl: (7)\n\u001b[31mno\u001b[0m\n"}]}}, "down", "found unhealthy: \\u001b[31mno"),
        ({"Health": {"Status": "unhealthy", "Log": None}}, "down", "expected healthy, found unhealthy"),
        ({"Status": "restarting", "Restarting": True, "ExitCode": 1}, "down", "found restarting with exit code 1"),
        ({"Status": "exited", "OOMKilled": True, "ExitCode": 137}, "down", "exit code 137, killed because it was out of memory"),
        ({"Status": "dead", "ExitCode": 127, "Error": "no such file"}, "down", "found dead with exit code 127: no such file"),
        ({"Status": "x" * 500}, "down", "…"),
    ],
)  # fmt: skip
async def test_what_docker_says(state: dict[str, Any], status: str, says: str):
    outcome = await answered(told(**state))
    assert outcome.status == status
    assert says in (outcome.error.message if outcome.error else "")
    assert outcome.seen.facts["restart_count"] == 4
    assert outcome.seen.facts["image"] == "shop:1.2"
    assert "hunter2" not in str(outcome)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"message":"client certificate required"}', "403 Forbidden", "answered 403: client certificate required"),
        (b"<html>", "404 Not Found", "answered 404"), (b"", "200 OK", "found nothing"), (b"[1]", "200 OK", "found another value"),
        (b"[" * 100_000, "200 OK", "found no JSON"), (b'{"State":{"Status":5}}', "200 OK", "expected a container's State"),
        (b'{"State":"running"}', "200 OK", "expected a container's State"), (b"{" + b"x" * (2 << 20), "200 OK", "found no JSON"),
        (told(ExitCode=10**30, Health="bad", Status=None), "200 OK", "expected a container's State"), (b"", "301 Moved", "answered 301"),
    ],
)  # fmt: skip
async def test_what_is_no_engine(body: bytes, status: str, says: str):
    outcome = await answered(body, status)
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)


async def test_odd_values_are_left_out():
    outcome = await answered(told(Status="exited", ExitCode=10**30, StartedAt=["x"], OOMKilled="yes"))
    assert why(outcome)[:2] == ("down", "assertion")
    assert set(outcome.seen.facts) == {"status", "restart_count", "image", "oom_killed"}


async def test_a_client_certificate_is_shown():
    identity, client = issue("127.0.0.1", by=authority()), issue("client", by=authority())
    context = identity.context(client_ca=authority().pem)

    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", told())

    async with serving(script, tls=context) as server:
        target: dict[str, Any] = {"url": server.url(""), "ca_file": authority().pem}
        outcome = await see("shop", **target, client_cert=client.pem, client_key=client.key_pem)
        assert why(outcome) == ("up", "", None)
        assert outcome.seen.tls is not None
        assert (await see("shop", **target)).status == "down"


async def test_sockets_that_answer_nobody(tmp_path: Path):
    assert why(await see("shop", tmp_path / "none")) == ("down", "connection_refused", "connect")
    (tmp_path / "file").touch()
    assert (await see("shop", tmp_path / "file")).status == "invalid"
    assert (await see("shop", tmp_path / "file" / "x")).status == "invalid"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "old"))
    assert why(await see("shop", tmp_path / "old")) == ("down", "connection_refused", "connect")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "quiet"))
        sock.listen()
        assert why(await see("shop", tmp_path / "quiet", timeout_s=0.3))[:2] == ("down", "timeout")
    unset = await see("shop")
    assert unset.status == "invalid"
    assert "TOCSIN_DOCKER_SOCKET" in str(unset.error)


@pytest.mark.parametrize(
    ("data", "field"),
    [({"container": "../info"}, "container"), ({"container": "a?b"}, "container"), ({"url": "unix:///x"}, "url"), ({"url": "http://a:99999"}, "url"), ({"client_key": "-----BEGIN A"}, "client_cert")],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"container": "a", **data})
    assert [p.field for p in caught.value.problems] == [field]


def test_what_is_missing_is_said_when_it_is_saved():
    from tocsin import checks

    assert checks.missing("docker", {"container": "a"}, Local()) is not None
    assert checks.missing("docker", {"container": "a", "url": "http://a"}, Local()) is None
    assert checks.missing("docker", {"container": "a"}, Local(docker_socket=Path("/x"))) is None
    assert checks.missing("tcp", {"host": "a", "port": 1}, Local()) is None
