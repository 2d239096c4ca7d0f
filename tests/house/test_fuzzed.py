"""Whatever reads bytes or text from outside is fuzzed: its file stands in the table of tests/fuzz, or here with a reason."""

from __future__ import annotations

import ast

from fuzz.table import PARSERS
from house.source import Module, dotted, modules

READS = {
    "b64decode", "decompress", "decompressobj", "from_bytes", "fromhex", "fromisoformat", "inet_aton", "loads",
    "load_der_x509_certificate", "parse_qs", "parse_qsl", "parsedate_to_datetime", "read_some", "read_until", "unpack",
    "unpack_from", "unquote", "unquote_plus", "urlsafe_b64decode", "urlsplit",
}  # fmt: skip
DECODERS = ("msgspec.json.decode", "msgspec.msgpack.decode", "json.decode")
NOT_FUZZED = {
    "app/joining.py": "the host in a setting's address",
    "agent/push.py": "a column that we wrote",
    "checks/_visit.py": "an answer of our own program, net/page.py",
    "cli/bench_engine.py": "a line of our own program",
    "cli/check.py": "files that the caller names, by core.plain.loads",
    "clock.py": "makes ids",
    "core/backoff.py": "takes a number out of a hash of ours",
    "core/on_call.py": "a time of day that its pattern let pass",
    "core/digest.py": "a time that we wrote",
    "core/canary.py": "takes a number out of a hash of ours",
    "core/lease.py": "takes a number out of a hash of ours",
    "core/schedule.py": "takes a number out of a hash of ours",
    "location/self_test.py": "a Date header, as net/cookies.py reads it; the anchors of a checked setting",
    "net/browser.py": "an answer of our own program, net/page.py, one line with a limit",
    "net/page.py": "an order of our own server",
    "notifiers/alertmanager.py": "a time that we wrote",
    "store/ticks.py": "rows that we wrote",
    "pipeline/scheduler.py": "a time that we wrote",
    "pipeline/targets.py": "the URL of a target that was read",
    "store/adopting.py": "a column of a load, which store/parting.py read",
    "core/buckets.py": "a column that we wrote; there and back in tests/core/test_buckets.py",
    "store/agents.py": "a column that we wrote",
    "store/heartbeats.py": "a column that we wrote",
    "store/host_states.py": "a column that we wrote",
    "store/api_keys.py": "a column that we wrote",
    "store/capture.py": "rows that we wrote a moment ago",
    "store/changes.py": "a column that we wrote",
    "store/channels.py": "a column that we wrote",
    "store/drafts.py": "a file that we wrote",
    "store/incidents.py": "a column that we wrote",
    "store/instances.py": "a column that we wrote",
    "store/invitations.py": "a column that we wrote",
    "store/monitors.py": "a column that we wrote",
    "store/notes.py": "a column that we wrote",
    "store/notices.py": "a column that we wrote",
    "store/outbox.py": "a column that we wrote",
    "store/packing.py": "a column that we wrote; there and back in tests/fuzz/test_round_trips.py",
    "store/preferences.py": "a column that we wrote",
    "store/probes.py": "a column that we wrote",
    "store/records.py": "a column that we wrote",
    "store/stored.py": "calls packing.unpack",
    "store/sessions.py": "a column that we wrote",
    "store/states.py": "a column that we wrote",
    "store/verdicts.py": "a column that we wrote",
    "web/api/channels.py": "the URL of a channel that was read",
    "web/api/reach.py": "the URL of a target that was read",
    "web/pages/alert_rules.py": "times that we wrote",
    "web/pages/incident.py": "a picture that we took",
    "web/pages/monitors_text.py": "what somebody typed, by agent/strict_yaml.py, which is fuzzed",
    "web/pages/words.py": "our own address, as the operator set it",
    "web/pages/view.py": "where to go back to: nothing but the path of it is used",
}
"""Files that read, and why they are not in the table."""


def _reads(module: Module) -> bool:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            if called.rsplit(".", 1)[-1] in READS or called in DECODERS:
                return True
    return False


def test_every_parser_is_fuzzed() -> None:
    fuzzed = {file for parser in PARSERS for file in parser.files}
    reading = {module.name for module in modules() if _reads(module)}
    assert sorted(reading - fuzzed - set(NOT_FUZZED)) == [], "a parser that is missing in tests/fuzz"
    assert sorted(set(NOT_FUZZED) - reading) == [], "they read nothing any more"
    assert sorted(fuzzed - {module.name for module in modules()}) == [], "there are no such files"


def test_the_names_of_parsers_are_their_own() -> None:
    names = [parser.name for parser in PARSERS]
    assert len(set(names)) == len(names)
