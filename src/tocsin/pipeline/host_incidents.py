"""Incidents of hosts: what the server judges by itself (silence), and what agents judged and hand over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.core.advance import advance, judge_again_at
from tocsin.core.alert import About
from tocsin.core.condition import OnHeartbeat
from tocsin.core.finding import RANKS, Finding, Hush, Terms
from tocsin.core.host import SUBJECT, Host
from tocsin.core.host_rule import HostFinding, channel_named, subject_of
from tocsin.core.host_silence import Heard, Patience, is_silence, silence, subject_of_silence
from tocsin.core.host_thing import thing
from tocsin.core.incident import Entry, Incident, Step
from tocsin.core.maintenance import hush_of
from tocsin.core.rule import AlertRule
from tocsin.core.wording import FAILING, OFF_LIMITS, listed
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.hosts import HostNow, Hosts
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.telling import Telling
from tocsin.pipeline.watchlist import Watchlist

log = telemetry.logger("tocsin.host_incidents")

FRESH = timedelta(seconds=60)
"""A turn that is not older is of now; an older one keeps its time."""
_THEN = Hush(kind="maintenance", why="the host was in maintenance, as its agent knew", by="maintenance of the host")
"""What held back what an agent found while it was away; the next look tells what lasts still."""
MOST_TURNS = 50
"""So many turns are remembered of an incident, to know one that is handed over again."""


class HostIncidents:
    """Takes incidents of hosts a step further."""

    def __init__(self, watchlist: Watchlist, judgement: Judgement, hosts: Hosts) -> None:
        self._watchlist, self._judgement, self._hosts = watchlist, judgement, hosts

    # What agents judged ---------------------------------------------------------------------------------------------
    def take_turns(
        self, draft: Draft, host: HostNow, incarnation: str, turns: Sequence[HostFinding], now: datetime
    ) -> None:
        """File what an agent found, in order; what was filed before is passed over. What it told by itself is not told
        again; what a rule found that does not hold here any more opens nothing. A number that was used for another turn (by
        a copy of its data folder, or before what was written was lost) is filed as of an incarnation of its own, so that
        nothing is passed over in silence."""
        for turn in turns:
            self._take_turn(draft, host, incarnation, turn, now)

    def _take_turn(self, draft: Draft, now_of: HostNow, incarnation: str, turn: HostFinding, now: datetime) -> None:
        host = now_of.host
        subject = subject_of(host.id, turn.rule, turn.what)
        latest = self._latest(host, subject)
        telling = self._watchlist.telling(host.workspace_id)
        if latest is not None and _data_folder(latest) == incarnation and turn.number <= latest.turn[1]:
            if not is_other(latest, turn):
                self._told_too(draft, latest, turn, telling, now)
                return
            log.warning("host_incidents.number_used", host=host.id, rule=turn.rule, what=turn.what, number=turn.number)
            incarnation = f"{incarnation}+{round(turn.at.timestamp() * 1e6)}"
        if turn.told_at is None and not (latest is not None and latest.open) and _is_gone(turn, telling.rules_of(host)):
            return
        rule = next((rule for rule in telling.rules if rule.id == turn.rule), None)
        terms = replace(self._terms(host, subject, rule, telling, now), turn=(incarnation, turn.number))
        if rule is None and turn.channels is not None and any(telling.hearer(id) for id in turn.channels):
            terms = replace(terms, channels=turn.channels)
        at = _moment(turn, latest, now_of.said.offset_s, now)
        hush = None if turn.told_at is not None else self._hush(host, telling, now) or (_THEN if turn.held else None)
        waited = timedelta() if turn.since is None else turn.at - turn.since
        step = advance(latest, terms, _found(turn, at - waited), at, new_id=new_id(), hush=hush)
        if step.incident is None:
            return
        step = _filed(_over_from(step, at - waited), turn, latest, (incarnation, turn.number), telling, at)
        end = turn.words if turn.turn == "resolved" else ""
        what = About(name=_named(host, turn.what), rule=turn.rule_name, end=end)
        self._judgement.take_step(draft, terms, what, step, now)

    def _told_too(
        self, draft: Draft, latest: Incident, turn: HostFinding, telling: Telling, now: datetime
    ) -> None:  # fmt: skip
        """The agent had no receipt for the opening that is filed here, and told it as well: so it tells the end, too, and
        the server to whom else it told that."""
        if turn.told_at is None or turn.number != latest.turn[1] or not latest.open or latest.told_by == "agent":
            return
        entry = Entry(at=now, kind="notified", text=_told_words(turn, telling), data={"channels": list(turn.told)})
        by = "" if _else_told(latest, turn) else "agent"
        step = Step(incident=replace(latest, told_by=by), entries=(entry,), changed=True)
        terms, what = self._judgement.terms_for(latest, now)
        self._judgement.take_step(draft, terms, what, step, now)

    def unended(self, host: Host, incarnation: str) -> list[Incident]:
        """What is open of that host, and was found by another incarnation of its agent: the one that speaks now would else
        know nothing of it, and never end it."""
        return [
            incident
            for (workspace_id, _), incident in self._watchlist.incidents.items()
            if incident.host_id == host.id
            and workspace_id == host.workspace_id
            and incident.open
            and _data_folder(incident) not in ("", incarnation)
        ]

    # What time alone changes ----------------------------------------------------------------------------------------
    def due(self, tick: float, now: datetime) -> list[tuple[str, str]]:
        """The (workspace, subject) of incidents that a look would change now."""
        found: list[tuple[str, str]] = []
        for host in self._hosts:
            try:
                step = self._silent(host, tick, now)
            except Exception:  # one host's fault must not keep the others from being watched
                telemetry.faults.labels("host_incidents").inc()
                log.exception("host_incidents.fault", host=host.host.id)
                continue
            if step is not None and step[1].changed:
                found.append((host.host.workspace_id, subject_of_silence(host.host.id)))
        found += [
            (workspace_id, subject)
            for (workspace_id, subject), incident in self._watchlist.incidents.items()
            if incident.open and subject.startswith(SUBJECT) and self._again(incident, now) is not None
        ]
        return found

    def take(self, draft: Draft, due: Iterable[tuple[str, str]], tick: float, now: datetime) -> None:
        """Take those a step further."""
        for workspace_id, subject in dict.fromkeys(due):
            host = self._hosts.find(subject.split(":", 2)[1])
            if is_silence(subject) and host is not None and (found := self._silent(host, tick, now)) is not None:
                self._judgement.take_step(draft, found[0], About(name=host.host.name, rule=found[2]), found[1], now)
                continue
            incident = self._watchlist.incidents.get((workspace_id, subject))
            if incident is None or not incident.open or (why := self._again(incident, now)) is None:
                continue
            if why:
                self._judgement.close(draft, incident, why, now)
            elif host is not None:
                self._look_again(draft, incident, host, now)

    def _silent(self, host: HostNow, tick: float, now: datetime) -> tuple[Terms, Step, str] | None:
        """What the silence of a host's agent comes to; None where nobody waits for it, or nothing is to be said."""
        if not host.host.enabled or (host.host.enrolled_at is None and host.heard is None):
            return None
        silent_s = host.silent_s(self._hosts.since, tick)
        telling = self._watchlist.telling(host.host.workspace_id)
        rule = next((r for r in telling.rules_of(host.host) if isinstance(r.condition, OnHeartbeat)), None)
        patience = Patience()
        if rule is not None and isinstance(rule.condition, OnHeartbeat):
            patience = Patience(rule.condition.warn_s, rule.condition.down_s)
        subject = subject_of_silence(host.host.id)
        latest = self._latest(host.host, subject)
        if silent_s < patience.warn_s and (latest is None or not latest.open):
            return None
        said = Heard(host.heard_since(self._hosts.since), _last_at(host), host.host.revoked_at, _outside(host))
        finding = silence(silent_s, said, patience, now)
        terms = self._terms(host.host, subject, rule, telling, now)
        step = advance(latest, terms, finding, now, new_id=new_id(), hush=self._hush(host.host, telling, now))
        return terms, step, "" if rule is None else rule.name

    def _again(self, incident: Incident, now: datetime) -> str | None:
        """Why an open incident of a host is to be closed, empty when it is merely to be looked at again, None when not."""
        host = self._hosts.find(incident.host_id)
        if host is None:
            return "the host was deleted"
        if not host.host.enabled:
            return "the host was switched off"
        telling = self._watchlist.telling(incident.workspace_id)
        if incident.rule_id is not None and incident.rule_id not in {rule.id for rule in telling.rules_of(host.host)}:
            return None if is_silence(incident.subject) else "its rule was changed or deleted"
        if is_silence(incident.subject):
            return None
        hush = self._hush(host.host, telling, now)
        if incident.suppressed and hush is None:
            return ""
        terms = self._terms(host.host, incident.subject, self._rule(incident, telling), telling, now)
        again = judge_again_at(incident, terms, now, hush)
        return "" if again is not None and again <= now and hush is None else None

    def _look_again(self, draft: Draft, incident: Incident, host: HostNow, now: datetime) -> None:
        telling = self._watchlist.telling(incident.workspace_id)
        terms = self._terms(host.host, incident.subject, self._rule(incident, telling), telling, now)
        terms = replace(terms, turn=incident.turn if incident.turn[1] else None)
        finding = Finding(
            standing="trouble", value=incident.verdict, reason=incident.reason, why=incident.reason, rank=incident.rank,
            severity=incident.severity, words=incident.words, locations=None, mark=incident.mark,
        )  # fmt: skip
        step = advance(incident, terms, finding, now, new_id=new_id(), hush=self._hush(host.host, telling, now))
        self._judgement.take_step(draft, terms, About(name=incident.name, rule=incident.rule), step, now)

    def _rule(self, incident: Incident, telling: Telling) -> AlertRule | None:
        return next((rule for rule in telling.rules if rule.id == incident.rule_id), None)

    def _latest(self, host: Host, subject: str) -> Incident | None:
        return self._watchlist.incidents.get((host.workspace_id, subject))

    def _hush(self, host: Host, telling: Telling, now: datetime) -> Hush | None:
        """What holds openings of a host back now."""
        if host.maintenance:
            return Hush(kind="maintenance", why="the host is in maintenance", by="maintenance of the host")
        return hush_of(telling.windows, host, now, telling.agenda)

    def _terms(self, host: Host, subject: str, rule: AlertRule | None, telling: Telling, now: datetime) -> Terms:
        """How an incident of a host behaves: as its rule says, else it tells the default channels."""
        if rule is None:
            return Terms(subject=subject, workspace_id=host.workspace_id, host_id=host.id)
        policy = telling.policy(rule.policy)
        return Terms(
            subject=subject, workspace_id=host.workspace_id, host_id=host.id, rule_id=rule.id, channels=rule.channels,
            reminder_s=rule.reminder_s, policy=policy, reach=telling.reach(policy, now),
        )  # fmt: skip


