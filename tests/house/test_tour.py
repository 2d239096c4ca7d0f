"""The README's tour, run as it stands there (other ports and folder) against a whole server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from house.source import ROOT
from needs import require
from real import given, running


@contextmanager
def kept_port() -> Iterator[str]:
    """A port that nobody else is given meanwhile: it is bound here, which those who reuse addresses may do too."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield str(held.getsockname()[1])


async def test_the_tour_tells_of_the_outage_and_of_its_end(tmp_path: Path) -> None:
    require("curl", shutil.which("curl"))
    found = re.search(r"<!-- tour -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert found is not None
    async with running(given(tmp_path)) as server:
        with kept_port() as page, kept_port() as receiver:
            await tour_of(found[1], server.port, {"8900": page, "8901": receiver}, tmp_path)


async def tour_of(script: str, port: int, changed: dict[str, str], folder: Path) -> None:
    """Run it with these ports, and look at what it printed and was told."""
    for old, new in (changed | {"/tmp/tocsin-tour": str(folder / "tour")}).items():
        assert old in script
        script = script.replace(old, new)
    tour = await asyncio.create_subprocess_exec(
        "bash", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PORT": str(port)},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(tour.communicate(), 90)
    assert tour.returncode == 0, output.decode()
    told = (folder / "tour" / "told.txt").read_text().splitlines()
    assert [line.split()[0] for line in told] == ["incident.opened", "incident.resolved"], output.decode()
    assert '"verdict": "up"' in output.decode()
