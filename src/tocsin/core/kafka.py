"""The bytes of the Kafka protocol, as far as checks speak it: numbers, texts and lists, record batches, error codes.

Only versions of requests that are not "flexible", which brokers from 0.11 to 4.x understand. Broker answers are read by
`Reader`, which never reads past their end and never makes a list that could not fit in them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from msgspec import Struct

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed

T = TypeVar("T")

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_FETCH, FIND_COORDINATOR = 0, 1, 2, 3, 9, 10
SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 17, 18, 36
VERSIONS = {
    PRODUCE: 3, FETCH: 4, LIST_OFFSETS: 1, METADATA: 4, OFFSET_FETCH: 2, FIND_COORDINATOR: 1, SASL_HANDSHAKE: 1,
    API_VERSIONS: 0, SASL_AUTHENTICATE: 0,
}  # fmt: skip
"""The version in which each request is spoken."""
NAMES = {
    PRODUCE: "Produce", FETCH: "Fetch", LIST_OFFSETS: "ListOffsets", METADATA: "Metadata", OFFSET_FETCH: "OffsetFetch",
    FIND_COORDINATOR: "FindCoordinator", SASL_HANDSHAKE: "SaslHandshake", API_VERSIONS: "ApiVersions",
    SASL_AUTHENTICATE: "SaslAuthenticate",
}  # fmt: skip

_ERRORS = {
    -1: "an unknown error of the broker", 1: "the offset is out of range", 2: "the record arrived damaged",
    3: "there is no such topic or partition", 5: "the partition has no leader",
    6: "this broker does not lead the partition any more", 7: "the replicas did not acknowledge in time",
    8: "the broker is not available", 9: "a replica is not available", 10: "the record is too large",
    14: "the group's coordinator is loading", 15: "the group's coordinator is not available",
    16: "this broker is not the group's coordinator", 17: "that is no name for a topic",
    19: "too few replicas are in sync", 20: "too few replicas were in sync after the record was written",
    29: "the user may not use this topic", 30: "the user may not use this group",
    31: "the user may not do this in the cluster", 33: "the way of signing in is not offered",
    34: "the sign-in is out of order", 35: "the version is not supported", 41: "this broker is not the controller",
    44: "a policy forbids it", 56: "the broker cannot use its disk", 58: "wrong user or password",
    72: "the leader has no such listener", 74: "the leader is newly elected", 87: "the broker does not accept the record",
    89: "the broker asks for less traffic",
}  # fmt: skip
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_INT8, _INT16, _INT32, _INT64 = (struct.Struct(f">{letter}") for letter in "bhiq")
_HEAD = struct.Struct(">qiiBIhiqqqhii")
"""Of a record batch: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and last
timestamp, producer id, producer epoch, base sequence, number of records."""
_CHECKED_FROM = 21
_CHECKED_MOST = 16_384
"""A batch of ours is some 150 bytes: for larger ones of others the sum is not counted again."""
_UNPACKED_MOST = 65_536


def error_text(code: int) -> str:
    """What a broker's error code means."""
    return f"{_ERRORS.get(code, 'an error')} (Kafka error {code})"


def malformed(what: str) -> CheckFailed:
    """What comes is not what the protocol says."""
    return CheckFailed("protocol", f"expected a Kafka answer, found {what}", phase="ttfb")


