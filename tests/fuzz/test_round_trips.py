"""What we write we read again: every format of which both ends are ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_result
from fuzz.edge import KEY, TARGETS
from tocsin import checks
from tocsin.checks import grpc, mqtt
from tocsin.core import ber, kafka, ldap_filter, shape, snmp
from tocsin.core.plain import escaped, loads
from tocsin.core.result import Timing, micros, outcome_json
from tocsin.errors import CheckFailed
from tocsin.net import url
from tocsin.store import cursor, packing, sealing
from tocsin.store.batch import Batch
from tocsin.store.keeping import Keepable
from tocsin.store.spool import Spool
from tocsin.web import query, tokens

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
BUCKETS = st.dictionaries(st.integers(0, 65_535), st.integers(1, (1 << 63) - 1), max_size=40)
SMALL = settings(max_examples=50)


@given(PLAIN)
def test_plain_data(data: Any) -> None:
    assert loads(msgspec.json.encode(data)) == data


@given(BUCKETS)
def test_sketches(buckets: dict[int, int]) -> None:
    merged: dict[int, int] = {}
    packing.add_buckets(merged, packing.pack_buckets(buckets))
    packing.add_buckets(merged, packing.pack_buckets(buckets))
    assert merged == {place: 2 * count for place, count in buckets.items()}


@given(st.integers(-(1 << 40), 1 << 40), st.lists(st.none() | st.integers(0, 1 << 40), min_size=8, max_size=8))
def test_what_is_packed_of_a_result(lag: int, numbers: list[int | None]) -> None:
    assert packing.unpack_more(packing.pack_more(lag, numbers)) == (lag, numbers)


@given(
    st.sampled_from(["up", "down", "degraded", "invalid"]), st.floats(0, 1e7), st.none() | st.floats(0, 1e5),
    st.none() | st.integers(100, 999), st.integers(0, 1 << 40), st.integers(0, 100),
)  # fmt: skip
def test_stored_results(
    status: Any, total: float, ttfb: float | None, code: int | None, size: int, attempt: int
) -> None:
    seen: dict[str, Any] = {"timing": Timing(ttfb=ttfb, total=total), "status_code": code, "body_bytes": size}
    result = a_result(status, attempt=attempt, **seen)
    outcome = result.outcome
    row = packing.pack(result, micros(result.scheduled_at), 1, 1, 1, 7)
    ids = (result.monitor_id, result.workspace_id, "http")
    read = packing.unpack(row, ids, {1: "local", 7: "lost"}, packing.evidence_of(result))
    assert (read.location, read.substitute_for, packing.seat_of(row[7])) == ("local", "lost", 7)
    assert (read.status, read.status_code, read.body_bytes, read.attempt) == (status, code, size, attempt)
    assert (read.error, read.at, read.started_at) == (outcome.error, result.scheduled_at, outcome.started_at)
    assert read.timing.total == pytest.approx(total, abs=0.006)
    assert (read.timing.ttfb is None) == (ttfb is None)
    assert read.outcome == loads(msgspec.json.encode(outcome_json(outcome)))


@SMALL
@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(0, 40))
def test_a_spool(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], torn: int) -> None:
    """Also when its last record was torn."""
    folder: Path = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    for payload in payloads:
        spool.append(payload)
    spool.close()
    for file in folder.glob("*.spool"):
        data = file.read_bytes()
        file.write_bytes(data[: len(data) - torn] if torn else data)
    again, taken = Spool(folder), []
    while (payload := again.first()) is not None:
        taken.append(payload)
        again.done()
    again.close()
    assert taken == payloads[: len(taken)]
    assert torn or len(taken) == len(payloads)


@given(TEXT, st.booleans())
def test_spooled_batches(name: str, down: bool) -> None:
    record = Keepable(batch=Batch(id="b", by=name, results=(a_result("down" if down else "up"),)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Keepable) == record


@SMALL
@given(PLAIN, TEXT)
def test_sealed_secrets(value: Any, about: str) -> None:
    seal = sealing.Seal(KEY)
    assert seal.open(seal.close(value, about), about) == value


@given(st.integers(-(1 << 63) + 1, (1 << 63) - 1), TEXT)
def test_cursors(number: int, text: str) -> None:
    assert cursor.read_cursor(cursor.write_cursor(number, text), int, str) == (number, text)


@SMALL
@given(TEXT, st.integers(0, 899))
def test_access_tokens(name: str, later_s: int) -> None:
    said = tokens.Claims(user_id=name, workspace_id="w", session_id="s", token_version=1, expires_at=tokens.expiry(NOW))
    made = tokens.access_token(KEY, said, NOW)
    assert tokens.read_access_token(KEY, made, NOW + timedelta(seconds=later_s)) == said
    assert tokens.read_access_token(b"x" * 32, made, NOW) is None


@given(st.binary(max_size=40), st.binary(max_size=300), st.integers(0, 1 << 60))
def test_kafka_records(key: bytes, value: bytes, at_ms: int) -> None:
    found = kafka.find_record(kafka.record_batch(key, value, at_ms), 0)
    assert found is not None
    assert found.value == value
    spoilt = bytearray(kafka.record_batch(key, value, at_ms))
    spoilt[-1] ^= 1
    with pytest.raises(CheckFailed, match="damaged"):
        kafka.find_record(bytes(spoilt), 0)


@given(st.lists(st.tuples(TEXT, st.binary(max_size=30), st.integers(-(1 << 62), 1 << 62)), max_size=5))
def test_kafka_lists(rows: list[tuple[str, bytes, int]]) -> None:
    reader = kafka.Reader(kafka.array([kafka.text(a) + kafka.blob(b) + kafka._varint(n) for a, b, n in rows]))
    assert reader.array(lambda: (reader.text(), reader.blob(), reader.varint())) == rows
    assert reader.left == 0


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from(["1", "2c"]), TEXT)
def test_snmp_messages(value: int, version: str, community: str) -> None:
    pair = ber.encode(ber.SEQUENCE, ber.oid("1.3.6.1"), ber.integer(value))
    objects = ber.encode(ber.SEQUENCE, pair)
    pdu = ber.encode(snmp.RESPONSE, ber.integer(7), ber.integer(0), ber.integer(0), objects)
    read = snmp.read_message(snmp.message(version, community, pdu), version)
    assert (read.request, read.oid, snmp.value_of(read).value) == (7, "1.3.6.1", value)


@given(st.binary(max_size=40), st.sampled_from(["cn", "uid;lang-de", "2.5.4.3"]))
def test_ldap_values(value: bytes, attribute: str) -> None:
    """A value with every byte escaped comes out as those bytes."""
    text = f"(&({attribute}={''.join(f'{chr(92)}{byte:02x}' for byte in value)})(x=*))"
    equal, present = ber.read(ldap_filter.encode(text))[0].parts()
    assert [part.content for part in equal.parts()] == [attribute.encode(), value]
    assert present.content == b"x"


@given(st.integers(0, (1 << 28) - 1), st.binary(max_size=10))
def test_variable_numbers(value: int, after: bytes) -> None:
    assert mqtt._read_varint(mqtt._varint(value) + after, 0) == (value, len(mqtt._varint(value)))
    assert grpc._read_varint(grpc._varint(value) + after, 0) == (value, len(grpc._varint(value)))


@given(st.binary(max_size=60))
def test_escapes(data: bytes) -> None:
    assert escaped("".join(f"\\x{byte:02x}" for byte in data)) == data


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_forms(fields: dict[str, str]) -> None:
    from urllib.parse import urlencode

    assert query.pairs(urlencode(fields).encode()) == list(fields.items())


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), max_size=40).filter(
        lambda t: "\\" not in t
    )
)
def test_urls(path: str) -> None:
    """What a URL is written as is the same URL."""
    at = url.parse(f"https://example.org:8443/{path}")
    assert url.parse(at.text) == at
    assert url.join(at, at.text) == at


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_targets(name: str) -> None:
    """Every check type's target, written and read, is the same; so is what its page's form makes of it."""
    kind = checks.kind(name)
    target = shape.read(kind.target, TARGETS[name])
    assert shape.read(kind.target, loads(msgspec.json.encode(shape.dump(target)))) == target


def test_every_check_type_has_a_target_here() -> None:
    assert set(TARGETS) == set(checks.names())
