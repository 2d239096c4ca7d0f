"""Whether an instance runs twice: two processes with one identity, since a data folder was copied."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_FORMER = 16


@dataclass(slots=True)
class _Known:
    boot: str
    at: float
    former: dict[str, float] = field(default_factory=dict[str, float])
    twins: set[str] = field(default_factory=set[str])


class Boots:
    """Each process draws a name for itself when it starts. One that was taken over by a newer one is over; when it speaks
    again later than `late_s` after that, both are alive: the one that was heard first counts, the other one is its twin,
    until the first has been silent for `silent_s`."""

    def __init__(self, late_s: float, silent_s: float) -> None:
        self._late_s, self._silent_s = late_s, silent_s
        self._known: dict[str, _Known] = {}

    def is_twin(self, who: str, boot: str, now: float) -> bool:
        """Note that this process spoke as that instance: whether it is a twin, which must not be listened to."""
        known = self._known.setdefault(who, _Known(boot, now))
        if boot in known.twins:
            if now - known.at <= self._silent_s:
                return True
            known.twins.discard(boot)
        if boot != known.boot:
            retired = known.former.pop(boot, None)
            if retired is not None and now - retired <= self._late_s:
                known.former[boot] = retired  # it said so before it ended
                return False
            if retired is not None:
                known.twins.add(known.boot)
            else:
                known.former[known.boot] = now
                while len(known.former) > MOST_FORMER:
                    del known.former[next(iter(known.former))]
            known.boot = boot
        known.at = now
        return False

    def forget(self, who: str) -> None:
        """It is no instance any more."""
        self._known.pop(who, None)
