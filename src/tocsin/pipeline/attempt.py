"""One attempt to deliver a message, timed."""

from __future__ import annotations

import asyncio

from tocsin import notifiers
from tocsin.core.alert import Channel, Message
from tocsin.errors import DeliveryFailed
from tocsin.net import Net
from tocsin.notifiers import Receipt
from tocsin.secret import Secret


async def attempt(
    channel: Channel, message: Message, net: Net, smtp_url: Secret | None, limit_s: float, earlier: str | None
) -> tuple[Receipt, float, DeliveryFailed | None]:
    """What the other side said, how many ms it took, and the failure, if it is one."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    failure: DeliveryFailed | None = None
    receipt = Receipt("")
    try:
        receipt = await notifiers.send(channel, message, net, smtp_url=smtp_url, deadline_s=limit_s, earlier=earlier)
    except DeliveryFailed as error:
        failure = error
    return receipt, round((loop.time() - begun) * 1000, 3), failure
