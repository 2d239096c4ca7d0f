"""Results that no server has taken yet, in memory, bounded: the oldest go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator

from tocsin import telemetry

MOST, MOST_BYTES = 5000, 8 << 20


class Buffer:
    """Answers by job, until they are taken. `dropped` counts those for which there was no room."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, job_id: str, answer: bytes) -> None:
        """Keep it until it is taken."""
        self.taken(job_id)
        self._kept[job_id] = answer, time.monotonic()
        self._bytes += len(answer)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self.taken(next(iter(self._kept)))
            self.dropped += 1
            telemetry.probe_dropped.inc()
        telemetry.probe_buffered.set(len(self._kept))

    def taken(self, job_id: str) -> None:
        """A server has it: forget it."""
        found = self._kept.pop(job_id, None)
        if found is not None:
            self._bytes -= len(found[0])
            telemetry.probe_buffered.set(len(self._kept))

    def age_ms(self, job_id: str) -> float:
        """How long ago it was written."""
        return (time.monotonic() - self._kept[job_id][1]) * 1000

    def waiting(self) -> Iterator[tuple[str, bytes]]:
        """All of them, the oldest first; what is taken meanwhile is left out."""
        for job_id in list(self._kept):
            found = self._kept.get(job_id)
            if found is not None:
                yield job_id, found[0]
