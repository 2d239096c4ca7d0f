"""Two agents that say they are one host: who they are, which counts, and when the doubt is over. The called end's."""

from __future__ import annotations

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.agent import wire
from tocsin.clock import Clock
from tocsin.core.host import TWIN_MARK, Host, Speaker, after_silence, lives_after, without_twin
from tocsin.core.notice import Notice
from tocsin.core.wording import one_line
from tocsin.pipeline.hosts import HostNow, Hosts
from tocsin.store import Session, Store

log = telemetry.logger("tocsin.agents")

MOST_SPEAKERS = 20


class Twins:
    """Watches who speaks for each host."""

    def __init__(self, store: Store, hosts: Hosts, clock: Clock) -> None:
        self._store, self._hosts, self._clock = store, hosts, clock

    def note(self, now: HostNow, beat: wire.Heartbeat, address: str) -> None:
        """A run of an agent spoke, whether it is listened to or not."""
        key, at = (beat.incarnation, beat.life), self._clock.now()
        before = now.speakers.pop(key, None)
        now.speakers[key] = Speaker(
            incarnation=beat.incarnation, life=beat.life, first_at=at if before is None else before.first_at, last_at=at,
            last=self._clock.monotonic(), address=address[:100], machine=one_line(beat.facts.get("hostname", ""), 100),
        )  # fmt: skip
        while len(now.speakers) > MOST_SPEAKERS:
            del now.speakers[next(iter(now.speakers))]

    async def settled(self, now: HostNow) -> HostNow:
        """The host, when what has not been heard for long is in doubt no more. Where it was the one that counts, another one
        that still speaks takes its place."""
        if not now.host.quarantined:
            return now
        tick, speakers, life = self._clock.monotonic(), tuple(now.speakers.values()), now.lives.life

        def work(s: Session) -> Host:
            known = s.hosts.get(now.host.id)
            new = after_silence(known, speakers, life, self._hosts.since, tick)
            if not new.quarantined:
                s.notices.clear(new.workspace_id, TWIN_MARK + new.id)
            return known if new == known else s.hosts.replace(replace(new, updated_at=s.now))

        if after_silence(now.host, speakers, life, self._hosts.since, tick) == now.host:
            return now
        return self._hosts.put(await self._store.of(now.host.workspace_id).write(work))

    async def lives(self, now: HostNow, beat: wire.Heartbeat) -> HostNow:
        """The host, after a run of its agent said that it lives. Two that live with copies of one data folder are told apart
        by that: the newer is refused from now on."""
        now.lives, twin = lives_after(now.lives, beat.incarnation, beat.life, self._clock.monotonic())
        if not twin:
            return now
        id = now.host.id
        host = await self._store.of(now.host.workspace_id).write(
            lambda s: s.hosts.replace(replace(without_twin(s.hosts.get(id), twin), updated_at=s.now))
        )
        await self.warn(host)
        return self._hosts.put(host)

    async def warn(self, host: Host) -> None:
        """Tell those who run the workspace."""
        told = Notice(
            workspace_id=host.workspace_id, mark=TWIN_MARK + host.id, kind="host.twin", at=self._clock.now(),
            text=f"Two agents speak for host {host.name}: the data folder of one is a copy. The one that came later is in "
            "quarantine; what it says is refused until you say on the host's page which one is the host, or one of them has "
            "been silent for ten minutes.",
        )  # fmt: skip
        log.warning("agents.twin", host=host.id)
        await self._store.of(host.workspace_id).write(lambda s: s.notices.put(told))
