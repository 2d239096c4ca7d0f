"""A primary's work in the world: judging results, deciding transitions, taking configuration, telling channels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from simulation.agent import SILENT_S
from tocsin.core import contact, intents
from tocsin.core.consensus import LocationState, Seat, Verdict, decide, fold
from tocsin.core.control_log import Entry
from tocsin.core.intents import Intent
from tocsin.core.monitor import Monitor
from tocsin.core.turn import Done, Proposal, Proposed, Refused

if TYPE_CHECKING:
    from simulation.agent import Agent
    from simulation.machine import Machine
    from simulation.results import Row

INTERVAL_S = 15
MONITOR = Monitor(
    id="m", workspace_id="w", name="m", type="tcp", target={}, interval_s=INTERVAL_S, timeout_s=5, failure_threshold=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC), updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
LATE_S = 300.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def when(seconds: float) -> datetime:
    """A moment of the world as a wall-clock time; the world's machines keep that well enough."""
    return EPOCH + timedelta(seconds=seconds)


@dataclass
class Tables:
    """What the control log was applied to: where each subject stands, and what has to be told."""

    stands: dict[str, tuple[int, str]] = field(default_factory=dict)
    open: dict[str, Intent] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    config: int = 0

    def apply(self, entry: Entry) -> None:
        """Bring the tables up to this entry."""
        if entry.kind == "transition":
            said = json.loads(entry.payload)
            known = self.stands.get(said["subject"], (0, ""))[0]
            if said["number"] > known:
                self.stands[said["subject"]] = (said["number"], said["value"])
            for intent in wanted(entry):
                if said.get("filed"):
                    self.open.pop(intent.key, None)
                    self.settled.add(intent.key)
                elif said["number"] > known:
                    self.open[intent.key] = intent
        elif entry.kind == "outcome":
            key = entry.payload.decode()
            self.open.pop(key, None)
            self.settled.add(key)
        elif entry.kind == "config":
            self.config += 1

    def copy(self) -> Tables:
        return Tables(dict(self.stands), dict(self.open), set(self.settled), self.config)


def wanted(entry: Entry) -> list[Intent]:
    """The messages that a transition wants told."""
    said = json.loads(entry.payload)
    subject, number = said["subject"], said["number"]
    return [
        Intent(
            key=f"{c}|{subject}|{number}", channel=c, subject=subject, number=number, index=entry.index, epoch=entry.epoch
        )
        for c in said["channels"]
    ]  # fmt: skip


@dataclass
class Sending:
    """A message on its way to a channel."""

    intent: Intent
    ends_at: float
    life: int
    paused: bool = False
    over: bool = False
    arrived: bool = False


