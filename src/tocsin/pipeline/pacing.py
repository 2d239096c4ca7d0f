"""What each channel was told lately, in memory: the facts that `core.storm` decides by."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tocsin.core.digest import Lines
from tocsin.core.storm import AT_ONCE, BURST, CALM, END, MINUTE, MOST_A_MINUTE, OPENINGS, SPELL, Pace

Place = tuple[str, str]


@dataclass(slots=True)
class Storm:
    """A channel's latest digest: when it was made, what the spell it belongs to is called, its key, what the other side
    calls it, and the lines to be said again where an update is put in its place."""

    at: datetime
    name: str
    key: str
    ref: str | None = None
    lines: Lines = field(default_factory=dict)


@dataclass(slots=True)
class _Track:
    left: deque[datetime] = field(default_factory=lambda: deque(maxlen=2 * MOST_A_MINUTE))
    openings: deque[datetime] = field(default_factory=lambda: deque(maxlen=BURST + 1))
    ends: deque[datetime] = field(default_factory=lambda: deque(maxlen=BURST + 1))
    edits: bool = False
    storm: Storm | None = None
    rests_until: datetime | None = None


class Pacing:
    """Every channel's pace. What is not known (after a start) counts as quiet."""

    def __init__(self) -> None:
        self._tracks: dict[Place, _Track] = {}
        self.busy: Counter[Place] = Counter()

    def forget(self) -> None:
        """Know of nothing any more, as at the beginning (whoever holds on to this one sees that too)."""
        self.__init__()

    def facts(self, place: Place, now: datetime) -> Pace:
        """What is known of a channel now."""
        track = self._tracks.get(place)
        if track is None:
            return Pace(busy=self.busy[place])
        return Pace(
            left=tuple(at for at in track.left if now - MINUTE < at <= now),
            openings=sum(now - SPELL < at <= now for at in track.openings),
            ends=sum(now - SPELL < at <= now for at in track.ends),
            edits=track.edits,
            digest_at=None if track.storm is None else track.storm.at,
            busy=self.busy[place],
            rests_until=track.rests_until if _soon(track.rests_until, now) else None,
        )

    def left(self, place: Place, at: datetime) -> None:
        """Something is sent to a channel."""
        self._track(place).left.append(at)

    def opened(self, place: Place, at: datetime, count: int = 1) -> None:
        """So many openings are told to a channel, in one message or several."""
        self._track(place).openings.extend([at] * min(count, BURST + 1))

    def ended(self, place: Place, at: datetime, count: int = 1) -> None:
        """So many ends are told to a channel, in one message or several, none of them in place of an earlier one."""
        self._track(place).ends.extend([at] * min(count, BURST + 1))

    def rests(self, place: Place, until: datetime) -> None:
        """The other side asked to be left alone until then."""
        self._track(place).rests_until = until

    def storm(self, place: Place, now: datetime) -> Storm | None:
        """The channel's latest digest, while its storm lasts."""
        track = self._tracks.get(place)
        if track is None or track.storm is None or not now - CALM < track.storm.at <= now:
            return None
        return track.storm

    def gathered(self, place: Place, storm: Storm) -> None:
        """A digest was made."""
        self._track(place).storm = storm

    def told(self, place: Place, key: str, ref: str | None) -> None:
        """A message was taken; without a `ref` it cannot be edited, and the lines of a digest need no keeping."""
        track = self._track(place)
        track.edits, storm = ref is not None, track.storm
        if storm is not None and storm.key == key:
            storm.ref = ref
            if ref is None:
                storm.lines = {}

    def begin(self, place: Place) -> None:
        """Something is on its way."""
        self.busy[place] += 1

    def end(self, place: Place) -> None:
        """It arrived, or did not."""
        self.busy[place] -= 1
        if not self.busy[place]:
            del self.busy[place]

    def free(self, place: Place) -> int:
        """How many more may be on their way."""
        return AT_ONCE - self.busy[place]

    def recall(self, attempts: Iterable[tuple[Place, datetime, str]]) -> None:
        """Take in what was sent before the start, newest first."""
        for place, at, event in reversed(list(attempts)):
            self.left(place, at)
            if event in OPENINGS:
                self.opened(place, at)
            elif event == END:
                self.ended(place, at)

    def _track(self, place: Place) -> _Track:
        return self._tracks.setdefault(place, _Track())


def _soon(at: datetime | None, now: datetime) -> bool:
    """Whether a rest is believable: the wall clock may have been set back since."""
    return at is not None and now < at <= now + timedelta(hours=1, seconds=1)
