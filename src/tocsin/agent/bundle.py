"""What a host needs to run the agent, packed from what is installed here: the server serves it, so that an installation asks
nobody else. Packed the same, byte for byte, each time: its SHA-256 is written into the script that fetches it."""

from __future__ import annotations

import base64
import hashlib
import platform
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

import tocsin
from tocsin import __version__

NEEDS = (
    "aiosmtplib", "cffi", "cryptography", "google-re2", "h11", "httptools", "idna", "jeepney",
    "jsonschema-rs", "minijinja", "msgspec", "prometheus-client", "pycparser", "pycurl", "python-jsonpath", "pyyaml",
)  # fmt: skip
"""The distributions that an agent may import; a house test compares them with what it can reach."""
WHEEL_NAME = f"tocsin-{__version__}-py3-none-any.whl"
_LEFT_OUT = ("__pycache__", "bin", "tests", "test")
_THEN = (2020, 1, 1, 0, 0, 0)


def platform_tag() -> str:
    """Where the packed machine code runs; install.sh finds out the same of its host."""
    libc = platform.libc_ver()[0] or "musl"
    return "-".join((str(sys.implementation.cache_tag), sysconfig.get_platform(), libc))


def pinned() -> list[str]:
    """The same for pip: each distribution with the version that is installed here. Raises LookupError."""
    try:
        return [f"{name}=={metadata.version(name)}" for name in NEEDS]
    except metadata.PackageNotFoundError as error:
        raise LookupError(f"{error.name} is not installed here (pip install 'tocsin[agent]')") from None


def pack_bundle(file: Path) -> None:
    """Tocsin and all that an agent needs, as it lies in a folder of packages, as a zip at that path. Raises OSError, and
    LookupError when something of it is not installed here."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as into:
        for name, content in sorted(_everything()):
            _add(into, name, content)


def pack_wheel(file: Path) -> None:
    """Tocsin alone, as a wheel. Raises OSError."""
    parts = dict(_own())
    record = f"tocsin-{__version__}.dist-info/RECORD"
    lines = [f"{name},sha256={_sum(content)},{len(content)}" for name, content in sorted(parts.items())]
    parts[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as into:
        for name, content in sorted(parts.items()):
            _add(into, name, content)


def _add(into: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _THEN)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    into.writestr(entry, content)


def _sum(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _everything() -> Iterator[tuple[str, bytes]]:
    yield from _own()
    for name in NEEDS:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise LookupError(f"{name} is not installed here (pip install 'tocsin[agent]')") from None
        yield from _of(found)


def _of(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """The files of an installed distribution that lie among the packages; not its programs, tests and bytecode."""
    for entry in distribution.files or ():
        path = PurePosixPath(str(entry))
        if ".." in path.parts or path.is_absolute() or path.name in ("direct_url.json", "REQUESTED", "INSTALLER"):
            continue
        if path.suffix == ".pyc" or any(part in _LEFT_OUT for part in path.parts[:-1]):
            continue
        yield str(path), Path(str(distribution.locate_file(entry))).read_bytes()


def _own() -> Iterator[tuple[str, bytes]]:
    """Our own package, as it runs here (also from a checkout), and what names it."""
    root = Path(tocsin.__file__).parent
    for file in _files(root.rglob("*")):
        yield f"tocsin/{file.relative_to(root).as_posix()}", file.read_bytes()
    folder = f"tocsin-{__version__}.dist-info"
    described = metadata.distribution("tocsin").read_text("METADATA") or ""
    head, blank, text = described.partition("\n\n")
    named = [f"Version: {__version__}" if line.startswith("Version: ") else line for line in head.splitlines()]
    yield f"{folder}/METADATA", ("\n".join(named) + blank + text).encode()
    yield f"{folder}/WHEEL", b"Wheel-Version: 1.0\nGenerator: tocsin\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    yield f"{folder}/entry_points.txt", b"[console_scripts]\ntocsin = tocsin.cli:main\n"


def _files(found: Iterable[Path]) -> Iterator[Path]:
    return (file for file in found if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc")