class Desk:
    """What an instance does while it is primary. Nothing of it survives a crash or an office."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.world = machine, machine.world
        self.epoch: int | None = None
        self.since = self.since_clock = 0.0
        self.heard: dict[str, tuple[float, float]] = {}
        self.states: dict[str, dict[str, LocationState]] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.proposed: dict[str, str] = {}
        self.early: dict[str, Intent] = {}
        self.sending: dict[tuple[str, str], Sending] = {}
        self.not_before: dict[str, float] = {}
        self.count = 0

    # Office

    def take_office(self, epoch: int) -> None:
        """In office: what is in doubt may be told a second time."""
        machine, truth = self.machine, self.world.truth
        self.epoch, self.since, self.since_clock = epoch, self.world.now, machine.clock()
        self.proposed, self.early, self.not_before, self.states, self.verdicts = {}, {}, {}, {}, {}
        for key, intent in machine.drive.tables.open.items():
            if intents.in_doubt(intent, epoch):
                truth.allowed[key] += 1
        rows = [r for r in machine.drive.shelf.rows.values() if r.slot > self.world.now - LATE_S]
        self._fold(sorted(rows, key=lambda r: r.slot))

    def leave_office(self, why: str) -> None:
        """Not primary any more: what is on its way is cut off; at the end of a lease nothing may be on its way."""
        truth = self.world.truth
        for sending in self.sending.values():
            if sending.over:
                continue
            overdue = sending.ends_at > self.world.now + 0.05
            if overdue and why == "its lease is over" and not sending.paused and self.machine.steady:
                self.world.broken("I9", f"{self.machine.id} still tells {sending.intent.key} when its lease is over")
            sending.over = True
            truth.cut_off[sending.intent.key, self.epoch or 0] += 1
        self.epoch, self.sending = None, {}

    def was_away(self) -> None:
        """The machine stood still: what it was telling meanwhile could not be cut off in time."""
        for sending in self.sending.values():
            sending.paused = True

    # Judging

    def judge(self, rows: list[Row]) -> None:
        """New results: a verdict that changes is a transition to be committed."""
        if self.epoch is None or not rows:
            return
        self._fold([r for r in rows if r.slot > self.world.now - LATE_S])
        self._decide({r.subject for r in rows})

    def look_again(self) -> None:
        """Judge everything by the time that passed."""
        if self.epoch is not None:
            self._watch()
            self._decide(set(self.states))

    def _fold(self, rows: list[Row]) -> None:
        for row in rows:
            states = self.states.setdefault(row.subject, {})
            who = row.origin.source
            before = states.get(who) or LocationState(location=who)
            states[who] = fold(before, MONITOR, "down" if row.down else "up", when(row.slot), 0, None)

    def _decide(self, subjects: set[str]) -> None:
        machine, world = self.machine, self.world
        places = machine.node.membership.in_order() or (machine.id,)
        settled = world.now - self.since > MONITOR.fresh_s()
        for subject in sorted(subjects):
            states = self.states.get(subject, {})
            seats = [Seat(location=p, state=states.get(p)) for p in places]
            verdict = decide(
                seats, "majority", MONITOR.fresh_s(), self.verdicts.get(subject), when(world.now), settled=settled
            )
            self.verdicts[subject] = verdict
            number, value = machine.drive.tables.stands.get(subject, (0, "up"))
            if verdict.value in ("up", "down") and verdict.value != value and subject not in self.proposed.values():
                if verdict.value == "down":
                    world.targets[subject].must_be_down(places, f"{verdict.d} of {verdict.n}")
                channels = world.targets[subject].channels
                said = {"subject": subject, "number": number + 1, "value": verdict.value, "channels": channels}
                self.propose("transition", json.dumps(said).encode(), subject)

    # Agents

    def hear_agent(self, agent: str) -> None:
        """An agent is alive: heard now, by this machine's own clock."""
        self.heard[agent] = (self.machine.clock(), self.world.now)

    def _watch(self) -> None:
        """Call an agent silent that was not heard of for too long."""
        machine, clock = self.machine, self.machine.clock()
        for name, agent in self.world.agents.items():
            heard, true = self.heard.get(name, (None, None))
            subject = f"{agent.subject}.silence"
            number, value = machine.drive.tables.stands.get(subject, (0, "up"))
            silent = clock >= contact.silent_at(heard, self.since_clock, SILENT_S)
            if silent != (value == "down") and subject not in self.proposed.values() and (silent or heard is not None):
                if silent:
                    self.world.truth.silent(machine, name, true, SILENT_S)
                said = (subject, number + 1, "down" if silent else "up", agent.channel, False)
                self.propose("transition", agent.payload(said), subject)

    def take_finding(self, agent: Agent, said: tuple[str, int, str, str, bool]) -> None:
        """An agent hands a transition over: a receipt only once it is committed."""
        machine = self.machine
        subject, number, _, channel, told = said
        tables = machine.drive.tables
        if self.epoch is None:
            self.world.post(machine.id, agent.id, agent.answered, machine, number, False)
        elif number <= tables.stands.get(subject, (0, ""))[0] and (
            not told or f"{channel}|{subject}|{number}" not in tables.open
        ):
            self.world.post(machine.id, agent.id, agent.answered, machine, number, True)
        elif subject not in self.proposed.values():
            self.propose("transition", agent.payload(said), subject)

    # The control log

    def propose(self, kind: str, payload: bytes, what: str) -> None:
        """Put something into the log."""
        machine = self.machine
        self.count += 1
        who = f"{machine.id}{machine.life}.{self.count}"
        self.proposed[who] = what
        before = machine.node.log.last.index
        machine.hand(Proposed(proposals=(Proposal(id=who, kind=kind, payload=payload, closing=kind == "outcome"),)))
        if kind == "transition" and machine.up and who in self.proposed and machine.node.log.last.index > before:
            for entry in machine.node.log.slice(before + 1, before + 1):
                self.early.update({i.key: i for i in wanted(entry)})
            self.work()

    def answered(self, effect: Done | Refused, left: float) -> None:
        """What became of a proposal."""
        what = self.proposed.pop(effect.id, None)
        if isinstance(effect, Done):
            self.world.truth.accepted(self.machine, left)
        elif what is not None or effect.id.startswith("op"):
            self.world.tell("{} refuses {} ({}): {}", self.machine.id, effect.id, what, effect.why)

    def committed(self, entries: tuple[Entry, ...]) -> None:
        """Committed here while in office."""
        for entry in entries:
            if entry.kind == "transition":
                self.world.tell("committed {} {}", entry.index, entry.payload.decode())

    # Telling channels

    def work(self) -> None:
        """Begin whatever may be told now."""
        machine = self.machine
        if self.epoch is None or not (machine.drive.tables.open or self.early):
            return
        tables = machine.drive.tables
        known = {**{k: i for k, i in self.early.items() if k not in tables.settled}, **tables.open}
        for intent in intents.to_send(known.values(), machine.node.commit, self.sending):
            if self.not_before.get(intent.key, 0.0) <= self.world.now:
                self._begin(intent)

    def _begin(self, intent: Intent) -> None:
        world, machine = self.world, self.machine
        budget = machine.node.may_send(machine.clock()) / machine.rate
        if budget <= 0:
            return
        if machine.lease_until <= world.now:
            world.broken("I9", f"{machine.id} begins to tell {intent.key} without a lease")
        channel = world.channels[intent.channel]
        takes = channel.takes()
        sending = Sending(intent, world.now + min(takes, budget), machine.life)
        self.sending[intent.channel, intent.subject] = sending
        world.tell("{} tells {} (budget {:.1f} s, takes {:.1f} s)", machine.id, intent.key, budget, takes)
        if channel.up(world.now):
            world.after(takes * world.random.random(), self._arrive, sending, self.epoch)
        world.at(sending.ends_at, self._end, sending, takes <= budget, channel.up(world.now))

    def _arrive(self, sending: Sending, epoch: int) -> None:
        """It reaches the channel, unless it was cut off before (and even then it may)."""
        intent = sending.intent
        if sending.over and self.world.random.random() < 0.5:
            return
        if sending.over:
            self.world.truth.stale_arrivals += 1
        self.world.truth.arrives(intent.key, intent.channel, intent.subject, intent.number, self.machine.id, epoch)

    def _end(self, sending: Sending, answered: bool, reached: bool) -> None:
        machine, intent = self.machine, sending.intent
        if sending.over or machine.life != sending.life:
            return
        if machine.paused:
            sending.paused = True
            self.world.after(1.0, self._end, sending, answered, reached)
            return
        sending.over = True
        self.sending.pop((intent.channel, intent.subject), None)
        if answered and reached:
            self.not_before[intent.key] = float("inf")
            self.propose("outcome", intent.key.encode(), intent.key)
            return
        if not answered and self.epoch is not None:
            self.world.truth.cut_off[intent.key, self.epoch] += 1
            self.world.truth.allowed[intent.key] += 1
        self.not_before[intent.key] = self.world.now + 5.0
        self.world.after(5.1, self._again, machine.life)

    def _again(self, life: int) -> None:
        if self.machine.life == life and not self.machine.paused:
            self.work()
