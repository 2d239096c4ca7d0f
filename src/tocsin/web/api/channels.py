"""Notification channels: made, changed, tested. What is secret in them goes in and never out."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from tocsin import notifiers
from tocsin.clock import new_id
from tocsin.core import shape, template
from tocsin.core.access import Principal, may
from tocsin.core.alert import Channel, Template
from tocsin.core.canary import SHORTEST_S
from tocsin.core.finding import Severity
from tocsin.core.plain import as_map, found
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.errors import Conflict, Invalid, NotFound, Problem, StoreUnavailable
from tocsin.store import Session
from tocsin.store.lately import Lately, lately
from tocsin.web.api.given import as_object, check_kept_secrets, some_of
from tocsin.web.api.reach import refused
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class ChannelIn(Struct, frozen=True, kw_only=True):
    """Where messages go."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    type: Annotated[str, Length(1, 40), Help("its kind; GET /channel-types lists them")]
    config: Annotated[dict[str, Any], Help("as the kind says; secrets are shown as *** and kept when sent back so")]
    default: Annotated[bool | None, Help("told by every monitor that names no channels; the first channel is")] = None
    enabled: bool = True
    template: Annotated[Template | None, Help("its own words; left out: Tocsin's")] = None
    fallback: Annotated[
        str | None, Length(1, 64), Help("id of a channel that is told too what this one does not take")
    ] = None
    canary_s: Annotated[int, Range(0, 31 * 86_400), Help("seconds between test messages on a schedule; 0: none")] = 0
    least: Annotated[Severity | None, Help("it hears only of what is so severe or worse; null: of all")] = None


class ChannelOut(Struct, frozen=True, kw_only=True):
    """A channel, its secrets as ***."""

    id: str
    name: str
    type: str
    config: dict[str, Any]
    default: bool
    enabled: bool
    disabled_reason: str | None
    template: Template | None
    fallback: str | None
    canary_s: int
    least: Severity | None
    created_at: str
    updated_at: str


class ChannelList(Struct, frozen=True, kw_only=True):
    """A page of channels; `next_cursor` leads to the next, null at the end."""

    items: list[ChannelOut]
    next_cursor: str | None


class Tested(Struct, frozen=True, kw_only=True):
    """What came of a test message."""

    ok: bool
    detail: str
    took_ms: float


def channel_json(channel: Channel, *, writes: bool) -> dict[str, Any]:
    """A channel as JSON data, secrets as ***; for those who may not write only the host of a webhook's address, since
    whoever knows all of it can post there."""
    config: dict[str, Any]
    try:
        config = shape.hide(notifiers.kind(channel.type).config, channel.config)
    except NotFound:
        config = {}
    if not writes and isinstance(url := config.get("url"), str) and "://" in url:
        config = config | {"url": f"{urlsplit(url).scheme}://{urlsplit(url).netloc.rpartition('@')[2]}/…"}
    return {
        "id": channel.id, "name": channel.name, "type": channel.type, "config": config, "default": channel.default,
        "enabled": channel.enabled, "disabled_reason": channel.disabled_reason, "template": template_json(channel),
        "fallback": channel.fallback, "canary_s": channel.canary_s, "least": channel.least,
        "created_at": iso(channel.created_at), "updated_at": iso(channel.updated_at),
    }  # fmt: skip


def template_json(channel: Channel) -> dict[str, Any] | None:
    """A channel's own words as JSON data, or None."""
    return None if channel.template is None else shape.dump(channel.template)


def channel_of(parts: Parts, who: Principal, channel_id: str) -> Channel:
    """A channel of the caller's workspace; raises NotFound for any other."""
    found = parts.corridor.watchlist.channel(who.workspace_id, channel_id)
    if found is None:
        raise NotFound(f"there is no channel {channel_id[:64]}")
    return found


async def lately_of(parts: Parts, who: Principal) -> dict[str, Lately]:
    """How each channel has taken its latest messages; nothing while the database is away."""
    try:
        return await parts.store.of(who.workspace_id).read(lately)
    except StoreUnavailable:
        return {}


