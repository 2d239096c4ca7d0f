"""What instances say to each other: shapes, the version of the wire, and how they are read. The names of the sync API's
first bodies (`instanceId`, `failoverOrder` …) are given by clients of it that exist."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from tocsin.core.control_log import Position
from tocsin.core.membership import Membership
from tocsin.core.notice import NoticeKind
from tocsin.core.peer import Message
from tocsin.errors import Invalid, Problem

WIRE = 1
"""Versions that differ by one understand each other; what is further apart is refused with both numbers."""
MOST_BODY = 32 << 20
PIECE = 4 << 20
"""A snapshot travels in pieces of so many bytes."""
TOKEN_S = 24 * 3600
RENEW_S = 6 * 3600

T = TypeVar("T")
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Short = Annotated[str, Meta(max_length=200)]
Url = Annotated[str, Meta(max_length=500)]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Ident = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{8,64}$")]
Permission = Literal["sync", "report", "results", "adopt"]
Status = Literal["healthy", "degraded", "failing"]


class Hello(Struct, frozen=True, kw_only=True):
    """Who wants to register asks first whether this is the right one."""

    nonce: Ident
    wire: int = WIRE


class Welcome(Struct, frozen=True, kw_only=True):
    """`proof` shows that the other side knows the shared secret, and that it shows its own certificate; None: it has no
    secret, and takes certificates of its authorities only. `before` is made with the secret that is being replaced."""

    nonce: Ident
    proof: Hex | None = None
    before: Hex | None = None
    wire: int = WIRE


class SystemInfo(Struct, frozen=True, kw_only=True):
    """The machine. `memory` is bytes, `cpu` the number of processors, `nodeVersion` that of the language."""

    platform: Short = ""
    arch: Short = ""
    nodeVersion: Short = ""
    memory: int = 0
    cpu: int = 0


class Registration(Struct, frozen=True, kw_only=True):
    """An instance that wants to join. `incarnation` names its disk, `fingerprint` the certificate of its sync API ("" for
    none), `publicEndpoint` is where its peers reach that; `proof` is made with the shared secret and `nonce`, the other
    side's; without it the certificate that the connection was opened with counts."""

    instanceId: Ident
    instanceName: Text
    location: Text
    version: Short = ""
    capabilities: tuple[Short, ...] = ()
    failoverOrder: Annotated[int, Meta(ge=0, le=9999)] = 99
    publicEndpoint: Url | None = None
    webUrl: Url = ""
    systemInfo: SystemInfo = SystemInfo()
    incarnation: Ident
    fingerprint: Short = ""
    witness: bool = False
    wire: int = WIRE
    nonce: Ident
    proof: Hex | None = None


class Offer(Struct, frozen=True, kw_only=True):
    """What a server that stands alone has, and would bring along if it joined. `adoption` names this attempt, `head` is the
    version of its tables; `workspaces`: name by id; `people`: addresses, `same` those of whom the operator said that they
    are the same people as in the cluster; `codes`: of its probes. `begin`: not only to look. `proof`: see Registration."""

    instanceId: Ident
    instanceName: Text
    location: Text
    adoption: Ident
    head: Short
    workspaces: dict[str, str]
    people: tuple[Short, ...] = ()
    same: tuple[Short, ...] = ()
    codes: tuple[Short, ...] = ()
    begin: bool = False
    wire: int = WIRE
    nonce: Ident
    proof: Hex | None = None


class Offered(Struct, frozen=True, kw_only=True):
    """The answer: what stands in the way, what will be otherwise; when it was begun, a token for the loads, the key for the
    secrets in them, the number of the next one, and where it begins. `urls`: where the instances are reached, the primary
    first."""

    conflicts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    token: str = ""
    key: bytes = b""
    next: int = 0
    cursor: tuple[str | int, ...] = ()
    done: bool = False
    urls: tuple[str, ...] = ()


class Peer(Struct, frozen=True, kw_only=True):
    """Where an instance is reached by its peers, the certificate it shows there ("" for none), and where by people."""

    id: str
    url: str
    fingerprint: str = ""
    web: str = ""


class Registered(Struct, frozen=True, kw_only=True):
    """The answer: `token` for what the instance asks from now on, `clusterKey` (base64) for the secrets in what it is
    sent."""

    instanceId: str
    token: str
    expiresAt: str
    permissions: tuple[Permission, ...]
    clusterKey: bytes
    primary: str
    peers: tuple[Peer, ...]
    urls: tuple[str, ...]


class Renewed(Struct, frozen=True, kw_only=True):
    """A token in place of one that ends soon."""

    token: str
    expiresAt: str


class SystemMetrics(Struct, frozen=True, kw_only=True):
    """Percent of processor, memory and disk, and how many monitors it checks."""

    cpuUsage: float = 0.0
    memoryUsage: float = 0.0
    diskUsage: float = 0.0
    activeEndpoints: int = 0


class ConnectionStatus(Struct, frozen=True, kw_only=True):
    """How the instance gets on with its primary."""

    primaryReachable: bool = True
    lastSyncSuccess: str | None = None
    syncErrors: int = 0


class Alarmed(Struct, frozen=True, kw_only=True):
    """Something that admins should know of: what is about the same thing again is the same."""

    kind: NoticeKind
    about: Short
    text: Annotated[str, Meta(max_length=500)]


class Heartbeat(Struct, frozen=True, kw_only=True):
    """How an instance is. `monitoringResults` are taken by /sync/api/results (with ids); here they may be empty.
    `publicEndpoint` and `webUrl`: where it is reached, as it is set now. `monitorErrors`: what it has and cannot run, by
    monitor, with the reason. `alarms`: what it saw and cannot write down itself."""

    instanceId: Ident
    timestamp: Short
    status: Status
    uptime: float
    monitoringResults: tuple[dict[str, Any], ...] = ()
    systemMetrics: SystemMetrics = SystemMetrics()
    connectionStatus: ConnectionStatus = ConnectionStatus()
    version: Short = ""
    publicEndpoint: Url | None = None
    webUrl: Url = ""
    monitorErrors: dict[Short, Annotated[str, Meta(max_length=1000)]] = {}
    alarms: tuple[Alarmed, ...] = ()


class Taken(Struct, frozen=True, kw_only=True):
    """The answer to a report, as far as a witness needs it: who there is."""

    peers: tuple[Peer, ...] = ()


class Said(Struct, frozen=True, kw_only=True):
    """A message of the protocol of core.failover, from that instance."""

    sender: Ident
    message: Message
    wire: int = WIRE


class Answer(Struct, frozen=True, kw_only=True):
    """What was answered to it, if anything."""

    message: Message | None = None


class Place(Struct, frozen=True, kw_only=True):
    """A committed place of the log, and who belonged to the cluster there."""

    position: Position
    membership: Membership


def read(type_: type[T], body: bytes) -> T:
    """An instance of `type_` from JSON. Raises Invalid with what was expected and where."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        text = str(error)
        where = text.rpartition("`$")[2].strip("`.") if "`$" in text else ""
        raise Invalid(Problem(where, "what the sync API says", text)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(Problem("", "one JSON value", str(error))) from None


def write(value: Any) -> bytes:
    """The JSON of any of these."""
    return msgspec.json.encode(value)
