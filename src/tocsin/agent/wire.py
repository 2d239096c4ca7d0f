"""What agent and server say to each other: shapes and their version. Pure.

All is JSON over HTTPS, the agent calls, with its key as Bearer token. Unknown fields are passed over, so that both ends need
not be of one version. Every answer names the servers' URLs in order; one that does not lead answers 409 with `primary`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from tocsin.core.finding import Severity
from tocsin.core.host_rule import HostFinding, HostRule
from tocsin.core.sample import Service

VERSION = 1
ENROL, HEARTBEAT, SAMPLES, FINDINGS = (
    "/agent/api/enrol",
    "/agent/api/heartbeat",
    "/agent/api/samples",
    "/agent/api/findings",
)
MAX_BODY = 1 << 20
MOST_SERIES = 2000
"""So many series one host may have; more are refused and named."""
RECEIPT_S = 15.0
"""Without a receipt for so long the agent tells by itself."""


CAUSE_OFF = "off"
"""`cause` in a refusal (403): the host is switched off. Its agent tells nothing by itself until it hears otherwise."""


class Enrol(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """POST /agent/api/enrol, with an enrolment key (or the agent's own key again) as Bearer token. `server_uuid`: the one
    this host had, so that it stays the same host. `incarnation`: made anew with each new data folder."""

    name: str
    incarnation: str
    agent_version: str
    wire: int = VERSION
    server_uuid: str | None = None
    facts: dict[str, str] = {}
    tags: list[str] = []


class Config(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the server sets of an agent. It never holds a command or a path: `monitors` is a list as in the agent's own file,
    of collectors that may be set from afar; `builtin` changes built-in rules, as entries of `rules` there do. `channels`:
    {id, type, config} of those this host may tell by itself."""

    version: int
    rules: tuple[HostRule, ...] = ()
    monitors: list[dict[str, Any]] = []
    builtin: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    heartbeat_interval_s: float = 60
    metrics_push_interval_s: float = 30


class Signed(Struct, frozen=True, kw_only=True):
    """A Config as JSON text, and the server's Ed25519 signature over `host id, newline, text`, in base64url."""

    text: str
    signature: str


class Enrolled(Struct, frozen=True, kw_only=True):
    """What enrolling gives. `key` is the agent's own, `public_key` (base64url) is what Signed is checked with."""

    server_uuid: str
    workspace_id: str
    key: str
    urls: list[str]
    public_key: str
    config: Signed | None = None


class Heartbeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """PUT /agent/api/heartbeat. The first three names are those of the outside contract. `acked`: the last batch the agent
    knows to be delivered; `buffered` batches wait (some for `late_s`, where that is longer than two
    push intervals), `dropped` were lost for want of room, ever. `config_version`: the one it
    runs by, `config_error` why not the newest. `life`: made anew with each start of the agent. `every_s`: how often it says
    so. `troubles`: what it cannot do now, in words, by collector or part."""

    server_uuid: str
    timestamp: datetime
    agent_version: str
    incarnation: str = ""
    life: str = ""
    started_at: datetime | None = None
    every_s: float = 0.0
    config_version: int = 0
    config_error: str = ""
    buffered: int = 0
    late_s: float = 0.0
    dropped: int = 0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    facts: dict[str, str] = {}
    troubles: dict[str, str] = {}


class Unended(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is open at the server, and was found under another incarnation of this host's agent. `about`: RULE:WHAT, as in
    the incident's subject. `told`: through which of the agent's channels it was told; None when the server told it."""

    about: str
    rule_name: str
    severity: Severity
    told: tuple[str, ...] | None = None


class Quiet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stretch of time in which what opens on the host is not told: `why` in words (its maintenance, a window, a silence).
    It begins `in_s` seconds after this answer and lasts `for_s` from then; None: nobody said how long."""

    why: str
    in_s: float = 0.0
    for_s: float | None = None


class Beat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a heartbeat. `config` only when it is newer than what the agent runs by; `key` when it is to take a new
    one. `unended`: what an incarnation before this one left open. `quiet`: all of them that last or are to come, of each
    window the next one."""

    urls: list[str]
    epoch: int = 0
    config: Signed | None = None
    key: str | None = None
    unended: tuple[Unended, ...] = ()
    quiet: tuple[Quiet, ...] = ()


class Batch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one collector saw at one moment. `values`: pairs of an index into the message's `series`, and the value.
    `services` None: as before."""

    seq: int
    at: datetime
    collector: str
    values: list[tuple[int, float]] = []
    services: list[Service] | None = None
    trouble: str = ""


class Samples(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """POST /agent/api/samples: batches in order of `seq`, which counts from 1 in each incarnation without gaps but for what
    was dropped. Known ones are passed over: it is safe to repeat. Answered by Taken, or 429 with Retry-After."""

    incarnation: str
    series: list[str]
    batches: list[Batch]
    life: str = ""


class Taken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All up to `acked` is stored. `refused`: what was wrong with some of it, in words (it is not sent again). `beat`:
    something was changed that its next heartbeat brings; it may be sent at once."""

    acked: int
    urls: list[str]
    refused: list[str] = []
    beat: bool = False


class Findings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """POST /agent/api/findings: turns in order, those that the agent told by itself first."""

    incarnation: str
    findings: list[HostFinding]
    life: str = ""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many of the findings, from the first on, are written down for good (in a cluster: by a majority)."""

    taken: int
    urls: list[str]


class Elsewhere(Struct, frozen=True, kw_only=True):
    """The body of 409 from an instance that does not lead: who does, as far as it knows."""

    primary: str | None
    urls: list[str]
    epoch: int = 0
