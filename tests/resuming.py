"""`--resume FILE`: what has passed for this very code is written there, and is not run again until all of it has passed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def of_the_code() -> str:
    """What becomes another one with any change of the program or its tests."""
    made = hashlib.sha256()
    for folder in (HERE.parent / "src", HERE):
        for path in sorted(folder.rglob("*.py")):
            made.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return made.hexdigest()


class Resuming:
    """Passes over what is in the file, and adds what passes. Of several processes that share the tests `writes` one."""

    def __init__(self, file: Path, *, writes: bool) -> None:
        self.file, self.code, self.writes = file, of_the_code(), writes
        known = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.done = set(known[1:]) if known[:1] == [self.code] else set[str]()
        if writes and not self.done:
            file.write_text(f"{self.code}\n", encoding="utf-8")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        known = [item for item in items if item.nodeid in self.done]
        if known:
            config.hook.pytest_deselected(items=known)
            items[:] = [item for item in items if item.nodeid not in self.done]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.writes and report.when == "call" and report.passed:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = session.config
        whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("keyword")
        good = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.writes and whole and good:
            self.file.unlink(missing_ok=True)  # all of it has passed: the next time begins anew

    def pytest_report_header(self) -> str:
        return f"resuming: {len(self.done)} passed before"
