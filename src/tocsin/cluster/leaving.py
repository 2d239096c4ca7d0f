"""What becomes of the monitors that an instance checks when it is removed: its location leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from tocsin.core.instance import Instance
from tocsin.core.monitor import Monitor
from tocsin.core.notice import Notice
from tocsin.core.plain import clip
from tocsin.core.wording import listed
from tocsin.errors import Conflict, NotFound
from tocsin.pipeline.live import event
from tocsin.store.session import Session

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster


def checked_from(cluster: Cluster, place: str, workspace_id: str | None) -> tuple[list[Monitor], list[Monitor]]:
    """(those of this workspace's monitors that name this location beside others, those that name it alone), by name; None:
    of every workspace."""
    known = cluster.corridor.watchlist
    some = known if workspace_id is None else known.of(workspace_id)
    named = [w.monitor for w in some if place in w.monitor.locations]
    named.sort(key=lambda one: (one.name, one.id))
    beside = [one for one in named if len(one.locations) > 1]
    return beside, [one for one in named if len(one.locations) == 1]


def must_leave_none_alone(cluster: Cluster, one: Instance, workspace_id: str | None) -> None:
    """Conflict while monitors of the caller's workspace (None: of any) are checked from there alone."""
    _, alone = checked_from(cluster, one.location, workspace_id)
    if alone and one.id != cluster.me.id:
        names = listed(tuple(monitor.name for monitor in alone))
        raise Conflict(
            f"{names} would be checked from nowhere, for {one.location} goes with {one.name}: choose other locations for"
            f" {'that' if len(alone) == 1 else 'those'} first"
        )


def leave(s: Session, one: Instance) -> list[Monitor]:
    """Take its location out of every monitor, and tell each workspace that had some; those monitors, as they are then.
    Another workspace's monitor that had no other location goes to whoever leads: who removes cannot change it."""
    left = sorted(s.monitors.forget_place(one.location), key=lambda monitor: (monitor.workspace_id, monitor.name))
    for workspace_id, some in groupby(left, key=lambda monitor: monitor.workspace_id):
        text = clip(told(one, list(some)), 500)
        mark = f"instance.removed:{one.id}"
        s.notices.put(Notice(workspace_id=workspace_id, mark=mark, kind="instance.removed", at=s.now, text=text))
    return left


def told(one: Instance, left: Sequence[Monitor]) -> str:
    """What the people of a workspace are told of it; who did it only the log of whoever removed it says."""
    said = [f"Instance {one.name} was removed"]
    for moved, rest in ((False, f"not checked from {one.location} any more"), (True, "checked by whoever leads now")):
        names = tuple(monitor.name for monitor in left if (monitor.monitoring_type == "local") is moved)
        if names:
            said.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} {rest}")
    return f"{said[0]}: {', '.join(said[1:])}"


async def go_on(cluster: Cluster, one: Instance, left: Iterable[Monitor]) -> None:
    """Check these monitors from where they are checked now, and let open pages know."""
    all_left = list(left)
    for monitor in all_left:
        with suppress(NotFound):  # deleted meanwhile
            await cluster.corridor.changed(monitor.id, monitor)
    now = cluster.clock.now()
    for workspace_id in sorted({monitor.workspace_id for monitor in all_left}):
        text = told(one, [monitor for monitor in all_left if monitor.workspace_id == workspace_id])
        cluster.corridor.live.publish(
            workspace_id, event("notice", now, channel=None, kind="instance.removed", text=clip(text, 500))
        )
