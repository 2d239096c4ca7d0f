"""Puts acknowledge links into messages, and reads them when they come back."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from tocsin.core.alert import Event, Item, Message, OutboxRow
from tocsin.core.link import Link, read_token, token_of
from tocsin.core.result import micros

PATH = "/acknowledge/"
_ASKING: frozenset[Event] = frozenset(
    ("incident.opened", "incident.reopened", "incident.escalated", "incident.reminder")
)


class Links:
    """Links under `base_url`, signed with a key of their own. Without either there are none."""

    def __init__(self, base_url: str, key: bytes) -> None:
        self._base_url = base_url.rstrip("/")
        self._keys: tuple[bytes, ...] = (key,) if key else ()

    def sign_with(self, key: bytes) -> None:
        """Sign with this key from now on, as all instances of a cluster do. What was signed before still counts here."""
        if key not in self._keys:
            self._keys = (key, *self._keys)

    def onto(self, row: OutboxRow, message: Message) -> Message:
        """The message with a link of its receiver's own, when it asks somebody to act, or with one for each such line of a
        digest. It is made when it is sent: in the database there is none that works."""
        if not (self._base_url and self._keys):
            return message
        if message.items:
            return replace(message, items=tuple(self._onto_item(row, message, item) for item in message.items))
        if message.event not in _ASKING or row.incident_id is None:
            return message
        url = self._url(row, row.incident_id, message.at)
        return replace(message, acknowledge_url=url, text=f"{message.text}\nAcknowledge: {url}")

    def _onto_item(self, row: OutboxRow, digest: Message, item: Item) -> Item:
        if item.event not in _ASKING or item.incident_id is None:
            return item
        return replace(item, acknowledge_url=self._url(row, item.incident_id, item.at or digest.at))

    def _url(self, row: OutboxRow, incident_id: str, at: datetime) -> str:
        return self._base_url + self.path_of(Link(row.workspace_id, incident_id, micros(at), row.channel_id))

    def path_of(self, link: Link) -> str:
        """Where a link leads, below the address of any server that signs with the same key."""
        return PATH + token_of(self._keys[0], link)

    def read(self, token: str) -> Link | None:
        """What a link says, None when we did not make it."""
        found = (read_token(key, token) for key in self._keys)
        return next((link for link in found if link is not None), None)
