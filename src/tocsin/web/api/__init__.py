"""The REST API, a file a noun: actions that pages share, and the thin functions that answer calls with them."""

from __future__ import annotations

from tocsin.web.api import (
    alert_rules,
    audit,
    channels,
    checks,
    escalation,
    explain,
    incidents,
    keys,
    live,
    locations,
    me,
    members,
    monitors,
    notices,
    notifications,
    on_call,
    preferences,
    reports,
    results,
    session,
    silences,
    windows,
)
from tocsin.web.call import Route

ROUTES: list[Route] = [
    *session.ROUTES,
    *me.ROUTES,
    *keys.ROUTES,
    *members.ROUTES,
    *preferences.ROUTES,
    *monitors.ROUTES,
    *explain.ROUTES,
    *results.ROUTES,
    *reports.ROUTES,
    *checks.ROUTES,
    *locations.ROUTES,
    *channels.ROUTES,
    *escalation.ROUTES,
    *on_call.ROUTES,
    *alert_rules.ROUTES,
    *incidents.ROUTES,
    *windows.ROUTES,
    *silences.ROUTES,
    *notifications.ROUTES,
    *notices.ROUTES,
    *audit.ROUTES,
    *live.ROUTES,
]
