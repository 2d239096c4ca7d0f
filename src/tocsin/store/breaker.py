"""Keeps us from hammering a database that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tocsin import telemetry

State = Literal["closed", "half_open", "open"]
_NUMBER: dict[State, int] = {"closed": 0, "half_open": 1, "open": 2}


class Breaker:
    """Closed while the database works. `failures` in a row open it; after `rest_s` it is half-open and lets tries
    through; `successes` in a row close it again, one failure opens it anew."""

    def __init__(
        self, monotonic: Callable[[], float], *, failures: int = 5, rest_s: float = 60.0, successes: int = 2
    ) -> None:
        self._monotonic, self._failures, self._rest_s, self._successes = monotonic, failures, rest_s, successes
        self._opened_at: float | None = None
        self._in_a_row = 0
        self._state: State = "closed"
        telemetry.breaker_state.set(0)

    @property
    def state(self) -> State:
        """Where it stands now: time alone makes an open one half-open."""
        if self._state == "open" and self.rest_left_s() <= 0:
            self._set("half_open")
        return self._state

    def allows(self) -> bool:
        """Whether the database may be tried."""
        return self.state != "open"

    def rest_left_s(self) -> float:
        """How long it stays open yet."""
        if self._state != "open" or self._opened_at is None:
            return 0.0
        return self._opened_at + self._rest_s - self._monotonic()

    def succeeded(self) -> None:
        """The database answered."""
        if self.state == "half_open":
            self._in_a_row += 1
            if self._in_a_row >= self._successes:
                self._set("closed")
        else:
            self._in_a_row = 0

    def failed(self) -> None:
        """The database did not answer."""
        state = self.state
        if state == "half_open":
            self._set("open")
        elif state == "closed":
            self._in_a_row += 1
            if self._in_a_row >= self._failures:
                self._set("open")

    def _set(self, state: State) -> None:
        self._state, self._in_a_row = state, 0
        self._opened_at = self._monotonic() if state == "open" else None
        telemetry.breaker_state.set(_NUMBER[state])
