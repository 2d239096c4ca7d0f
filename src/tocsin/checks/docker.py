"""A container's state, as a Docker Engine (or Podman) tells it over the operator's socket or the network."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from tocsin.checks._terms import CaFile, ClientCert, ClientKey, IpVersion, VerifyTls
from tocsin.core.plain import LARGEST, as_list, as_map, clip, found
from tocsin.core.result import CheckError, Observation
from tocsin.core.shape import Help, Length, Pattern
from tocsin.errors import CheckFailed, CheckInvalid, Invalid, Problem
from tocsin.net import Local, Net
from tocsin.net import url as urls

TITLE, SAYS = "Docker", "a container's state"

OFFERS = ("certificate_days",)

GRACE_S = 0.3  # libcurl keeps the deadline

_NO_SOCKET = "the operator has named no socket in TOCSIN_DOCKER_SOCKET, so an engine's url is needed"
_NEVER = "0001-01-01T00:00:00Z"  # what an engine says of a container that was not started yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A container that should be running and healthy."""

    container: Annotated[
        str, Pattern(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}", "a container's name or id"), Help("Name or id")
    ]
    url: Annotated[
        str | None,
        Length(1, 2000),
        Pattern(r"https?://[^\s?#]+", "http://host:port or https://host:port"),
        Help("Engine to ask; else the socket that the operator allows"),
    ] = None
    verify_tls: VerifyTls = True
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        if self.url is not None:
            try:
                urls.parse(self.url)
            except ValueError as error:
                raise Invalid(Problem("url", f"a sound URL (it {error})", found(self.url))) from None
        if self.client_key is not None and self.client_cert is None:
            raise Invalid(Problem("client_cert", "the certificate of the key", "nothing"))


def summary(target: Target) -> str:
    """The container, and the engine when it is not this machine's."""
    return target.container + (f" @{target.url}" if target.url else "")


def missing(target: Target, local: Local) -> Problem | None:
    """The socket, when one is needed and the operator has named none."""
    return Problem("url", _NO_SOCKET, "nothing") if target.url is None and local.docker_socket is None else None


async def check(target: Target, net: Net) -> Observation:
    """Ask for the container, and hold its state and health against what they should be."""
    answer = await _ask(target, net)
    told = _read(target, answer)
    state = as_map(told.get("State"))
    status = state.get("Status") if state is not None else None
    if state is None or not isinstance(status, str):
        raise CheckFailed("protocol", "expected a container's State, found none", phase="transfer", observation=answer)
    facts = _facts(told, state)
    seen = replace(answer, facts=facts, body=b"")
    if status != "running":
        raise CheckFailed("assertion", f"expected running, found {_trouble(facts, state)}", observation=seen)
    match facts.get("health"):
        case None | "healthy":
            return seen
        case "starting":
            return replace(seen, degraded=CheckError("assertion", "running, its health check is still starting"))
        case other:
            last = _last_words(state)
            said = f"expected healthy, found {other}" + (f": {last}" if last else "")
            raise CheckFailed("assertion", said, observation=seen)


async def _ask(target: Target, net: Net) -> Observation:
    from tocsin.net.http import HttpRequest  # libcurl, for those who use it

    socket = None
    if target.url is None:
        if net.local.docker_socket is None:
            raise CheckInvalid(_NO_SOCKET)
        socket = str(net.local.docker_socket)
        await asyncio.to_thread(_see_socket, net.local.docker_socket)
    request = HttpRequest(
        url=f"{(target.url or 'http://docker').rstrip('/')}/containers/{target.container}/json",
        follow_redirects=False,
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        client_cert=target.client_cert,
        client_key=target.client_key,
        ip_version=target.ip_version,
        unix_socket=socket,
    )
    return await net.http.fetch(request)


def _see_socket(path: Path) -> None:
    """Return when there is a socket that we may open. CheckFailed when no engine has made one, CheckInvalid when it is not
    for us."""
    try:
        there = path.stat()
    except FileNotFoundError:
        raise CheckFailed(
            "connection_refused",
            "no engine listens here: the socket of TOCSIN_DOCKER_SOCKET is not there",
            phase="connect",
        ) from None
    except OSError as error:
        raise CheckInvalid(f"the socket of TOCSIN_DOCKER_SOCKET cannot be reached: {error.strerror}") from None
    if not stat.S_ISSOCK(there.st_mode):
        raise CheckInvalid("what TOCSIN_DOCKER_SOCKET names is no socket")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CheckInvalid("the user that Tocsin runs as may not open the socket of TOCSIN_DOCKER_SOCKET")


def _read(target: Target, answer: Observation) -> dict[str, Any]:
    """The container as it was told. CheckFailed for every other answer."""
    seen = replace(answer, body=b"")  # it holds the container's environment: nothing to keep
    try:
        told = as_map(json.loads(answer.body))  # what programs printed is in it, control characters too
        why = "another value"
    except (ValueError, RecursionError):
        told, why = None, "no JSON" if answer.body else "nothing"
    said = told.get("message") if told is not None else None
    words = f": {clip(said, 120)}" if isinstance(said, str) and said else ""
    if answer.status_code == 404 and words:
        raise CheckFailed("assertion", f"there is no such container: {target.container}", observation=seen)
    if answer.status_code != 200:
        raise CheckFailed(
            "protocol", f"the engine answered {answer.status_code}{words}", phase="transfer", observation=seen
        )
    if told is None:
        raise CheckFailed(
            "protocol", f"expected a container as a JSON object, found {why}", phase="transfer",
            observation=seen,
        )  # fmt: skip
    return told


def _facts(told: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    health, config = as_map(state.get("Health")) or {}, as_map(told.get("Config")) or {}
    facts: dict[str, Any] = {"status": clip(state["Status"])}
    health_status = health.get("Status")
    if isinstance(health_status, str) and health_status not in ("", "none"):
        facts["health"] = clip(health_status)
    for name, value in (
        ("restart_count", told.get("RestartCount")),
        ("image", config.get("Image")),
        ("started_at", state.get("StartedAt")),
    ):
        if isinstance(value, str) and value not in ("", _NEVER):
            facts[name] = clip(value, 200)
        elif _is_number(value):
            facts[name] = value
    if facts["status"] not in ("running", "paused", "created"):
        code = state.get("ExitCode")
        facts |= {"exit_code": code} if _is_number(code) else {}
        facts |= {"oom_killed": state.get("OOMKilled") is True}
    return facts


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _trouble(facts: dict[str, Any], state: dict[str, Any]) -> str:
    """What it is instead of running, in words."""
    words = facts["status"]
    if "exit_code" in facts:
        words += f" with exit code {facts['exit_code']}"
    if facts.get("oom_killed"):
        words += ", killed because it was out of memory"
    why = state.get("Error")
    return words + (f": {clip(why, 120)}" if isinstance(why, str) and why else "")


def _last_words(state: dict[str, Any]) -> str:
    """The last line that the latest health check printed."""
    log = as_list((as_map(state.get("Health")) or {}).get("Log")) or ()
    output = (as_map(log[-1]) or {}).get("Output") if log else None
    lines = output.strip().splitlines() if isinstance(output, str) else []
    return clip(lines[-1].strip(), 160) if lines else ""
