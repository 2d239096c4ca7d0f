"""How the agent is, left in its data folder for `tocsin agent status`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tocsin import __version__
from tocsin.agent.identity import put
from tocsin.agent.vitals import rss_bytes
from tocsin.core.plain import clip
from tocsin.core.result import iso

if TYPE_CHECKING:
    from tocsin.agent.agent import Agent

FILE = "status.json"


def standing_of(agent: Agent) -> dict[str, Any]:
    """How it is now, without secrets."""
    buffer, identity = agent.buffer, agent.link.identity
    heard = agent.link.heard_at
    return {
        "pid": os.getpid(),
        "version": __version__,
        "host": agent.name,
        "at": iso(agent.clock.now()),
        "started_at": iso(agent.vitals.started_at),
        "server_uuid": None if identity is None else identity.server_uuid,
        "servers": list(agent.servers.urls),
        "connected_to": agent.servers.at if not agent.link.trouble else None,
        "heard_at": iso(agent.link.heard),
        "heard_s_ago": None if heard is None else round(agent.clock.monotonic() - heard, 1),
        "config_version": agent.vitals.config_version,
        "config_error": agent.vitals.config_error or agent.file_error,
        "buffered": buffer.count,
        "buffered_bytes": buffer.bytes,
        "dropped": buffer.dropped,
        "rss_bytes": rss_bytes(),
        "cpu_percent": round(agent.vitals.cpu_percent, 3),
        "monitors": [monitor.id for monitor in agent.watch.monitors],
        "rules": len(agent.rules),
        "firing": [
            {"rule": s.rule, "name": s.rule_name, "what": s.what, "severity": s.severity}
            for s in agent.ledger.standings.values()
            if s.fires
        ][:200],
        "waiting_turns": len(agent.ledger.turns),
        "quiet": agent.link.quiet.words,
        "troubles": agent.vitals.troubles(),
    }


def write_standing(folder: Path, said: dict[str, Any]) -> None:
    """Leave it there. On a disk that is full it takes the room of what was left before; where that was nothing, the lock of
    the folder says that an agent runs."""
    text = msgspec.json.encode(said)
    with suppress(OSError):
        try:
            put(folder / FILE, text, safely=False)
        except OSError:
            with (folder / FILE).open("r+b", buffering=0) as out:
                out.write(text)
                out.truncate(len(text))


def begin(folder: Path) -> None:
    """Take away what an agent that was killed in the midst of writing left."""
    with suppress(OSError):
        for draft in folder.glob(f".{FILE}-*"):
            draft.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """It does not run any more."""
    with suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)


def read_standing(folder: Path) -> dict[str, Any] | None:
    """What the agent that runs with this folder left; None when none does."""
    try:
        text = (folder / FILE).read_bytes()
        said: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        with suppress(PermissionError):  # it runs, as another user
            os.kill(msgspec.json.decode(text, type=_Left).pid, 0)
    except (OSError, OverflowError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return said


class _Firing(Struct, frozen=True):
    name: str
    what: str


class _Left(Struct, frozen=True, kw_only=True):
    """What has to be as it is for `lines` to read it."""

    pid: int
    monitors: list[str] = []
    firing: list[_Firing] = []
    troubles: dict[str, str] = {}


def lines(said: dict[str, Any]) -> list[str]:
    """The same for people."""
    to = said.get("connected_to")
    heard = f"connected to {to}" if to else "not connected: it collects, judges and tells by itself"
    made = [
        f"{said.get('host')}: agent {said.get('version')}, process {said.get('pid')}, since {said.get('started_at')}",
        heard,
        f"waiting to be handed over: {said.get('buffered')} batches, {said.get('waiting_turns')} turns;"
        f" dropped: {said.get('dropped')}",
        f"looks at {', '.join(said.get('monitors') or ()) or 'nothing'} by {said.get('rules')} rules",
    ]
    if quiet := said.get("quiet"):
        made.append(f"quiet: {clip(str(quiet), 300)}")
    firing: list[dict[str, Any]] = said.get("firing") or []
    troubles: dict[str, Any] = said.get("troubles") or {}
    made += [f"trouble: {clip(str(f.get('name')), 80)} ({clip(str(f.get('what')), 100)})" for f in firing]
    made += [f"cannot: {part}: {clip(str(says), 200)}" for part, says in troubles.items()]
    return made
