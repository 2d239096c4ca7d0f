"""Parsers of what agents send: whoever has a key of one may send anything."""

# ruff: noqa: E501

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime

from fuzz.parser import Parser
from fuzz.pure import given
from tocsin.agent import heard, wire
from tocsin.errors import Invalid

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ENROL = '{"name":"web-1","incarnation":"one","agent_version":"1.0","server_uuid":null,"facts":{"os":"Debian 12"},"tags":["a"]}'
BEAT = '{"server_uuid":"h","timestamp":"2026-03-02T08:59:00Z","agent_version":"1.0","incarnation":"one","started_at":"2026-03-02T08:00:00Z","buffered":5,"troubles":{"docker":"no socket"}}'
SAMPLES = '{"incarnation":"one","series":["cpu.used_percent","disk.used_percent{mount=/var}"],"batches":[{"seq":1,"at":"2026-03-02T08:59:00Z","collector":"system","values":[[0,12.5],[1,40]],"services":[{"kind":"unit","name":"nginx","state":"failed","ok":false,"facts":{"pid":7}}]},{"seq":2,"at":"2026-03-02T08:59:30Z","collector":"system","values":[[0,1]]}]}'
FINDINGS = '{"incarnation":"one","findings":[{"rule":"r","rule_name":"Disk","what":"disk.used_percent{mount=/}","number":1,"turn":"opened","severity":"critical","words":"95, limit 90","at":"2026-03-02T08:59:00Z","told_at":"2026-03-02T08:59:20Z","told":["c"]}]}'


def _samples(data: bytes) -> tuple[str, heard.Read]:
    return heard.samples_of(data, NOW, 0.0)


def _samples_hold(value: tuple[str, heard.Read]) -> None:
    last = 0
    for look in value[1].looks:
        assert last < look.seq <= heard.LARGEST_SEQ
        assert look.at <= NOW
        assert all(math.isfinite(v) for v in look.values)
        assert len(look.names) == len(look.values)
        last = look.seq


def _beat_holds(beat: wire.Heartbeat) -> None:
    assert beat.agent_version.isprintable()
    assert all(k.isprintable() and v.isprintable() for k, v in {**beat.facts, **beat.troubles}.items())
    assert 0 <= beat.buffered <= heard.LARGEST_SEQ


def _packed(data: bytes) -> bytes:
    return heard.plain_body(data, "gzip")


def _packed_holds(body: bytes) -> None:
    assert len(body) <= wire.MAX_BODY


FILES = ("agent/heard.py",)
PARSERS = (
    Parser(name="agents that enrol", files=FILES, read=heard.enrol_of, allowed=(Invalid,), examples=given(ENROL)),
    Parser(name="heartbeats of agents", files=FILES, read=heard.heartbeat_of, allowed=(Invalid,), examples=given(BEAT), holds=_beat_holds),
    Parser(name="samples of agents", files=FILES, read=_samples, allowed=(Invalid,), examples=given(SAMPLES), holds=_samples_hold),
    Parser(name="findings of agents", files=FILES, read=heard.findings_of, allowed=(Invalid,), examples=given(FINDINGS)),
    Parser(name="packed bodies of agents", files=FILES, read=_packed, allowed=(Invalid,), examples=lambda: (gzip.compress(SAMPLES.encode()),), holds=_packed_holds),
)  # fmt: skip
