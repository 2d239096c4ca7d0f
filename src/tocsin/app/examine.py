"""What `tocsin doctor` looks at: each examination gives findings, none changes anything."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tocsin.app import folder
from tocsin.errors import SettingsError
from tocsin.settings import SETTINGS, Settings

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `advice` says what to do about it, "" when nothing is to be done."""

    area: str
    what: str
    state: State
    detail: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Every finding, area by area. An examination that breaks is a failed finding, never an exception."""
    from tocsin.app.examine_local import local
    from tocsin.app.examine_net import http_client, network

    findings: list[Finding] = []
    areas: list[tuple[str, Callable[[Settings], Awaitable[list[Finding]]]]] = [
        ("configuration", _configuration),
        ("locking", _locking),
        ("database", _database),
        ("http client", http_client),
        ("network", network),
        ("checks", local),
        ("performance", _performance),
    ]
    for area, look in areas:
        try:
            findings += await look(settings)
        except SettingsError as error:
            findings.append(Finding(area, "settings", "failed", str(error)))
        except Exception as error:  # noqa: BLE001 - the doctor reports it
            findings.append(Finding(area, "examination", "failed", f"{type(error).__name__}: {error}"))
    return findings


async def _configuration(settings: Settings) -> list[Finding]:
    chosen = [f"{s.variable} from {settings.sources[s.key]}" for s in SETTINGS if settings.sources[s.key] != "default"]
    found = [Finding("configuration", "settings", "ok", ", ".join(chosen) or "all defaults"), *_anchors(settings)]
    data = settings.data_dir
    if not data.exists():
        found.append(Finding("configuration", "data folder", "ok", f"{data} is made at the first start"))
        return found
    try:
        folder.prepare(settings)
        mode = data.stat().st_mode & 0o777
        state: State = "warning" if mode & 0o077 else "ok"
        advice = f"others can look into it: chmod 700 {data}" if state == "warning" else ""
        found.append(Finding("configuration", "data folder", state, f"{data} (mode {mode:04o})", advice))
    except SettingsError as error:
        found.append(Finding("configuration", "data folder", "failed", str(error), "give the folder to this user"))
    found.append(_key(settings))
    free = shutil.disk_usage(data).free
    scarce = free < 1_000_000_000
    found.append(
        Finding("configuration", "free space", "warning" if scarce else "ok", f"{free / 1e9:.1f} GB",
                "results need room: free some, or lower TOCSIN_RETENTION_DAYS" if scarce else "")
    )  # fmt: skip
    return found


def _anchors(settings: Settings) -> list[Finding]:
    from tocsin.app.anchors import anchors_of

    try:
        count = len(anchors_of(settings))
    except SettingsError as error:
        return [Finding("configuration", "anchors", "failed", str(error), "the server does not start until it is one")]
    return [Finding("configuration", "anchors", "ok", f"{count} that should always answer")] if count else []


def _key(settings: Settings) -> Finding:
    if settings["SECRET_KEY"] is not None:
        return Finding("configuration", "secret key", "ok", "from TOCSIN_SECRET_KEY")
    file = settings.data_dir / folder.KEY_FILE
    try:
        if file.exists():
            folder.read_key(file)
            return Finding("configuration", "secret key", "ok", f"{file.name}, private")
    except SettingsError as error:
        return Finding("configuration", "secret key", "failed", str(error), f"chmod 600 {file}, or put back a backup")
    database = settings.database_file
    if database is not None and database.exists():
        gone = f"{file} is gone, and {database.name} was sealed with it"
        return Finding("configuration", "secret key", "failed", gone, "put it back from a backup, mode 0600")
    return Finding("configuration", "secret key", "ok", "made at the first start")


async def _locking(settings: Settings) -> list[Finding]:
    from tocsin.store.examination import holder

    database = settings.database_file
    if database is None:
        return [Finding("locking", "data folder", "ok", "PostgreSQL: its own locks are used")]
    held = await asyncio.to_thread(holder, database)
    if held is None:
        return [Finding("locking", "data folder", "ok", "nobody uses it now")]
    return [Finding("locking", "data folder", "ok", f"a server is running: {_who(held)}")]


def _who(held: str) -> str:
    """Of the refusal that a second server would get, what was found: not what to do about it."""
    return (held.partition("found that ")[2] or held).partition(" (")[0]


async def _database(settings: Settings) -> list[Finding]:
    from tocsin.store.examination import examine_file, examine_server, waiting

    database = settings.database_file
    if database is None:
        version = await examine_server(settings.database_url)
        return [Finding("database", "PostgreSQL", "ok", version)]
    if not database.exists():
        return [Finding("database", "SQLite", "ok", f"{database} is made at the first start")]
    seen = await asyncio.to_thread(examine_file, database)
    found = [Finding("database", "SQLite", "ok", f"version {seen.version}, {seen.size / 1e6:.1f} MB")]
    whole = seen.found == "ok"
    found.append(
        Finding("database", "quick check", "ok" if whole else "failed", f"{seen.found} ({seen.took_ms:.0f} ms)",
                "" if whole else "put back a backup")
    )  # fmt: skip
    same = seen.schema == seen.newest
    known = "no tables yet" if seen.schema is None else f"at {seen.schema}"
    found.append(
        Finding("database", "schema", "ok" if same else "warning", known,
                "" if same else f"the next start brings it to {seen.newest}")
    )  # fmt: skip
    spooled = waiting(settings.data_dir / "spool")
    found.append(
        Finding("database", "spool", "warning" if spooled else "ok", f"{spooled:,} bytes wait" if spooled else "empty",
                "they are replayed while the server runs and can write" if spooled else "")
    )  # fmt: skip
    return found


async def _performance(settings: Settings) -> list[Finding]:
    found = [_descriptors(settings)]
    if settings.data_dir.exists():
        took = await asyncio.to_thread(_fsync_ms, settings)
        slow = took > 50
        found.append(
            Finding("performance", "fsync", "warning" if slow else "ok", f"{took:.1f} ms (median of 15)",
                    "commits wait for the disk: a faster disk stores more results a second" if slow else "")
        )  # fmt: skip
    lags: list[float] = []
    for _ in range(40):
        at = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append((time.perf_counter() - at - 0.005) * 1000)
    worst = max(lags)
    busy = worst > 100
    found.append(
        Finding("performance", "event loop", "warning" if busy else "ok", f"at most {worst:.1f} ms late",
                "the machine is busy: checks that lag over 500 ms are invalid" if busy else "")
    )  # fmt: skip
    found.append(_load(os.cpu_count() or 1, os.getloadavg()[0]))
    return found


def _load(count: int, load: float) -> Finding:
    crowded = load > 2 * count
    return Finding(
        "performance", "processors", "warning" if crowded else "ok", f"{count}, load {load:.2f}",
        "more waits for them than they can do: checks may start late, and what lags is invalid" if crowded else "",
    )  # fmt: skip


def _descriptors(settings: Settings) -> Finding:
    have = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    need = settings["MAX_CONCURRENT_CHECKS"] * 2 + 500
    short = have < need
    return Finding(
        "performance", "open files", "warning" if short else "ok", f"{have:,} allowed, {need:,} wanted",
        "raise LimitNOFILE (ulimit -n) or lower TOCSIN_MAX_CONCURRENT_CHECKS" if short else "",
    )  # fmt: skip


def _fsync_ms(settings: Settings) -> float:
    file = settings.data_dir / f".fsync-{os.getpid()}"
    took: list[float] = []
    handle = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(15):
            os.write(handle, b"x" * 4096)
            at = time.perf_counter()
            os.fdatasync(handle)
            took.append((time.perf_counter() - at) * 1000)
    finally:
        os.close(handle)
        file.unlink()
    return statistics.median(took)
