"""What a server that is one of several tells the others of where people reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tables import with_tables
from tocsin.app.joining import reaches_only_itself, this_one
from tocsin.clock import SystemClock
from tocsin.settings import read
from tocsin.store import Store


@pytest.mark.parametrize(
    ("url", "itself"),
    [
        ("http://127.0.0.1:3001", True), ("http://[::1]:3001", True), ("http://localhost:3001", True),
        ("http://0.0.0.0:3001", True), ("https://one.example.org", False), ("http://192.0.2.7:3001", False), ("", False),
    ],
)  # fmt: skip
def test_an_address_that_leads_nobody_elsewhere(url: str, itself: bool) -> None:
    assert reaches_only_itself(url) is itself


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"TOCSIN_SYNC_URL": "https://one.example.org:3002"}, ""),
        ({"TOCSIN_PRIMARY_SYNC_URL": "https://two.example.org:3002"}, ""),
        ({"TOCSIN_SYNC_URL": "https://127.0.0.1:3002"}, "http://127.0.0.1:3001"),
        (
            {"TOCSIN_SYNC_URL": "https://one.example.org:3002", "TOCSIN_BASE_URL": "https://watch.example.org"},
            "https://watch.example.org",
        ),
        (
            {"TOCSIN_SYNC_URL": "https://one.example.org:3002", "TOCSIN_HOST": "192.0.2.7"},
            "http://192.0.2.7:3001",
        ),
    ],
)
async def test_others_are_told_no_address_that_leads_to_themselves(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    settings = read({"TOCSIN_DATA_DIR": str(tmp_path)} | given)
    store = await Store.open(
        f"sqlite:///{with_tables(tmp_path / 'tocsin.db')}", clock=SystemClock(), sealing_key=b"k" * 32,
        spool_dir=tmp_path / "spool",
    )  # fmt: skip
    try:
        me = await this_one(settings, store, SystemClock(), "", settings.reached_at(3001))
    finally:
        await store.close()
    assert me.web_url == told
