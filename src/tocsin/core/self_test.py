"""Whether a location's failure may count: what it found of itself, held against what the check says of the target."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec import Struct

from tocsin.core.result import CheckError

CLOCK_OFF_S = 300.0
"""So far off, a clock makes good certificates look expired or not yet valid."""


class Looks(Struct, frozen=True, kw_only=True):
    """What a location found when it looked at itself. `resolver`, `route`: what is wrong with it, or None. `anchors`: how
    many places that should always answer were asked, and how many of them failed. `clock_off_s`: by how much our clock
    differs from theirs, None when none of them tells the time."""

    resolver: str | None = None
    route: str | None = None
    anchors: int = 0
    failed: int = 0
    clock_off_s: float | None = None

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with it."""
        cut_off = bool(self.anchors) and self.failed == self.anchors
        clock = self.clock_off_s is None or abs(self.clock_off_s) <= CLOCK_OFF_S
        return self.resolver is None and self.route is None and not cut_off and clock


def needs_looks(error: CheckError, ip: str | None, *, anchors: bool) -> bool:
    """Whether this failure could be ours. An answer that is merely wrong is the target's own, and this machine needs no
    network to reach itself."""
    if error.type in ("assertion", "cors") or (ip is not None and ip_address(ip).is_loopback):
        return False
    return anchors or error.type in ("dns", "network")


def doubt(error: CheckError, looks: Looks) -> str | None:
    """Why this failure is no evidence against the target, or None when it is."""
    if looks.anchors and looks.failed == looks.anchors:
        return f"this location reaches none of its {looks.anchors} anchors"
    if error.type == "dns" and looks.resolver is not None:
        return f"this location's own resolver does not work: {looks.resolver}"
    if error.type == "network" and looks.route is not None:
        return f"this location is cut off: {looks.route}"
    off = looks.clock_off_s
    if error.type == "tls" and off is not None and abs(off) > CLOCK_OFF_S:
        return f"this location's clock is {abs(off):.0f} s {'fast' if off > 0 else 'slow'}"
    return None