class Reader:
    """Reads one answer from its start to its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        if n < 0 or n > self.left:
            raise malformed(f"one that ends {n - self.left} bytes too soon" if n >= 0 else "a negative length")
        self._at += n
        return self._data[self._at - n : self._at]

    def _number(self, form: struct.Struct) -> int:
        at = self._at
        if (end := at + form.size) > len(self._data):
            self.take(form.size)
        self._at = end
        return form.unpack_from(self._data, at)[0]

    def int8(self) -> int:
        """A number of 1 byte."""
        return self._number(_INT8)

    def int16(self) -> int:
        """A number of 2 bytes."""
        return self._number(_INT16)

    def int32(self) -> int:
        """A number of 4 bytes."""
        return self._number(_INT32)

    def int64(self) -> int:
        """A number of 8 bytes."""
        return self._number(_INT64)

    def skip_list(self, size: int) -> int:
        """Pass over a list whose items have that many bytes each; how many there were."""
        count = max(0, self.int32())
        self.take(count * size)
        return count

    def varint(self) -> int:
        """A zigzag number of 1 to 10 bytes."""
        value = shift = 0
        while shift < 70:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value >> 1 ^ -(value & 1)
            shift += 7
        raise malformed("a number of more than 10 bytes")

    def text(self) -> str:
        """A text; "" for a missing one."""
        size = self.int16()
        return "" if size == -1 else self.take(size).decode("utf-8", "replace")

    def blob(self) -> bytes:
        """Bytes; b"" for missing ones."""
        size = self.int32()
        return b"" if size == -1 else self.take(size)

    def array(self, item: Callable[[], T]) -> list[T]:
        """A list; [] for a missing one. Each item takes a byte at least, so no longer list is begun."""
        count = self.int32()
        if count > self.left or count < -1:
            raise malformed(f"a list of {count} in {self.left} bytes")
        return [item() for _ in range(max(0, count))]


def text(value: str | None) -> bytes:
    """A text as it is sent, None as the missing one."""
    data = (value or "").encode()
    return struct.pack(">h", -1 if value is None else len(data)) + data


def blob(value: bytes) -> bytes:
    """Bytes as they are sent."""
    return struct.pack(">i", len(value)) + value


def array(items: Sequence[bytes]) -> bytes:
    """A list as it is sent."""
    return struct.pack(">i", len(items)) + b"".join(items)


def request(api: int, number: int, client: str, body: bytes) -> bytes:
    """A whole request with its length; `number` comes back with the answer."""
    head = struct.pack(">hhi", api, VERSIONS[api], number) + text(client)
    return blob(head + body)


class Batch(Struct, frozen=True):
    """A record batch as far as a check looks into it. `value` is of the record that was asked for; None when its
    compression is one that is not looked into, or the batch is large: no batch of ours is."""

    offset: int
    last_offset: int
    codec: str
    value: bytes | None


def record_batch(key: bytes, value: bytes, timestamp_ms: int) -> bytes:
    """One record as a batch of its own."""
    fields = b"\0\0\0" + _varint(len(key)) + key + _varint(len(value)) + value + b"\0"
    record = _varint(len(fields)) + fields
    size = _HEAD.size + len(record)
    head = _HEAD.pack(0, size - 12, -1, 2, 0, 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1)
    checked = head[_CHECKED_FROM:] + record
    return head[: _CHECKED_FROM - 4] + struct.pack(">I", crc32c(checked)) + checked


def find_record(data: bytes, offset: int) -> Batch | None:
    """The batch with the record of this offset, None when it is not in what came (whose end may be cut off)."""
    at = 0
    while len(data) - at >= _HEAD.size:
        base, length, _, magic, crc, attributes, delta, *_ = _HEAD.unpack_from(data, at)
        if length < _HEAD.size - 12:
            raise malformed(f"a record batch of {length} bytes")
        if magic != 2:
            raise malformed(f"records in format {magic}, not 2")
        whole = data[at : at + 12 + length]
        at += 12 + length
        if not base <= offset <= base + delta:
            continue
        if len(whole) < 12 + length:
            return None
        if len(whole) <= _CHECKED_MOST and crc32c(whole[_CHECKED_FROM:]) != crc:
            raise CheckFailed(
                "protocol", f"the record at offset {offset} came back damaged (its sum is wrong)", phase="transfer"
            )
        number: int = attributes & 7
        codec = CODECS[number] if number < len(CODECS) else f"codec {number}"
        return Batch(base, base + delta, codec, _value(whole[_HEAD.size :], codec, offset - base))
    return None


def _value(records: bytes, codec: str, wanted: int) -> bytes | None:
    if codec == "gzip":
        try:
            records = zlib.decompressobj(31).decompress(records, _UNPACKED_MOST)
        except zlib.error as error:
            raise malformed(f"a batch that gzip cannot unpack ({clip(str(error))})") from None
    elif codec != "none":
        return None
    if len(records) > _UNPACKED_MOST:
        return None
    reader = Reader(records)
    while reader.left:
        record = Reader(reader.take(reader.varint()))
        record.take(1)
        record.varint()
        delta = record.varint()
        record.take(max(0, record.varint()))
        if delta == wanted:
            return record.take(max(0, record.varint()))
    raise malformed("a batch without the record it announces")


def _varint(value: int) -> bytes:
    value = value << 1 if value >= 0 else ~value << 1 | 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


@cache
def _table() -> tuple[int, ...]:
    made: list[int] = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        made.append(byte)
    return tuple(made)


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of some bytes."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
