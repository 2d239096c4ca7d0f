"""Containers as an engine tells of them, judged. Pure: what the Engine API answers goes in, how it is seen comes out.

Docker Engine API, version 1.41 and later: https://docs.docker.com/reference/api/engine/"""

from __future__ import annotations

from typing import Any

from tocsin.collectors._answer import labelled, moment, number, word
from tocsin.collectors._units import LOOP_RESTARTS
from tocsin.core.plain import as_list, as_map
from tocsin.core.sample import Service

_STOPPED = (0, 130, 137, 143)
"""Exit codes of what ended well, or was stopped from outside."""


def part(value: object, name: str) -> dict[Any, Any]:
    """The object of that name inside; an empty one when there is none."""
    return as_map((as_map(value) or {}).get(name)) or {}


def name_of(row: dict[Any, Any]) -> str:
    """What people call the container."""
    names = as_list(row.get("Names")) or ()
    return word(names[0] if names else row.get("Name"), 128).lstrip("/") or word(row.get("Id"), 12)


def seen(name: str, told: dict[Any, Any], *, named: bool, lately: int) -> Service:
    """The container as a service, from what inspecting it told. `named`: the file asks for exactly this one, so it should
    run. `lately`: how often it began anew in the last ten minutes."""
    state, host = part(told, "State"), part(told, "HostConfig")
    status = word(state.get("Status")) or "unknown"
    health = word(part(state, "Health").get("Status"))
    again = word(part(host, "RestartPolicy").get("Name")) not in ("", "no")
    facts: dict[str, str | float | int | bool | None] = {
        "image": word(part(told, "Config").get("Image"), 200), "restarts": number(told.get("RestartCount")),
        "id": word(told.get("Id"), 200)[:12],
    }  # fmt: skip
    ok, detail = _running(health, lately) if status == "running" else _other(status, state, named, again)
    if health not in ("", "none") and status == "running":
        facts["health"] = health
    if ok is False and health == "unhealthy":
        detail = _last_words(state) or detail
    code = number(state.get("ExitCode"))
    if status != "running" and code is not None:
        facts["exit_code"] = int(code)
    shown = health if status == "running" and health in ("unhealthy", "starting") else status
    since = moment(state.get("StartedAt" if status == "running" else "FinishedAt"))
    return Service(kind="container", name=name, state=shown, ok=ok, since=since, detail=detail, facts=facts)


def _running(health: str, lately: int) -> tuple[bool | None, str]:
    if lately >= LOOP_RESTARTS:
        return False, f"it began anew {lately} times within ten minutes"
    if health == "unhealthy":
        return False, "its health check fails"
    return (None, "") if health == "starting" else (True, "")


def _other(status: str, state: dict[Any, Any], named: bool, again: bool) -> tuple[bool | None, str]:
    """What does not run: trouble when it should, or when it ended badly although it is to be started again."""
    if state.get("OOMKilled") is True:
        return False, "it was ended for want of memory"
    code, error = number(state.get("ExitCode")) or 0.0, word(state.get("Error"), 200)
    words = f"it ended with exit code {code:.0f}" + (f": {error}" if error else "")
    if status == "restarting":
        return False, words
    if status == "dead":
        return False, error or "it could not be removed"
    if named:
        return False, words if status == "exited" else "it does not run"
    if status == "exited" and again and code not in _STOPPED:
        return False, words
    return None, words if status == "exited" and code else ""


def _last_words(state: dict[Any, Any]) -> str:
    """The last line that the latest health check printed."""
    log = as_list(part(state, "Health").get("Log")) or ()
    output = (as_map(log[-1]) or {}).get("Output") if log else None
    lines = output.strip().splitlines() if isinstance(output, str) else []
    return word(lines[-1], 200) if lines else ""


def counters(name: str, stats: dict[Any, Any]) -> dict[str, float]:
    """What only grows: processor time in ns, bytes received and sent, by name."""
    found: dict[str, float] = {}
    used = number(part(part(stats, "cpu_stats"), "cpu_usage").get("total_usage"))
    if used is not None:
        found[f"cpu\0{name}"] = used
    networks = part(stats, "networks")
    for what in ("rx", "tx"):
        each = [number((as_map(one) or {}).get(f"{what}_bytes")) for one in networks.values()]
        if each:
            found[f"{what}\0{name}"] = sum(value for value in each if value is not None)
    return found


def memory(name: str, told: dict[Any, Any], stats: dict[Any, Any]) -> dict[str, float]:
    """Memory without what the kernel could drop at once, and of the limit when it has one; processes."""
    made: dict[str, float] = {}
    use = part(stats, "memory_stats")
    inside = part(use, "stats")
    usage = number(use.get("usage"))
    if usage is not None:
        cache = number(inside.get("inactive_file", inside.get("total_inactive_file"))) or 0.0
        usage = usage - cache if cache < usage else usage
        labelled(made, "container.memory_bytes", usage, container=name)
        limit = number(part(told, "HostConfig").get("Memory"))
        if limit:
            labelled(made, "container.memory_percent", 100 * usage / limit, container=name)
    labelled(made, "container.processes", part(stats, "pids_stats").get("current"), container=name)
    labelled(made, "container.restarts", told.get("RestartCount"), container=name)
    return made


def rates(found: dict[str, float]) -> dict[str, float]:
    """Series of what grew in a second."""
    made: dict[str, float] = {}
    metrics = {"rx": "container.network_received_bytes_per_s", "tx": "container.network_sent_bytes_per_s"}
    for key, rate in found.items():
        what, _, name = key.partition("\0")
        if what == "cpu":
            labelled(made, "container.cpu_percent", rate / 1e7, container=name)
        else:
            labelled(made, metrics[what], rate, container=name)
    return made


def room(df: dict[Any, Any]) -> dict[str, float]:
    """How many images and volumes there are, and the room that they and the builder's cache take."""
    made: dict[str, float] = {}

    def rows(name: str) -> list[dict[Any, Any]]:
        return [entries for row in as_list(df.get(name)) or () if (entries := as_map(row)) is not None]

    def total(sizes: list[float | None]) -> float:
        return sum(size for size in sizes if size is not None and size > 0)

    labelled(made, "docker.images", float(len(rows("Images"))))
    labelled(made, "docker.volumes", float(len(rows("Volumes"))))
    layers = number(df.get("LayersSize"))
    images = layers if layers is not None else total([number(row.get("Size")) for row in rows("Images")])
    labelled(made, "docker.images_bytes", images)
    labelled(
        made, "docker.volumes_bytes", total([number(part(row, "UsageData").get("Size")) for row in rows("Volumes")])
    )
    labelled(made, "docker.containers_bytes", total([number(row.get("SizeRw")) for row in rows("Containers")]))
    labelled(made, "docker.build_cache_bytes", total([number(row.get("Size")) for row in rows("BuildCache")]))
    return made
