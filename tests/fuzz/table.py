"""Every parser of ours that reads what comes from outside. A house test compares the list with the source."""

from __future__ import annotations

from fuzz import agent_end, agents, clusters, edge, hosts, probes, pure, services, spoken, windows

PARSERS = (
    *pure.PARSERS,
    *edge.PARSERS,
    *spoken.PARSERS,
    *windows.PARSERS,
    *probes.PARSERS,
    *clusters.PARSERS,
    *hosts.PARSERS,
    *agents.PARSERS,
    *agent_end.PARSERS,
    *services.PARSERS,
)

FOUND: tuple[tuple[str, bytes], ...] = (
    ("cookie", b"sid=; Expires=Thu, 01-Jan-197333333330 00:00:00 GMT\n"),
    ("cookie", b"a=b; Expires=Thu, 01 Jan 2026 00:00:00 +99999999999999999999\n"),
    ("answers to webhooks", b'\n\n{"retry_after": 1' + b"0" * 400 + b"}"),
    ("answer judged", b"text/html; charset=punycode\nabc-" + b"a" * 32_000),
    ("answer judged", b"a; charset=u\x01\0\0\0tf-7\n+AGE-"),
    ("JSON path", b"$._[?@._<1e310]"),
    ("JSON path", b"$[1e0]"),
    ("spans", b"to=0001-01-01T00:00:00Z"),
    ("settings", b"TOCSIN_DATA_DIR=~nobody-of-that-name/x"),
    ("settings", b"TOCSIN_DATA_DIR=~\0"),
    ("settings file", b"[tocsin]\nlocation = '\xfc'\n"),
    ("sealed secrets", b"\x01short"),
    ("cursors", b"W1tb" * 10_000),
    (
        "targets",
        b'["http", {"url": "https://a.example/", "ca_file": "x://[", "login": {"user": "a", "password": "b"}}]',
    ),
    ("ping's output", b"time=1.2.3 ms"),
    ("metrics of MinIO", b"# TYPE minio_a counter\nminio_a " + b"9" * 400 + b"\n"),
    ("http", b"HTTP/1.0 000\nTransfer-Encoding:\x01!\n\0"),
    ("redirect", b"https://example.org/;"),
    (
        "rabbitmq's queue",
        b"\x01\x00\x00\x00\x00\x00a\x00\n\x00\n\x00\t\x00\x00\x00<\x0ccapabilitiesF\x00\x00\x00\x04\x01at\x01\x07productS\x00\x00\x00\x08RabbitMQ"
        b"\x07versionS\x00\x00\x00\x043.13\x00\x00\x00\x0ePLAIN AMQPLAIN\x00\x00\x00\x05en_US"
        b"\xce\x01\x00\x00\x00\x00\x00\x0c\x00\n\x00\x1e\x07\xff\x00"
        b"\x02\x00\x00\x00<\xce\x01\x00\x00\x00\x00\x00\x05\x00\n\x00)\x00\xce\x01\x00\x01\x00\x00\x00\t\x00\x14\x00\x0b\x00\x00\x00\x010\xce"
        b"\x01\x00\x01\x00\x00\x00\x16\x002\x00\x0b\t`mq.gen-1\x00\x00\x00\x03\x00\x00\x00\x01\xce",
    ),
)
"""Inputs that once broke a parser."""
