"""How the table becomes servers, checks in a process of their own, and findings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager as Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile import Script, Server, serving
from hostile.behaviours import Cut, Then, closes, cut, flood
from hostile.columns import Column, Target, Words

TIMEOUT_S = 1.0
LATE_S = 0.5
"""How much later than its timeout a check may end."""
MOST_KB = 16 * 1024
"""How much more memory a check may take, whatever is sent."""
STILL_S = 0.3
"""How long a check may hold up all others, in time of the processor."""
GROUPS = {"web": ("http", "transaction", "docker"), "kafka": ("kafka_producer", "kafka_consumer")}
_TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cell:
    """One check against one server. `detail` says which of several it is."""

    detail: str
    server: Context[Server]
    target: Callable[[int], Target]


Serve = Callable[[Column], Iterator[Cell]]


@dataclass(frozen=True)
class Row:
    """What a server does, and what every check says of it: "reason phase", several with "or", or "up". `but` has those that
    say something else, by type or by type and detail. In a heavy row memory is measured, and how long others wait."""

    says: str
    serve: Serve
    expect: str
    but: dict[str, str]
    heavy: bool = False

    def expected(self, type_: str, detail: str) -> str:
        return self.but.get(f"{type_} {detail}") or self.but.get(type_) or self.expect


def served(made: Callable[[Column], Context[Server]]) -> Serve:
    """It is another server for each column."""

    def serve(column: Column) -> Iterator[Cell]:
        yield Cell("", made(column), column.target)

    return serve


def row(says: str, serve: Serve, expect: str, but: dict[str, str] | None = None, *, heavy: bool = False) -> Row:
    """A row; "web" stands for all that goes by the HTTP engine and HTTP/1, "kafka" for both of them, and several types may
    share one expectation: "mqtt, redis"."""
    each: dict[str, str] = {}
    for names, expected in (but or {}).items():
        for name in names.split(", "):
            type_, space, detail = name.partition(" ")
            each |= {t + space + detail: expected for t in GROUPS.get(type_, (type_,))}
    return Row(says, serve, expect, each, heavy)


def begins(script: Script) -> Serve:
    """It does that from the first moment on."""

    def serve(column: Column) -> Iterator[Cell]:
        yield Cell("", serving(script, read=False), column.target)

    return serve


def nowhere(place: Callable[[], Context[Server]]) -> Serve:
    """Nobody is there."""

    def serve(column: Column) -> Iterator[Cell]:
        yield Cell("", place(), column.target)

    return serve


def at_each_turn(then: Then, *, within: bool) -> Serve:
    """It is sound up to one of its turns, or up to the middle of it."""

    def serve(column: Column) -> Iterator[Cell]:
        for turn in range(1, column.turns + 1):
            yield Cell(str(turn), cut(column.upstream(), Cut(turn, within, then)), column.target)

    return serve


def in_parting(then: Then) -> Serve:
    """It is sound, and does that when all is done."""

    def serve(column: Column) -> Iterator[Cell]:
        if column.type != "ssh":  # where both speak at once, and no turn is the last one for sure
            yield Cell("", cut(column.upstream(), Cut(column.turns + 1, within=False, then=then)), column.target)

    return serve


def only(types: str, serve: Serve) -> Serve:
    """For these columns alone; "web" stands for three."""
    wanted = [t for name in types.split(", ") for t in GROUPS.get(name, (name,))]
    return lambda column: serve(column) if column.label in wanted else iter(())


def tells(words: Words, *, tls: bool = False) -> Serve:
    """It says these words in their turn; to a check that wants to go over to TLS later, when asked for."""

    def serve(column: Column) -> Iterator[Cell]:
        more = (column.starttls or {}) if tls else {}
        made = cut(column.upstream(), Cut(words.turn, within=False, then=instead(words)))
        yield Cell("", made, lambda port: column.target(port) | more)

    return serve


def instead(words: Words) -> Then:
    async def then(talk: Any, rest: bytes) -> None:
        await talk.send(words.said)
        if words.then:
            await flood(talk, words.then)
        await talk.hang()

    return then


def says(name: str) -> Serve:
    """It misuses the words of its protocol: those of the column's field of that name."""

    def serve(column: Column) -> Iterator[Cell]:
        found = getattr(column, name)
        for detail, words in found.items() if isinstance(found, dict) else [("", found)] if found else []:
            at = Cut(words.turn, within=False, then=instead(words))
            yield Cell(detail, cut(column.upstream(), at), column.target)

    return serve


def secured(target: Target) -> Target:
    """The same with URLs that want TLS."""
    steps = {"steps": [secured(s) for s in target["steps"]]} if "steps" in target else {}
    if "url" in target:
        steps["url"] = target["url"].replace("http:", "https:").replace("ws:", "wss:")
    return target | steps


