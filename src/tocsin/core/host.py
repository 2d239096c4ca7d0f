"""Hosts: machines that an agent watches from inside, and who lets an agent speak for one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.marks import Name

KEY_PREFIX, ENROLMENT_PREFIX = "tag_", "ten_"
"""How an agent's own key begins, and one that an agent enrols with."""
TWIN_MARK = "host.twin:"
"""Begins the mark of the notice that two agents speak for a host."""
TWIN_SILENT_S = 600.0
"""An agent that was not heard for so long is no other one's twin any more."""
SUBJECT = "host:"
"""Begins what incidents of hosts are about: the host's id, a rule, and what of the host."""
_CALM_CLOCK_S = 30.0
_LATE_S = 30.0
"""A message that comes so long after its agent was followed by another one was not merely late: that agent lives."""
LIFE_PREFIX = "run-"
"""How the name of one run of an agent begins."""
"""A clock that is off by less than that is taken as it is."""


class Host(Struct, frozen=True, kw_only=True):
    """A watched machine. `id` is what agents call the server_uuid.

    `maintenance`: openings of its incidents are held back. `enabled` False: what its agent says is refused, nobody is told.
    `addresses`: where it should answer from outside, "ping:HOST" or "tcp:HOST:PORT". `direct_channels`: ids of the channels
    whose configuration its agent gets, to tell by itself. `facts`, `agent_version`: as it enrolled. `incarnation`: of the
    agent's data folder, `earlier` those that it had before; `quarantined` (incarnations, or runs of an agent) are refused:
    two lived at once; `refused`, too: an operator said that these are not the host. `rekey`: its agent is to take a new key.
    `revoked_at`: since then its agent is refused, until it enrols anew."""

    id: str
    workspace_id: str
    name: Name
    tags: tuple[str, ...] = ()
    group: str = ""
    enabled: bool = True
    maintenance: bool = False
    addresses: tuple[str, ...] = ()
    direct_channels: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    agent_version: str = ""
    incarnation: str = ""
    earlier: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    rekey: bool = False
    revoked_at: datetime | None = None
    enrolled_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1


class AgentKey(Struct, frozen=True, kw_only=True):
    """What an agent shows: of a host of a workspace. The newest two of a host count, until the newest was used."""

    workspace_id: str
    host_id: str
    hash: str
    prefix: str
    created_at: datetime
    used_at: datetime | None = None


class EnrolmentKey(Struct, frozen=True, kw_only=True):
    """What new agents enrol with. `host_id`: only that host does, which somebody made before. `tags`, `group`: what hosts
    get that enrol with it. `uses` counts."""

    id: str
    workspace_id: str
    name: Name
    prefix: str
    key_hash: str
    single_use: bool = False
    host_id: str | None = None
    tags: tuple[str, ...] = ()
    group: str = ""
    created_by: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
    uses: int = 0

    def refusal(self, now: datetime) -> str:
        """Why it opens nothing any more, empty while it does."""
        if self.expires_at is not None and now >= self.expires_at:
            return "this enrolment key is too old: make another one"
        if self.single_use and self.uses:
            return "this enrolment key was used already: make another one"
        return ""


class Lives(Struct, frozen=True, kw_only=True):
    """The runs of a host's agent, from start to end, that said they live with one incarnation: the one that counts, since
    when (by the clock that never jumps), and those before it."""

    incarnation: str = ""
    life: str = ""
    since: float = 0.0
    earlier: tuple[str, ...] = ()


def lives_after(lives: Lives, incarnation: str, life: str, now: float) -> tuple[Lives, str]:
    """(the runs after one said that it lives, the run that is a twin or ""). A run that is over cannot speak again: when an
    earlier one does, and was not merely late, both live with one data folder, and the newer is not to be trusted."""
    if not life or (lives.incarnation, lives.life) == (incarnation, life):
        return lives, ""
    if lives.incarnation != incarnation:
        return Lives(incarnation=incarnation, life=life, since=now), ""
    if life not in lives.earlier:
        earlier = (lives.life, *lives.earlier)[:5]
        return Lives(incarnation=incarnation, life=life, since=now, earlier=earlier), ""
    if now - lives.since < _LATE_S:
        return lives, ""
    earlier = tuple(one for one in lives.earlier if one != life)
    return Lives(incarnation=incarnation, life=life, since=now, earlier=earlier), lives.life


