"""The buffer as a machine: whatever happens, in whatever order, each batch is delivered once, waits, or is counted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tocsin.agent.buffer import KEEP_S, MOST_UNSAVED, Buffer
from tocsin.agent.disk import FILE, Disk
from tocsin.errors import SettingsError

QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A disk that need not turn: each step forces its writes out."""


class Buffered(RuleBasedStateMachine):
    """A buffer on a real disk, and a server that takes what it is given; kills, full disks and lost answers in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=QUICK))
        self.now = 0.0
        self.added = 0
        self.gone: int = 0  # what a kill took with it that the disk had not taken
        self.server: dict[str, dict[int, bytes]] = {}
        self.full = False
        self.both: set[bytes] = set()

    @initialize(most=st.sampled_from((5_000, 60_000, 1 << 20)))
    def begin(self, most: int) -> None:
        self.most = most
        self._open()

    def _open(self) -> None:
        self.disk = Disk(self.folder, "machine")
        self.disk.open()
        self.buffer = Buffer(self.disk, self.most, self.now)
        self.full = False

    def teardown(self) -> None:
        self.disk.close()
        shutil.rmtree(self.folder)

    def _kept(self) -> dict[int, bytes]:
        return self.server.setdefault(self.disk.incarnation, {})

    @rule(size=st.integers(10, 3000), count=st.integers(1, 5))
    def add(self, size: int, count: int) -> None:
        for _ in range(count):
            self.added += 1
            self.buffer.add(self.added.to_bytes(8) + b"x" * size, self.now)

    @rule(seconds=st.sampled_from((1.0, 600.0, KEEP_S / 3, KEEP_S)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        self.buffer.save(self.now, safely=True)

    @rule(most=st.integers(1, 6), answered=st.booleans())
    def hand_over(self, most: int, answered: bool) -> None:
        taken = self.buffer.take(most, 4000)
        kept = self._kept()
        acked = max(kept, default=0)
        for seq, body in taken:
            if seq > acked:
                assert body not in kept.values(), "delivered twice"
                kept[seq] = body
                acked = seq
            else:
                assert kept[seq] == body, "another batch under a number that was used"
        if answered:
            self.buffer.done(acked, self.now)

    @rule()
    @precondition(lambda self: not self.full)
    def disk_fills_up(self) -> None:
        assert self.disk._db is not None
        pages = self.disk._db.execute("PRAGMA page_count").fetchone()[0]
        self.disk._db.execute(f"PRAGMA max_page_count={pages}")
        self.full = True

    @rule()
    @precondition(lambda self: self.full)
    def room_again(self) -> None:
        assert self.disk._db is not None
        self.disk._db.execute("PRAGMA max_page_count=1000000")
        self.full = False
        self.buffer.save(self.now)
        assert self.buffer.trouble == ""

    @rule()
    def kill(self) -> None:
        """Its files as they are at this moment, and a new process with them. It greets the server first."""
        delivered = self._kept().values()
        self.gone += sum(body not in delivered for _, _, body in self.buffer._unsaved)
        copy = Path(tempfile.mkdtemp(dir=QUICK))
        for file in self.folder.iterdir():
            shutil.copy(file, copy / file.name)
        self.disk.close()
        shutil.rmtree(self.folder)
        self.folder = copy
        # What the memory alone knew to have dropped is not known any more; the disk's count is what is left.
        known = self.buffer.dropped
        self._open()
        self.gone += known - self.buffer.dropped
        self.buffer.done(max(self._kept(), default=0), self.now)

    @rule()
    def restart(self) -> None:
        self.buffer.save(self.now, safely=True)
        if self.buffer.trouble:
            return
        dropped = self.buffer.dropped
        self.disk.close()
        self._open()
        assert self.buffer.dropped == dropped
        self.buffer.done(max(self._kept(), default=0), self.now)

    @invariant()
    def all_is_accounted_for(self) -> None:
        if self.added == 0:
            return
        delivered = {body for kept in self.server.values() for body in kept.values()}
        rows = [(seq, body) for seq, body in self.disk.read("SELECT seq, body FROM batches ORDER BY seq")]
        waiting = [*rows, *((seq, body) for seq, _, body in self.buffer._unsaved)]
        numbers = {seq for seq, _ in waiting}
        assert [seq for seq, _ in waiting] == sorted(numbers)
        assert len(waiting) == self.buffer.count
        # Delivered, its answer lost, and dropped here meanwhile: that is counted, though it arrived.
        self.both |= {body for seq, body in self._kept().items() if seq > self.buffer.acked and seq not in numbers}
        open_ = [body for _, body in waiting if body not in delivered]
        assert len(delivered) + len(open_) + self.buffer.dropped + self.gone == self.added + len(self.both)
        assert self.buffer.bytes <= self.most + 3100 + MOST_UNSAVED


Buffered.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBuffered = Buffered.TestCase


def opened(folder: Path, most: int = 1 << 20) -> tuple[Disk, Buffer]:
    disk = Disk(folder, "machine")
    disk.open()
    return disk, Buffer(disk, most, 0.0)


def test_a_day_is_kept_by_its_own_life_whatever_the_wall_clock_says(tmp_path: Path) -> None:
    disk, buffer = opened(tmp_path)
    buffer.add(b"first", 0.0)
    buffer.add(b"later", 3600.0)
    buffer.save(KEEP_S + 1, safely=True)
    assert [body for _, body in buffer.take(10, 1000)] == [b"later"]
    assert buffer.dropped == 1
    disk.close()


@pytest.mark.parametrize("harm", ["truncated", "garbage", "empty"])
def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path, harm: str) -> None:
    disk, buffer = opened(tmp_path)
    for i in range(200):
        buffer.add(bytes(1000), float(i))
    before = disk.incarnation
    disk.close()
    file = tmp_path / FILE
    data = file.read_bytes()
    file.write_bytes({"truncated": data[: len(data) // 2], "garbage": b"x" * len(data), "empty": b""}[harm])
    disk, buffer = opened(tmp_path)
    assert disk.incarnation != before
    assert (buffer.count, buffer.next_seq) == (0, 1)
    if harm != "empty":
        assert "the old file is" in disk.set_aside
        assert len(list(tmp_path.glob("agent.db.broken-*"))) == 1
    disk.close()


def test_a_file_that_breaks_at_work_is_replaced_and_what_waits_in_memory_comes_along(tmp_path: Path) -> None:
    disk, buffer = opened(tmp_path)
    for i in range(300):
        buffer.add(bytes(1000), float(i))
    buffer.save(300.0, safely=True)
    before = disk.incarnation
    assert disk._db is not None
    disk._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk._db.execute("PRAGMA cache_size=1")
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)
    buffer.add(b"after", 301.0)
    buffer.take(1000, 1 << 30)
    assert disk.incarnation != before
    assert buffer.dropped + buffer.count == 301
    assert [body for _, body in buffer.take(10, 1 << 20)][-1:] == [b"after"] or buffer.dropped == 301
    disk.close()


def test_a_folder_that_was_copied_to_another_machine_begins_anew(tmp_path: Path) -> None:
    disk, _ = opened(tmp_path)
    before = disk.incarnation
    disk.close()
    other = Disk(tmp_path, "another machine")
    other.open()
    assert other.incarnation != before
    assert "copied" in other.set_aside
    other.close()


def test_one_folder_has_one_agent(tmp_path: Path) -> None:
    disk, _ = opened(tmp_path)
    with pytest.raises(SettingsError, match="another agent at work"):
        Disk(tmp_path, "machine").open()
    disk.close()


def test_a_folder_that_was_put_back_counts_on_behind_the_server(tmp_path: Path) -> None:
    disk, buffer = opened(tmp_path)
    buffer.add(b"one", 0.0)
    buffer.done(900, 1.0)  # the server has 900 of them
    assert buffer.add(b"two", 2.0) == 902
    assert [seq for seq, _ in buffer.take(10, 1000)] == [901, 902]
    disk.close()
