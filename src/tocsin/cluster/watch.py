"""What one instance sees of the others that somebody should know of: open pages, and admins."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tocsin import telemetry
from tocsin.cluster.carrier import boottime
from tocsin.cluster.work import POLL_S
from tocsin.core.instance import Instance, status_of
from tocsin.core.probe import Health, Sign, heard
from tocsin.core.result import iso
from tocsin.errors import Outcast
from tocsin.pipeline.live import event

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

log = telemetry.logger("tocsin.cluster")

WATCH_S = 1.0
SILENT_S = POLL_S + 20.0
"""An instance that has asked for no work for so long is lost."""
ALONE_LEASES = 2
"""So many leases without anybody who leads make an instance alone: an election takes less."""
OUTCAST_NOTE = "cluster:removed"
"""Who said that this instance was removed: it knows that after a restart, too, with nobody there to say it again."""
_NO_PART = {
    "removed": "this instance was removed from the cluster, and nobody listens to it: end it; it may join again with an "
    "empty data folder (another TOCSIN_DATA_DIR)",
    "twice": "another process has the identity of this instance, and nobody listens to this one: its data folder is a "
    "copy; end it and give it a data folder of its own",
}


async def tell_pages(cluster: Cluster) -> None:
    """Tell open pages when an instance is another than it was: by what it said, or by its silence."""
    before = _looks(cluster)
    await asyncio.sleep(WATCH_S)
    if _looks(cluster) != before:
        cluster.corridor.live.publish_to_all(event("instance.changed", cluster.clock.now()))


def _looks(cluster: Cluster) -> tuple[object, ...]:
    now = cluster.clock.monotonic()
    heard = {id: (one.at, status_of(now - one.at, cluster.heartbeat_s)) for id, one in cluster.heard.items()}
    return cluster.carrier.standing, heard, dict(cluster.names), cluster.carrier.node.membership


def must_be_alone(cluster: Cluster, who: str, boot: str, client: str) -> None:
    """Outcast when whoever speaks as that instance is a second process with its identity."""
    if who == cluster.me.id:
        where = f"this instance, {cluster.me.name}"
    elif cluster.boots.is_twin(who, boot, cluster.clock.monotonic()):
        where = f"instance {cluster.registry.name(who)}"
    else:
        return
    words = f"{where} runs twice: a second process with its identity spoke from {client}; its data folder is a copy"
    cluster.alarm.ring("instance.twice", who, f"{words}. End that process and give it a data folder of its own")
    raise Outcast(words, cause="twice")


def listened_to(cluster: Cluster, by: str, why: Outcast | None) -> None:
    """Another instance answered this one (`why`: that it takes no part there): said once, and again when that is over. Who
    was removed hears of no primary: an answer of one that does not lead, and cannot know, is no word against it."""
    before = set(cluster.outcast.values())
    if why is None:
        if cluster.outcast.get(by) != "removed" or cluster.carrier.standing.primary is not None:
            cluster.outcast.pop(by, None)
    else:
        cluster.outcast[by] = why.cause
    now = set(cluster.outcast.values())
    if why is not None and why.cause not in before:
        name = cluster.registry.name(by)
        log.error("cluster.takes_no_part", cause=why.cause, said_by=name, said=str(why), text=no_part(cluster))
    elif before and not now:
        log.warning("cluster.takes_part_again", said_by=cluster.registry.name(by))


async def recall(cluster: Cluster) -> None:
    """Know by whom this instance was told that it was removed, before it is told again."""
    by = cluster.removed_by = await cluster.store.everything().read(lambda s: s.notes.get(OUTCAST_NOTE))
    if by:
        cluster.outcast[by] = "removed"
        log.error("cluster.takes_no_part", cause="removed", said_by=by, text=no_part(cluster))


async def _remember(cluster: Cluster) -> None:
    said = next((by for by, cause in cluster.outcast.items() if cause == "removed"), None)
    if said != cluster.removed_by:
        await cluster.store.everything().write(lambda s: s.notes.set(OUTCAST_NOTE, said), local=True)
        cluster.removed_by = said


def no_part(cluster: Cluster) -> str | None:
    """Why this instance takes no part in the cluster any more, for people; None: it does, as far as it knows."""
    for cause, words in _NO_PART.items():
        if cause in cluster.outcast.values():
            return words
    return None


def shows_another(cluster: Cluster, of: str, why: str) -> None:
    """An instance shows another certificate than it registered with."""
    cluster.alarm.ring(
        "instance.certificate",
        of,
        f"Instance {cluster.registry.name(of)} is not spoken to: {why}. If its data folder was lost, remove it and let it"
        " join again; if not, somebody stands in between",
    )


def forget(cluster: Cluster) -> None:
    """Somebody else leads, or nobody does, or this instance does anew: what was known of how the others are was known in
    another office. Whoever leads now hears a report at once."""
    cluster.told.clear()
    cluster.clocks.clear()
    cluster.leads_since = None
    begin_anew(cluster)
    cluster.stirred.set()


def begin_anew(cluster: Cluster) -> None:
    """Know nothing of the others that was heard before this epoch. What was heard since stays."""
    if cluster.heard_in != cluster.carrier.standing.epoch:
        cluster.heard_in = cluster.carrier.standing.epoch
        cluster.heard.clear()
        cluster.work.forget()


async def pause(cluster: Cluster, seconds: float) -> None:
    """Wait so long, or until somebody else leads."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await cluster.stirred.wait()


