"""From the end of the check that confirms to the message at its receiver, with a thousand other monitors running."""

from __future__ import annotations

import time
from datetime import datetime

from bench import rig
from bench.report import Figure, at_most, plain, record

OTHERS, OTHERS_S = 1000, 10


def main() -> list[Figure]:
    """Let one target fail and come back twenty times."""
    delays: list[float] = []
    whole: list[float] = []
    with rig.running(TOCSIN_MINIMUM_INTERVAL_S="1") as (server, target):
        others = rig.Target()
        server.monitors(others, OTHERS, OTHERS_S, channels=[])
        receiver = rig.Receiver()
        hook = {"type": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}}
        hooks = [server.call("POST", "/channels", {"name": f"hook {n}", **hook})["id"] for n in range(10)]
        monitor = server.monitors(
            target, 1, 2, mixed=False, retry_interval_s=0.2, timeout_s=1, reopen_s=0, flap_detection=False
        )[0]  # fmt: skip
        rig.wait_for(lambda: server.call("GET", f"/monitors/{monitor}")["verdict"] == "up", 20, "up")
        for round_ in range(20):
            if round_ % 2 == 0:  # no channel is told so much at once that it would be gathered
                server.call("PATCH", f"/monitors/{monitor}", {"channels": [hooks[round_ // 2]]})
            failed_at = time.time()
            target.say("down")
            rig.wait_for(lambda n=round_: len(receiver.of("incident.opened")) > n, 30, "the opening")
            came, _ = receiver.of("incident.opened")[-1]
            downs = server.call("GET", f"/monitors/{monitor}/results?status=down&limit=5")["items"]
            ends = [datetime.fromisoformat(r["started_at"]).timestamp() + r["timing_ms"]["total"] / 1000 for r in downs]
            confirming = max(end for end in ends if end <= came)
            delays.append((came - confirming) * 1000)
            whole.append(came - failed_at)
            target.say("up")
            rig.wait_for(lambda n=round_: len(receiver.of("incident.resolved")) > n, 30, "the resolution")
        told = len(receiver.told)
        receiver.end()
        server.stop()
        others.end()
    return record(
        "alert",
        "20 outages of a target checked every 2 s (retry after 0.2 s), told by webhook, beside 1,000 monitors every 10 s",
        [
            at_most("end of the confirming check to the message, median", rig.percentile(delays, 0.5), "ms", 150),
            at_most("the same, p95", rig.percentile(delays, 0.95), "ms", 300),
            at_most("the same, the slowest", max(delays), "ms", 1000),
            plain("target fails to message, median", rig.percentile(whole, 0.5), "s"),
            at_most("messages beyond one opening and one resolution each", told - 40, "", 0),
        ],
    )


if __name__ == "__main__":
    main()