async def read_channel(
    parts: Parts, data: dict[str, Any], old: Channel | None = None
) -> tuple[ChannelIn, dict[str, Any]]:
    """(the channel, its config) from outside data. Raises Invalid with everything wrong at once."""
    problems: list[Problem] = []
    wanted: ChannelIn | None = None
    try:
        wanted = shape.read(ChannelIn, data)
        if wanted.template is not None:
            template.check(wanted.template)
    except Invalid as error:
        problems.extend(error.problems)
    name, given = data.get("type"), as_map(data.get("config"))
    config: dict[str, Any] = {str(k): v for k, v in (given or {}).items()}
    if isinstance(name, str) and given is not None:
        try:
            kind = notifiers.kind(name)
            if old is not None and old.type == name:
                typed, config = config, old.config | shape.keep_hidden(kind.config, config, old.config)
                check_kept_secrets(kind.config, typed, config, old.config, "config")
            shape.read(kind.config, config, where="config")
            if old is None or config != old.config:
                problems += [*_no_mail_server(parts, name, config), *await _refused(parts, name, config)]
        except NotFound:
            problems.append(Problem("type", "one of " + ", ".join(notifiers.REGISTRY), found(name)))
        except Invalid as error:
            problems.extend(error.problems)
    if wanted is None or problems:
        raise Invalid(*problems)
    return wanted, config


async def _refused(parts: Parts, type_: str, config: dict[str, Any]) -> list[Problem]:
    """A problem for each place that may not be contacted. What stands in an Apprise URL where a host would may be a
    secret, which is no name to ask the resolver for: there each connection is judged when it is made."""
    return [] if type_ == "apprise" else await refused(parts.net, config, "config")


def _no_mail_server(parts: Parts, type_: str, config: dict[str, Any]) -> list[Problem]:
    """A problem when a mail would have no server to go through."""
    if type_ != "email" or config.get("smtp_url") or parts.settings["SMTP_URL"] is not None:
        return []
    remedy = (
        "a mail server, smtp://user:password@host:587: this server has none of its own"
        " (its operator can set TOCSIN_SMTP_URL)"
    )
    return [Problem("config.smtp_url", remedy, "nothing")]


def check_ways(parts: Parts, workspace_id: str, wanted: ChannelIn, own_id: str | None) -> None:
    """Raise Invalid unless its fallback is another channel of the workspace that does not lead back to it, and its canary
    does not come too often."""
    problems: list[Problem] = []
    if 0 < wanted.canary_s < SHORTEST_S:
        problems.append(Problem("canary_s", f"0, or at least {SHORTEST_S}", str(wanted.canary_s)))
    if wanted.fallback is not None:
        known = {c.id: c.fallback for c in parts.corridor.watchlist.channels(workspace_id)}
        way, at = [own_id], wanted.fallback
        while at is not None and at in known and at not in way:
            way.append(at)
            at = known[at]
        if wanted.fallback not in known or wanted.fallback == own_id:
            problems.append(Problem("fallback", "the id of another channel of this workspace", found(wanted.fallback)))
        elif at is not None and at in way:
            expected = "a channel whose own fallbacks do not lead back here"
            problems.append(Problem("fallback", expected, found(wanted.fallback)))
    if problems:
        raise Invalid(*problems)


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> Channel:
    """A new channel; the first of a workspace is a default one unless it says otherwise."""
    wanted, config = await read_channel(parts, data)
    check_ways(parts, who.workspace_id, wanted, None)
    first, now = not parts.corridor.watchlist.channels(who.workspace_id), parts.clock.now()
    channel = Channel(
        id=new_id(), workspace_id=who.workspace_id, name=wanted.name.strip(), type=wanted.type, config=config,
        default=first if wanted.default is None else wanted.default, enabled=wanted.enabled, template=wanted.template,
        fallback=wanted.fallback, canary_s=wanted.canary_s, least=wanted.least, created_at=now, updated_at=now,
    )  # fmt: skip
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.channels.add(channel))
    await parts.corridor.channels_changed(who.workspace_id)
    return channel


