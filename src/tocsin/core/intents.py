"""What the control log says of notifications: what shall be told, and what became of it. The carrier keeps the intents in
its outbox; these are the questions it asks of them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Intent(Struct, frozen=True, kw_only=True):
    """A message that shall be told, by the log entry at `index` of `epoch`. `key` is the same for ever and everywhere; of
    one `subject` a `channel` is told in the order of `number`."""

    key: str
    channel: str
    subject: str
    number: int
    index: int
    epoch: int


def is_committed(intent: Intent, commit: int) -> bool:
    """Whether a message may be sent as far as its intent goes: a majority has it, so no later primary decides it anew."""
    return intent.index <= commit


def in_doubt(intent: Intent, epoch: int) -> bool:
    """Whether an intent without outcome is of an earlier epoch: its primary may have sent it and not said so any more."""
    return intent.epoch < epoch


def to_send(open_intents: Iterable[Intent], commit: int, busy: Iterable[tuple[str, str]]) -> list[Intent]:
    """The intents without outcome whose messages may begin now: of each channel and subject the first in order, unless one
    of that pair is on its way (`busy`)."""
    taken = set(busy)
    found: list[Intent] = []
    for intent in sorted(open_intents, key=lambda i: (i.number, i.key)):
        pair = (intent.channel, intent.subject)
        if pair not in taken and is_committed(intent, commit):
            found.append(intent)
        taken.add(pair)
    return found
