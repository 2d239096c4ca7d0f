"""Notifiers: the registry, and `send`, which owns the deadline and turns every error into DeliveryFailed."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from tocsin.core import shape, template
from tocsin.core.alert import Channel, Message
from tocsin.core.wording import one_line, span
from tocsin.errors import CheckFailed, CheckInvalid, DeliveryFailed, EgressRefused, Invalid, NotFound
from tocsin.net import Net
from tocsin.secret import Secret
from tocsin.telemetry import logger

log = logger(__name__)

# One line a kind: its name and the module that is imported when it is first used.
REGISTRY: dict[str, str] = {
    "webhook": "tocsin.notifiers.webhook",
    "email": "tocsin.notifiers.email",
    "slack": "tocsin.notifiers.slack",
    "discord": "tocsin.notifiers.discord",
    "telegram": "tocsin.notifiers.telegram",
    "teams": "tocsin.notifiers.teams",
    "pagerduty": "tocsin.notifiers.pagerduty",
    "opsgenie": "tocsin.notifiers.opsgenie",
    "ntfy": "tocsin.notifiers.ntfy",
    "twilio": "tocsin.notifiers.twilio",
    "alertmanager": "tocsin.notifiers.alertmanager",
    "apprise": "tocsin.notifiers.apprise",
}

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the other side said when it took a message, in one line. `ref` is what it calls the message, where the message
    can be edited in place later. `note`: what the delivery log should say although it was delivered."""

    detail: str
    ref: str | None = None
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Way:
    """What a notifier may use: the way out, and the mail server for channels that name none. `answer_s` is how long it may
    wait for an answer, a little less than `send` waits for all. `earlier` is the ref that an earlier message of the same
    incident (or digest) got on this channel: a resolve and an updated digest may be put in its place."""

    net: Net
    smtp_url: Secret | None = None
    answer_s: float = DEADLINE_S
    earlier: str | None = None
    receipt: Receipt | None = None

    def instead_of(self, message: Message) -> str | None:
        """The earlier message that this one takes the place of, where it need not ring; else None."""
        return self.earlier if message.event in ("incident.resolved", "digest") else None

    def taken(self, receipt: Receipt) -> Receipt:
        """To be said as soon as the other side has the message: whatever happens afterwards, it is not sent again."""
        self.receipt = receipt
        return receipt


@dataclass(frozen=True, slots=True)
class Kind:
    """A notifier: its Config type, its `send` coroutine, and what it is in one line. `grouped`: the service itself gathers
    by key (`message.group`), so it gets every incident and no digest."""

    name: str
    config: type[Any]
    send: Callable[[Any, Message, Way], Awaitable[Receipt]]
    label: str
    grouped: bool = False


def names() -> list[str]:
    """The names of all notifiers."""
    return list(REGISTRY)


@functools.cache
def kind(name: str) -> Kind:
    """The notifier of that name. Raises NotFound."""
    if name not in REGISTRY:
        raise NotFound(f"there is no notifier {one_line(name, 40)!r}; there are {', '.join(REGISTRY)}")
    module = importlib.import_module(REGISTRY[name])
    label = (module.Config.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Kind(name, module.Config, module.send, label, getattr(module, "GROUPED", False))


def groups(name: str) -> bool:
    """Whether channels of that kind gather by themselves what belongs together; one that is not known does not."""
    return name in REGISTRY and kind(name).grouped


async def send(
    channel: Channel,
    message: Message,
    net: Net,
    *,
    smtp_url: Secret | None = None,
    deadline_s: float = DEADLINE_S,
    earlier: str | None = None,
) -> Receipt:
    """Deliver one message and return what the other side said. Raises DeliveryFailed, and nothing else.

    Permanent: the configuration cannot be read, the operator's rules forbid the address, or the other side refused for
    good. Everything else may be tried again, not before `retry_after_s` where the other side named a time. `earlier`: see
    Way. A channel's template that cannot be rendered is left aside, and the receipt's note says so.
    """
    message, note = _in_its_words(channel, message)
    if message.late_s is not None:
        message = replace(message, text=f"{message.text}\nSent {span(message.late_s)} late.")
    way = Way(net=net, smtp_url=smtp_url, answer_s=deadline_s - min(1.0, deadline_s / 10), earlier=earlier)
    try:
        async with asyncio.timeout(deadline_s):
            found = kind(channel.type)
            return _noted(await found.send(shape.read(found.config, channel.config), message, way), note)
    except Exception as trouble:
        if way.receipt is not None:
            log.info("notifiers.rude_parting", kind=channel.type, channel=channel.id, trouble=type(trouble).__name__)
            return _noted(way.receipt, note)
        if isinstance(trouble, DeliveryFailed):
            raise
        raise _failure(trouble, channel, deadline_s) from trouble


def _in_its_words(channel: Channel, message: Message) -> tuple[Message, str]:
    """The message in the channel's own words where it has any; and why it is in ours nevertheless."""
    if channel.template is None:
        return message, ""
    try:
        title, text = template.render(channel.template, message)
    except Invalid as wrong:
        log.warning("notifiers.template_failed", channel=channel.id, told=message.event, trouble=str(wrong))
        return message, f"in Tocsin's own words, because the channel's template failed: {wrong}"
    return replace(message, title=title, text=text), ""


def _noted(receipt: Receipt, note: str) -> Receipt:
    if not note:
        return receipt
    return Receipt(f"{receipt.detail}; sent {note}", receipt.ref, f"sent {note}")


def _failure(trouble: Exception, channel: Channel, deadline_s: float) -> DeliveryFailed:
    """What an error means for the message: whether trying again can help, in words for people."""
    if isinstance(trouble, TimeoutError):
        return DeliveryFailed(f"not delivered within {deadline_s:g} s")
    if isinstance(trouble, CheckFailed | CheckInvalid):
        return DeliveryFailed(str(trouble))
    if isinstance(trouble, EgressRefused | NotFound):
        return DeliveryFailed(str(trouble), permanent=True)
    if isinstance(trouble, Invalid):
        return DeliveryFailed(f"the channel's configuration is wrong: {trouble}", permanent=True)
    log.error("notifiers.failed_inside", kind=channel.type, channel=channel.id, exc_info=trouble)
    return DeliveryFailed(f"failed inside Tocsin: {type(trouble).__name__}")
