"""Hikvision recorders and cameras over ISAPI: are its cameras there, does it record, is there room, is its clock right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tocsin.collectors import Facility, _isapi
from tocsin.collectors._answer import Door, asked, word
from tocsin.collectors._xml import Element, read_xml
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import clip
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Hidden, Length, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import url as urls

if TYPE_CHECKING:
    from tocsin.net.http import Login

TITLE, SAYS = "Hikvision", "a recorder or camera: its cameras, recording, disks, clock"
EVERY_S = 60
LOCKED_S = 900.0
"""Devices lock out who gives a wrong password a few times, so after a refusal nothing is asked for so long."""
_ABSENT = (b"notSupport", b"notsupport", b"invalidOperation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which device is asked, and as whom."""

    url: Annotated[str, Length(1, 500), Help("The device, such as http://192.168.1.64")]
    username: Annotated[str, Length(1, 200), Help("A user that may see it")]
    password: Annotated[str, Hidden, Length(1, 500), Help("The user's password (it is never sent in the clear)")]
    recording: Annotated[bool, Help("Whether each channel should be set to record")] = True
    verify_tls: Annotated[bool, Help("The certificate must be valid")] = True
    timeout: Annotated[float, Range(1, 25), Help("A device that takes longer does not answer")] = 15

    def __post_init__(self) -> None:
        try:
            urls.parse(self.url)
        except ValueError as error:
            raise Invalid(Problem("url", "an http or https URL", f"one that {error}")) from None


RULES = (
    HostRule(
        id="builtin:hikvision.device", name="A recorder does not answer", condition=OnService(kind="recorder"),
        severity="critical", for_s=60, recovery_s=30,
    ),
    HostRule(
        id="builtin:hikvision.camera", name="A camera is away or is not recorded", condition=OnService(kind="camera"),
        severity="critical", for_s=120, recovery_s=60,
    ),
    HostRule(
        id="builtin:hikvision.disk", name="A disk of a recorder is broken", condition=OnService(kind="disk"),
        severity="critical", for_s=60,
    ),
    HostRule(
        id="builtin:hikvision.clock", name="The clock of a recorder is wrong",
        condition=OnSample(metric="hikvision.clock_drift_s", above=60, clear=30), for_s=300, recovery_s=60,
    ),
)  # fmt: skip


class Source:
    """One device."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        self.name = urls.parse(options.url).authority[:100]
        self._refused_at: float | None = None

    async def collect(self) -> Reading:
        """Ask once. A device that does not answer is a service that is not well."""
        return await asked("recorder", self.name, self._options.timeout, self._look)

    async def close(self) -> None:
        """Nothing is held."""

    def _door(self) -> Door:
        from tocsin.net.http import Login

        options = self._options
        login: Login = Login(scheme="digest", user=options.username, password=options.password)
        return Door(base=options.url, login=login, verify_tls=options.verify_tls, timeout_s=options.timeout)

    async def _ask(self, path: str) -> Element | None:
        """What the device answers; None where it has no such thing. CheckFailed for everything else."""
        seen = await self._door().get(self._net, f"/ISAPI/{path}")
        if seen.status_code == 401:
            self._refused_at = self._clock.monotonic()
            raise CheckFailed("protocol", "the device does not take the user and password")
        if seen.status_code == 404 or (seen.status_code in (400, 403) and any(s in seen.body for s in _ABSENT)):
            return None
        if seen.status_code != 200:
            raise CheckFailed("protocol", f"/ISAPI/{path} answered with status {seen.status_code}")
        return read_xml(seen.body, f"/ISAPI/{path}")

    async def _look(self) -> Reading:
        if self._refused_at is not None and self._clock.monotonic() - self._refused_at < LOCKED_S:
            words = (
                "the device did not take the user and password; it is asked again later, so that it locks nobody out"
            )
            raise CheckFailed("protocol", words)
        self._refused_at = None
        about = await self._ask("System/deviceInfo")
        if about is None or not about.first("model"):
            raise CheckFailed("protocol", "expected what a Hikvision device says of itself, found another answer")
        troubles: list[str] = []

        async def maybe(path: str) -> Element | None:
            try:
                return await self._ask(path)
            except CheckFailed as error:
                if self._refused_at is not None:
                    raise
                troubles.append(clip(error.message, 150))
                return None

        values: dict[str, float] = {}
        if (told := await maybe("System/status")) is not None:
            values |= _isapi.status(told, self.name)
        if (told := await maybe("System/time")) is not None:
            values |= _isapi.drift(told, self.name, self._clock.now())
        services = [self._itself(about)]
        if (told := await maybe("ContentMgmt/Storage")) is not None:
            made, more = _isapi.disks(told, self.name)
            values, services = values | made, services + more
        if (told := await maybe("ContentMgmt/InputProxy/channels/status")) is not None:
            named, tracks = await maybe("ContentMgmt/InputProxy/channels"), await maybe("ContentMgmt/record/tracks")
            names = {} if named is None else _isapi.names_of(named)
            records = None if tracks is None else _isapi.recording(tracks)
            made, more = _isapi.cameras(told, names, records, self.name, must_record=self._options.recording)
            values, services = values | made, services + more
        return Reading(values=values, services=tuple(services), trouble="; ".join(troubles)[:400])

    def _itself(self, about: Element) -> Service:
        facts: dict[str, str | float | int | bool | None] = {
            name: word(about.first(field), 100)
            for name, field in (
                ("name", "deviceName"), ("model", "model"), ("firmware", "firmwareVersion"), ("type", "deviceType"),
                ("serial", "serialNumber"),
            )
        }  # fmt: skip
        return Service(kind="recorder", name=self.name, state="answers", ok=True, facts=facts)
