"""An instance of a cluster as it is registered, and how it is by what was heard of it lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.probe import LOCAL

InstanceRole = Literal["standalone", "primary", "dependent"]
InstanceStatus = Literal["active", "inactive", "failed", "promoting"]


class Certificate(Struct, frozen=True, kw_only=True):
    """What an instance showed when it registered: whose certificate it is, who vouches for it, its SHA-256, its end."""

    subject: str
    issuer: str
    fingerprint: str
    not_after: datetime


class Instance(Struct, frozen=True, kw_only=True):
    """One full server. `sync_url` is where its peers reach it ("": they do not, and it never votes); `fingerprint` is that
    of the certificate it shows there; `incarnation` names its disk; `certificate` is what it registered with (None: it
    knew the shared secret, or is the first one)."""

    id: str
    name: str
    location: str
    sync_url: str = ""
    web_url: str = ""
    fingerprint: str = ""
    failover_order: int = 99
    version: str = ""
    capabilities: tuple[str, ...] = ()
    system_info: dict[str, Any] = {}
    incarnation: str = ""
    witness: bool = False
    certificate: Certificate | None = None
    created_at: datetime


def shown_by_most(offs: Sequence[float], of: int, within_s: float) -> float | None:
    """What more than half of so many clocks show, give or take that: the middle of those that agree. `offs`: by how much
    those that are known are ahead of one of them. None where no majority agrees."""
    ordered, most = sorted(offs), list[float]()
    for first in range(len(ordered)):
        near = [off for off in ordered[first:] if off - ordered[first] <= within_s]
        most = max(most, near, key=len)
    return most[len(most) // 2] if 2 * len(most) > of else None


def must_name_its_place(location: str) -> str | None:
    """What is wrong with the location of a server that is to be one of several, in words; None: nothing."""
    if location != LOCAL:
        return None
    return (
        f"expected the name of this server's place (TOCSIN_LOCATION), found {LOCAL!r}: with several instances that means"
        " whichever of them leads"
    )


def status_of(heard_s: float | None, interval_s: float, *, promoting: bool = False) -> InstanceStatus:
    """How an instance is, by how long ago it was heard (None: never since this one leads): `active`; `inactive` after it
    missed one report; `failed` after three."""
    if promoting:
        return "promoting"
    if heard_s is None or heard_s > 3.5 * interval_s:
        return "failed" if heard_s is not None else "inactive"
    return "inactive" if heard_s > 1.5 * interval_s else "active"
