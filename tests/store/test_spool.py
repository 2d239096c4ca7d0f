"""The spool: in order, through restarts and torn tails."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.store import spool as spool_module
from tocsin.store.spool import Spool


def drain(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while (payload := spool.first()) is not None:
        found.append(payload)
        spool.done()
    return found


def test_payloads_come_back_in_order_and_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_SEGMENT_BYTES", 100)
    spool = Spool(tmp_path)
    payloads = [bytes([n]) * (n * 7) for n in range(30)]
    for payload in payloads:
        spool.append(payload)
    assert spool.count == 30
    assert len(list(tmp_path.glob("*.spool"))) > 3
    assert drain(spool) == payloads
    assert spool.count == 0
    assert list(tmp_path.glob("*.spool")) == []
    spool.append(b"again")
    assert drain(spool) == [b"again"]
    spool.close()


def test_what_was_not_done_with_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    for n in range(5):
        first.append(b"%d" % n)
    assert first.first() == b"0"
    first.done()
    first.close()
    second = Spool(tmp_path)
    second.append(b"5")
    assert second.count == 6
    assert drain(second) == [b"0", b"1", b"2", b"3", b"4", b"5"], "a half-done segment is replayed whole"
    second.close()


@given(cut=st.integers(1, 60), flip=st.booleans())
def test_a_torn_tail_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: bool) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    payloads = [b"%d" % n * 10 for n in range(5)]
    for payload in payloads:
        spool.append(payload)
    spool.close()
    (segment,) = folder.glob("*.spool")
    data = segment.read_bytes()
    if flip:
        torn = bytearray(data)
        torn[-min(cut, 10)] ^= 0x40
        segment.write_bytes(bytes(torn))
        whole = 4
    else:
        segment.write_bytes(data[:-cut])
        whole = (len(data) - cut) // 18
    again = Spool(folder)
    again.append(b"after")
    assert drain(again) == [*payloads[:whole], b"after"]
    again.close()


def test_a_full_disk_refuses_without_harming_what_is_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"x" * 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.append(b"y" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert spool.count == 1
    spool.append(b"z")
    assert drain(spool) == [b"x" * 1000, b"z"]
    spool.close()


def test_zeros_at_a_files_end_are_no_records(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(b"one")
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes() + bytes(4096))
    (tmp_path / "note.spool").write_bytes(b"somebody's")
    again = Spool(tmp_path)
    assert again.count == 1
    assert drain(again) == [b"one"]
