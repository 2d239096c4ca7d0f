"""Static files of ours, named by their content so that a browser may keep them for ever."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import brotli

from tocsin.web.call import Call, Reply, Route

FOLDER = Path(__file__).parent.parent / "static"
MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
STYLES = ("tokens.css", "parts.css", "pages.css", "vendor/uPlot.min.css")
_IMPORT = re.compile(r'(from\s*|import\s*\(?\s*)"\./([\w-]+\.js)"')
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(slots=True)
class Asset:
    """One file as it is served: `name` carries a hash of `plain`."""

    name: str
    media_type: str
    plain: bytes
    packed: bytes = field(default=b"")

    def brotli(self) -> bytes:
        """The content compressed, made once, when first asked for."""
        if not self.packed:
            self.packed = bytes(brotli.compress(self.plain, quality=9))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        return self.packed


class Assets:
    """Every static file, by its own name and by the name it is served under.

    The style sheets go out as one file, tocsin.css. A module that imports a neighbour ("./x.js") imports its hashed
    name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_name: dict[str, Asset] = {}
        self._served: dict[str, Asset] = {}
        sheets = b"\n".join((folder / name).read_bytes() for name in STYLES)
        self._add("tocsin.css", sheets)
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".js", ".svg"):
                self._load(file.relative_to(folder).as_posix())

    def url(self, name: str) -> str:
        """Where a file is served."""
        return f"/static/{self._by_name[name].name}"

    def served(self, name: str) -> Asset | None:
        """The file behind a served name."""
        return self._served.get(name)

    def _load(self, name: str) -> Asset:
        known = self._by_name.get(name)
        if known is not None:
            return known
        text = (self._folder / name).read_text(encoding="utf-8")
        if name.endswith(".js") and not name.startswith("vendor/"):
            text = _IMPORT.sub(lambda m: f'{m[1]}"./{self._load(m[2]).name}"', text)
        return self._add(name, text.encode())

    def _add(self, name: str, content: bytes) -> Asset:
        stem, _, ending = name.rsplit("/", 1)[-1].rpartition(".")
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        asset = Asset(f"{stem}.{digest}.{ending}", MEDIA["." + ending], content)
        self._by_name[name] = self._served[asset.name] = asset
        return asset


@cache
def assets() -> Assets:
    """The static files of this installation."""
    return Assets(FOLDER)


async def serve(call: Call) -> Reply:
    """A static file, compressed when the caller takes brotli."""
    asset = assets().served(call.path["name"])
    if asset is None:
        return Reply(status=404, content=b"Not found\n", media_type="text/plain; charset=utf-8")
    headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding", "x-content-type-options": "nosniff"}
    if "br" in call.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "br"
        return Reply(content=asset.brotli(), media_type=asset.media_type, headers=headers)
    return Reply(content=asset.plain, media_type=asset.media_type, headers=headers)


async def favicon(call: Call) -> Reply:
    """The bell, for who asks at the usual place."""
    found = assets().served(assets().url("bell.svg").rpartition("/")[2])
    assert found is not None
    headers = {"cache-control": "public, max-age=86400"}
    return Reply(content=found.plain, media_type=found.media_type, headers=headers)


_OPEN: dict[str, Any] = {"method": "GET", "permission": "public", "kind": "open", "tag": "pages"}
ROUTES = [
    Route(path="/static/{name}", run=serve, summary="A static file", **_OPEN),
    Route(path="/favicon.ico", run=favicon, summary="The bell", **_OPEN),
]
