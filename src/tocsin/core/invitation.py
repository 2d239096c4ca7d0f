"""Invitations: who is asked into a workspace, as what, until when; and the letter that says so."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from tocsin.core.access import UserRole
from tocsin.core.alert import Channel, Message

LASTS = timedelta(days=7)
MOST = 100
"""So many may be open in a workspace at once."""


class Invitation(Struct, frozen=True, kw_only=True):
    """One person asked in. Of the link's token only the hash is kept; accepting, inviting again and taking it back end
    it. `created_by` is an e-mail address."""

    id: str
    workspace_id: str
    email: str
    role: UserRole
    token_hash: str
    created_by: str
    created_at: datetime
    expires_at: datetime


def letter(invitation: Invitation, workspace: str, link: str) -> tuple[Channel, Message]:
    """(where the mail goes, the mail): as a channel and a message, which is what mail is sent by."""
    at, email = invitation.created_at, invitation.email
    channel = Channel(
        id=f"invitation:{invitation.id}", workspace_id=invitation.workspace_id, name=email, type="email",
        config={"to": [email]}, created_at=at, updated_at=at,
    )  # fmt: skip
    text = (
        f"{invitation.created_by} invites you to watch “{workspace}” with them, as {invitation.role.lower()}. "
        f"The link works once, until {invitation.expires_at:%-d %b %Y, %H:%M} UTC. "
        "If you did not expect this, do nothing."
    )
    message = Message(
        event="test", key=invitation.id, severity="info", title=f"Join “{workspace}” on Tocsin", text=text, monitor=None,
        incident=None, verdict=None, reason="an invitation", at=at, url=link,
    )  # fmt: skip
    return channel, message
