"""What of this machine itself checks may use: nothing, unless the operator says so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """`browser`: the path of a Chromium for browser checks, None for none. `browser_sandbox` False: Chromium runs without
    its own sandbox (as it must when it is run by root)."""

    browser: str | None = None
    browser_sandbox: bool = True
