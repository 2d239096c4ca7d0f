"""One agent: its parts, tied together. `app/agent.py` builds it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tocsin import telemetry
from tocsin.agent import ledger as ledgers
from tocsin.agent import standing as standings
from tocsin.agent.adopting import Adopted
from tocsin.agent.alerts import Alerts
from tocsin.agent.buffer import Buffer
from tocsin.agent.client import Servers
from tocsin.agent.config import AgentConfig
from tocsin.agent.disk import Disk, Hand
from tocsin.agent.identity import Identity
from tocsin.agent.link import Link
from tocsin.agent.monitors import Monitor
from tocsin.agent.push import Push
from tocsin.agent.rules import rules_of, unknown_builtins
from tocsin.agent.signed import ServerConfig
from tocsin.agent.vitals import Vitals
from tocsin.agent.watch import Watch, monitors_of
from tocsin.agent.wire import Unended
from tocsin.clock import Clock
from tocsin.core.handover import held_back, new_turn
from tocsin.core.host_rule import HostRule
from tocsin.core.host_turn import Standing, Turned, anew, judge, orphans, over, turns_in_s
from tocsin.core.sample import Reading
from tocsin.errors import SettingsError
from tocsin.net import Net
from tocsin.secret import Secret

log = telemetry.logger("tocsin.agent")

SHOWN_EVERY_S = 10.0
FIRST_BEAT_S, SOON_S = 3.0, 0.25
"""So long an agent that knows of no trouble waits at its start to hear what the server knows, before it judges."""


class Agent:
    """An agent. `config` is what its file says, `server` what its server sets, as it runs by them now."""

    def __init__(
        self,
        config: AgentConfig,
        folder: Path,
        store: tuple[Hand, Disk, Buffer, ledgers.Ledger],
        net: Net,
        clock: Clock,
    ) -> None:
        hand, disk, buffer, ledger = store
        self.config, self._folder, self.net, self._clock = config, folder, net, clock
        self.hand, self.buffer, self.ledger = hand, buffer, ledger
        self.server: ServerConfig | None = None
        self.rules: list[HostRule] = []
        self.read_again: Callable[[], AgentConfig] = lambda: self.config
        self.closing = AsyncExitStack()
        self.smtp_url: Secret | None = None
        self.file_error = ""
        self.servers = Servers(net, config.urls, pin=config.pin, ca=config.ca)
        self.vitals = Vitals(clock, disk, buffer)
        self.link = Link(folder, disk, self.servers, self.vitals, clock)
        self.push = Push(hand, disk, buffer, self.servers, clock)
        self.alerts = Alerts(hand, disk, ledger, self.servers, net, clock)
        self.watch = Watch(net, clock, config.name, self._took)
        self._adopted = Adopted(ledger)
        self._judges_from = clock.monotonic() + (0.0 if ledger.standings else FIRST_BEAT_S)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def build(cls, config: AgentConfig, folder: Path, disk: tuple[Hand, Disk], net: Net, clock: Clock) -> Agent:
        """The parts, nothing started yet."""
        hand, file = disk
        now = clock.monotonic()
        buffer = await hand.do(Buffer, file, config.buffer_bytes, now)
        ledger = await hand.do(ledgers.load, file, now)
        return cls(config, folder, (hand, file, buffer, ledger), net, clock)

    @property
    def name(self) -> str:
        """What this host is called."""
        return self.config.name

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._clock

    async def start(self, identity: Identity | None) -> None:
        """Begin to look, to judge, to hand over and to tell."""
        self.link.enrolled, self.link.configured, self.link.beaten = self._enrolled, self._configured, self._beaten
        self.link.left_open, self.link.switched = self._left_open, self._switched
        self.alerts.quiet, self.vitals.late_s = self.link.quiet, self.push.late_s
        self.push.news, self.vitals.over_by_then = self.link.wake, self._over_by_then
        self.vitals.troubles_of += [self.watch.troubles, self._own_troubles]
        self._settings_of(self.config)
        standings.begin(self._folder)
        self.link.begin(identity)
        if self.link.quiet.off:
            self.alerts.drop()  # what was not yet taken off the disk when it stopped
        self._apply()
        for name, work in self._loops().items():
            self._tasks.append(asyncio.create_task(work, name=name))
        for warning in self.config.warnings:
            log.warning("agent.file_open_to_others", reason=warning)

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        loops: dict[str, Coroutine[Any, Any, None]] = {
            "hand over": self.alerts.hand_over(), "tell": self.alerts.tell(), "push": self.push.run(),
            "show": self._show(),
        }  # fmt: skip
        if self.config.urls or self.link.identity is not None:
            loops["link"] = self.link.run()
        else:
            self._judges_from = 0.0
            log.warning("agent.no_server", reason="no server_url: nothing is handed over")
        return loops

    # --- what it runs by --------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Run by what the file says now. Raises SettingsError; then everything goes on as before."""
        try:
            config = self.read_again()
        except SettingsError as error:
            self.file_error = str(error).splitlines()[0]
            self.link.wake()
            raise
        fixed = [
            name for name in ("data_dir", "pin", "ca", "dashboard", "buffer_bytes")
            if getattr(config, name) != getattr(self.config, name)
        ]  # fmt: skip
        if fixed:
            log.warning("agent.needs_restart", settings=", ".join(fixed))
        self.file_error = ""
        self.config = config
        self._settings_of(config)
        self.servers.learn([*config.urls, *self.servers.urls])
        self._apply()
        self.link.wake()
        log.info("agent.reloaded")

    def _settings_of(self, config: AgentConfig) -> None:
        self.link.name = self.servers.name = self.alerts.name = config.name
        self.link.api_key, self.link.tags = config.api_key, config.tags
        self.alerts.smtp_url = self.smtp_url
        server = self.server.config if self.server is not None else None
        self.link.every_s = self.vitals.every_s = config.heartbeat_s or (
            server.heartbeat_interval_s if server else 60.0
        )
        self.push.every_s = config.push_s or (server.metrics_push_interval_s if server else 30.0)

    def _apply(self) -> None:
        """Look, judge and tell by what the file and the server say now."""
        server = self.server
        self.watch.apply(monitors_of(self.config, server))
        builtin = self.watch.rules()
        from_server = server.config.rules if server is not None else ()
        changes = server.changes if server is not None else ()
        self.rules = rules_of(builtin, from_server, self.config.rules, changes)
        for name in unknown_builtins([*builtin, *from_server], self.config.rules):
            log.warning("agent.no_such_rule", builtin=name)
        channels = (*(server.channels if server is not None else ()), *self.config.channels)
        self.alerts.channels = {channel.id: channel for channel in channels}
        self._end_orphans()
        self.alerts.wake()

    def _end_orphans(self) -> None:
        sources = [monitor.id for monitor in self.watch.monitors]
        self._end(orphans(self.ledger.standings.values(), (r.id for r in self.rules), sources))

    def _end(self, left: Sequence[tuple[Standing, str]]) -> bool:
        """What is over because nobody looks at it any more, and why."""
        at = self._clock.now()
        for standing, why in left:
            self._turned(over(standing, why, at), direct=False)
        return bool(left)

    def _enrolled(self, identity: Identity) -> None:
        self.alerts.identity = identity
        self.push.ready.set()
        self.push.wake()
        self.alerts.wake()

    def _configured(self, server: ServerConfig) -> None:
        self.server = server
        self._settings_of(self.config)
        if self._tasks:
            self._apply()

    def _left_open(self, unended: Sequence[Unended]) -> None:
        """The server says what an agent before this one, whose disk is lost, left open."""
        self._end(self._adopted.learn(unended, self.rules))

    def _switched(self, on: bool) -> None:
        """The host is switched off at the server: nobody hears of what waits. Or on again: what is in trouble still begins
        anew with the next look, for the server closed what was open."""
        if not on:
            self.alerts.drop()  # what was not yet taken off the disk when it stopped
            return
        now, waits = self._clock.monotonic(), {rule.id: rule.for_s for rule in self.rules}
        for standing in list(self.ledger.standings.values()):
            if standing.fires:
                self.ledger.stand(anew(standing, now - waits.get(standing.rule, 0.0)))

    def _beaten(self) -> None:
        self._judges_from = 0.0
        if not self.link.trouble:
            self.alerts.wake()
            if self.push.away:
                self.push.wake()
        self._show_now()

    # --- what it sees -----------------------------------------------------------------------------------------------

    async def _took(self, monitor: Monitor, reading: Reading) -> float:
        """Keep a reading, and judge it; in how many seconds another look would turn something."""
        self._first_seen(monitor, reading)
        now, at, turned = self._clock.monotonic(), self._clock.now(), False
        if now < self._judges_from:  # a new disk: the server may know what is told already
            await self.push.took(monitor, reading)
            return SOON_S
        for rule in self.rules:
            for standing in self._adopted.claimed(rule, monitor.id, reading):
                self.ledger.stand(standing)
            for change in judge(rule, monitor.id, reading, self.ledger.of(rule.id), now, at, self.ledger.floor):
                turned |= self._turned(change, direct=rule.direct)
        if not reading.trouble:
            turned |= self._end(self._adopted.looked(monitor.id, [one.id for one in self.watch.monitors]))
        if turned:
            await self.alerts.save()
            self.alerts.wake()
            self.push.wake()
        await self.push.took(monitor, reading)
        return min((turns_in_s(r, monitor.id, self.ledger.of(r.id), now) for r in self.rules), default=math.inf)

    def _first_seen(self, monitor: Monitor, reading: Reading) -> None:
        """Know what there is to say of the machine; the server hears at once of what was not known before."""
        if reading.facts:
            late = self.link.looked.is_set() and monitor.id not in self.vitals.facts
            self.vitals.facts[monitor.id] = reading.facts
            if late:
                self.link.wake()
        if all(one.id in self.watch.latest for one in self.watch.monitors):
            self.link.looked.set()

    def _turned(self, change: Turned, *, direct: bool) -> bool:
        standing, finding = change
        self.ledger.stand(standing)
        if finding is None:
            return False
        log.warning(
            f"agent.{finding.turn}", rule=finding.rule, what=finding.what, number=finding.number, words=finding.words
        )
        if self.link.quiet.off:
            return True
        turn = new_turn(finding, standing, direct=direct, now=self._clock.monotonic())
        self.ledger.add(held_back(turn) if turn.opens and self.link.quiet.holds else turn)
        return True

    # --- how it is --------------------------------------------------------------------------------------------------

    def _own_troubles(self) -> dict[str, str]:
        channels = {f"channel {id}": says for id, says in self.alerts.troubles.items()}
        return channels | {
            "file": self.file_error, "ledger": self.ledger.trouble, "samples": self.push.refused or self.push.trouble,
            "server": self.link.trouble,
        }  # fmt: skip

    def _over_by_then(self) -> set[str]:
        """That no server is reached is no trouble any more when one hears of it."""
        return {"server", "samples"} if self.push.away and not self.push.refused else {"server"}

    async def _show(self) -> None:
        """Leave word in the data folder of how it is, for `tocsin agent status`."""
        while True:
            try:
                self._show_now()
            except Exception:
                telemetry.faults.labels("agent").inc()
                log.exception("agent.not_shown")
            await self._clock.sleep(SHOWN_EVERY_S)

    def _show_now(self) -> None:
        standings.write_standing(self._folder, standings.standing_of(self))

    async def stop(self) -> None:
        """End the looks, write down what there is, hand over what can be at once."""
        await self.watch.stop()
        now = self._clock.monotonic()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.alerts.stop()
        await self.hand.do(self.buffer.save, now, safely=True)
        if self.link.identity is not None and not self.link.trouble:
            await self.push.last()
        self.servers.close()
        standings.remove(self._folder)
        await self.closing.aclose()
