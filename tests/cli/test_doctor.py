from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from needs import program
from real import given, running
from tocsin.app.examine import Finding, _load, examine
from tocsin.cli.main import run


def of(findings: list[Finding], area: str, what: str) -> Finding:
    return next(f for f in findings if (f.area, f.what) == (area, what))


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, seen = doctor(capsys)
    assert (code, seen["ok"]) == (0, True)
    areas = {f["area"] for f in seen["findings"]}
    assert areas == {"configuration", "locking", "database", "http client", "network", "checks", "performance"}
    assert not (tmp_path / "data").exists()
    assert run(["doctor"]) == 0
    assert "0 failed" in capsys.readouterr().out


async def test_beside_a_running_server_it_says_so(tmp_path: Path) -> None:
    made = given(tmp_path)
    async with running(made):
        findings = await examine(made)
    assert [f for f in findings if f.state == "failed"] == []
    held = of(findings, "locking", "data folder").detail
    assert "a server is running: process" in held
    assert "stop it" not in held
    assert of(findings, "database", "quick check").detail.startswith("ok")


async def test_what_is_wrong_is_found_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = given(tmp_path)
    async with running(made):
        pass
    (made.data_dir / "secret.key").chmod(0o644)
    made.data_dir.chmod(0o755)
    findings = await examine(made)
    assert of(findings, "configuration", "secret key").state == "failed"
    assert "chmod 600" in of(findings, "configuration", "secret key").advice
    assert of(findings, "configuration", "data folder").state == "warning"
    (made.data_dir / "secret.key").unlink()
    gone = of(await examine(made), "configuration", "secret key")
    assert (gone.state, "backup" in gone.advice) == ("failed", True)


async def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    made = given(tmp_path)
    async with running(made):
        pass
    assert made.database_file is not None
    with made.database_file.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    findings = await examine(made)
    assert any(f.area == "database" and f.state == "failed" for f in findings)


def test_a_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "many")
    code, seen = doctor(capsys)
    assert code == 1
    assert "TOCSIN_PORT: expected a whole number" in seen["findings"][0]["detail"]
    assert run(["doctor"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_every_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "70000")
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "loud")
    code, seen = doctor(capsys)
    assert (code, len(seen["findings"])) == (1, 2)
    assert run(["doctor"]) == 1
    assert capsys.readouterr().out.count("FAILED") == 2
    assert run(["serve"]) == 2
    assert capsys.readouterr().err.count("tocsin: TOCSIN_") == 2


def test_what_the_server_refuses_the_doctor_finds_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "0")
    monkeypatch.setenv("TOCSIN_ANCHORS", "foo")
    code, seen = doctor(capsys)
    (found,) = [f for f in seen["findings"] if f["state"] == "failed"]
    assert (code, found["what"]) == (1, "anchors")
    assert found["detail"].startswith("TOCSIN_ANCHORS: expected https://…")
    assert run(["serve"]) == 2
    assert "tocsin: TOCSIN_ANCHORS: expected https://…" in capsys.readouterr().err
    made = tmp_path / "data"
    assert not made.exists() or list(made.iterdir()) == []


def test_a_crowded_machine_is_a_warning() -> None:
    assert _load(2, 12.7).state == "warning"
    assert _load(2, 3.9).state == "ok"


def test_a_database_that_does_not_answer_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://u:canary@127.0.0.1:9/d")
    code, seen = doctor(capsys)
    assert code == 1
    assert [f["state"] for f in seen["findings"] if f["area"] == "database"] == ["failed"]
    assert "canary" not in json.dumps(seen)


def test_a_missing_driver_is_a_finding_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://u:canary@127.0.0.1:9/d")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    _, seen = doctor(capsys)
    (found,) = [f for f in seen["findings"] if f["area"] == "database"]
    assert found["detail"].startswith("TOCSIN_DATABASE_URL: expected the driver")
    assert "install tocsin[postgresql]" in found["detail"]


@pytest.mark.parametrize("command", [["serve"], ["reset-password", "a@example.org"]])
def test_without_the_driver_nothing_starts(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://u:canary@127.0.0.1:9/d")
    monkeypatch.setenv("TOCSIN_PORT", "0")
    monkeypatch.setenv("TOCSIN_SECRET_KEY", "k" * 40)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.setattr("sys.stdin", io.StringIO("a different sentence\n"))
    assert run(command) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert [line for line in said if line.startswith("tocsin: ")] == [
        "tocsin: TOCSIN_DATABASE_URL: expected the driver for PostgreSQL, found it not installed: install tocsin[postgresql]"
    ]


async def test_what_checks_may_use_of_this_machine_is_tried(tmp_path: Path) -> None:
    made = {"TOCSIN_BROWSER": program("chromium", "chromium-browser", "google-chrome"), "TOCSIN_PLUGIN_DIR": "/usr/bin"}
    sandbox = {"TOCSIN_BROWSER_SANDBOX": "true" if os.geteuid() else "false"}
    findings = await examine(given(tmp_path, **made, **sandbox, TOCSIN_DOCKER_SOCKET="/nowhere"))
    assert "opens a page in" in of(findings, "checks", "browser").detail
    assert "programs in /usr/bin" in of(findings, "checks", "plugins").detail
    assert of(findings, "checks", "docker").state == "failed"
    assert "the socket of TOCSIN_DOCKER_SOCKET is not there" in of(findings, "checks", "docker").detail
    findings = await examine(given(tmp_path))
    assert {f.state for f in findings if f.area == "checks"} == {"ok"}
    assert "switched off" in of(findings, "checks", "browser").detail


async def test_a_browser_that_does_not_start_is_named(tmp_path: Path) -> None:
    for wrong in ("/nowhere/chromium", "/etc/passwd", "/bin/false"):
        findings = await examine(given(tmp_path, TOCSIN_BROWSER=wrong, TOCSIN_BROWSER_SANDBOX="false"))
        found = of(findings, "checks", "browser")
        assert (found.state, wrong in found.detail) == ("failed", True)
        assert "browser checks are invalid" in found.advice
