from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
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


def test_text_is_one_line_an_event_with_values_quoted_where_needed(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("info")
    telemetry.logger("test.text").info("test.happened", count=3, told="two words", forged="x\nerror all=lost", none="")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z info +test\.happened +count=3 told='two words'"
        r" forged='x\\nerror all=lost' none=''\n",
        line,
    )


@pytest.mark.parametrize("json_lines", [True, False])
def test_an_exception_brings_its_traceback_and_no_variables(
    capsys: pytest.CaptureFixture[str], *, json_lines: bool
) -> None:
    telemetry.set_up_logging("info", json=json_lines)
    canary = "canary-value"
    log = telemetry.logger("test.trace")
    try:
        int(canary[:0])
    except ValueError as error:
        log.error("test.told", exc_info=error)  # noqa: TRY400 - the other way to say it
        log.warning("test.bare", exc_info=False)
    told = capsys.readouterr().err
    assert told.count("Traceback (most recent call last)") == 1
    assert "ValueError" in told
    assert "canary-value" not in told


def test_lines_of_libraries_look_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("info", json=True)
    logging.getLogger("some.library").warning("lost %d of %d", 1, 2)
    seen = json.loads(capsys.readouterr().err)
    assert (seen["event"], seen["level"], seen["logger"]) == ("lost 1 of 2", "warning", "some.library")


def test_exported_names_are_plain_and_documented() -> None:
    text = generate_latest(telemetry.REGISTRY).decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert {"monitor_checks_total", "active_monitors", "tocsin_scheduler_lateness_seconds"} <= set(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert text.count("# HELP") == len(names)
    assert io.StringIO(text).readline().startswith("# HELP")


def test_a_process_that_counts_nothing_loads_nothing_that_counts() -> None:
    words = (
        "import sys; from tocsin import telemetry as t; t.count_nothing(); t.faults.labels('x').inc(); "
        "t.loop_lag.set(2); t.check_ms.labels(type='http').observe(1); print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"
