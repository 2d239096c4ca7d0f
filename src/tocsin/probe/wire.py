"""What server and probe say to each other: shapes and their version. Pure.

An order is read field by field, for a person may send one; what a probe answers is read by its types, some hundred times a
second. Neither end believes more than it has to: see answer.sound. Messages of unknown types, and unknown fields, are passed
over, so that both ends need not be of one version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tocsin.core.plain import clip
from tocsin.core.result import Outcome
from tocsin.core.shape import Length, Range, read
from tocsin.errors import Invalid, Problem

VERSION = 1
MAX_MESSAGE = 1 << 20
MOST_BODY = 4096
"""So much of a failed answer's body travels: what evidence is made of."""
MOST_TEXT = 2000
MOST_HEADERS = 200
HEARTBEAT_S = 10.0

Linked = tuple[str, str]
"""A probe's seat: the workspace's id and the location's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """An order: one check to run. The first five names are those of the outside contract."""

    jobId: Annotated[str, Length(1, 100)]
    monitorId: Annotated[str | int, Length(0, 100)] = ""
    monitorType: Annotated[str, Length(1, 40)]
    config: dict[str, Any]
    validationRules: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    timeoutMs: Annotated[float | int, Range(50, 300_000)] = 10_000
    scheduledAt: datetime | None = None
    attempt: Annotated[int, Range(0, 1000)] = 0


_EXECUTE = frozenset(Execute.__dataclass_fields__)


def read_execute(data: object) -> Execute:
    """The order in plain data. Raises Invalid with one Problem for each wrong field."""
    if isinstance(data, dict):
        given = cast("dict[str, Any]", data)
        data = {name: value for name, value in given.items() if name in _EXECUTE}
    return read(Execute, data)


class TimingMs(Struct, frozen=True, omit_defaults=True):
    """Durations as the outside contract names them."""

    dnsMs: float | None = None
    connectMs: float | None = None
    tlsMs: float | None = None
    ttfbMs: float | None = None
    transferMs: float | None = None


class Trouble(Struct, frozen=True):
    """Why a check is no success."""

    message: str
    type: str


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `POST /execute` answers, and what a link carries back. `outcome` is all that a check here would have given;
    `tookMs` how long the probe was at it, from the order's coming to this answer, so that clocks need not agree."""

    jobId: str
    region: str
    status: Literal["success", "failure", "timeout"]
    responseTimeMs: float
    statusCode: int | None = None
    headers: dict[str, str] = {}
    timing: TimingMs = TimingMs()
    bodySizeBytes: int | None = None
    error: Trouble | None = None
    monitorId: str | int = ""
    scheduledAt: datetime | None = None
    attempt: int = 0
    tookMs: float = 0.0
    outcome: Outcome | None = None


class Health(Struct, frozen=True, kw_only=True):
    """How a probe is. `types` are the check types it can run, `lagMs` the worst lag of its loop in the last minute,
    `inFlight` of `capacity` checks are running, `buffered` results wait to be taken, `dropped` were too many to be kept,
    `trouble` is what its look at itself found, None when all is well."""

    status: Literal["ok", "degraded"] = "ok"
    version: str = ""
    wire: int = VERSION
    region: str = ""
    types: tuple[str, ...] = ()
    uptimeS: float = 0.0
    lagMs: float = 0.0
    inFlight: int = 0
    capacity: int = 0
    buffered: int = 0
    dropped: int = 0
    trouble: str | None = None


class Late(Struct, frozen=True, kw_only=True):
    """A result that nobody waits for any more. Which monitor it is of is what the probe says: check that this seat may."""

    who: Linked
    monitor_id: str
    scheduled_at: datetime
    attempt: int
    outcome: Outcome


# --- what goes over a link ------------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, tag="hello"):
    """The probe's first message. `boot`: what its process called itself when it started ("": an older one does not)."""

    health: Health
    wire: int = VERSION
    boot: str = ""


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    """The probe lives."""

    health: Health


class Result(Struct, frozen=True, tag="result"):
    """An order was carried out; `ageMs` ago, when it had to wait for the link."""

    answer: Answer
    ageMs: float = 0.0


class RawResult(Struct, frozen=True, tag="result"):
    """The same as it is sent: the answer was written down before."""

    answer: Raw
    ageMs: float = 0.0


class Refused(Struct, frozen=True, tag="refused"):
    """An order was not carried out. `kind`: busy (ask somebody else), or order (it cannot be understood)."""

    jobId: str
    kind: str
    message: str


class KeyKept(Struct, frozen=True, tag="key_kept"):
    """The new key is on the probe's disk."""


FromProbe = Hello | Heartbeat | Result | Refused | KeyKept


class Welcome(Struct, frozen=True, tag="welcome"):
    """The server's first message. `urls` are where the server can be reached, in the order to try."""

    location: str
    urls: tuple[str, ...] = ()
    heartbeatS: float = HEARTBEAT_S
    wire: int = VERSION


class Job(Struct, frozen=True, tag="job"):
    """An order."""

    job: dict[str, Any]


class RawJob(Struct, frozen=True, tag="job"):
    """The same as it is sent."""

    job: Raw


class Taken(Struct, frozen=True, tag="taken"):
    """These results are safe: the probe may forget them."""

    jobIds: tuple[str, ...]


class NewKey(Struct, frozen=True, tag="key"):
    """The key to use from the next link on."""

    key: str


class Moved(Struct, frozen=True, tag="moved"):
    """Another server leads now."""

    primary: str = ""
    urls: tuple[str, ...] = ()


ToProbe = Welcome | Job | Taken | NewKey | Moved

_FROM = msgspec.json.Decoder(FromProbe)
_TO = msgspec.json.Decoder(ToProbe)
_ANSWER = msgspec.json.Decoder(Answer)
_HEALTH = msgspec.json.Decoder(Health)


def read_from_probe(text: str | bytes) -> FromProbe:
    """A message of a probe. Raises Invalid."""
    return decoded(_FROM, text)


def read_to_probe(text: str | bytes) -> ToProbe:
    """A message of the server. Raises Invalid."""
    return decoded(_TO, text)


def read_answer(text: bytes) -> Answer:
    """The answer to an order. Raises Invalid."""
    return decoded(_ANSWER, text)


def read_health(text: bytes) -> Health:
    """The answer to GET /health with a key. Raises Invalid."""
    return tidy_health(decoded(_HEALTH, text))


def decoded(decoder: msgspec.json.Decoder[Any], text: str | bytes) -> Any:
    """What the decoder makes of it. Raises Invalid."""
    if len(text) > MAX_MESSAGE:
        raise Invalid(Problem("", f"at most {MAX_MESSAGE} bytes", f"{len(text)} bytes"))
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError, ValueError) as error:
        raise Invalid(Problem("", "a message as probes and servers speak", clip(str(error), 200))) from None


def known(types: Sequence[str], wanted: str) -> bool:
    """Whether a probe that named these types can run that one; one that named none is asked."""
    return not types or wanted in types


def tidy_health(health: Health) -> Health:
    """What a probe says of itself, short enough to be kept and shown."""
    return replace(
        health,
        version=clip(health.version, 40),
        region=clip(health.region, 80),
        types=tuple(clip(name, 40) for name in health.types[:100]),
        trouble=None if health.trouble is None else clip(health.trouble, 300),
    )
