"""Instances: who leads, how each is, who stands first; handing over, removing, adding one, and the way out by force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from msgspec import Struct

from tocsin.core.consensus import AHEAD
from tocsin.core.wording import listed
from tocsin.errors import Conflict, Invalid
from tocsin.web.api import instances, locations
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import epoch_words, view, words, world

_STATES = {
    "active": ("up", "Active"), "inactive": ("nodata", "Not heard"), "failed": ("down", "Lost"),
    "promoting": ("pending", "Taking over"), "unknown": ("nodata", "Not known here"),
}  # fmt: skip
_KINDS = {"voter": "votes", "witness": "witness", "observer": "observes", "new": "joins now"}


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


MOST_COPIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """One instance's copies of the monitors: how many there are, how many are as they are now, the first of the others."""

    name: str
    all: int
    synced: int
    others: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One instance as its row shows it."""

    id: str
    name: str
    place: int
    order: int
    location: str
    version: str
    url: str
    st: str
    word: str
    leads: bool
    here: bool
    kind: str
    takes_over: bool
    heard_at: int
    entry: int | None
    behind: int
    report: dict[str, Any] | None
    machine: str
    proof: str
    leaves: str
    clock: str

    @property
    def stands(self) -> bool:
        """Whether it has a place in the failover order: who only observes or only votes never takes over."""
        return self.kind in (_KINDS["voter"], _KINDS["new"])

    @property
    def look(self) -> world.Look:
        """How it stands on the map."""
        if self.st in ("down", "nodata") and not (self.leads or self.word == _STATES["unknown"][1]):
            return "lost"
        return "leads" if self.leads else "follows"


async def index(call: Call) -> Reply:
    """The page."""
    done: Done = call.query or Done()
    did = {
        "order": "Order changed.", "promoted": "Handed over.", "removed": "Removed.", "name": "Renamed.",
        "forced": "This server leads alone now.",
    }.get(done.did, "")  # fmt: skip
    return await _page(call, did=did)


async def _page(call: Call, *, did: str = "", said: str = "", error: str = "", status: int = 200) -> Reply:
    items, cluster = await instances.visible(call.parts)
    frame = view.frame(call)
    lines = [
        replace(_line(place, row, cluster, view.epoch(call.now)), leaves=_leaves(call, row))
        for place, row in enumerate(items)
    ]
    lines.sort(key=lambda line: not line.stands)
    settings = call.parts.settings
    dots, links = world.servers(
        [(line.name, line.location, line.look) for line in lines], locations.visible(call.parts, call.who)
    )
    return view.page(
        call, "instances.html", section="instances", status=status, did=did, said=said, error=error, lines=lines,
        chapters=epoch_words.chapters(await instances.past(call.parts)),
        dots=dots, links=links, legend="servers", map_says=world.sentence(dots),
        cluster=cluster, says=_says(lines, cluster), lead=_lead(lines, cluster), stays=_stays(cluster),
        copies=await _copies(call, lines, cluster),
        drafts=instances.drafts(call.parts, call.who) if frame.is_admin else [],
        next_order=min(9999, max(line.order for line in lines) + 1),
        here=next(line for line in lines if line.here), secret=settings["SYNC_SECRET"] is not None,
        certificates=settings["SYNC_CLIENT_CA"] is not None,
        fingerprint=next((row["fingerprint"] for row in items if cluster and row["id"] == cluster["primary"]), None),
        sync_url=next((row["sync_url"] for row in items if cluster and row["id"] == cluster["primary"]), None),
    )  # fmt: skip


def _line(place: int, row: dict[str, Any], cluster: dict[str, Any] | None, now: int) -> Line:
    st, word = _STATES[row["status"]]
    ago = row["last_heartbeat_s"]
    if row["status"] in ("inactive", "failed") and ago is not None:
        word = f"{word}, {words.span(ago)}"
    off, clock = row["clock_off_s"], ""
    if off is not None and abs(off) > AHEAD.total_seconds():
        clock = f"{words.span(abs(off))} {'ahead' if off > 0 else 'behind'}"
        word = f"{word}, clock {clock}"
    info, entry = row["system_info"], row["entry"]
    machine = ", ".join(
        text
        for text in (
            " ".join(filter(None, (info.get("platform"), info.get("arch")))),
            words.count(info["cpu"], "processor") if info.get("cpu") else "",
            f"{info['memory'] / 2**30:.0f} GB" if info.get("memory") else "",
            info.get("nodeVersion", ""),
        )
        if text
    )
    return Line(
        id=row["id"], name=row["name"], place=place, order=row["failover_order"], location=row["location"],
        version=row["version"], url=row["web_url"] or "", st=st, word=word, leads=row["role"] == "primary",
        here=row["here"], kind=_KINDS[row["kind"]],
        takes_over=row["kind"] == "voter" and row["status"] == "active", entry=entry,
        heard_at=0 if ago is None else now - int(ago * 1000), report=row["report"], machine=machine,
        proof=_proof(row["certificate"]), leaves="", clock=clock,
        behind=0 if cluster is None or entry is None else max(0, cluster["entry"] - entry),
    )  # fmt: skip


def _leaves(call: Call, row: dict[str, Any]) -> str:
    """What a removal of that instance would change of the workspace's monitors."""
    beside, alone = (tuple(one.name for one in some) for some in instances.checked_from(call.parts, call.who, row))
    said = ""
    if beside:
        said = f" {listed(beside)} {_is(beside)} not checked from {row['location']} any more."
    if alone:
        said += f" Not possible yet: {listed(alone)} {_is(alone)} checked from {row['location']} alone."
    return said


