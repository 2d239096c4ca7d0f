"""The agent's tie to its server: it enrols once, says that it lives, and takes what the server sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from tocsin import __version__, telemetry
from tocsin.agent import identity as identities
from tocsin.agent import wire
from tocsin.agent.client import Refused, Servers, pause_s
from tocsin.agent.disk import Disk
from tocsin.agent.identity import Identity
from tocsin.agent.quiet import Quiet
from tocsin.agent.signed import ServerConfig, read_server_config
from tocsin.agent.vitals import Vitals
from tocsin.agent.wire import ENROL, HEARTBEAT, Beat, Enrol, Enrolled, Signed, Unended
from tocsin.clock import Clock, rest
from tocsin.errors import Invalid, PeerLost
from tocsin.secret import Secret

log = telemetry.logger("tocsin.agent.link")

FIRST_LOOK_S = 1.0
SLOW_S = 300.0
"""How often a server that does not take our key is asked again."""


class Link:
    """Keeps the tie for as long as `run` runs. `enrolled` is called with each new identity, `configured` with each new
    configuration of the server's, `switched` when the host is switched off or on there."""

    def __init__(self, folder: Path, disk: Disk, servers: Servers, vitals: Vitals, clock: Clock) -> None:
        self._folder, self._disk, self._servers, self._vitals, self._clock = folder, disk, servers, vitals, clock
        self.identity: Identity | None = None
        self.api_key: Secret | None = None
        self.name, self.tags = "", tuple[str, ...]()
        self.every_s = 60.0
        self.trouble = ""
        self.heard_at: float | None = None
        self.heard: datetime | None = None
        self.enrolled: Callable[[Identity], None] = lambda _: None
        self.configured: Callable[[ServerConfig], None] = lambda _: None
        self.beaten: Callable[[], None] = lambda: None
        self.looked = asyncio.Event()
        self.quiet = Quiet(clock)
        self.switched: Callable[[bool], None] = lambda on: None
        self.left_open: Callable[[Sequence[Unended]], None] = lambda _: None
        self._unkept = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say how it is now."""
        self._wake.set()

    def begin(self, identity: Identity | None) -> None:
        """Take up what is kept from before."""
        self._servers.off = self._off
        if identity is not None:
            self.quiet.take_up(identity.quiet)
            self._servers.learn([*self._servers.urls, *identity.urls])
            self._take_up(identity)
            if identity.config is not None:
                self._configure(identity.config)

    async def run(self) -> None:
        """Enrol, then beat, until it is cancelled. The first looks (`looked`) are waited for, a moment, so that what is said
        first has the machine's facts."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self.looked.wait()
        self.looked.set()
        failures = 0
        while True:
            wait = self.every_s
            try:
                await self._speak()
                failures, self.trouble = 0, ""
            except PeerLost as lost:
                failures += 1
                wait = self._after(lost, failures)
            except Exception:
                telemetry.faults.labels("agent").inc()
                log.exception("agent.link_failed")
            self.beaten()
            self._wake.clear()
            await rest(self._clock, wait, self._wake)

    async def _speak(self) -> None:
        """Say that it lives; before, enrol where it has no key, or where its own is not taken any more and its file names
        another one than it enrolled with."""
        if self.identity is None:
            await self._enrol()
        assert self.identity is not None
        try:
            await self._beat(self.identity)
        except Refused as refused:
            if refused.status != 401 or not self._has_another_key(self.identity):
                raise
            await self._enrol()
            await self._beat(self.identity)

    def _after(self, lost: PeerLost, failures: int) -> float:
        """How long to wait after a failure; what it was is said once."""
        refused = isinstance(lost, Refused) and lost.cause == "key"
        if str(lost) != self.trouble:
            said = log.error if refused else log.warning
            said("agent.not_wanted" if refused else "agent.server_lost", reason=str(lost))
        self.trouble = str(lost)
        if refused:  # a host that is switched on again is to be back within the time that its server gives it
            slow = pause_s(self.name, 10, SLOW_S)
            return min(slow, self.every_s) if isinstance(lost, Refused) and lost.status == 403 else slow
        after = lost.retry_after_s if isinstance(lost, Refused) else None
        return max(pause_s(self.name, failures, max(1.0, self.every_s)), after or 0.0)

    # --- enrolling --------------------------------------------------------------------------------------------------

    def _has_another_key(self, identity: Identity) -> bool:
        return self.api_key is not None and identities.mark_of(self.api_key.reveal()) != identity.enrolled_with

    async def _enrol(self) -> None:
        if self.api_key is None:
            raise PeerLost("this agent has no key yet: set api_key, or TOCSIN_API_KEY")
        before = self.identity
        self._servers.key = self.api_key
        said = Enrol(
            name=self.name, incarnation=self._disk.incarnation, agent_version=__version__, facts=self._vitals.all_facts(),
            server_uuid=None if before is None else before.server_uuid, tags=list(self.tags),
        )  # fmt: skip
        try:
            gave = await self._servers.ask("POST", ENROL, said, Enrolled, timeout_s=20.0)
        finally:
            self._servers.key = None if before is None else Secret(before.key)
        made = Identity(
            server_uuid=gave.server_uuid, workspace_id=gave.workspace_id, key=gave.key, public_key=gave.public_key,
            urls=tuple(gave.urls) or self._servers.urls, enrolled_with=identities.mark_of(self.api_key.reveal()),
            quiet=self.quiet.kept,
        )  # fmt: skip
        if not made.key or not made.server_uuid:
            raise PeerLost("the server gave no key")
        self._servers.learn([*self._servers.urls, *gave.urls])
        self._keep(made)
        self._take_up(made)
        log.info("agent.enrolled", server_uuid=made.server_uuid)
        if gave.config is not None:
            self._configure(gave.config)

    def _take_up(self, identity: Identity) -> None:
        self.identity = identity
        self._servers.key = Secret(identity.key)
        self.enrolled(identity)

    def _keep(self, identity: Identity) -> bool:
        """Put it on disk; whether that went well. It counts all the same until the next start."""
        try:
            identities.keep(self._folder, identity)
        except OSError as error:
            if not self._unkept:
                log.warning("agent.identity_not_kept", reason=str(error))
            self._unkept = True
            return False
        self._unkept = False
        return True

    # --- beating ----------------------------------------------------------------------------------------------------

    async def _beat(self, identity: Identity) -> None:
        said = self._vitals.heartbeat(identity.server_uuid)
        beat = await self._servers.ask("PUT", HEARTBEAT, said, Beat, timeout_s=10.0)
        self.heard_at, self.heard = self._clock.monotonic(), self._clock.now()
        if self._unkept and self.identity is not None:
            self._keep(self.identity)
        self._learn(beat.urls)
        if beat.key and self.identity is not None:
            renewed = replace(self.identity, key=beat.key)
            if self._keep(renewed):
                self._take_up(renewed)
                log.info("agent.key_renewed")
        if beat.config is not None:
            self._configure(beat.config)
        self._hear(beat.quiet)
        self.left_open(beat.unended)

    def _hear(self, quiet: Sequence[wire.Quiet]) -> None:
        """Know when nothing is to be told; and that the host is not switched off."""
        was_off, before = bool(self.quiet.off), self.quiet.words
        if self.quiet.hear(quiet):
            self._keep_quiet()
        if was_off:
            log.warning("agent.switched_on")
            self.switched(True)
        if (words := self.quiet.words) != before:
            log.info("agent.quiet" if words else "agent.not_quiet", reason=words)

    def _off(self, why: str) -> None:
        if self.quiet.refused(why):
            log.warning("agent.switched_off", reason=why)
            self._keep_quiet()
            self.switched(False)

    def _keep_quiet(self) -> None:
        if self.identity is not None:
            self.identity = replace(self.identity, quiet=self.quiet.kept)
            self._keep(self.identity)

    def _learn(self, named: Sequence[str]) -> None:
        if self._servers.learn(named) and self.identity is not None:
            self.identity = replace(self.identity, urls=self._servers.urls)
            self._keep(self.identity)

    def _configure(self, signed: Signed) -> None:
        """Run by it when it is good; else go on by the one before, and say why."""
        identity = self.identity
        assert identity is not None
        try:
            made = read_server_config(signed, identity.server_uuid, identity.public_key)
        except Invalid as error:
            self._vitals.config_error = str(error)
            log.warning("agent.configuration_refused", reason=str(error))
            return
        if made.config.version < self._vitals.config_version:
            self._vitals.config_error = f"version {made.config.version} is older than what this agent runs by"
            return
        if identity.config != signed:
            self.identity = replace(identity, config=signed)
            self._keep(self.identity)
        self._vitals.config_error = ""
        self._vitals.config_version = made.config.version
        log.info("agent.configured", version=made.config.version)
        self.configured(made)
