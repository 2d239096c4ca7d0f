"""What of this machine checks may use, by the settings: for the server, and for one check from the command line."""

from __future__ import annotations

from tocsin.net.local import Local
from tocsin.settings import Settings


def local_of(settings: Settings) -> Local:
    """What of this machine the operator lets checks use."""
    return Local(
        plugin_dir=settings["PLUGIN_DIR"],
        docker_socket=settings["DOCKER_SOCKET"],
        browser=settings["BROWSER"],
        browser_sandbox=settings["BROWSER_SANDBOX"],
    )
