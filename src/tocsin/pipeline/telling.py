"""What a workspace wrote down of whom to tell, and when not to: channels, people, rules, windows, policies, schedules;
and what else it settled for itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from tocsin.core.account import Preferences
from tocsin.core.alert import PERSON, Channel
from tocsin.core.condition import HostConditions
from tocsin.core.escalation import EscalationPolicy, EscalationStep, Reach
from tocsin.core.host import Host
from tocsin.core.maintenance import Agenda, Window
from tocsin.core.monitor import Monitor
from tocsin.core.on_call import OnCallSchedule, on_duty
from tocsin.core.rule import AlertRule
from tocsin.store import Session

T = TypeVar("T")
UNMAILED = "cannot be mailed: this server has no mail server (its operator can set TOCSIN_SMTP_URL)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """All of one workspace, as of its last change. `people` are channels that reach its members by e-mail (`mails`: there
    is a mail server for that); `viewers` are the ids of those who may only look."""

    mails: bool = True
    channels: tuple[Channel, ...] = ()
    people: tuple[Channel, ...] = ()
    viewers: frozenset[str] = frozenset()
    rules: tuple[AlertRule, ...] = ()
    windows: tuple[Window, ...] = ()
    agenda: Agenda = field(default_factory=Agenda, compare=False)
    policies: Mapping[str, EscalationPolicy] = field(default_factory=dict[str, EscalationPolicy])
    schedules: Mapping[str, OnCallSchedule] = field(default_factory=dict[str, OnCallSchedule])
    preferences: Preferences = field(default_factory=Preferences)

    @property
    def hearers(self) -> tuple[Channel, ...]:
        """Everything a message can go to."""
        return self.channels + self.people

    def hearer(self, id: str) -> Channel | None:
        """A channel or a person, by id."""
        return next((channel for channel in self.hearers if channel.id == id), None)

    def rules_for(self, monitor: Monitor) -> list[AlertRule]:
        """The rules that are switched on and cover this monitor."""
        return [
            rule
            for rule in self.rules
            if rule.enabled and not isinstance(rule.condition, HostConditions) and rule.scope.covers(monitor)
        ]

    def rules_of(self, host: Host) -> list[AlertRule]:
        """The rules that are switched on and cover this host."""
        return [
            rule
            for rule in self.rules
            if rule.enabled and isinstance(rule.condition, HostConditions) and rule.scope.covers(host)
        ]

    def policy(self, id: str | None) -> EscalationPolicy | None:
        """That policy, None for none."""
        return None if id is None else self.policies.get(id)

    def reach(self, policy: EscalationPolicy | None, now: datetime) -> tuple[Reach, ...]:
        """Whom each step of a policy tells now."""
        return () if policy is None else tuple(self.reached_by(step, now) for step in policy.steps)

    def reached_by(self, step: EscalationStep, now: datetime) -> Reach:
        """Whom a step tells now: its channels, its people, and who is on duty in its schedules."""
        able = {channel.id: channel.name for channel in self.hearers if channel.enabled}
        mute = {} if self.mails else {channel.id: able.pop(channel.id) for channel in self.people}
        wanted = [(id, "a channel that is gone or switched off") for id in step.channels]
        wanted += [(PERSON + person, "somebody who is no member any more") for person in step.people]
        lacks: list[str] = []
        for schedule in (self.schedules.get(id) for id in step.schedules):
            if schedule is None:
                lacks.append("a schedule that is gone")
            elif (person := on_duty(schedule, now)) is None:
                lacks.append(f"nobody is on duty in “{schedule.name}”")
            else:
                wanted.append((PERSON + person, f"who is on duty in “{schedule.name}” is no member any more"))
        said = [f"{mute[id]} {UNMAILED}" if id in mute else what for id, what in wanted if id not in able]
        ids = tuple(dict.fromkeys(id for id, _ in wanted if id in able))
        vain = tuple(dict.fromkeys(id for id, _ in wanted if id in mute))
        lacking = tuple(dict.fromkeys([*said, *lacks]))
        return Reach(ids=ids, names=tuple(able[id] for id in ids), lacks=lacking, vain=vain)


def read_telling(s: Session, *, mails: bool) -> dict[str, Telling]:
    """Of every workspace the session may see. `mails`: members can be mailed."""
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, things in (
        ("channels", s.channels.all()),
        ("people", _people(s)),
        ("rules", s.alert_rules.list()),
        ("windows", s.maintenance_windows.list()),
    ):
        for workspace_id, group in _by_workspace(things).items():
            parts[workspace_id][name] = tuple(group)
    for name, things in (("policies", s.escalation_policies.list()), ("schedules", s.on_call_schedules.list())):
        for workspace_id, group in _by_workspace(things).items():
            parts[workspace_id][name] = {thing.id: thing for thing in group}
    for workspace_id, group in _by_workspace(s.accounts.belonging()).items():
        parts[workspace_id]["viewers"] = frozenset(one.user_id for one in group if one.role == "VIEWER")
    for workspace_id, settled in s.preferences.all().items():
        parts[workspace_id]["preferences"] = settled
    return {workspace_id: Telling(mails=mails, **known) for workspace_id, known in parts.items()}


def _by_workspace(things: Iterable[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for thing in things:
        groups[thing.workspace_id].append(thing)
    return groups


def _people(s: Session) -> list[Channel]:
    """A channel for each member of each workspace."""
    return [
        Channel(
            id=PERSON + user.id,
            workspace_id=membership.workspace_id,
            name=user.email,
            type="email",
            config={"to": [user.email]},
            created_at=user.created_at,
            updated_at=user.created_at,
        )
        for user in s.accounts.users()
        if not user.disabled
        for membership in s.accounts.memberships(user.id)
    ]
