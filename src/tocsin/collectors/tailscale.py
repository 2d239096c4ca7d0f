"""Tailscale, asked over the daemon's own socket: what `tailscale status --json` prints, without starting a program.

LocalAPI, GET /localapi/v0/status; the shape is Status in tailscale.com/ipn/ipnstate (version 1.80)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any

from tocsin.collectors import Facility
from tocsin.collectors._answer import Door, asked, find_socket, labelled, moment, number, read_json, word
from tocsin.collectors._rates import Rates
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import as_list, as_map
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Length, Pattern, Range
from tocsin.errors import CheckFailed

TITLE, SAYS = "Tailscale", "the host's place in its tailnet, its key, its exit node, its peers"
EVERY_S = 30
LOCAL_ONLY = ("socket",)
MOST_PEERS = 200
_STATUS = "/localapi/v0/status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which peers should be online."""

    peers: Annotated[
        tuple[Annotated[str, Pattern(r"[A-Za-z0-9_.*?\[\]!-]{1,100}", "a peer's name, or a pattern with *")], ...],
        Length(0, 100),
        Help("Peers that should be online, by name or patterns with *; of the others nobody says so"),
    ] = ()
    socket: Annotated[
        str, Length(1, 100), Pattern(r"/[^\x00\n]*", "an absolute path"), Help("Socket of tailscaled")
    ] = "/var/run/tailscale/tailscaled.sock"
    timeout: Annotated[float, Range(0.5, 25), Help("A daemon that takes longer does not answer")] = 5


RULES = (
    HostRule(
        id="builtin:tailscale.connected", name="The host is not in its tailnet", condition=OnService(kind="tailscale"),
        severity="critical", for_s=60, recovery_s=30,
    ),
    HostRule(
        id="builtin:tailscale.peer", name="A peer is away", condition=OnService(kind="peer"), for_s=120, recovery_s=30,
    ),
    HostRule(
        id="builtin:tailscale.exit_node", name="The exit node is away", condition=OnService(kind="exit_node"),
        severity="critical", for_s=60, recovery_s=30,
    ),
    HostRule(
        id="builtin:tailscale.key", name="The key of the host expires soon",
        condition=OnSample(metric="tailscale.key_expires_s", below=7 * 86400),
    ),
)  # fmt: skip


class Source:
    """The daemon of this host. Keeps the counters of the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        self._door = Door(base="http://local-tailscaled.sock", socket=options.socket, timeout_s=options.timeout)
        self._rates = Rates()

    async def collect(self) -> Reading:
        """Ask once. A daemon that does not answer is a service that is not well."""
        return await asked("tailscale", "tailscale", self._options.timeout, self._look)

    async def close(self) -> None:
        """Nothing is held but numbers."""

    async def _look(self) -> Reading:
        find_socket(self._options.socket)
        seen = as_map(
            read_json(await self._door.body(self._net, _STATUS, max_body=16 << 20), "the state of the tailnet")
        )
        if seen is None or not word(seen.get("BackendState")):
            raise CheckFailed("protocol", "expected the state of the tailnet, found another value")
        values = figures(seen, self._clock.now())
        for key, rate in self._rates.per_s(counters(seen), self._clock.monotonic()).items():
            name, _, what = key.rpartition("\0")
            labelled(values, f"peer.{what}_bytes_per_s", rate, peer=name)
        return Reading(values=values, services=tuple(standing(seen, self._options.peers)))


def peers_of(seen: dict[Any, Any]) -> dict[str, dict[Any, Any]]:
    """The peers by name: the first label of their DNS name (unique in a tailnet), else their host name."""
    found: dict[str, dict[Any, Any]] = {}
    for row in (as_map(seen.get("Peer")) or {}).values():
        peer = as_map(row) or {}
        name = word(peer.get("DNSName"), 100).partition(".")[0] or word(peer.get("HostName"), 100)
        if name and len(found) < MOST_PEERS:
            found.setdefault(name, peer)
    return found


def figures(seen: dict[Any, Any], now: datetime) -> dict[str, float]:
    """Peers there are and that are online, how old the last handshake with each is, and how long the host's key holds."""
    made: dict[str, float] = {}
    peers = peers_of(seen)
    labelled(made, "tailscale.peers", float(len(peers)))
    labelled(made, "tailscale.peers_online", float(sum(peer.get("Online") is True for peer in peers.values())))
    expires = moment((as_map(seen.get("Self")) or {}).get("KeyExpiry"))
    if expires is not None:
        labelled(made, "tailscale.key_expires_s", (expires - now).total_seconds())
    for name, peer in peers.items():
        at = moment(peer.get("LastHandshake"))
        if at is not None:
            labelled(made, "peer.handshake_age_s", max(0.0, (now - at).total_seconds()), peer=name)
    return made


def counters(seen: dict[Any, Any]) -> dict[str, float]:
    """Bytes received from and sent to each peer."""
    found: dict[str, float] = {}
    for name, peer in peers_of(seen).items():
        for field, what in (("RxBytes", "received"), ("TxBytes", "sent")):
            value = number(peer.get(field))
            if value is not None and (value > 0 or peer.get("Online") is True):
                found[f"{name}\0{what}"] = value
    return found


def standing(seen: dict[Any, Any], wanted: tuple[str, ...]) -> list[Service]:
    """The host itself, its exit node, and its peers; those that are wanted should be online."""
    own = as_map(seen.get("Self")) or {}
    state = word(seen.get("BackendState")) or "unknown"
    health = [text for one in as_list(seen.get("Health")) or () if (text := word(one, 150))]
    ok = state == "Running" and own.get("Online") is not False
    shown = "Running, not connected" if state == "Running" and not ok else state
    facts: dict[str, str | float | int | bool | None] = {
        "version": word(seen.get("Version"), 60), "name": word(own.get("DNSName"), 100).rstrip("."),
        "addresses": ", ".join(word(one, 50) for one in (as_list(own.get("TailscaleIPs")) or ())[:4]),
    }  # fmt: skip
    made = [
        Service(kind="tailscale", name="tailscale", state=shown, ok=ok, detail="; ".join(health)[:400], facts=facts)
    ]
    peers = peers_of(seen)
    through = as_map(seen.get("ExitNodeStatus"))
    if through is not None:
        name = next((name for name, peer in peers.items() if peer.get("ExitNode") is True), "exit node")
        online = through.get("Online") is True
        made.append(Service(kind="exit_node", name=name, state="online" if online else "offline", ok=online))
    made += [_peer(name, peer, wanted) for name, peer in peers.items()]
    for name in wanted:
        if not any(c in name for c in "*?[") and name not in peers:
            words = "there is no peer of that name"
            made.append(Service(kind="peer", name=name, state="not there", ok=False, detail=words))
    return list({(s.kind, s.name): s for s in made}.values())


def _peer(name: str, peer: dict[Any, Any], wanted: tuple[str, ...]) -> Service:
    online = peer.get("Online") is True
    judged = any(fnmatchcase(name, pattern) for pattern in wanted)
    facts: dict[str, str | float | int | bool | None] = {"os": word(peer.get("OS"), 40)}
    direct, relay = word(peer.get("CurAddr"), 60), word(peer.get("Relay"), 40)
    if peer.get("Active") is True and (direct or relay):
        facts["way"] = "direct" if direct else f"relay {relay}"
    since = None if online else moment(peer.get("LastSeen"))
    return Service(
        kind="peer", name=name, state="online" if online else "offline", ok=online if judged else None, since=since,
        facts=facts,
    )  # fmt: skip