def over_tls(made: Callable[[Column], Context[Server]]) -> Serve:
    """It does that where TLS is spoken from the first byte on."""

    def serve(column: Column) -> Iterator[Cell]:
        if column.tls is not None:
            more = column.tls
            yield Cell("", made(column), lambda port: secured(column.target(port)) | more)
        elif column.type == "tls":
            yield Cell("", made(column), column.target)

    return serve


def broken_tls(turn: int, then: Then, *, within: bool) -> Callable[[Column], Context[Server]]:
    """A sound server with TLS, up to one of its turns."""
    return lambda column: cut(column.upstream(secure=True), Cut(turn, within, then))


def after_starttls(then: Then | None, *, within: bool = False) -> Serve:
    """It lets TLS begin, and does that in its handshake; with None it is sound."""

    def serve(column: Column) -> Iterator[Cell]:
        if column.starttls is not None:
            more = column.starttls
            turn = (4 if column.type == "smtp" else 2) if then is not None else 0
            made = cut(column.upstream(), Cut(turn, within, then or closes))
            yield Cell("", made, lambda port: column.target(port) | more)

    return serve


@dataclass(frozen=True)
class Fault:
    """What is not as the table says. `perhaps`: a busy machine may have been the reason."""

    cell: str
    words: str
    perhaps: bool


async def _orders(
    column: Any, rows: list[Row], stack: contextlib.AsyncExitStack, cells: set[str] | None
) -> dict[str, Any]:
    """What the process is asked to do; the servers for it are running."""

    async def order(id_: str, made: Cell) -> dict[str, Any]:
        port = (await stack.enter_async_context(made.server)).port
        return {"id": id_, "type": column.type, "timeout_s": TIMEOUT_S, "target": made.target(port)}

    sound = Cell("", column.sound(), column.target)
    orders: dict[str, Any] = {"warm": [await order("", sound) | {"timeout_s": 10}], "together": [], "alone": []}
    for r in rows:
        for cell in r.serve(column):
            id_ = f"{r.says} | {cell.detail}"
            if cells is None or id_ in cells:
                orders["alone" if r.heavy or cells else "together"].append(await order(id_, cell))
    return orders


async def results(column: Any, rows: list[Row], loop: str, cells: set[str] | None = None) -> list[dict[str, Any]]:
    """What came of each check (of these cells: one by one), by a process that runs on asyncio or uvloop."""
    async with contextlib.AsyncExitStack() as stack:
        orders = await _orders(column, rows, stack, cells)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hostile.child", loop, stdin=-1, stdout=-1, stderr=-1, limit=1 << 24,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path])},
        )  # fmt: skip
        try:
            said, problem = await process.communicate(json.dumps(orders).encode() + b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, problem.decode()
    warm, *found = json.loads(said)
    assert warm["status"] == "up", f"{column.label}: a sound server is not up: {warm}"
    return found


def faults(column: Any, rows: list[Row], found: list[dict[str, Any]]) -> list[Fault]:
    """What is not as the table says."""
    by_name = {r.says: r for r in rows}
    said: list[Fault] = []
    for result in found:
        name, _, detail = result["id"].partition(" | ")

        def wrong(words: str, perhaps: bool = False, cell: str = result["id"]) -> None:
            said.append(Fault(cell, f"{column.label}: {cell}: {words}", perhaps))

        expected, told = by_name[name].expected(column.label, detail), _told(result)
        if told not in expected.split(" or "):
            wrong(f"expected {expected}, found {told} ({result['message']})", told.startswith("timeout"))
        if result["took_s"] > TIMEOUT_S + LATE_S:
            wrong(f"took {result['took_s']:.2f} s", perhaps=True)
        if result.get("grew_kb", 0) > MOST_KB:
            wrong(f"took {result['grew_kb']} KB of memory")
        if result.get("stood_still_s", 0) > STILL_S:
            wrong(f"held up everything for {result['stood_still_s']:.2f} s")
    return said


async def look_at(column: Any, rows: list[Row], loop: str) -> list[str]:
    """The faults, in words. What a busy machine may have been the reason of is looked at once more, alone."""
    found = faults(column, rows, await results(column, rows, loop))
    doubtful = {f.cell for f in found if f.perhaps}
    if doubtful:
        found = [f for f in found if f.cell not in doubtful]
        found += faults(column, rows, await results(column, rows, loop, doubtful))
    return [f.words for f in found]


def _told(result: dict[str, Any]) -> str:
    if result["status"] != "down":
        return str(result["status"])
    return f"{result['reason']} {result['phase']}" if result["phase"] else str(result["reason"])
