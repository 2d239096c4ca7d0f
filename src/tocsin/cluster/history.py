"""The epochs of the cluster, kept in a note that all instances have alike."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.epoch import Asked, Epoch, Epochs, begun, cause_of
from tocsin.store.session import Session

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

NOTE = "epochs"


def read(s: Session) -> Epochs:
    """What is kept of them."""
    kept = s.notes.get(NOTE)
    return Epochs() if kept is None else msgspec.convert(kept, type=Epochs)


def ask(s: Session, by: str, now: datetime) -> None:
    """Keep that somebody asked this primary to hand over."""
    known = read(s)
    _keep(s, msgspec.structs.replace(known, asked=Asked(at=now, by=by)))


def unask(s: Session) -> None:
    """It was not handed over: the next hand-over is not by whoever asked."""
    known = read(s)
    if known.asked is not None:
        _keep(s, msgspec.structs.replace(known, asked=None))


def notice(cluster: Cluster) -> None:
    """Remember when an office was first heard of here, by a clock that nobody sets."""
    standing = cluster.carrier.standing
    if standing.primary is not None and standing.epoch != cluster.led[0]:
        cluster.led = standing.epoch, cluster.clock.monotonic()


async def begin(cluster: Cluster) -> None:
    """Keep that this instance leads in a new epoch."""
    carrier, led = cluster.carrier, cluster.led
    led_s = round(cluster.clock.monotonic() - led[1], 1)

    def work(s: Session) -> None:
        known = read(s)
        cause = cause_of(carrier.chosen, carrier.standing.epoch)
        new = Epoch(
            epoch=carrier.standing.epoch, id=cluster.me.id, name=cluster.me.name, since=cluster.clock.now(), cause=cause,
            by=cluster.forced_by if cause == "forced" else "", unheard_s=round(carrier.unheard_s, 1),
            before_s=led_s if known.past and known.past[-1].epoch == led[0] else None,
        )  # fmt: skip
        after = begun(known, new)
        if after != known:
            _keep(s, after)

    await cluster.store.everything().write(work)


def _keep(s: Session, epochs: Epochs) -> None:
    s.notes.set(NOTE, msgspec.to_builtins(epochs))