def _is_gone(turn: HostFinding, rules: Iterable[AlertRule]) -> bool:
    """Whether its rule was the workspace's and does not hold for the host any more: its agent will hear of that."""
    own = turn.rule.startswith(("builtin:", "local:"))
    return not own and turn.rule not in {rule.id for rule in rules}


def _data_folder(incident: Incident) -> str:
    """The incarnation whose turn was filed last, also where its number had been used."""
    return incident.turn[0].partition("+")[0]


def is_other(latest: Incident, turn: HostFinding) -> bool:
    """Whether another turn of that number was filed before. What is older than all that are remembered was the same."""
    known = [number for number, _ in latest.turns]
    return bool(known) and turn.number >= min(known) and (turn.number, turn.at) not in latest.turns


def _last_at(host: HostNow) -> datetime | None:
    """When its agent was heard last; not before it was waited for."""
    return max(host.heard_at, host.awaited_at) if host.heard_at and host.awaited_at else host.heard_at


def _outside(host: HostNow) -> str:
    if host.outside is None:
        return ""
    return f"reachable from outside: {'yes' if host.outside else 'no'} ({host.outside_words})"


def _named(host: Host, what: str) -> str:
    return f"{host.name}: {thing(what)}"


def _over_from(step: Step, since: datetime) -> Step:
    """The step, its trouble over since then when that is its end."""
    incident = step.incident
    if incident is None or incident.open:
        return step
    return replace(step, incident=replace(incident, over_since=max(since, incident.trouble_from())))


