"""What the database could not take, on disk: appended, fsynced, replayed in order.

A segment is a file of records: length (4 bytes), check sum (4 bytes), payload. A torn record at a segment's end was never
acknowledged and is passed over. A segment is deleted when all of it was replayed; after a crash in between, all of it
is replayed again, which must be harmless. Only one record is in memory at a time. Calls must not overlap.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tocsin import telemetry

_HEADER = struct.Struct("<II")
_SEGMENT_BYTES = 4 << 20
_LARGEST = 256 << 20


class Spool:
    """A queue of payloads that survives a crash. `count`: how many wait."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._segments = sorted(file for file in folder.glob("*.spool") if file.stem.isdecimal())
        self._next = int(self._segments[-1].stem) + 1 if self._segments else 1
        self._offset = 0
        self._writing: int | None = None
        self._size = 0
        self.count = sum(_count(segment) for segment in self._segments)
        self._tell()
        if self.count == 0:
            self._drop_all()

    def append(self, payload: bytes) -> None:
        """Keep a payload; it is on the disk when this returns. Raises OSError when the disk does not take it."""
        file = self._writing if self._writing is not None else self._begin()
        record = _HEADER.pack(len(payload), _sum(payload)) + payload
        try:
            _write(file, record)
            os.fdatasync(file)
        except OSError:
            self._cut(file)
            raise
        self._size += len(record)
        self.count += 1
        self._tell()
        if self._size >= _SEGMENT_BYTES:
            self._end()

    def first(self) -> bytes | None:
        """The oldest payload that was not done with, or None."""
        while self._segments:
            with self._segments[0].open("rb") as file:
                file.seek(self._offset)
                payload = _read(file.read(_HEADER.size), file.read)
            if payload is not None:
                return payload
            self._drop_first()
        self._recount()
        return None

    def done(self) -> None:
        """The first payload needs no keeping any more."""
        with self._segments[0].open("rb") as file:
            file.seek(self._offset)
            length, _ = _HEADER.unpack(file.read(_HEADER.size))
        self._offset += _HEADER.size + length
        if self._offset >= self._segments[0].stat().st_size:
            self._drop_first()
        self.count -= 1
        self._tell()

    def set_aside(self, payload: bytes) -> Path:
        """Where a payload went that the database refuses for good: a file an operator can look at."""
        aside = self._folder / "refused"
        aside.mkdir(exist_ok=True, mode=0o700)
        path = aside / f"{self._next:08d}-{_sum(payload):08x}.batch"
        file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            _write(file, payload)
            os.fsync(file)
        finally:
            os.close(file)
        _sync_folder(aside)
        return path

    def close(self) -> None:
        """Let go of the files."""
        self._end()

    def _begin(self) -> int:
        path = self._folder / f"{self._next:08d}.spool"
        self._writing = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        self._next += 1
        self._size = 0
        self._segments.append(path)
        _sync_folder(self._folder)
        return self._writing

    def _cut(self, file: int) -> None:
        """Take back a record that was written in part; when even that fails, go on in another file."""
        try:
            os.ftruncate(file, self._size)
        except OSError:
            self._end()

    def _end(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _drop_first(self) -> None:
        if len(self._segments) == 1:
            self._end()
        self._segments.pop(0).unlink(missing_ok=True)
        self._offset = 0

    def _drop_all(self) -> None:
        while self._segments:
            self._drop_first()

    def _recount(self) -> None:
        self.count = 0
        self._tell()

    def _tell(self) -> None:
        telemetry.spool_batches.set(self.count)


def _sync_folder(folder: Path) -> None:
    """What is in the folder is there after a power cut."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sum(payload: bytes) -> int:
    """CRC-32 from 1 on: zeros, which a power cut may leave at a file's end, are no record then."""
    return zlib.crc32(payload, 1)


def _read(header: bytes, read: Callable[[int], bytes]) -> bytes | None:
    if len(header) < _HEADER.size:
        return None
    length, crc = _HEADER.unpack(header)
    if length > _LARGEST:
        return None
    payload = read(length)
    return payload if len(payload) == length and _sum(payload) == crc else None


def _count(segment: Path) -> int:
    found = 0
    with segment.open("rb") as file:
        while _read(file.read(_HEADER.size), file.read) is not None:
            found += 1
    return found
