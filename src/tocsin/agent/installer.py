"""The script that installs an agent on a host, and what it fetches, kept ready in a folder of the server's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from tocsin import __version__
from tocsin.agent.bundle import WHEEL_NAME, pack_bundle, pack_wheel, pinned, platform_tag

_END = "END-OF-THE-INSTALLER-OF-TOCSIN"


class Packed(Struct, frozen=True, kw_only=True):
    """What lies ready: the SHA-256 of the bundle and of the wheel, and where they are."""

    bundle_sha256: str
    wheel_sha256: str
    bundle: Path
    wheel: Path


class Installer:
    """What hosts fetch to install their agents. Packed once, when it is first asked for, into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packed: Packed | None = None
        self._packing = asyncio.Lock()
        self.fetching = 0

    async def packed(self) -> Packed:
        """What lies ready. Raises OSError when the disk takes none, LookupError when something is not installed here."""
        async with self._packing:
            if self._packed is None or not self._packed.bundle.is_file() or not self._packed.wheel.is_file():
                self._packed = await asyncio.to_thread(_pack, self._folder)
            return self._packed

    async def script(self, server: str) -> str:
        """install.sh for hosts that report to this URL. Raises as `packed`."""
        return script_of(server, await self.packed())


def _pack(folder: Path) -> Packed:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    bundle, wheel = folder / "bundle.zip", folder / WHEEL_NAME
    for made, pack in ((bundle, pack_bundle), (wheel, pack_wheel)):
        draft = folder / f".{made.name}-{os.getpid()}"
        try:
            pack(draft)
            draft.replace(made)
        finally:
            draft.unlink(missing_ok=True)
    return Packed(bundle=bundle, wheel=wheel, bundle_sha256=_sum(bundle), wheel_sha256=_sum(wheel))


def _sum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def text_of(name: str) -> str:
    """A file of ours that goes to hosts: install.sh, tocsin-agent.service."""
    return (files("tocsin.agent") / "install" / name).read_text(encoding="utf-8")


def settings_of(server: str, packed: Packed | None) -> dict[str, str]:
    """What install.sh wants to know before it runs; `packed` None: of an agent that is installed already."""
    said = {"SERVER": server, "VERSION": __version__, "UNIT": text_of("tocsin-agent.service").rstrip("\n")}
    if packed is None:
        return said
    return said | {
        "PLATFORM": platform_tag(), "BUNDLE_SHA256": packed.bundle_sha256, "WHEEL_SHA256": packed.wheel_sha256,
        "WHEEL_NAME": WHEEL_NAME, "NEEDS": " ".join(pinned()),
    }  # fmt: skip


def script_of(server: str, packed: Packed) -> str:
    """The script as it goes to a host. It runs only whole and unchanged: its first part checks the SHA-256 of the rest."""
    said = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings_of(server, packed).items())
    body = said + text_of("install.sh")
    return _WRAP.format(
        version=__version__, server=server, sum=hashlib.sha256(body.encode()).hexdigest(), body=body, end=_END
    )


_WRAP = """\
#!/bin/sh
# Tocsin {version}: installs the agent of {server} on this host. All that it does stands below; it asks for the key.
{{
set -eu
umask 077
if [ -f "$0" ]; then FROM_FILE=yes; else FROM_FILE=no; fi
export FROM_FILE
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<'{end}'
{body}{end}
found=$(sha256sum <"$script")
if [ "${{found%% *}}" != {sum} ]; then
    echo "tocsin: this script was changed or cut on its way (SHA-256 ${{found%% *}}): nothing was done. Fetch it anew" >&2
    exit 1
fi
code=0
sh "$script" "$@" || code=$?
exit "$code"
}}
"""
