"""A server that is to be a witness and cannot be one does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from real import given
from tocsin.app.server import start
from tocsin.errors import SettingsError

ONE_OF_SEVERAL = {
    "TOCSIN_ENABLE_SYNC_API": "true", "TOCSIN_SYNC_API_PORT": "0", "TOCSIN_SYNC_URL": "https://127.0.0.1:1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "found no TOCSIN_PRIMARY_SYNC_URL"),
        ({"TOCSIN_PRIMARY_SYNC_URL": "https://127.0.0.1:1"}, "found no TOCSIN_SYNC_URL"),
    ],
)
async def test_a_witness_says_whom_it_joins_and_where_it_is_asked(
    tmp_path: Path, more: dict[str, str], words: str
) -> None:
    made = given(tmp_path, TOCSIN_WITNESS="true", TOCSIN_SYNC_API_PORT="0", **more)
    with pytest.raises(SettingsError, match=f"TOCSIN_WITNESS: .*{words}"):
        await start(made)


async def test_what_a_server_joined_as_it_stays(tmp_path: Path) -> None:
    alone = ONE_OF_SEVERAL | {"TOCSIN_LOCATION": "frankfurt"}
    server = await start(given(tmp_path, **alone))
    await server.stop()
    with pytest.raises(SettingsError, match="TOCSIN_WITNESS: expected false, as when this server joined, found true"):
        await start(given(tmp_path, TOCSIN_WITNESS="true", **alone))


@pytest.mark.parametrize(
    "more", [{}, {"TOCSIN_PRIMARY_SYNC_URL": "https://127.0.0.1:1", "TOCSIN_SYNC_SECRET": "s" * 20}]
)
async def test_one_of_several_has_a_place_with_a_name(tmp_path: Path, more: dict[str, str]) -> None:
    """`local` means whoever leads: its monitors would move from place to place."""
    with pytest.raises(
        SettingsError, match=r"TOCSIN_LOCATION: expected the name of this server's place .*found 'local'"
    ):
        await start(given(tmp_path, **ONE_OF_SEVERAL, **more))