def _is(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


async def _copies(call: Call, lines: list[Line], cluster: dict[str, Any] | None) -> list[Copies]:
    """How the instances' copies of the monitors are, where that is known: at the primary."""
    if cluster is None or cluster["standing"] != "primary":
        return []
    found: list[Copies] = []
    for line in lines:
        if line.kind == _KINDS["witness"]:
            continue
        items = await instances.copies_of(call.parts, call.who, line.id)
        others = [item for item in items if item["status"] != "synced"]
        others.sort(key=lambda item: item["status"] != "error")
        found.append(
            Copies(name=line.name, all=len(items), synced=len(items) - len(others), others=others[:MOST_COPIES])
        )
    return found


def _proof(certificate: dict[str, Any] | None) -> str:
    """What an instance registered with, in words."""
    if certificate is None:
        return ""
    return (
        f"certificate {certificate['subject']} of {certificate['issuer']}, SHA-256 {certificate['fingerprint'][:16]}…,"
        f" until {certificate['not_after'][:10]}"
    )


def _says(lines: list[Line], cluster: dict[str, Any] | None) -> str:
    if cluster is None:
        return "This server stands alone."
    if cluster["no_part"] is not None:
        return "This server takes no part in the cluster."
    leader = cluster["primary_name"]
    if cluster["primary"] is None or leader is None:
        return "Nobody leads just now."
    agree = ""
    if cluster["heard"] is not None:
        agree = f" {cluster['heard']} of {words.count(cluster['voters'], 'voter')} {_agree(cluster['heard'])}."
    return f"{leader} leads in epoch {cluster['epoch']}.{agree}"


def _agree(number: int) -> str:
    return "agrees" if number == 1 else "agree"


def _lead(lines: list[Line], cluster: dict[str, Any] | None) -> str:
    if cluster is None:
        return (
            "When it is lost nobody is told of anything. Three servers in three places go on when one of them is lost."
        )
    if cluster["standing"] != "primary":
        here = next(line.name for line in lines if line.here)
        if cluster["no_part"] is not None:
            return f"This is {here}. Nobody is told of anything by it."
        if cluster["primary"] is None:
            return f"This is {here}. How the others are is not known while nobody leads."
        return f"This is {here}. How the others are, the primary knows."
    gone = [line.name for line in lines if line.st in ("down", "nodata")]
    if gone:
        return f"{words.listed(gone)} {'is' if len(gone) == 1 else 'are'} not heard: checking alone, if not off."
    return "Everybody is heard."


def _stays(cluster: dict[str, Any] | None) -> str:
    """What happens when the primary is lost now."""
    if cluster is None:
        return "alerts stop"
    voters, needed = cluster["voters"], cluster["needed"]
    may_lose = voters - needed
    if may_lose == 0:
        return "nobody takes over by itself; by force only" if voters > 1 else "alerts stop"
    return f"the next in order takes over; of {voters} voters {may_lose} may be lost"


async def order(call: Call) -> Reply:
    """Move one up or down, or take the order that was dragged."""
    ids = view.every(call, "id")
    for step, name in ((-1, "up"), (1, "down")):
        moved = view.first(call, name)
        if moved in ids:
            at = ids.index(moved)
            to = min(max(at + step, 0), len(ids) - 1)
            ids.insert(to, ids.pop(at))
    try:
        await instances.order(call.parts, call.who, ids)
    except (Invalid, Conflict) as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=order")


async def promote(call: Call) -> Reply:
    """Hand the office over."""
    try:
        await instances.promote(call.parts, call.who, call.path["id"])
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=promoted")


async def demote(call: Call) -> Reply:
    """Hand the office to the next in order."""
    try:
        await instances.demote(call.parts, call.who, call.path["id"])
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=promoted")


async def rename(call: Call) -> Reply:
    """Give an instance another name."""
    from tocsin.core import shape

    try:
        wanted = shape.read(instances.InstancePatch, {"name": view.first(call, "name")})
        await instances.change(call.parts, call.who, call.path["id"], wanted)
    except Invalid as error:
        return await _page(call, said=" ".join(view.problems(error).values()), status=422)
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=name")


async def remove(call: Call) -> Reply:
    """Take an instance out."""
    try:
        await instances.remove(call.parts, call.who, call.path["id"])
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=removed")


async def force(call: Call) -> Reply:
    """Make this server primary alone."""
    wanted = instances.Forced(name=view.first(call, "name"), others_are_off=view.ticked(call, "others_are_off"))
    try:
        await instances.force(call.parts, call.who, call.path["id"], wanted)
    except Invalid as error:
        return await _page(call, error=" ".join(view.problems(error).values()), status=422)
    except Conflict as error:
        return await _page(call, error=words.sentence(error), status=409)
    return view.see_other("/settings/instances?did=forced")


_ADMIN: dict[str, Any] = {"method": "POST", "kind": "page", "permission": "admin", "tag": "pages"}
_HERE, _ONE = "/settings/instances", "/settings/instances/{id}"
ROUTES = [
    Route(
        method="GET", path=_HERE, run=index, summary="Instances", query=Done, loose=True, kind="page",
        permission="read", tag="pages",
    ),
    Route(path="/settings/failover-order", run=order, summary="Change the failover order", **_ADMIN),
    Route(path=_ONE + "/promote", run=promote, summary="Hand the office over", **_ADMIN),
    Route(path=_ONE + "/demote", run=demote, summary="Hand the office to the next in order", **_ADMIN),
    Route(path=_ONE + "/name", run=rename, summary="Rename an instance", **_ADMIN),
    Route(path=_ONE + "/remove", run=remove, summary="Remove an instance", **_ADMIN),
    Route(path=_ONE + "/force", run=force, summary="Make this server primary alone", **_ADMIN),
]  # fmt: skip
