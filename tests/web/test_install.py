"""/install.sh and what it fetches."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import zipfile
from pathlib import Path

from tocsin import __version__
from tocsin.agent.bundle import platform_tag
from web.caller import Caller
from web.conftest import Alice


async def test_what_a_host_fetches_is_what_the_script_names(alice: Alice) -> None:
    nobody = Caller(alice.house.app)
    script = (await nobody.get("/install.sh")).text
    assert (await nobody.get("/install.sh")).text == script  # it can be named by its SHA-256
    assert f"PLATFORM={platform_tag()}\n" in script
    for path, name in (("/agent/bundle", "BUNDLE_SHA256"), ("/agent/wheel", "WHEEL_SHA256")):
        assert (await nobody.get(path)).status == 401
        assert (await alice.api.get(path)).status == 403  # a key of the API is not one of a host
        key = (await alice.api.post("/api/v1/enrollment-keys", {"name": "x"})).data["key"]
        answer = await Caller(alice.house.app, key).get(path)
        assert answer.status == 200
        found = re.search(rf"{name}=(\w+)", script)
        assert found is not None
        assert hashlib.sha256(answer.body).hexdigest() == found[1]
        names = zipfile.ZipFile(io.BytesIO(answer.body)).namelist()
        assert "tocsin/agent/install/install.sh" in names
        assert f"tocsin-{__version__}.dist-info/METADATA" in names
        assert ("msgspec/__init__.py" in names) == (path == "/agent/bundle")
        assert not any(name.startswith(("sqlalchemy/", "alembic/")) or "__pycache__" in name for name in names)


async def test_a_script_that_was_changed_or_cut_does_nothing(alice: Alice, tmp_path: Path) -> None:
    script = (await Caller(alice.house.app).get("/install.sh")).text
    refused = "changed or cut on its way"
    for wrong in (script.replace("user=tocsin-agent\n", "user=root\n"), script.replace("umask 022", "umask 000")):
        assert wrong != script
        assert refused in _run(wrong, tmp_path)[1]
    for length in range(200, len(script) - 2, len(script) // 7):
        code, said = _run(script[:length], tmp_path)
        assert code != 0
        assert "usage" not in said
    code, said = _run(script, tmp_path, "--nonsense")
    assert (code, "expected one of the options, found --nonsense" in said) == (2, True)
    code, said = _run(script, tmp_path, "--api-key=abc")
    assert (code, "can be read by every user" in said) == (2, True)


def _run(script: str, folder: Path, *words: str) -> tuple[int, str]:
    """The script by standard input, as from curl, with no root's rights over anything but the folder."""
    done = subprocess.run(
        ["sh", "-s", "--", *(words or ("--nothing",))],
        input=script,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=30,
    )
    return done.returncode, done.stdout + done.stderr
