"""The README's tour, run as it stands there (other ports and folder) against a whole server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from pathlib import Path

from house.source import ROOT
from needs import require
from real import given, running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_the_tour_tells_of_the_outage_and_of_its_end(tmp_path: Path) -> None:
    require("curl", shutil.which("curl"))
    found = re.search(r"<!-- tour -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert found is not None
    async with running(given(tmp_path)) as server:
        changed = {
            "8900": str(free_port()),
            "8901": str(free_port()),
            "/tmp/tocsin-tour": str(tmp_path / "tour"),
        }
        script = found[1]
        for old, new in changed.items():
            assert old in script
            script = script.replace(old, new)
        tour = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PORT": str(server.port)},
        )
        output, _ = await asyncio.wait_for(tour.communicate(), 90)
    assert tour.returncode == 0, output.decode()
    told = (tmp_path / "tour" / "told.txt").read_text().splitlines()
    assert [line.split()[0] for line in told] == ["incident.opened", "incident.resolved"], output.decode()
    assert '"verdict": "up"' in output.decode()