async def change(parts: Parts, who: Principal, channel_id: str, data: dict[str, Any]) -> Channel:
    """The channel with the given fields changed; in `config` too, unless the type changes. Changing it lifts what a
    permanent error had switched off."""
    old = channel_of(parts, who, channel_id)
    current: dict[str, Any] = {
        "name": old.name, "type": old.type, "config": {}, "default": old.default,
        "enabled": old.enabled or old.disabled_reason is not None, "fallback": old.fallback, "canary_s": old.canary_s,
        "least": old.least,
        "template": template_json(old),
    }  # fmt: skip
    wanted, config = await read_channel(parts, current | data, old)
    check_ways(parts, who.workspace_id, wanted, channel_id)
    default = old.default if wanted.default is None else wanted.default
    channel = replace(
        old, name=wanted.name.strip(), type=wanted.type, config=config, default=default, enabled=wanted.enabled,
        disabled_reason=None, template=wanted.template, fallback=wanted.fallback, canary_s=wanted.canary_s,
        least=wanted.least, updated_at=parts.clock.now(),
    )  # fmt: skip

    def keep(s: Session) -> None:
        if s.channels.get(channel_id) != old:
            raise Conflict("the channel was changed meanwhile: look at it and try again")
        s.channels.replace(channel)
        s.notices.clear(channel.workspace_id, f"channel.disabled:{channel_id}")

    await parts.store.of(who.workspace_id, by=who.name).write(keep)
    await parts.corridor.channels_changed(who.workspace_id)
    return channel


async def delete(parts: Parts, who: Principal, channel_id: str) -> None:
    """Forget a channel; monitors and rules that name others too name it no longer. Conflict while it is all that a
    monitor, a rule or a step of a policy tells, or stands in for a channel that was switched off for good: nobody
    would be told any more, and nobody would know."""
    channel_of(parts, who, channel_id)
    alone = _told_by_it_alone(parts, who.workspace_id, channel_id)
    if alone:
        raise Conflict(f"nobody else is told by {some_of(alone)}: give them another channel first")
    if dead := [
        f"“{c.name}”" for c in visible(parts, who) if c.fallback == channel_id and c.disabled_reason is not None
    ]:
        raise Conflict(f"it stands in for {some_of(dead)}, switched off for good: choose another fallback there first")
    now = parts.clock.now()

    def forget(s: Session) -> None:
        for rule in s.alert_rules.list():
            if channel_id in (rule.channels or ()):
                left = tuple(id for id in rule.channels or () if id != channel_id)
                s.alert_rules.replace(replace(rule, channels=left, updated_at=now))
        s.channels.delete(channel_id)

    await parts.store.of(who.workspace_id, by=who.name).write(forget)
    await parts.corridor.channels_changed(who.workspace_id)
    for w in parts.corridor.watchlist.of(who.workspace_id):
        if channel_id in (w.monitor.channels or ()):
            await parts.corridor.changed(w.monitor.id)


def _told_by_it_alone(parts: Parts, workspace_id: str, channel_id: str) -> list[str]:
    """What would tell nobody without this channel, in words."""
    watchlist, only = parts.corridor.watchlist, (channel_id,)
    telling = watchlist.telling(workspace_id)
    defaults = tuple(c.id for c in watchlist.channels(workspace_id) if c.default and c.enabled)
    told = [(w.monitor.name, w.monitor.channels) for w in watchlist.of(workspace_id)]
    found = [f"monitor “{name}”" for name, chosen in told if (defaults if chosen is None else chosen) == only]
    found += [f"alert rule “{rule.name}”" for rule in telling.rules if rule.channels == only]
    return found + [
        f"step {number} of escalation policy “{policy.name}”"
        for policy in telling.policies.values()
        for number, step in enumerate(policy.steps, 1)
        if step.channels == only and not step.people and not step.schedules
    ]


