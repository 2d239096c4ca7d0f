"""Notifiers: the registry, and `send`, which owns the deadline and turns every error into DeliveryFailed."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from tocsin.core import shape
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
}

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the other side said when it took a message, in one line."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a notifier may use: the way out, and the mail server for channels that name none."""

    net: Net
    smtp_url: Secret | None = None
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Kind:
    """A notifier: its Config type, its `send` coroutine, and what it is in one line."""

    name: str
    config: type[Any]
    send: Callable[[Any, Message, Way], Awaitable[Receipt]]
    label: str


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
    return Kind(name, module.Config, module.send, label)


async def send(
    channel: Channel, message: Message, net: Net, *, smtp_url: Secret | None = None, deadline_s: float = DEADLINE_S
) -> Receipt:
    """Deliver one message and return what the other side said. Raises DeliveryFailed, and nothing else.

    Permanent: the configuration cannot be read, the operator's rules forbid the address, or the other side refused for
    good. Everything else may be tried again, not before `retry_after_s` where the other side named a time.
    """
    if message.late_s is not None:
        message = replace(message, text=f"{message.text}\nSent {span(message.late_s)} late.")
    try:
        async with asyncio.timeout(deadline_s):
            found = kind(channel.type)
            config = shape.read(found.config, channel.config)
            return await found.send(config, message, Way(net=net, smtp_url=smtp_url, deadline_s=deadline_s))
    except DeliveryFailed:
        raise
    except TimeoutError:
        raise DeliveryFailed(f"not delivered within {deadline_s:g} s") from None
    except (CheckFailed, CheckInvalid) as failure:
        raise DeliveryFailed(str(failure)) from failure
    except (EgressRefused, NotFound) as refused:
        raise DeliveryFailed(str(refused), permanent=True) from refused
    except Invalid as invalid:
        raise DeliveryFailed(f"the channel's configuration is wrong: {invalid}", permanent=True) from invalid
    except Exception as bug:
        log.exception("notifiers.failed_inside", kind=channel.type, channel=channel.id)
        raise DeliveryFailed(f"failed inside Tocsin: {type(bug).__name__}") from bug
