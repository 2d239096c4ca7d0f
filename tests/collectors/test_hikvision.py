"""What Hikvision devices answer, written from the vendor's "Intelligent Security API (General Application) Developer Guide"
(2019-12); no device was to be had. The server asks for digest, as they do."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from builders import START, FakeClock
from collectors.answering import Answering, answering
from collectors.looking import named, source, troubles
from tocsin import collectors
from tocsin.collectors._isapi import drift
from tocsin.collectors._xml import read_xml
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import CheckFailed, Invalid
from tocsin.net import Egress, Net

NS = 'version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema"'
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def time_of(seconds: float) -> str:
    return f"{HEAD}<Time {NS}><timeMode>NTP</timeMode><localTime>{(START + timedelta(seconds=seconds)).isoformat()}</localTime><timeZone>CST-8:00:00</timeZone></Time>"


def routes() -> dict[str, Any]:
    """A recorder with two cameras and a disk."""
    return {
        "/ISAPI/System/deviceInfo": f"{HEAD}<DeviceInfo {NS}><deviceName>Gate</deviceName><model>DS-7608NI-K2</model><serialNumber>DS1</serialNumber><firmwareVersion>V4.30</firmwareVersion><deviceType>NVR</deviceType></DeviceInfo>",
        "/ISAPI/System/status": f"{HEAD}<DeviceStatus {NS}><deviceUpTime>5000</deviceUpTime><CPUList><CPU><cpuUtilization>20</cpuUtilization></CPU><CPU><cpuUtilization>40</cpuUtilization></CPU></CPUList><MemoryList><Memory><memoryUsage>300.5</memoryUsage><memoryAvailable>699.5</memoryAvailable></Memory></MemoryList></DeviceStatus>",
        "/ISAPI/System/time": time_of(5),
        "/ISAPI/ContentMgmt/Storage": f"{HEAD}<storage {NS}><hddList size=\"1\"><hdd><id>1</id><hddName>hda</hddName><hddType>SATA</hddType><status>ok</status><capacity>1000</capacity><freeSpace>250</freeSpace><property>RW</property></hdd></hddList><nasList/></storage>",
        "/ISAPI/ContentMgmt/InputProxy/channels": f"{HEAD}<InputProxyChannelList {NS}><InputProxyChannel><id>1</id><name>Front door</name></InputProxyChannel><InputProxyChannel><id>2</id><name>Yard</name></InputProxyChannel></InputProxyChannelList>",
        "/ISAPI/ContentMgmt/InputProxy/channels/status": channels(("1", "true", ""), ("2", "true", "")),
        "/ISAPI/ContentMgmt/record/tracks": tracks(("101", "true"), ("201", "true"), ("103", "false")),
    }  # fmt: skip


def channels(*rows: tuple[str, str, str]) -> str:
    inside = "".join(
        f"<InputProxyChannelStatus><id>{i}</id><sourceInputPortDescriptor><ipAddress>10.0.0.{i}</ipAddress></sourceInputPortDescriptor><online>{o}</online><chanDetectResult>{d}</chanDetectResult></InputProxyChannelStatus>"
        for i, o, d in rows
    )
    return f"{HEAD}<InputProxyChannelStatusList {NS}>{inside}</InputProxyChannelStatusList>"


def tracks(*rows: tuple[str, str]) -> str:
    return f"{HEAD}<TrackList {NS}>{''.join(f'<Track><id>{i}</id><Enable>{e}</Enable></Track>' for i, e in rows)}</TrackList>"


@asynccontextmanager
async def device(**options: Any) -> AsyncIterator[tuple[Any, FakeClock, Answering]]:
    clock = FakeClock()
    async with answering(routes()) as server, Net(egress=Egress("private")) as net:
        server.user = "watch"
        given = {"username": "watch", "password": "s3cret"} | options
        made = source("hikvision", net=net, clock=clock, url=server.url, **given)
        yield made, clock, server
        await made.close()


def states(reading: Reading, server: Answering) -> dict[str, tuple[str, bool | None]]:
    return {f"{s.kind}{s.name.removeprefix(f'127.0.0.1:{server.port}')}": (s.state, s.ok) for s in reading.services}


async def test_a_recorder_and_its_cameras() -> None:
    async with device() as (made, _, server):
        reading = named(await made.collect())
        at = f"device=127.0.0.1:{server.port}"
        assert reading.trouble == ""
        assert states(reading, server) == {
            "recorder": ("answers", True),
            "disk/hdd1": ("ok", True),
            "camera/1 Front door": ("online", True),
            "camera/2 Yard": ("online", True),
        }
        assert reading.values == {
            f"hikvision.cpu_percent{{{at}}}": 30, f"hikvision.memory_percent{{{at}}}": 30.05, f"hikvision.uptime_s{{{at}}}": 5000, f"hikvision.clock_drift_s{{{at}}}": 5,
            f"hikvision.storage_bytes{{{at},disk=hdd1}}": 1000 * 2**20, f"hikvision.storage_free_bytes{{{at},disk=hdd1}}": 250 * 2**20,
            f"hikvision.cameras{{{at}}}": 2, f"hikvision.cameras_online{{{at}}}": 2,
        }  # fmt: skip
        assert reading.services[0].facts["model"] == "DS-7608NI-K2"
        assert not any("s3cret" in head for head in server.heads)
        assert troubles("hikvision", reading) == set()
        server.routes["/ISAPI/ContentMgmt/InputProxy/channels/status"] = channels(
            ("1", "false", "netUnreachable"), ("2", "true", "")
        )
        server.routes["/ISAPI/ContentMgmt/record/tracks"] = tracks(("101", "true"), ("201", "false"))
        server.routes["/ISAPI/ContentMgmt/Storage"] = routes()["/ISAPI/ContentMgmt/Storage"].replace(">ok<", ">error<")
        server.routes["/ISAPI/System/time"] = time_of(-500)
        reading = named(await made.collect())
        assert states(reading, server) == {
            "recorder": ("answers", True),
            "disk/hdd1": ("error", False),
            "camera/1 Front door": ("offline", False),
            "camera/2 Yard": ("online, not recorded", False),
        }
        assert {rule for rule, _ in troubles("hikvision", reading)} == {"camera", "disk", "clock"}


async def test_a_device_that_has_less() -> None:
    async with device(recording=False) as (made, _, server):
        absent = f"{HEAD}<ResponseStatus {NS}><subStatusCode>notSupport</subStatusCode></ResponseStatus>".encode()
        server.routes["/ISAPI/ContentMgmt/InputProxy/channels/status"] = (403, absent)
        del server.routes["/ISAPI/ContentMgmt/Storage"]
        reading = named(await made.collect())
        assert (states(reading, server), reading.trouble) == ({"recorder": ("answers", True)}, "")
        server.routes["/ISAPI/System/status"] = (500, b"")
        server.routes["/ISAPI/System/time"] = "<Time><localTime>"
        assert (
            named(await made.collect()).trouble
            == "/ISAPI/System/status answered with status 500; expected /ISAPI/System/time as XML, found none"
        )


async def test_one_that_does_not_take_us_is_not_asked_again_at_once() -> None:
    async with device(username="other") as (made, clock, server):
        reading = named(await made.collect())
        assert "does not take the user" in reading.trouble
        assert "s3cret" not in str(reading)
        asked = len(server.asked)
        await clock.advance(600, step=60)
        assert "locks nobody out" in (await made.collect()).trouble
        assert len(server.asked) == asked
        await clock.advance(600, step=60)
        await made.collect()
        assert len(server.asked) > asked
        assert troubles("hikvision", reading) == {("device", f"recorder/127.0.0.1:{server.port}")}


async def test_one_that_does_not_answer() -> None:
    async with device(timeout=1) as (made, _, server):
        server.routes["/ISAPI/System/deviceInfo"] = "<html></html>"
        assert states(named(await made.collect()), server) == {"recorder": ("not answering", False)}
        server.routes["/ISAPI/System/deviceInfo"] = None
        assert "no answer" in named(await made.collect()).services[0].detail


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<a>", b"<a/><b/>", b"not xml", b"<a>&b;</a>", b"<" + b"a><" * 50, b"\xff\xfe<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;&b;">]><a>&d;</a>', b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a>" + b"<b/>" * 30_000 + b"</a>", b'<?xml version="1.0" encoding="nonsense"?><a/>',
    ],
)  # fmt: skip
def test_what_is_no_plain_xml(body: bytes) -> None:
    with pytest.raises(CheckFailed, match="as XML"):
        read_xml(body, "it")


def test_clocks_without_a_zone_of_their_own() -> None:
    local = (START + timedelta(hours=8, seconds=7)).replace(tzinfo=None).isoformat()
    said = f"<Time><localTime>{local}</localTime><timeZone>CST-8:00:00</timeZone></Time>"
    assert drift(read_xml(said.encode(), "it"), "d", START) == {"hikvision.clock_drift_s{device=d}": 7}
    for zone in ("CST-8:00:00DST01:00:00,M4.1.0/02:00:00,M10.5.0/02:00:00", "", "CST-99:00:00"):
        assert drift(read_xml(said.replace("CST-8:00:00", zone).encode(), "it"), "d", START) == {}


def test_options_are_read_strictly() -> None:
    for wrong in ({}, {"url": "ftp://a", "username": "a", "password": "b"}, {"url": "http://a", "username": "a"}):
        with pytest.raises(Invalid):
            read(collectors.kind("hikvision").options, wrong)