class Speaker(Struct, frozen=True, kw_only=True):
    """A run of an agent that spoke for a host, listened to or not: when it was heard first and last (`last`: by the clock
    that never jumps) since this start, from which address, on a machine of which name."""

    incarnation: str
    life: str
    first_at: datetime
    last_at: datetime
    last: float
    address: str = ""
    machine: str = ""


Speaks = Literal["known", "new", "twin", "quarantined"]


def who_speaks(host: Host, incarnation: str, life: str = "") -> Speaks:
    """What a message of that incarnation, and of that run of the agent, says of the host's agent.

    new: its data folder was made anew. twin: the one before it lives too, so two agents have one identity, and the newer is
    not to be trusted. quarantined: that was found out before."""
    out = (*host.quarantined, *host.refused)
    if incarnation in out or (life and life in out):
        return "quarantined"
    if incarnation == host.incarnation:
        return "known"
    return "twin" if incarnation in host.earlier else "new"


def heard_from(host: Host, incarnation: str) -> Host:
    """The host after a message of that incarnation: of twins the one that was there first counts."""
    match who_speaks(host, incarnation):
        case "new":
            earlier = (host.incarnation, *host.earlier)[:5] if host.incarnation else host.earlier
            return replace(host, incarnation=incarnation, earlier=earlier)
        case "twin":
            earlier = tuple(one for one in host.earlier if one != incarnation)
            quarantined = (host.incarnation, *host.quarantined)[:20]
            return replace(host, incarnation=incarnation, earlier=earlier, quarantined=quarantined)
        case _:
            return host


def without_twin(host: Host, life: str) -> Host:
    """The host when that run of its agent turned out to be of a copy."""
    return replace(host, quarantined=(life, *(one for one in host.quarantined if one != life))[:20])


def released(host: Host, chosen: str, life: str = "") -> Host:
    """The host when an operator says that this incarnation (or run of an agent) is the right one: all others are refused
    from now on, and nothing is in doubt. `life`: the run that counted until now."""
    others = (*host.quarantined, *host.refused)
    if chosen not in (host.incarnation, life):
        others = (life if chosen.startswith(LIFE_PREFIX) else host.incarnation, *others)
    refused = tuple(dict.fromkeys(one for one in others if one not in ("", chosen)))[:20]
    if chosen.startswith(LIFE_PREFIX) or chosen == host.incarnation:
        return replace(host, quarantined=(), refused=refused)
    return replace(host, incarnation=chosen, earlier=(), quarantined=(), refused=refused)


def after_silence(host: Host, speakers: Sequence[Speaker], life: str, since: float, tick: float) -> Host:
    """The host when who was not heard for long is in doubt no more (`since`: since when this instance listens; `life`: the
    run that counts). Where that is the one that counts, one that still speaks takes its place."""

    def silent(id: str) -> bool:
        heard = max((one.last for one in speakers if id in (one.incarnation, one.life)), default=since)
        return tick - heard >= TWIN_SILENT_S

    left = tuple(id for id in host.quarantined if not silent(id))
    by_run = bool(left) and left[0].startswith(LIFE_PREFIX)
    if not left or not silent(life if by_run and life else host.incarnation):
        return replace(host, quarantined=left)
    if by_run:
        return replace(host, quarantined=left[1:])
    return replace(host, incarnation=left[0], earlier=(host.incarnation, *host.earlier)[:5], quarantined=left[1:])


def clock_offset_s(said: datetime, heard: datetime) -> float:
    """What has to be added to an agent's times to have ours: 0 for a clock that is about right."""
    off = (heard - said).total_seconds()
    return 0.0 if abs(off) < _CALM_CLOCK_S else off
