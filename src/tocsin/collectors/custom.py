"""What programs of this host say of themselves: pushed to the agent over HTTP and StatsD, or fetched from a page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from tocsin.collectors import Facility
from tocsin.collectors._prometheus import read_text
from tocsin.collectors._pushed import Fresh, Pushed
from tocsin.collectors._statsd import read_datagram
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import clip
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, Invalid, Problem
from tocsin.net.loopback import Datagrams, stream
from tocsin.net.url import parse

if TYPE_CHECKING:
    from tocsin.net.small_http import SmallServer

TITLE, SAYS = (
    "Own metrics",
    "what programs say of themselves: pushed as JSON, Prometheus text, OTLP or StatsD, or fetched",
)
EVERY_S = 30
SCRAPE_S = 10.0
IN_ONE_GO = 200
"""So many things of a page are taken before others have their turn."""
MOST_PAGE, MOST_ON_PAGE = 4 << 20, 20_000
MOST_BETWEEN = 50_000
"""So many things are taken in between two looks; what comes beyond is refused without being read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where metrics come from. Nothing is listened at unless a port is named."""

    http_port: Annotated[
        int | None, Range(0, 65535), Help("Port on 127.0.0.1 for POST /metrics and OTLP's POST /v1/metrics (0: any)")
    ] = None
    statsd_port: Annotated[int | None, Range(0, 65535), Help("UDP port on 127.0.0.1 for StatsD, usually 8125")] = None
    scrape: Annotated[
        str | None, Length(1, 2000), Help("URL of a page for Prometheus, such as http://127.0.0.1:9100/metrics")
    ] = None
    prefixes: Annotated[
        tuple[Annotated[str, Length(1, 100)], ...], Length(0, 100), Help("Of that page only metrics that begin so")
    ] = ()
    most_series: Annotated[int, Range(1, 2000), Help("So many series are taken; more are refused and counted")] = 500
    keep_s: Annotated[
        float, Range(10, 86400), Help("What was pushed and is not pushed again for so many seconds is gone")
    ] = 300

    def __post_init__(self) -> None:
        if self.http_port is None and self.statsd_port is None and self.scrape is None:
            raise Invalid(Problem("http_port", "http_port, statsd_port or scrape", "none of them"))
        if self.scrape is not None:
            try:
                parse(self.scrape)
            except ValueError as error:
                raise Invalid(Problem("scrape", "an http or https URL", f"one that {error}")) from None


RULES = (
    HostRule(
        id="builtin:custom.refused", name="Metrics of programs are refused",
        condition=OnSample(metric="pushed.refused", above=0), for_s=300, recovery_s=300,
    ),
    HostRule(
        id="builtin:custom.scrape", name="A page of metrics cannot be fetched", condition=OnService(kind="scrape"),
        for_s=60,
    ),
)  # fmt: skip


class Source:
    """Listens from its first look on. Keeps what was said since the look before."""

    def __init__(self, options: Options, facility: Facility) -> None:
        self._options, self._net, self._clock = options, facility.net, facility.clock
        self._pushed = Pushed(options.most_series, options.keep_s)
        self._fetched = Pushed(options.most_series, 0.0)
        self._between = self._refused = 0
        self._fetched_at = 0.0
        self._door: SmallServer | None = None
        self._datagrams: Datagrams | None = None

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """Where HTTP and StatsD are listened at now."""
        return self._door.port if self._door else None, self._datagrams.port if self._datagrams else None

    async def collect(self) -> Reading:
        """What was said since the look before, and what the page shows. OSError when a port cannot be had."""
        await self._listen()
        services, trouble = await self._fetch() if self._options.scrape else ((), "")
        fetched = self._fetched.look(self._fetched_at) if self._options.scrape and not trouble else {}
        values = fetched | self._pushed.look(self._clock.monotonic())
        over = list(values)[self._options.most_series :]
        for name in over:  # both together may be no more than one
            del values[name]
        refused = self._pushed.refused + self._fetched.refused + self._refused + len(over)
        self._pushed.refused = self._fetched.refused = self._refused = self._between = 0
        values |= {"pushed.series": float(len(values)), "pushed.refused": float(refused)}
        return Reading(values=values, services=services, trouble=trouble)

    async def close(self) -> None:
        """Listen no more."""
        if self._datagrams is not None:
            self._datagrams.close()
        if self._door is not None:
            await self._door.stop()
        self._datagrams = self._door = None

    async def _listen(self) -> None:
        if self._options.statsd_port is not None and self._datagrams is None:
            self._datagrams = Datagrams(self._options.statsd_port, self._heard)
        if self._options.http_port is not None and self._door is None:
            from tocsin.collectors._door import Door
            from tocsin.net.small_http import SmallServer

            door = SmallServer(Door(self._take), stream(self._options.http_port), grace_s=1)
            await door.start()
            self._door = door

    def _take(self, fresh: Fresh) -> bool:
        self._between += 1
        if self._between > MOST_BETWEEN:
            self._refused += 1
            return False
        return self._pushed.take(fresh, self._clock.monotonic())

    def _heard(self, data: bytes) -> None:
        if self._between > MOST_BETWEEN:
            self._refused += 1
            return
        for fresh in read_datagram(data):
            if fresh is None:
                self._refused += 1
            else:
                self._take(fresh)

    async def _fetch(self) -> tuple[tuple[Service, ...], str]:
        """Whether the page answers as a service, and if not, why in words."""
        from tocsin.net.http import HttpRequest

        url = self._options.scrape or ""
        request = HttpRequest(
            url=url, headers=(("Accept", "text/plain;version=0.0.4"),), timeout_s=SCRAPE_S, max_body=MOST_PAGE
        )
        try:
            seen = await self._net.http.fetch(request)
            if seen.status_code == 200:
                said = await asyncio.to_thread(_read_page, seen.body, self._options.prefixes)
                self._fetched_at = self._clock.monotonic()
                for n, fresh in enumerate(said):
                    self._fetched.take(fresh, self._fetched_at)
                    if n % IN_ONE_GO == IN_ONE_GO - 1:
                        await asyncio.sleep(0)
        except (CheckFailed, CheckInvalid, EgressRefused, ValueError) as error:
            return _away(url, clip(str(error), 200))
        if seen.status_code != 200:
            return _away(url, f"it answered with status {seen.status_code}")
        return (Service(kind="scrape", name=_named(url), state="answers", ok=True),), ""


def _read_page(body: bytes, prefixes: tuple[str, ...]) -> list[Fresh]:
    """What the page says. Raises ValueError when that is nothing."""
    said = list(islice(read_text(body.decode("utf-8", "replace"), prefixes), MOST_ON_PAGE))
    if not said:
        raise ValueError("it shows no metrics" + (f" that begin with {' or '.join(prefixes)}" if prefixes else ""))
    return said


def _away(url: str, why: str) -> tuple[tuple[Service, ...], str]:
    name = _named(url)
    return (Service(kind="scrape", name=name, state="unreadable", ok=False, detail=why),), f"{name}: {why}"


def _named(url: str) -> str:
    """The page without what may be a secret in it."""
    found = parse(url)
    return f"{found.authority}{found.path.partition('?')[0]}"[:200]
