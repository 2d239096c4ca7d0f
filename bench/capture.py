"""What being an instance of a cluster costs a primary's writer: triggers, images, the log; no network, everything is settled
at once."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.report import Figure, at_most, plain, record

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from builders import a_channel, a_monitor, a_result, a_verdict, an_incident, an_outbox_row, at
from store.conftest import furnish
from store.replicas import append, enrol, found, open_instance, replica_of
from tocsin.clock import SystemClock
from tocsin.core.incident import Entry as Told
from tocsin.store.batch import Batch, IncidentChange, VerdictChange

_MONITORS, _ROUNDS = 200, 40


async def _measure(folder: Path, *, clustered: bool) -> dict[str, float]:
    store = await open_instance(folder, "one", SystemClock())
    await furnish(store)
    monitors = [a_monitor(channels=("c",)) for _ in range(_MONITORS)]
    await store.of("ws").write(lambda s: s.channels.add(a_channel(id="c")))
    await store.of("ws").write(lambda s: [s.monitors.add(m) for m in monitors])
    await store.everything().write(lambda s: s.places.location("local"))
    courier: Any = None
    if clustered:
        _, courier = await found(store)
        await replica_of(store).transport.number_as("one:1")
    took: dict[str, list[float]] = {"results": [], "incidents": [], "edit": []}
    for n in range(_ROUNDS):
        began = time.perf_counter()
        results = tuple(a_result(monitor=m, at=at(60 * n)) for m in monitors)
        await store.commit(Batch(id=f"r{n}", results=results))
        took["results"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.commit(_trouble(monitors[n % _MONITORS : n % _MONITORS + 10], n))
        took["incidents"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.of("ws").write(lambda s, n=n: s.monitors.replace(_renamed(s.monitors.get(monitors[n].id), n)))
        took["edit"].append(time.perf_counter() - began)
    found_: dict[str, float] = {name: statistics.quantiles(times, n=10)[0] * 1000 for name, times in took.items()}
    if clustered:
        found_["entry"] = statistics.median(len(e.payload) for e in courier.entries[::2]) / 1000
        found_ |= await _others(folder, store, courier, monitors)
    await store.close()
    return found_


def _trouble(monitors: list[Any], n: int) -> Batch:
    incidents: list[IncidentChange] = []
    for m in monitors:
        told = (Told(at=at(n), kind="opened", text="it is down"),)
        incident = an_incident(m, id=f"i{n}-{m.id}", subject=f"s{n}:{m.id}", transition=1)
        incidents.append(IncidentChange(incident=incident, entries=told, opens=True))
    verdicts = [
        VerdictChange(workspace_id="ws", monitor_id=m.id, verdict=a_verdict("down", at=at(n))) for m in monitors
    ]
    rows = [an_outbox_row(channel_id="c", incident_id=f"i{n}-{m.id}", subject=f"s{n}:{m.id}") for m in monitors]
    return Batch(id=f"b{n}", verdicts=tuple(verdicts), incidents=tuple(incidents), outbox=tuple(rows))


def _renamed(monitor: Any, n: int) -> Any:
    return msgspec.structs.replace(monitor, name=f"named {n}")


async def _others(folder: Path, store: Any, courier: Any, monitors: list[Any]) -> dict[str, float]:
    """A snapshot out and in, and entries of incidents brought to a follower, all at once."""
    follower = await open_instance(folder, "two", SystemClock())
    began = time.perf_counter()
    await enrol(follower, await replica_of(store).cluster_key(), store)
    snapshot = time.perf_counter() - began
    for n in range(_ROUNDS):
        await store.commit(_trouble(monitors[n : n + 10], 1000 + n))
    last = courier.entries[-1].index
    began = time.perf_counter()
    await append(follower, await replica_of(store).entries(last - _ROUNDS, 1 << 30))
    await replica_of(follower).apply(last)
    applied = time.perf_counter() - began
    await follower.close()
    return {"snapshot": snapshot * 1000, "apply": applied * 1000 / _ROUNDS}


def main() -> list[Figure]:
    """The same work at an instance that stands alone and at a primary."""
    with tempfile.TemporaryDirectory() as place:
        alone = asyncio.run(_measure(Path(place) / "alone", clustered=False))
        primary = asyncio.run(_measure(Path(place) / "cluster", clustered=True))
    figures: list[Figure] = []
    for name, what in (
        ("results", f"{_MONITORS} results"),
        ("incidents", "10 incidents with verdicts and messages"),
        ("edit", "a monitor changed"),
    ):
        figures.append(plain(f"{what}, alone", alone[name], "ms"))
        figures.append(plain(f"{what}, at a primary", primary[name], "ms"))
        figures.append(at_most(f"{what}: ratio", primary[name] / alone[name], "", 2.0))
    figures.append(plain("an entry", primary["entry"], "kB"))
    figures.append(plain("a snapshot, out and in", primary["snapshot"], "ms"))
    figures.append(plain("an entry into a follower's log and tables, of 40 at once", primary["apply"], "ms"))
    return record(
        "capture",
        "commits in one process on one disk, the fastest tenth of 40 each; everything is settled at once",
        figures,
    )


if __name__ == "__main__":
    main()