async def test(parts: Parts, who: Principal, channel_id: str) -> dict[str, Any]:
    """Send a test message now: {ok, detail, took_ms}. A channel that trouble switched off and that takes it is used
    again."""
    used = channel_of(parts, who, channel_id)
    result = await parts.corridor.delivery.test(used)
    if not result["ok"] or used.enabled or used.disabled_reason is None:
        return result

    def revive(s: Session) -> None:
        if s.channels.get(channel_id) == used:
            s.channels.replace(replace(used, enabled=True, disabled_reason=None, updated_at=parts.clock.now()))
            s.notices.clear(used.workspace_id, f"channel.disabled:{channel_id}")

    await parts.store.of(who.workspace_id, by=who.name).write(revive)
    await parts.corridor.channels_changed(who.workspace_id)
    return result | {"detail": f"{result['detail']}; the channel is used again"}


def visible(parts: Parts, who: Principal) -> list[Channel]:
    """The workspace's channels, by name."""
    return sorted(parts.corridor.watchlist.channels(who.workspace_id), key=lambda c: (c.name.casefold(), c.id))


async def _index(call: Call) -> Reply:
    writes = may(call.who, "write")
    shown = [channel_json(c, writes=writes) for c in visible(call.parts, call.who)]
    return Reply(data={"items": shown, "next_cursor": None})


async def _make(call: Call) -> Reply:
    channel = await create(call.parts, call.who, as_object(call.data))
    return Reply(
        data=channel_json(channel, writes=True), status=201, headers={"location": f"/api/v1/channels/{channel.id}"}
    )


async def _show(call: Call) -> Reply:
    channel = channel_of(call.parts, call.who, call.path["id"])
    return Reply(data=channel_json(channel, writes=may(call.who, "write")))


async def _edit(call: Call) -> Reply:
    channel = await change(call.parts, call.who, call.path["id"], as_object(call.data))
    return Reply(data=channel_json(channel, writes=True))


async def _remove(call: Call) -> Reply:
    await delete(call.parts, call.who, call.path["id"])
    return Reply(status=204)


async def _try_it(call: Call) -> Reply:
    return Reply(data=await test(call.parts, call.who, call.path["id"]))


async def _types(call: Call) -> Reply:
    kinds = [notifiers.kind(name) for name in notifiers.REGISTRY]
    items = [{"type": k.name, "label": k.label, "config": shape.schema(k.config)} for k in kinds]
    return Reply(data={"items": items, "next_cursor": None})


_ONE = "/api/v1/channels/{id}"
ROUTES = [
    Route(
        method="GET", path="/api/v1/channels", run=_index, permission="read", answer=ChannelList, tag="channels",
        summary="Where messages go",
    ),
    Route(
        method="POST", path="/api/v1/channels", run=_make, permission="write", body=ChannelIn, answer=ChannelOut,
        reads=False, status=201, tag="channels", summary="Add a channel",
    ),
    Route(
        method="GET", path=_ONE, run=_show, permission="read", answer=ChannelOut, tag="channels", summary="One channel"
    ),
    Route(
        method="PATCH", path=_ONE, run=_edit, permission="write", body=ChannelIn, partial=True, answer=ChannelOut,
        reads=False, tag="channels", summary="Change some of a channel's fields",
    ),
    Route(
        method="DELETE", path=_ONE, run=_remove, permission="write", status=204, tag="channels",
        summary="Forget a channel",
    ),
    Route(
        method="POST", path=_ONE + "/test", run=_try_it, permission="write", answer=Tested, tag="channels",
        summary="Send a test message now",
    ),
    Route(
        method="GET", path="/api/v1/channel-types", run=_types, permission="read", tag="channels",
        summary="Kinds of channels, with a JSON Schema of each one's config",
    ),
]  # fmt: skip
