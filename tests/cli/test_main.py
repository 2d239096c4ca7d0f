from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin import __version__
from tocsin.cli.main import COMMANDS, run


def test_bare_command_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([word]) == 0
    assert capsys.readouterr().out == f"tocsin {__version__}\n"


def test_each_word_of_the_agent_s_has_its_own_help(capfd: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        ((), "install "),
        (("run",), "--config"),
        (("status",), "--json"),
        (("install",), "--from-index"),
    ):
        assert run(["agent", *words, "--help"]) == 0
        shown = capfd.readouterr()
        assert (says in shown.out, shown.err) == (True, ""), shown


def test_an_unknown_command_is_wrong_usage_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["srve"]) == 2
    assert "did you mean serve?" in capsys.readouterr().err
    assert run(["qqq"]) == 2
    assert "lists the commands" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"usage: tocsin {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"check"}))
def test_an_unknown_option_is_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--no-such-option"]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_wrong_setting_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("[tocsin]\nport = 'x'\n")
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", "--config", str(file)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stderr == f"tocsin: {file}: port: expected a whole number, found 'x'\n"


def test_settings_are_listed_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://u:canary@h/d")
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    assert run(["settings"]) == 0
    text = capsys.readouterr().out
    assert "TOCSIN_DATABASE_URL = ***  [environment (TOCSIN_DATABASE_URL)]" in text
    assert run(["settings", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["settings"]
    assert {"setting": "TOCSIN_PORT", "value": "3001", "source": "default", "help": "Port to listen on"} in rows
    assert "canary" not in text + json.dumps(rows)


def test_output_into_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m tocsin settings | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "Traceback" not in done.stderr


def test_settings_without_a_value_are_all_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    assert run(["settings"]) == 0
    shown = capsys.readouterr().out
    assert "TOCSIN_BASE_URL = not set  [default]" in shown
    assert "TOCSIN_SMTP_URL = not set  [default]" in shown
    assert '""' not in shown