def _found(turn: HostFinding, since: datetime) -> Finding:
    words = FAILING if turn.value is None else OFF_LIMITS
    return Finding(
        standing="trouble" if turn.turn == "opened" else "over", value="unknown", reason=turn.words or turn.what,
        why=turn.words or turn.what, severity=turn.severity, rank=RANKS[turn.severity], words=words, locations=None,
        data={"rule": turn.rule_name, "what": turn.what, "value": turn.value},
        since=since if turn.turn == "opened" else None,
    )  # fmt: skip


def _else_told(incident: Incident, turn: HostFinding) -> tuple[str, ...]:
    """Who heard of the trouble from here, and of this turn not from the agent."""
    return tuple(id for id in incident.told_channels or () if id not in turn.told)


def _told_words(turn: HostFinding, telling: Telling) -> str:
    known = {id: telling.hearer(id) for id in turn.told}
    names = tuple(channel_named(id, None if one is None else one.name) for id, one in known.items())
    return f"Told by the agent itself, to {listed(names)}" if names else "Told by the agent itself"


def _moment(turn: HostFinding, latest: Incident | None, offset_s: float, now: datetime) -> datetime:
    """When a turn was, by our clock: never before what was filed of its subject, never ahead of us."""
    at = min(turn.at + timedelta(seconds=offset_s), now)
    if turn.told_at is None and now - at <= FRESH:
        return now
    if latest is not None:
        at = max(at, latest.resolved_at or latest.began_at())
    return min(at, now)


