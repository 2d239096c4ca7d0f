"""What Hikvision devices answer over ISAPI, as figures and services. Pure.

Shapes from "Intelligent Security API (General Application) Developer Guide", 2019-12: /ISAPI/System/deviceInfo,
System/status, System/time, ContentMgmt/InputProxy/channels and its status, ContentMgmt/record/tracks, ContentMgmt/Storage.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from tocsin.collectors._answer import labelled, word
from tocsin.collectors._xml import Element
from tocsin.core.sample import Service

MOST_CHANNELS = 256
_SOUND_DISKS = ("ok", "idle", "sleeping", "formating", "formatting", "repairing")
_ZONE = re.compile(r"[A-Za-z]{1,10}([+-])(\d{1,2}):(\d\d)(?::\d\d)?")


def number_in(text: str) -> float | None:
    """The number that a text is."""
    return float(text) if re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", text) else None


def status(told: Element, device: str) -> dict[str, float]:
    """Processor, memory and uptime of the device."""
    made: dict[str, float] = {}
    cpus = [v for one in told.all("cpuUtilization") if (v := number_in(one.text.strip())) is not None]
    if cpus:
        labelled(made, "hikvision.cpu_percent", sum(cpus) / len(cpus), device=device)
    used = sum(number_in(one.text.strip()) or 0.0 for one in told.all("memoryUsage"))
    left = sum(number_in(one.text.strip()) or 0.0 for one in told.all("memoryAvailable"))
    if used > 0 and left >= 0:
        labelled(made, "hikvision.memory_percent", 100 * used / (used + left), device=device)
    labelled(made, "hikvision.uptime_s", number_in(told.first("deviceUpTime")), device=device)
    return made


def drift(told: Element, device: str, now: datetime) -> dict[str, float]:
    """How far the clock of the device is from ours, either way. Nothing when it does not say its zone."""
    made: dict[str, float] = {}
    text = told.first("localTime")
    zone = _ZONE.fullmatch(told.first("timeZone"))
    try:
        if not 19 <= len(text) <= 40:
            return made
        at = datetime.fromisoformat(text)
        if at.tzinfo is None and zone is not None:  # as in POSIX: what is east has a minus
            away = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (1 if zone[1] == "-" else -1)
            at = at.replace(tzinfo=timezone(away))
        if at.tzinfo is not None:
            labelled(made, "hikvision.clock_drift_s", abs((at.astimezone(UTC) - now).total_seconds()), device=device)
    except (ValueError, OverflowError):
        return made
    return made


def recording(told: Element) -> dict[str, bool]:
    """By channel, whether its main stream is set to be recorded. A track is called by channel and stream: 101, 201 …"""
    found: dict[str, bool] = {}
    for track in list(told.all("Track"))[:MOST_CHANNELS]:
        id_ = track.first("id")
        if re.fullmatch(r"\d{1,4}01", id_):
            found[id_[:-2]] = track.first("Enable").lower() == "true"
    return found


def cameras(
    told: Element, names: dict[str, str], records: dict[str, bool] | None, device: str, *, must_record: bool
) -> tuple[dict[str, float], list[Service]]:
    """Each channel as a service: whether its camera is online, and whether it is set to record. `records` None: unknown."""
    services: dict[str, Service] = {}
    online = 0
    for row in list(told.all("InputProxyChannelStatus"))[:MOST_CHANNELS]:
        id_ = word(row.first("id"), 20)
        if not id_:
            continue
        there = row.first("online").lower() == "true"
        online += there
        kept = None if records is None else records.get(id_)
        state = "offline" if not there else "online, not recorded" if kept is False else "online"
        ok = there and not (must_record and kept is False)
        detail = word(row.first("chanDetectResult"), 100) if not there else ""
        name = f"{device}/{id_}" + (f" {names[id_]}" if names.get(id_) else "")
        facts: dict[str, str | float | int | bool | None] = {
            "address": word(row.first("ipAddress"), 60),
            "recording": kept,
        }
        services[name] = Service(kind="camera", name=name[:200], state=state, ok=ok, detail=detail, facts=facts)
    made: dict[str, float] = {}
    labelled(made, "hikvision.cameras", float(len(services)), device=device)
    labelled(made, "hikvision.cameras_online", float(online), device=device)
    return made, list({s.name: s for s in services.values()}.values())


def names_of(told: Element) -> dict[str, str]:
    """What the channels are called."""
    rows = list(told.all("InputProxyChannel"))[:MOST_CHANNELS]
    return {word(row.first("id"), 20): word(row.first("name"), 80) for row in rows}


def disks(told: Element, device: str) -> tuple[dict[str, float], list[Service]]:
    """Each disk as a service, and the room on it (the device counts in MB)."""
    made: dict[str, float] = {}
    services: dict[str, Service] = {}
    for row in [*told.all("hdd"), *told.all("nas")][:64]:
        id_, state = word(row.first("id"), 20), word(row.first("status"), 40)
        if not id_ or not state:
            continue
        label = f"{row.name}{id_}"
        whole, free = number_in(row.first("capacity")), number_in(row.first("freeSpace"))
        if whole is not None and free is not None:
            labelled(made, "hikvision.storage_bytes", whole * 2**20, device=device, disk=label)
            labelled(made, "hikvision.storage_free_bytes", free * 2**20, device=device, disk=label)
        name = f"{device}/{label}"
        ok = state.lower() in _SOUND_DISKS
        facts: dict[str, str | float | int | bool | None] = {"type": word(row.first("hddType"), 40)}
        services[name] = Service(kind="disk", name=name[:200], state=state, ok=ok, facts=facts)
    return made, list({s.name: s for s in services.values()}.values())
