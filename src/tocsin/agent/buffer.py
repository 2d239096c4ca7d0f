"""What was seen and is not handed over yet: batches on disk, bounded by age and size, each with its number.

What the disk does not take waits in memory. What there is no room for is dropped, the oldest first, and counted.
"""

from __future__ import annotations

from collections import deque

from tocsin import telemetry
from tocsin.agent.disk import Broken, Disk, Unwritten

log = telemetry.logger("tocsin.agent.buffer")

KEEP_S = 25 * 3600.0
"""So much of the agent's life is kept: a day, and an hour to spare. Its own life, so that a wrong clock drops nothing."""
MOST_UNSAVED = 2 << 20
"""Bytes that may wait in memory for a disk that takes nothing."""
_ROW = 40  # what a row costs beside its body, about


class Buffer:
    """For the one thread that the disk has. Batches are numbered from 1 in each incarnation, each once."""

    def __init__(self, disk: Disk, most_bytes: int, now: float) -> None:
        self._disk, self.most_bytes = disk, most_bytes
        self._unsaved: deque[tuple[int, float, bytes]] = deque()
        self._unsaved_bytes = 0
        self.trouble = ""
        self._load(now)

    def _load(self, now: float) -> None:
        disk = self._disk
        self._lived, self._since = float(disk.meta("lived", 0.0)), now
        self.acked, self.dropped = int(disk.meta("acked", 0)), int(disk.meta("dropped", 0))
        count, size, last = disk.read("SELECT count(*), coalesce(sum(length(body)), 0), max(seq) FROM batches")[0]
        self._saved, self._saved_bytes = int(count), int(size) + _ROW * int(count)
        self.next_seq = max(self.acked, int(disk.meta("last", 0)), last or 0) + 1
        self._sent = self.next_seq - 1  # at least so far has gone out, in this process or before

    @property
    def count(self) -> int:
        """Batches that wait."""
        return self._saved + len(self._unsaved)

    @property
    def bytes(self) -> int:
        """About how much room they take."""
        return self._saved_bytes + self._unsaved_bytes

    @property
    def _room(self) -> int:
        return min(self.most_bytes, MOST_UNSAVED) if self._disk.in_memory else self.most_bytes

    def add(self, body: bytes, now: float) -> int:
        """Keep a batch; its number."""
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        self._unsaved.append((seq, self._age(now), body))
        self._unsaved_bytes += len(body) + _ROW
        self.save(now)
        return seq

    def save(self, now: float, *, safely: bool = False) -> None:
        """Write what is not on disk yet, and drop what is too much. `safely`: make sure that it outlives a power cut."""
        try:
            self._save(now, safely=safely)
            self.trouble = ""
        except Unwritten as error:
            if not self.trouble:
                log.warning("agent.buffer_not_written", reason=str(error))
            self.trouble = f"the buffer cannot be written: {error}"
        except Broken as error:
            self._begin_anew(str(error), now)
        self._bound_memory()

    def _save(self, now: float, *, safely: bool) -> None:
        lived, rows = self._age(now), list(self._unsaved)
        size = sum(len(body) + _ROW for _, _, body in rows)
        with self._disk.writing(safely=safely) as db:
            db.executemany("INSERT INTO batches VALUES (?, ?, ?)", rows)
            gone, freed = self._drop(lived, self._saved_bytes + size - self._room)
            kept = {"lived": lived, "last": self.next_seq - 1, "dropped": self.dropped + gone, "acked": self.acked}
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", kept.items())
        self._saved += len(rows) - gone
        self._saved_bytes += size - freed
        self.dropped += gone
        self._unsaved.clear()
        self._unsaved_bytes = 0

    def _drop(self, lived: float, over: int) -> tuple[int, int]:
        """Delete the oldest that are too old, and so many that `over` bytes are free: how many went, and their bytes."""
        rows = self._disk.read(
            "SELECT seq, lived, length(body) FROM batches ORDER BY seq LIMIT ?", 1 if over <= 0 else 100_000
        )
        last, gone, freed = 0, 0, 0
        while True:
            for seq, born, size in rows:
                if born >= lived - KEEP_S and freed >= over:
                    rows = []
                    break
                last, gone, freed = seq, gone + 1, freed + size + _ROW
            if not rows:
                break
            rows = self._disk.read(
                "SELECT seq, lived, length(body) FROM batches WHERE seq>? ORDER BY seq LIMIT 1000", last
            )
        if gone:
            self._disk.read("DELETE FROM batches WHERE seq<=?", last)
        return gone, freed

    def _bound_memory(self) -> None:
        while self._unsaved_bytes > MOST_UNSAVED:
            _, _, body = self._unsaved.popleft()
            self._unsaved_bytes -= len(body) + _ROW
            self.dropped += 1

    def take(self, most: int, most_bytes: int) -> list[tuple[int, bytes]]:
        """The oldest that wait, as many as fit (one at least). They stay until they are acknowledged."""
        found: list[tuple[int, bytes]] = []
        size = 0
        try:
            rows = self._disk.read("SELECT seq, body FROM batches ORDER BY seq LIMIT ?", most) if self._saved else []
        except Unwritten:
            rows = []
        except Broken as error:
            self._begin_anew(str(error), self._since)
            rows = []
        for seq, body in [*rows, *((seq, body) for seq, _, body in self._unsaved)][:most]:
            size += len(body)
            if found and size > most_bytes:
                break
            found.append((seq, body))
        if found:
            self._sent = max(self._sent, found[-1][0])
        return found

    def done(self, acked: int, now: float) -> None:
        """All up to this number is stored at the server. When it has more than was ever sent from here (the folder was put
        back to an earlier state), what was made since counts on from there."""
        if acked > self._sent:
            self._count_on_from(acked)
        self._forget(acked, now)

    def refuse(self, seq: int, now: float) -> None:
        """The server will never take this one: it is dropped."""
        self.dropped += 1
        self._forget(seq, now)

    def _forget(self, up_to: int, now: float) -> None:
        self.acked = max(self.acked, up_to)
        while self._unsaved and self._unsaved[0][0] <= up_to:
            self._unsaved_bytes -= len(self._unsaved.popleft()[2]) + _ROW
        try:
            with self._disk.writing() as db:
                count, size = db.execute(
                    "SELECT count(*), coalesce(sum(length(body)), 0) FROM batches WHERE seq<=?", (up_to,)
                ).fetchone()
                db.execute("DELETE FROM batches WHERE seq<=?", (up_to,))
                kept = {
                    "acked": self.acked,
                    "dropped": self.dropped,
                    "lived": self._age(now),
                    "last": self.next_seq - 1,
                }
                db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", kept.items())
            self._saved -= count
            self._saved_bytes -= size + _ROW * count
        except Unwritten as error:
            self.trouble = f"the buffer cannot be written: {error}"
        except Broken as error:
            self._begin_anew(str(error), now)

    def _count_on_from(self, acked: int) -> None:
        """Number what was never sent behind what the server has."""
        log.warning("agent.counts_on", server_has=acked, sent=self._sent)
        try:
            rows = self._disk.read("SELECT seq, lived, body FROM batches WHERE seq>? ORDER BY seq", self._sent)
            with self._disk.writing() as db:
                db.execute("DELETE FROM batches")
            self._saved = self._saved_bytes = 0
        except (Unwritten, Broken):
            rows = []
        waiting = [*rows, *((seq, lived, body) for seq, lived, body in self._unsaved if seq > self._sent)]
        self._unsaved = deque((acked + 1 + i, lived, body) for i, (_, lived, body) in enumerate(waiting))
        self._unsaved_bytes = sum(len(body) + _ROW for _, _, body in self._unsaved)
        self.next_seq, self._sent = acked + 1 + len(self._unsaved), acked

    def _begin_anew(self, why: str, now: float) -> None:
        """The file is no database any more: a new one, a new incarnation. What waits in memory comes along; what was on
        disk counts as dropped."""
        lost, unsaved = self.dropped + self._saved, [(lived, body) for _, lived, body in self._unsaved]
        self._disk.put_aside(why)
        self._load(now)
        self.dropped = lost
        self._unsaved = deque((i, lived, body) for i, (lived, body) in enumerate(unsaved, self.next_seq))
        self.next_seq += len(unsaved)
        self.save(now, safely=True)

    def _age(self, now: float) -> float:
        return self._lived + max(0.0, now - self._since)