def expect(cluster: Cluster) -> None:
    """As the new primary: of nobody is known yet how it is. Who is not heard for long is lost then."""
    others = cluster.corridor.watchlist.roster.others
    cluster.leads_since = cluster.clock.monotonic()
    cluster.known_since.clear()
    others.clear()
    others.update({one.location: Health() for one in cluster.registry.known if one.id != cluster.me.id})


async def look(cluster: Cluster) -> None:
    """As primary, see who of the others is not heard any more, a witness too: their locations are lost then, which is told
    once, and this instance stands in for them."""
    await asyncio.sleep(WATCH_S)
    others = cluster.corridor.watchlist.roster.others
    if not cluster.carrier.standing.leads or cluster.leads_since is None:
        if not cluster.carrier.standing.leads:
            others.clear()
            cluster.known_since.clear()
        return
    mono, now = cluster.clock.monotonic(), cluster.clock.now()
    found = cluster.registry.known
    for gone in others.keys() - {one.location for one in found}:
        del others[gone]
    for one in found:
        if one.id == cluster.me.id:
            continue
        ago = _heard_ago(cluster, one)
        silent_s = mono - cluster.known_since.setdefault(one.id, mono) if ago is None else ago
        before = others.setdefault(one.location, Health())
        if silent_s <= SILENT_S:
            if ago is not None:
                others[one.location] = heard(before, Sign(version=one.version), now - timedelta(seconds=ago))
        elif before.state != "lost":
            why = f"instance {one.name} does not {'answer' if one.witness else 'ask for work'}"
            others[one.location] = Health(state="lost", since=now, heard_at=before.heard_at, looked_at=now, why=why)
        if (before.state == "lost") != (others[one.location].state == "lost") and not one.witness:
            _stand_in_or_not(cluster, one.location)


def _heard_ago(cluster: Cluster, one: Instance) -> float | None:
    """How many seconds ago an instance was heard: it asked for work, or, as a witness, answered to the lease."""
    if not one.witness:
        return cluster.work.ago(one.id)
    known = cluster.carrier.node.acknowledged(boottime()).get(one.id)
    return None if known is None else known[0]


def _stand_in_or_not(cluster: Cluster, place: str) -> None:
    """An instance was lost or is back: who is checked from there is scheduled anew, here in its seat or there."""
    corridor = cluster.corridor
    some = [watched for watched in corridor.watchlist if place in watched.assigned]
    for watched in some:
        corridor.scheduler.schedule(watched)
    for workspace in sorted({watched.monitor.workspace_id for watched in some}):
        corridor.turned(workspace, place)


def alone_since(cluster: Cluster) -> datetime | None:
    """Since when nobody leads, as far as this instance hears, if that is longer than an election takes: what was judged
    before says nothing of now."""
    silent_s = 0.0 if cluster.lost_at is None else cluster.clock.monotonic() - cluster.lost_at
    late = silent_s >= ALONE_LEASES * cluster.carrier.terms.lease_s
    return cluster.clock.now() - timedelta(seconds=silent_s) if late else None


def leaderless(cluster: Cluster) -> str | None:
    """That nobody leads, in words: for longer than an election takes, or since this instance started. None: somebody does,
    or may soon again."""
    if cluster.carrier.standing.primary is not None:
        return None
    since = alone_since(cluster)
    if since is not None:
        return f"no primary is known since {iso(since)}: nothing can be changed, and alerts are unconfirmed"
    return None if has_settled(cluster) else "no primary is known yet"


def has_settled(cluster: Cluster) -> bool:
    """Whether this instance has found its place since it started: it knows who leads, or that nobody does."""
    known = cluster.led[0] > 0 or cluster.carrier.standing.primary is not None
    return known or alone_since(cluster) is not None


async def alone(cluster: Cluster) -> None:
    """While nobody leads for long, tell what is seen from here alone; marked as that. Not where others lead and do not
    listen, nor as a witness, which sees nothing."""
    await asyncio.sleep(WATCH_S)
    standing = cluster.carrier.standing
    now = cluster.clock.monotonic()
    if standing.leads or standing.primary is not None:
        cluster.lost_at = None
    elif cluster.lost_at is None:
        cluster.lost_at = now
    silenced = cluster.carrier.torn or bool(cluster.outcast) or cluster.me.witness
    if silenced or cluster.lost_at is None:
        if silenced:
            await cluster.corridor.alone.end()
        else:
            cluster.corridor.alone.rejoin()
        await _remember(cluster)
        return
    if not cluster.corridor.alone.on and now - cluster.lost_at >= ALONE_LEASES * cluster.carrier.terms.lease_s:
        await cluster.corridor.follow(cluster.me.location)
        cluster.corridor.alone.begin(cluster.me.name, cluster.me.location)
