"""Every exception of ours, in one tree.

    TocsinError
    ├── CheckFailed        a check saw that the target is not well (decided in checks.run)
    ├── DeliveryFailed     a notifier could not deliver (decided in pipeline.delivery)
    ├── EgressRefused      the address may not be contacted (decided in checks.run and pipeline.delivery)
    ├── PeerLost           an instance, probe or agent does not answer (decided in its loop)
    ├── StoreUnavailable   the database cannot be used now (decided in store.Store and at the edges)
    │   └── NotPrimary     another instance writes now (decided at the edges and by whoever would have told somebody)
    ├── SettingsError      a setting is wrong: stops the start, names the key
    ├── Invalid            outside data is wrong: one Problem a field (decided at the edges)
    ├── NotFound           no such thing in this workspace
    ├── Conflict           it cannot be done in the present state
    └── Denied             the caller may not do this
        ├── SwitchedOff    … since the host that an agent speaks for is switched off
        └── Outcast        … since the instance that asks takes no part in the cluster

An error is caught where something is decided about it, nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class TocsinError(Exception):
    """Anything Tocsin raises on purpose."""


class CheckFailed(TocsinError):
    """The target is not well.

    `type` is one of core.result.ERROR_TYPES, `phase` one of dns, connect, tls, send, ttfb, transfer or None;
    `observation` carries what had been seen until then (a core.result.Observation) or None.
    """

    def __init__(self, type: str, message: str, *, phase: str | None = None, observation: Any = None) -> None:
        super().__init__(message)
        self.type, self.message, self.phase, self.observation = type, message, phase, observation


class CheckInvalid(TocsinError):
    """The check could not be judged fairly, for a reason of our own (never evidence against the target)."""


class DeliveryFailed(TocsinError):
    """A notification was not delivered.

    `permanent`: trying again cannot help (wrong address, revoked token). `retry_after_s`: what the other side asked for.
    """

    def __init__(self, message: str, *, permanent: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.permanent, self.retry_after_s = permanent, retry_after_s


class EgressRefused(TocsinError):
    """The operator's rules do not let us contact this address (net.egress)."""


class PeerLost(TocsinError):
    """An instance, probe or agent did not answer. `cause`: None when it was merely not heard; certificate, key or no_probe
    when what answers is not who we know, or does not take us."""

    cause: str | None = None


class StoreUnavailable(TocsinError):
    """The database cannot be used now; `retry_after_s` is when to come again."""

    def __init__(self, message: str = "the database cannot be used now", *, retry_after_s: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotPrimary(StoreUnavailable):
    """This instance may not write what all instances share; `primary` is the URL of the one that may, as far as it is known.

    `in_doubt`: it was written here and may hold yet, when a majority turns out to have it. Coming again is safe then only
    with what may be done twice."""

    def __init__(
        self, message: str = "this instance is not the primary: it cannot change what all instances share",
        *, primary: str | None = None, retry_after_s: float = 5.0, in_doubt: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(message, retry_after_s=retry_after_s)
        self.primary, self.in_doubt = primary, in_doubt


class SettingsError(TocsinError):
    """Settings are wrong. Each line of the message names a key, what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field of outside data.

    `field` is a path such as "target.url" or "assertions[1].value"; `found` is a short JSON-like rendering.
    """

    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}expected {self.expected}, found {self.found}"


class Invalid(TocsinError):
    """Outside data that cannot be accepted; `problems` has one entry for each wrong field."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = problems


class NotFound(TocsinError):
    """There is no such thing in this workspace."""


class Conflict(TocsinError):
    """It cannot be done in the present state (already done, already there)."""


class Denied(TocsinError):
    """The caller may not do this. `authenticated` is False when nobody is signed in at all."""

    def __init__(self, message: str = "you may not do this", *, authenticated: bool = True) -> None:
        super().__init__(message)
        self.authenticated = authenticated


class SwitchedOff(Denied):
    """The host that an agent speaks for is switched off."""


class Outcast(Denied):
    """The instance that asks takes no part in the cluster. `cause`: it was "removed", or it is a second process with the
    identity of another one ("twice")."""

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause
