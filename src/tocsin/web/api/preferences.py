"""What a workspace settled for itself: whether partial counts as down, and what fails together with a location."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.access import Principal
from tocsin.core.account import Preferences
from tocsin.core.shape import Help
from tocsin.store import Session
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class PreferencesIn(Struct, frozen=True, kw_only=True):
    """What can be set."""

    partial_is_down: Annotated[bool, Help("time in partial counts as down in uptimes and reports")] = False


def partial_is_up(parts: Parts, workspace_id: str) -> bool:
    """Whether time in partial counts as up there."""
    return not parts.corridor.watchlist.telling(workspace_id).preferences.partial_is_down


async def change(parts: Parts, who: Principal, make: Callable[[Preferences], Preferences]) -> None:
    """Settle something anew; the workspace's monitors are judged again."""

    def work(s: Session) -> None:
        s.preferences.save(who.workspace_id, make(s.preferences.of(who.workspace_id)))

    await parts.store.of(who.workspace_id, by=who.name).write(work)
    await parts.corridor.telling_changed(who.workspace_id)


def _shown(call: Call) -> dict[str, Any]:
    return {"partial_is_down": not partial_is_up(call.parts, call.who.workspace_id)}


async def _show(call: Call) -> Reply:
    return Reply(data=_shown(call))


async def _edit(call: Call) -> Reply:
    wanted: PreferencesIn = call.body
    await change(call.parts, call.who, lambda settled: replace(settled, partial_is_down=wanted.partial_is_down))
    return Reply(data=_shown(call))


_HERE = "/api/v1/preferences"
ROUTES = [
    Route(
        method="GET", path=_HERE, run=_show, permission="read", answer=PreferencesIn, tag="accounts",
        summary="What the workspace settled for itself",
    ),
    Route(
        method="PUT", path=_HERE, run=_edit, permission="admin", body=PreferencesIn, answer=PreferencesIn,
        tag="accounts", summary="Settle it anew",
    ),
]  # fmt: skip
