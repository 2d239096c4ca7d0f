"""Where a notice leads: the page on which what it tells can be seen and mended."""

from __future__ import annotations

from tocsin.core.notice import Notice


def leads_to(notice: Notice) -> tuple[str, str]:
    """The address of that page, and what the link to it is called."""
    if notice.location:
        return f"/locations/{notice.location}", "Location"
    about = notice.kind.partition(".")[0]
    if about == "instance":
        return "/settings/instances", "Instances"
    if about == "host":
        return "/hosts", "Hosts"
    if notice.channel_id is None:
        return "/channels", "Channel"
    if notice.channel_id.startswith("person:"):
        return "/settings/members", "Members"
    return f"/channels/{notice.channel_id}", "Channel"
