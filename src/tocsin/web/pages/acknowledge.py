"""Where the acknowledge link of a message leads: one button, without signing in.

Looking changes nothing (mail scanners and previews open links); only the button does. Nothing of the incident is shown
but what the message's title said: its name and how it is. An instance that follows leads to the primary's page.
"""

from __future__ import annotations

from typing import Literal

from tocsin.core.alert import PERSON
from tocsin.core.incident import Incident
from tocsin.core.limits import TooMany, address_name
from tocsin.core.link import Link
from tocsin.core.wording import headline
from tocsin.errors import Conflict, NotFound
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view
from tocsin.web.problem import Refused

How = Literal["ask", "done", "before", "over", "again", "expired", "elsewhere", "nobody"]

_SOON_S = 15
"""When it is worth trying again where nobody leads."""


async def show(call: Call) -> Reply:
    """The page with the button, or why there is none; where another instance leads, the way to its page."""
    link, incident, how = await _opened(call)
    if how == "elsewhere" and (there := _there(call, link)):
        return view.see_other(there)
    return _page(incident, how, call, link)


async def take(call: Call) -> Reply:
    """Acknowledge as whom the message went to. Again is as good as once."""
    link, incident, how = await _opened(call)
    if how == "ask":
        try:
            incident = await call.parts.corridor.response.acknowledge(
                link.workspace_id, link.incident_id, _name(call, link), as_of=link.moment
            )
            how = "done"
        except Conflict:  # it changed since it was looked at
            _, incident, how = await _opened(call)
    return _page(incident, how, call, link)


async def _opened(call: Call) -> tuple[Link, Incident | None, How]:
    """(the link, its incident, how it is with it); raises NotFound for a link that is not ours, or no longer for
    somebody who hears of this workspace."""
    link = call.parts.corridor.delivery.one.links.read(call.path["token"])
    if link is None:
        _count(call)
        raise NotFound("this link is not one that Tocsin made, or not all of it arrived")
    if link.expired(call.now):
        return link, None, "expired"
    follows = view.follows(call)
    if follows is not None:  # signed anew: the primary does not know what this server signed before it joined
        return link, None, "elsewhere" if follows.name else "nobody"
    _name(call, link)
    incident = await call.parts.store.of(link.workspace_id).read(lambda s: s.incidents.get(link.incident_id))
    return link, incident, _how(incident, link)


def _how(incident: Incident, link: Link) -> How:
    if not incident.open:
        return "over"
    if link.moment < incident.began_at():
        return "again"
    return "ask" if incident.acknowledged_at is None else "before"


def _count(call: Call) -> None:
    """Guessing is pointless, and slow."""
    try:
        call.parts.memory.wrong_links.count(address_name(call.client), call.parts.clock.monotonic())
    except TooMany as error:
        wait = max(1, round(error.retry_after_s))
        raise Refused(429, f"too many wrong links; try again in {wait} s", headers={"retry-after": str(wait)}) from None


def _name(call: Call, link: Link) -> str:
    """Who acknowledges: a member's address, or the channel's name. NotFound when they hear of nothing any more."""
    hearer = call.parts.corridor.watchlist.telling(link.workspace_id).hearer(link.who)
    if hearer is None or not hearer.enabled:
        raise NotFound("this link was for somebody who is not told of this any more")
    return hearer.name if link.who.startswith(PERSON) else f"a link in {hearer.name}"


def _title(call: Call, incident: Incident) -> str:
    watched = call.parts.corridor.watchlist.find(incident.monitor_id)
    name = "Monitoring" if watched is None else watched.monitor.name
    return headline(incident, name)


def _there(call: Call, link: Link) -> str:
    """The same link at the primary, signed with the key that all instances have; "" when people do not reach that one."""
    follows = view.follows(call)
    url = follows.url if follows is not None else ""
    return url.rstrip("/") + call.parts.corridor.delivery.one.links.path_of(link) if url else ""


def _page(incident: Incident | None, how: How, call: Call, link: Link) -> Reply:
    title = "" if incident is None else _title(call, incident)
    text = view.render(
        "acknowledge.html", frame=None, title=title, how=how, follows=view.follows(call), there=_there(call, link)
    )
    reply = view.html(text, status={"expired": 410, "elsewhere": 409, "nobody": 503}.get(how, 200))
    reply.headers["x-robots-tag"] = "noindex"
    if how == "nobody":
        reply.headers["retry-after"] = str(_SOON_S)
    return reply


_PATH = "/acknowledge/{token}"
ROUTES = [
    Route(
        method="GET", path=_PATH, run=show, permission="public", summary="Where an acknowledge link leads", kind="page",
        tag="pages",
    ),
    Route(
        method="POST", path=_PATH, run=take, permission="public", summary="Acknowledge by a link", kind="page",
        tag="pages",
    ),
]  # fmt: skip
