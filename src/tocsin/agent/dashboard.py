"""The agent's local page: what it sees, how its services and rules stand, what waits. It reads only, and shows no secrets.

It has no sign-in, so it answers this machine alone unless the operator says otherwise, and only by names that no page of
somebody else's can take (a browser that was led here under another name is sent away).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import telemetry
from tocsin.agent.standing import standing_of
from tocsin.core.quantity import written
from tocsin.core.wording import moment, span
from tocsin.net.small_http import SmallServer

if TYPE_CHECKING:
    from tocsin.agent.agent import Agent

log = telemetry.logger("tocsin.agent.dashboard")

GRACE_S = 2
MOST_ROWS = 500
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1b1f24;background:#fff}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #d8dee4;vertical-align:top;"
    "overflow-wrap:anywhere;min-width:4.5rem}th{overflow-wrap:normal}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#b42318;font-weight:600}.ok{color:#1a7f37}"
    "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#30363d}"
    ".bad{color:#ff7b72}.ok{color:#3fb950}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = (
    ("content-security-policy", f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none';"
     " base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
)  # fmt: skip
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Dashboard:
    """The page of one agent, as a server at a bound socket."""

    def __init__(self, agent: Agent, sock: socket.socket) -> None:
        self._agent, self._host = agent, agent.config.dashboard.host
        self._server = SmallServer(self, sock, grace_s=GRACE_S)
        self.port = self._server.port

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()
        log.info("agent.page", at=f"http://{self._host}:{self.port}/")

    async def stop(self) -> None:
        """Answer no more."""
        await self._server.stop()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope)
        headers = [*_HEADERS, ("content-type", kind), ("content-length", str(len(body)))]
        if status == 405:
            headers.append(("allow", "GET, HEAD"))
        await send({
            "type": "http.response.start", "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, scope: Any) -> tuple[int, str, bytes]:
        named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if not self._is_ours(named):
            return 421, "text/plain; charset=utf-8", b"This page is not known by that name.\n"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "text/plain; charset=utf-8", b"This page can only be read.\n"
        if scope["path"] == "/":
            return 200, "text/html; charset=utf-8", page(self._agent).encode()
        if scope["path"] == "/status.json":
            return 200, "application/json", msgspec.json.encode(standing_of(self._agent))
        return 404, "text/plain; charset=utf-8", b"There is no such page.\n"

    def _is_ours(self, named: str) -> bool:
        """Whether a browser came by an address in numbers, by localhost, or by the name it listens on."""
        host = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named
        host = host.strip("[]").lower()
        if host in ("localhost", self._host.lower(), socket.gethostname().lower()):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def page(agent: Agent) -> str:
    """The page as it is now."""
    said = standing_of(agent)
    name = escape(agent.name)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f'<meta name="viewport" content="width=device-width"><title>{name}: Tocsin agent</title>'
        f"<style>{_STYLE}</style></head><body><h1>{name}</h1>",
        _table("Agent", ("", ""), _about(said)),
        _table("Trouble", ("rule", "what", "severity"), _firing(said)),
        _table("What it cannot do now", ("part", "why"), [(k, v) for k, v in said["troubles"].items()], "bad"),
        _table("Services", ("service", "state", "since", "detail"), _states(agent)),
        _table("Figures", ("series", "value"), _figures(agent)),
        "</body></html>",
    ]
    return "".join(parts)


def _about(said: dict[str, Any]) -> list[tuple[str, str]]:
    heard = said["heard_s_ago"]
    quiet = [("quiet", said["quiet"])] if said["quiet"] else []
    return [
        *quiet,
        ("server", said["connected_to"] or "not connected"),
        ("heard of it", "never" if heard is None else f"{span(heard)} ago"),
        ("waiting to be handed over", f"{said['buffered']} batches, {said['waiting_turns']} turns"),
        ("dropped for want of room", str(said["dropped"])),
        ("looks at", ", ".join(said["monitors"])),
        ("rules", str(said["rules"])),
        ("configuration", said["config_error"] or f"version {said['config_version']}"),
        ("memory", f"{said['rss_bytes'] / 1e6:.0f} MB"),
        ("agent", f"{said['version']}, since {said['started_at']}"),
    ]


def _firing(said: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["name"], one["what"], one["severity"]) for one in said["firing"]]


def _states(agent: Agent) -> list[tuple[str, str, str, str]]:
    return [
        (f"{s.kind}/{s.name}", s.state + {True: "", False: " (!)", None: ""}[s.ok],
         moment(s.since) if s.since else "", s.detail)
        for reading in agent.watch.latest.values()
        for s in reading.services
    ]  # fmt: skip


def _figures(agent: Agent) -> list[tuple[str, str]]:
    return [
        (name, written(name, value))
        for reading in agent.watch.latest.values()
        for name, value in reading.values.items()
    ]


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], mark: str = "") -> str:
    listed = list(rows)
    if not listed:
        return ""
    named = "".join(f"<th>{escape(h)}</th>" for h in heads)
    head = f"<tr>{named}</tr>" if any(heads) else ""
    cells = "".join(
        "<tr>" + "".join(f'<td class="{mark if i else ""}">{escape(cell)}</td>' for i, cell in enumerate(row)) + "</tr>"
        for row in listed[:MOST_ROWS]
    )
    more = f"<p>and {len(listed) - MOST_ROWS} more</p>" if len(listed) > MOST_ROWS else ""
    return f"<h2>{escape(title)}</h2><table>{head}{cells}</table>{more}"
