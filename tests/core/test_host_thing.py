"""What a thing on a host is called, and what is said of it: one sentence, with its unit and no more digits than tell."""

from __future__ import annotations

import pytest

from tocsin.core.host_thing import limit_words, state_words, thing
from tocsin.core.sample import Service
from tocsin.core.wording import ended, joined


@pytest.mark.parametrize(
    ("name", "value", "limit", "said"),
    [
        ("disk.used_percent{mount=/}", 25.6086, {"above": 20}, "disk / is 25.6 % full (limit 20 %)"),
        ("process.count{process=shop}", 0, {"below": 1}, "process shop: 0 run, at least 1 expected"),
        ("cpu.used_percent", 99.97, {"above": 95}, "CPU is 100.0 % busy (limit 95 %)"),
        ("postgres.replica_lag_s{replica=b}", 431.8, {"above": 300},
         "standby of PostgreSQL b is 7 min 12 s behind (limit 5 min)"),
        ("postgres.locks_waiting", 14, {"above": 10}, "postgres locks waiting: 14 (limit 10)"),
        ("network.received_bytes_per_s{interface=eth0}", 18.23e6, {"above": 1e7},
         "network received eth0: 18.2 MB/s (limit 10 MB/s)"),
        ("check.degraded{name=shop,type=http}", 1, {"above": 0}, "check shop is slow or degraded"),
        ("tailscale.key_expires_s", 432_000, {"below": 604_800}, "key of Tailscale expires in 5 d, at least 7 d expected"),
        ("custom.queue{a=1,b=x}", 12, {"above": 10}, "custom queue 1, x: 12 (limit 10)"),
    ],
)  # fmt: skip
def test_a_limit_is_one_sentence(name: str, value: float, limit: dict[str, float], said: str) -> None:
    assert limit_words(name, value, **limit) == said


def test_what_is_well_again_says_so() -> None:
    assert (
        limit_words("disk.used_percent{mount=/}", 18, above=20, again=True) == "disk / is 18 % full again (limit 20 %)"
    )
    assert limit_words("check.degraded{name=shop,type=http}", 0, above=0, again=True) == "check shop is well again"


@pytest.mark.parametrize(
    ("kind", "name", "state", "detail", "said"),
    [
        ("unit", "nginx.service", "failed", "exit code 28", "unit nginx.service is failed: exit code 28"),
        ("mount", "/data", "read-only", "", "file system /data is read-only"),
        ("process", "shop", "3 running", "3 found, 1 expected", "process shop: 3 running: 3 found, 1 expected"),
        ("tailscale", "tailscale", "Stopped", "", "tailscale is Stopped"),
    ],
)
def test_a_service_is_one_sentence(kind: str, name: str, state: str, detail: str, said: str) -> None:
    assert state_words(Service(kind=kind, name=name, state=state, ok=False, detail=detail)) == said


def test_a_service_that_is_well_again() -> None:
    assert state_words(Service(kind="engine", name="docker", state="answers", ok=True), again=True) == (
        "container engine docker answers again"
    )


def test_the_thing_is_said_once() -> None:
    assert joined(f"beta: {thing('disk.used_percent{mount=/}')}", "disk / is 94 % full") == "beta: disk / is 94 % full"
    assert joined("beta: disk /", "94, limit 90") == "beta: disk /: 94, limit 90"
    assert joined("a: b: disk /", "disk / is full") == "a: b: disk / is full"
    assert ended("beta: disk /", "it is not there any more") == "beta: disk / is over: it is not there any more"