def _filed(
    step: Step, turn: HostFinding, latest: Incident | None, number: tuple[str, int], telling: Telling, at: datetime
) -> Step:
    """The step as it is kept: silent where the agent told it by itself, but for an end whose beginning was told by the
    server, to others. An end that the agent could not tell, though it had told the beginning, is told here, too: to whom
    the agent told that, as far as they can be reached from here."""
    incident = step.incident
    assert incident is not None
    opening = turn.turn == "opened"
    entries, transitions = step.entries, step.transitions
    if turn.told_at is not None:
        told = Entry(at=at, kind="notified", text=_told_words(turn, telling), data={"channels": list(turn.told)})
        entries = (*entries, told)
        left = () if opening or incident.told_by == "agent" else _else_told(incident, turn)
        transitions = transitions if left else ()
        if left:
            incident = replace(incident, told_channels=left)
        if opening:
            incident = replace(
                incident, told=True, told_by="agent", told_channels=turn.told, last_told_at=turn.told_at, suppressed=""
            )
    elif opening:
        incident = replace(incident, told_by="")
    elif incident.told_by == "agent":
        reached = tuple(id for id in incident.told_channels or () if telling.hearer(id) is not None)
        incident = replace(incident, told_channels=reached or None)
    before = latest.turns if latest is not None and _data_folder(latest) == number[0].partition("+")[0] else ()
    incident = replace(incident, turn=number, turns=(*before, (turn.number, turn.at))[-MOST_TURNS:])
    return replace(step, incident=incident, entries=entries, transitions=transitions, changed=True)
