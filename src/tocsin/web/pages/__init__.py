"""What people see: server-rendered pages. Each screen is a module with its routes; forms call the API's own actions."""

from __future__ import annotations

from tocsin.web.call import Route
from tocsin.web.pages import (
    acknowledge,
    alert_rules,
    assets,
    audit,
    channels,
    chart,
    entry,
    escalation,
    find,
    host,
    host_edit,
    hosts,
    incident,
    instances,
    join,
    locations,
    maintenance,
    members,
    monitor,
    monitor_edit,
    on_call,
    overview,
    reports,
    settings,
    setup,
    system,
)
from tocsin.web.pages.problems import error_page

__all__ = ["ROUTES", "error_page"]

ROUTES: list[Route] = [
    *assets.ROUTES,
    *entry.ROUTES,
    *setup.ROUTES,
    *overview.ROUTES,
    *monitor_edit.ROUTES,
    *monitor.ROUTES,
    *chart.ROUTES,
    *incident.ROUTES,
    *acknowledge.ROUTES,
    *hosts.ROUTES,
    *host_edit.ROUTES,
    *host.ROUTES,
    *locations.ROUTES,
    *maintenance.ROUTES,
    *reports.ROUTES,
    *alert_rules.ROUTES,
    *channels.ROUTES,
    *on_call.ROUTES,
    *escalation.ROUTES,
    *settings.ROUTES,
    *members.ROUTES,
    *join.ROUTES,
    *audit.ROUTES,
    *instances.ROUTES,
    *system.ROUTES,
    *find.ROUTES,
]
