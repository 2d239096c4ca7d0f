"""The process that runs the checks of one column, and measures what each cost: time, memory, and how long it held up all
others. Run as `python -m hostile.child`: orders on standard input, results on standard output, one line of JSON each."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from checks.looking import look
from tocsin.net import Egress, Net

AT_ONCE = 24
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory_kb(name: str) -> int:
    """VmRSS or VmHWM (its peak) of this process."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


@asynccontextmanager
async def watching() -> AsyncIterator[list[float]]:
    """For how long the loop stood still, at most, is added to the list: in time of the processor, since a busy machine is no
    fault of ours."""
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            worst = max(worst, time.thread_time() - began)

    beating = asyncio.ensure_future(beat())
    found: list[float] = []
    try:
        await asyncio.sleep(0)
        yield found
        await asyncio.sleep(0.02)
    finally:
        beating.cancel()
        found.append(worst)


async def one(net: Net, case: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    outcome = await look(case["type"], net=net, timeout_s=case["timeout_s"], **case["target"])
    took_s = time.monotonic() - began
    error = outcome.error
    return {
        "id": case["id"], "status": outcome.status, "took_s": took_s, "reason": error.type if error else "",
        "phase": error.phase if error else None, "message": error.message if error else "",
    }  # fmt: skip


async def alone(net: Net, case: dict[str, Any]) -> dict[str, Any]:
    """The same, and how far the memory grew and how long the loop stood still meanwhile."""
    _CLEAR.write_text("5")  # forget the peak
    before = memory_kb("VmRSS")
    async with watching() as found:
        result = await one(net, case)
    return result | {"grew_kb": memory_kb("VmHWM") - before, "stood_still_s": found[0]}


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(net: Net, case: dict[str, Any]) -> dict[str, Any]:
        async with gate:
            return await one(net, case)

    async with Net(egress=Egress("private")) as net:
        results = [await one(net, case) for case in order["warm"]]
        results += await asyncio.gather(*(gated(net, case) for case in order["together"]))
        results += [await alone(net, case) for case in order["alone"]]
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["uvloop"]:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
