from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import generate_latest

from tocsin import telemetry
from tocsin.secret import Secret


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_json_line_has_the_event_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("info", json=True)
    telemetry.logger("test.json").info("test.happened", count=3, key=Secret("canary"))
    line = capsys.readouterr().err
    seen = json.loads(line)
    assert (seen["event"], seen["count"], seen["key"], seen["level"]) == ("test.happened", 3, "***", "info")
    assert "canary" not in line


def test_text_for_people_has_no_secret_either(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("info")
    telemetry.logger("test.text").warning("test.happened", key=Secret("canary"))
    line = capsys.readouterr().err
    assert "test.happened" in line
    assert "canary" not in line


def test_quieter_levels_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("warning", json=True)
    telemetry.logger("test.level").info("test.quiet")
    logging.getLogger("uvicorn.error").info("quiet too")
    assert capsys.readouterr().err == ""


def test_errors_go_to_the_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "errors.log"
    telemetry.set_up_logging("info", json=True, error_file=file)
    log = telemetry.logger("test.file")
    log.info("test.fine")
    assert not file.exists()
    try:
        int("broken")
    except ValueError:
        log.exception("test.failed")
    assert "test.failed" in file.read_text()
    assert "ValueError: invalid literal" in file.read_text()
    assert "test.fine" not in file.read_text()
    assert "test.failed" in capsys.readouterr().err


def test_exported_names_are_plain_and_documented() -> None:
    text = generate_latest(telemetry.REGISTRY).decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert {"monitor_checks_total", "active_monitors", "tocsin_scheduler_lateness_seconds"} <= set(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert text.count("# HELP") == len(names)
    assert io.StringIO(text).readline().startswith("# HELP")
