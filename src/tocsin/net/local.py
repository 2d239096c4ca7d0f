"""What of this machine itself checks may use: only what its operator has named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The folder of plugins that may be run, and the socket of the Docker Engine that may be asked; None: none may."""

    plugin_dir: Path | None = None
    docker_socket: Path | None = None
