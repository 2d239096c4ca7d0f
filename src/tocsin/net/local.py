"""What of this machine itself checks may use: only what its operator has named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The folder of plugins that may be run, the socket of the Docker Engine that may be asked, the Chromium that may be
    started; None: none may. `browser_sandbox` False: Chromium runs without its own sandbox (as it must when it is run by
    root)."""

    plugin_dir: Path | None = None
    docker_socket: Path | None = None
    browser: Path | None = None
    browser_sandbox: bool = True
