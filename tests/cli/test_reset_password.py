from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from real import FIRST, ask, given, running
from tocsin.cli.main import run


async def _set_up(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as server:
        assert (await ask(server.port, "POST", "/api/v1/setup", FIRST))[0] in (200, 201)


def test_the_password_is_read_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_set_up(tmp_path))
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("sys.stdin", io.StringIO("a different sentence\n"))
    assert run(["reset-password", FIRST["email"]]) == 0
    assert "has a new password" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("a different sentence\n"))
    assert run(["reset-password", "nobody@example.org"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert run(["reset-password", FIRST["email"]]) == 1
    said = capsys.readouterr()
    assert "nobody here has the address" in said.err
    assert "different sentence" not in said.err + said.out


@pytest.mark.parametrize("there", [False, True])
def test_without_a_database_nothing_is_asked_and_nothing_written(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    if there:
        data.mkdir()
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(data))
    typed = io.StringIO("a different sentence\n")
    monkeypatch.setattr("sys.stdin", typed)
    assert run(["reset-password", FIRST["email"]]) == 2
    assert capsys.readouterr().err.startswith("tocsin: TOCSIN_DATA_DIR: expected the database of a server at ")
    assert typed.read() != ""
    assert data.exists() == there
    assert not there or list(data.iterdir()) == []
