"""Counters made into rates that are never negative and never absurd."""

from __future__ import annotations

from collections.abc import Mapping

SHORTEST_S = 0.2
"""Looks nearer to each other than this give no new rates: counters move in steps."""
MOST_PER_S = 1e13
"""No counter of a host grows faster: what seems to was another thing of the same name."""


class Rates:
    """What counters grew by in a second. The name of a counter holds what tells two things of one name apart (the number of
    an interface, say), so that a thing that went and came again begins anew."""

    def __init__(self) -> None:
        self._before: Mapping[str, float] = {}
        self._at: float | None = None
        self._rates: dict[str, float] = {}

    def per_s(self, counters: Mapping[str, float], at: float) -> dict[str, float]:
        """The rates since the look before, at `at` seconds of a clock that never jumps. A counter that was not there then
        has none; one that went backwards (it wrapped, or began anew) keeps the rate it had for this look."""
        passed = None if self._at is None else at - self._at
        if passed is not None and 0 <= passed < SHORTEST_S:
            return {name: self._rates[name] for name in counters if name in self._rates}
        found: dict[str, float] = {}
        if passed is not None and passed > 0:
            for name, value in counters.items():
                before = self._before.get(name)
                grown = -1.0 if before is None else (value - before) / passed
                if 0 <= grown <= MOST_PER_S:
                    found[name] = grown
                elif before is not None and name in self._rates:
                    found[name] = self._rates[name]
        self._before, self._at, self._rates = dict(counters), at, found
        return found
