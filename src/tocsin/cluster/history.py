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


async def begin(cluster: Cluster) -> None:
    """Keep that this instance leads in a new epoch."""
    carrier = cluster.carrier

    def work(s: Session) -> None:
        known = read(s)
        cause = cause_of(carrier.chosen, carrier.standing.epoch)
        new = Epoch(
            epoch=carrier.standing.epoch, id=cluster.me.id, name=cluster.me.name, since=cluster.clock.now(), cause=cause,
            by=cluster.forced_by if cause == "forced" else "", unheard_s=round(carrier.unheard_s, 1),
        )  # fmt: skip
        after = begun(known, new)
        if after != known:
            _keep(s, after)

    await cluster.store.everything().write(work)


def _keep(s: Session, epochs: Epochs) -> None:
    s.notes.set(NOTE, msgspec.to_builtins(epochs))
