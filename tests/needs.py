"""Real components that some tests need: skipped by name where they are missing, a failure where CI=true."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def require(name: str, found: object) -> None:
    """Go on when the component was found; else skip the test by the component's name, or fail in CI."""
    if found:
        return
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(f"{name} is missing, and in CI every component must be there", pytrace=False)
    pytest.skip(f"{name} is not installed")


def program(*names: str) -> str:
    """The path of the first of these programs that is installed (on PATH or where Debian hides PostgreSQL's)."""
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin"):
            return found
        for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
            if (folder / name).is_file():
                return str(folder / name)
    require(names[0], None)
    raise AssertionError
