"""Nothing of one workspace is to be had, changed or named through another one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tocsin.store
from builders import (
    START,
    a_channel,
    a_pass,
    a_probe,
    a_result,
    a_state,
    a_verdict,
    an_incident,
    an_outbox_row,
    at,
    records,
)
from store.conftest import keep_monitor
from store.test_accounts import a_key, a_session, an_invitation
from tocsin.core.account import Preferences
from tocsin.core.digest import fallback_key, gather
from tocsin.core.host import AgentKey, EnrolmentKey
from tocsin.core.incident import Entry
from tocsin.core.notice import Notice
from tocsin.core.sample import Service
from tocsin.core.ticks import Tick
from tocsin.errors import Denied, Invalid, NotFound, TocsinError
from tocsin.store import Session, Store
from tocsin.store.agents import HostConfig
from tocsin.store.batch import Batch, IncidentChange, OutboxOutcome, StateChange, VerdictChange
from tocsin.store.heartbeats import Said
from tocsin.store.records import Records
from tocsin.store.samples import Gathered, Looked
from tocsin.store.stand_ins import Stuck

replace = msgspec.structs.replace
FAR = timedelta(days=400)
NOTHING = ([], {}, None, 0, 0.0, ([], None))


class World:
    """Everything of workspace `ws` there can be one of."""

    def __init__(self) -> None:
        self.channel, self.key, self.session = a_channel(id="c"), a_key(), a_session()
        self.invitation = an_invitation()
        self.monitor: Any = None
        self.incident: Any = None
        self.row = an_outbox_row(channel_id="c")
        self.told = an_outbox_row(channel_id="c", incident_id="told")
        self.digest = gather([an_outbox_row(channel_id="c", subject=f"monitor:{n}") for n in "ab"], START, storm="s")[0]
        self.end = replace(self.row, incident_id="ended", order=2)
        instead = replace(self.row, key=fallback_key("k", "c2"), channel_id="c2", incident_id="ended")
        self.twice = [replace(self.row, key="k", incident_id="ended"), instead]
        self.carried = [replace(self.row, key=key) for key in self.digest.keys]
        self.probe, self.key_of_probe = a_probe(id="p"), a_pass("p")
        self.join = a_pass("q", kind="join", hash="j" * 64, expires_at=at(900))
        self.agent_key = AgentKey(workspace_id="ws", host_id="r", hash="h" * 64, prefix="tag_", created_at=START)
        self.enrolment = EnrolmentKey(
            id="e", workspace_id="ws", name="e", prefix="ten_", key_hash="b" * 64, host_id="r", created_at=START
        )
        self.host_config = HostConfig(
            workspace_id="ws", host_id="r", monitors=[{"type": "system"}], version=1, digest="d"
        )
        self.looked = Looked(1, 1_700_000_000, ["cpu.used_percent"], [1.0])
        self.thing = Service(kind="unit", name="nginx", state="active")
        self.notice = Notice(workspace_id="ws", mark="m", kind="channel.disabled", at=START, text="off")

    async def fill(self, store: Store) -> None:
        ws = store.of("ws")
        await ws.write(lambda s: s.channels.add(self.channel))
        await ws.write(lambda s: s.channels.add(replace(self.channel, id="c2")))
        await ws.write(lambda s: s.api_keys.add(self.key))
        for noun, thing in records().items():
            await ws.write(lambda s, noun=noun, thing=thing: getattr(s, noun).add(thing))
        await ws.write(lambda s: s.sessions.add(self.session))
        await ws.write(lambda s: s.invitations.put(self.invitation))
        await ws.write(lambda s: s.preferences.save("ws", Preferences(failure_domains={"eu": "aws"})))
        self.monitor = await keep_monitor(
            store, channels=("c",), tags=("t",), monitoring_type="global", locations=("eu", "us")
        )
        self.incident = an_incident(self.monitor)
        m = {"workspace_id": "ws", "monitor_id": self.monitor.id}
        results = [a_result("down", monitor=self.monitor, at=at(-60 * n)) for n in range(3)]
        other = IncidentChange(incident=replace(self.incident, id="i2", subject="rule:r:monitor:m"), opens=True)
        opened = IncidentChange(incident=self.incident, entries=(Entry(at=START, kind="opened", text="o"),), opens=True)
        await store.commit(
            Batch(
                id="b", results=tuple(results[1:]), states=(StateChange(**m, state=a_state("down")),),
                verdicts=(VerdictChange(**m, verdict=a_verdict("down")),), incidents=(opened, other),
                outbox=(self.row, self.told, *self.carried, *self.twice),
            )
        )  # fmt: skip
        await store.gather(self.digest)
        await store.settle([OutboxOutcome(key=self.told.key, workspace_id="ws", state="sent", at=at(1), ref="7")])
        await ws.write(lambda s: s.notices.put(self.notice))
        waits = replace(self.probe, id="q", code="waits")
        await ws.write(lambda s: (s.probes.add(self.probe), s.probes.add(waits)))
        await ws.write(lambda s: (s.probes.let_in(self.key_of_probe), s.probes.let_in(self.join)))
        await ws.write(lambda s: (s.agent_keys.let_in(self.agent_key), s.enrolment_keys.add(self.enrolment)))
        await ws.write(lambda s: s.host_configs.put(self.host_config))
        await ws.write(lambda s: s.samples.take(("ws", "r"), "one", [self.looked], 10), local=True)
        await ws.write(lambda s: s.host_states.take(("ws", "r"), "systemd", [self.thing], START), local=True)
        await ws.write(lambda s: s.heartbeats.note(("ws", "r"), Said(), START, 75), local=True)
        await store.move_tail()
        await store.commit(Batch(id="c", results=(results[0],)))
        tick = Tick(
            at=START, total=2, successful=0, avg_ms=None, min_ms=None, max_ms=None, consensus="DOWN", looks=(),
        )  # fmt: skip
        await ws.write(lambda s: s.ticks.put(self.monitor.id, START, START + FAR, [tick]))


def _came_last(s: Session, monitor: str) -> Any:
    """As after its clock was set right."""
    s.memory.set_right[s.places.of(monitor).monitor, s.places.known_location("local") or 0] = 1, 0
    return s.results.came_last({(monitor, "local"): FAR}, START)


def reads(w: World) -> dict[str, Callable[[Session], Any]]:
    """Every way to read something of a workspace."""
    m, i, now = w.monitor.id, w.incident.id, START
    return {
        "accounts.user": lambda s: s.accounts.user("alice"),
        "accounts.user_by_email": lambda s: s.accounts.user_by_email("alice@example.org"),
        "accounts.belonging": lambda s: [x for x in s.accounts.belonging() if x.user_id == "alice"],
        "invitations.list": lambda s: s.invitations.list(),
        "invitations.by_hash": lambda s: s.invitations.by_hash("e" * 64),
        "accounts.memberships": lambda s: s.accounts.memberships("alice"),
        "accounts.workspace": lambda s: s.accounts.workspace("ws"),
        "accounts.workspaces": lambda s: [x for x in s.accounts.workspaces() if x.id == "ws"],
        "accounts.users": lambda s: [x for x in s.accounts.users() if x.id == "alice"],
        "sessions.get": lambda s: s.sessions.get("s1"),
        "api_keys.list": lambda s: s.api_keys.list(),
        "api_keys.get": lambda s: s.api_keys.get("k1"),
        "api_keys.by_hash": lambda s: s.api_keys.by_hash("f" * 64),
        "monitors.get": lambda s: s.monitors.get(m),
        "monitors.all": lambda s: s.monitors.all(),
        "states.all": lambda s: s.states.all(),
        "results.page": lambda s: s.results.page(m),
        "results.statuses": lambda s: s.results.statuses(m, now - FAR, now + FAR, 10),
        "results.looks": lambda s: s.results.looks(m, now - FAR, now + FAR, 10),
        "results.latest": lambda s: s.results.latest(m),
        "results.recent": lambda s: s.results.recent([m]),
        "results.newest": lambda s: s.results.newest(),
        "results.came_last": lambda s: _came_last(s, m),
        "ticks.read": lambda s: s.ticks.read(m, now - FAR, now + FAR, 9),
        "ticks.newest_at": lambda s: s.ticks.newest_at(m),
        "verdicts.open_all": lambda s: s.verdicts.open_all(),
        "verdicts.at": lambda s: s.verdicts.at(m, now + FAR),
        "verdicts.between": lambda s: s.verdicts.between(m, now - FAR, now + FAR),
        "verdicts.history": lambda s: s.verdicts.history(m),
        "verdicts.intervals": lambda s: s.verdicts.intervals(m, now - FAR, now + FAR),
        "verdicts.reasons": lambda s: s.verdicts.reasons([m], now - FAR, now + FAR),
        "incidents.spans": lambda s: s.incidents.spans([m], now - FAR, now + FAR),
        "rollups.series": lambda s: s.rollups.series(m, now - FAR, now + FAR, 3600),
        "rollups.stats": lambda s: s.rollups.stats(m, now - FAR, now + FAR),
        "latencies.sketches": lambda s: s.latencies.sketches([m], [(now - FAR, now + FAR)])[0],
        "latencies.steps": lambda s: s.latencies.steps(m, now - FAR, now + FAR, 3600),
        "verdicts.intervals_of": lambda s: s.verdicts.intervals_of([m], now - FAR, now + FAR),
        "rollups.averages": lambda s: s.rollups.averages([m], (86_400, 604_800)),
        "rollups.uptimes": lambda s: s.rollups.uptimes([m], FAR),
        "incidents.get": lambda s: s.incidents.get(i),
        "incidents.list": lambda s: s.incidents.list(monitor=m),
        "incidents.touching": lambda s: s.incidents.touching(m, now - FAR, now + FAR),
        "incidents.around": lambda s: s.incidents.around(now - FAR, now + FAR),
        "incidents.latest_of_others": lambda s: s.incidents.latest_of_others(),
        "incidents.latest_of": lambda s: s.incidents.latest_of([w.incident.subject]),
        "incidents.timeline": lambda s: s.incidents.timeline(i),
        "channels.get": lambda s: s.channels.get("c"),
        "channels.list": lambda s: s.channels.list(),
        "channels.all": lambda s: s.channels.all(),
        "outbox.get": lambda s: s.outbox.get(w.row.key),
        "outbox.list": lambda s: s.outbox.list(),
        "outbox.pending_count": lambda s: s.outbox.pending_count(),
        "outbox.oldest": lambda s: s.outbox.oldest(),
        "preferences.all": lambda s: s.preferences.all(),
        "preferences.of": lambda s: s.preferences.of("ws").failure_domains,
        "stand_ins.lacking": lambda s: s.stand_ins.lacking(("ws", "c"), "c2", Stuck(0, ("k",)), 10),
        "stand_ins.heard": lambda s: s.stand_ins.heard(w.end, "c2"),
        "outbox.places": lambda s: s.outbox.places(),
        "outbox.peek": lambda s: s.outbox.peek(("ws", "c"), at(9)),
        "outbox.earlier_ref": lambda s: s.outbox.earlier_ref(w.told),
        "outbox.carried": lambda s: s.outbox.carried(w.digest.row),
        "outbox.left_since": lambda s: s.outbox.left_since(START),
        "notices.list": lambda s: s.notices.list(),
        "probes.get": lambda s: s.probes.get("p"),
        "probes.list": lambda s: s.probes.list(),
        "probes.joins_until": lambda s: s.probes.joins_until("q", START),
        "probes.by_hash": lambda s: s.probes.by_hash("a" * 64),
        "agent_keys.of": lambda s: s.agent_keys.of("r"),
        "agent_keys.by_hash": lambda s: s.agent_keys.by_hash("h" * 64),
        "enrolment_keys.list": lambda s: s.enrolment_keys.list(),
        "enrolment_keys.by_hash": lambda s: s.enrolment_keys.by_hash("b" * 64),
        "host_configs.get": lambda s: s.host_configs.get("r"),
        "samples.acked": lambda s: s.samples.acked("r", "one"),
        "samples.metrics": lambda s: s.samples.metrics("r"),
        "samples.read": lambda s: s.samples.read("r", ["cpu.used_percent"], 0, 2**31, 60),
        "samples.gathered": lambda s: s.samples.gathered(("ws", "r")).chunks,
        "samples.latest": lambda s: s.samples.latest("r"),
        "samples.waits_since": lambda s: s.samples.waits_since(("ws", "r")),
        "host_states.all": lambda s: s.host_states.all(),
        "host_states.list": lambda s: s.host_states.list("r"),
        "host_states.changes": lambda s: s.host_states.changes("r"),
        "heartbeats.list": lambda s: s.heartbeats.list("r"),
        "heartbeats.newest": lambda s: s.heartbeats.newest(),
        "changes.list": lambda s: [c for c in s.changes.list()[0] if c.workspace_id == "ws"],
        **{f"{noun}.get": lambda s, noun=noun: getattr(s, noun).get("r") for noun in records()},
        **{f"{noun}.list": lambda s, noun=noun: getattr(s, noun).list() for noun in records()},
    }


def writes(w: World) -> dict[str, Callable[[Session], Any]]:
    """Every way to change something of a workspace."""
    done = OutboxOutcome(key=w.row.key, workspace_id="ws", state="sent", at=at(1), ok=True)
    return {
        "accounts.set_password": lambda s: s.accounts.set_password("alice", "x"),
        "accounts.add_workspace": lambda s: s.accounts.add_workspace(
            s.accounts.workspaces()[0].__class__(id="w9", name="x", created_at=START)
        ),
        "accounts.add_membership": lambda s: s.accounts.add_membership(_membership()),
        "accounts.set_role": lambda s: s.accounts.set_role("alice", "VIEWER"),
        "accounts.remove_membership": lambda s: s.accounts.remove_membership("alice"),
        "invitations.put": lambda s: s.invitations.put(replace(w.invitation, id="i9")),
        "invitations.delete": lambda s: s.invitations.delete("i1"),
        "invitations.expire": lambda s: s.invitations.expire(START + FAR),
        "sessions.add": lambda s: s.sessions.add(replace(w.session, id="s9")),
        "sessions.rotate": lambda s: s.sessions.rotate("s1", "x", at(1), at(2)),
        "sessions.end": lambda s: s.sessions.end("s1", at(1)),
        "sessions.end_all": lambda s: s.sessions.end_all("alice", at(1)),
        "sessions.expire": lambda s: s.sessions.expire(START + FAR),
        "api_keys.add": lambda s: s.api_keys.add(replace(w.key, id="k9", key_hash="9")),
        "api_keys.revoke": lambda s: s.api_keys.revoke("k1", at(1)),
        "api_keys.touch": lambda s: s.api_keys.touch("k1", at(1)),
        "monitors.add": lambda s: s.monitors.add(replace(w.monitor, id="m9")),
        "monitors.replace": lambda s: s.monitors.replace(replace(w.monitor, name="taken")),
        "monitors.delete": lambda s: s.monitors.delete(w.monitor.id),
        "monitors.forget_channel": lambda s: s.monitors.forget_channel("ws", "c"),
        "monitors.forget_place": lambda s: s.monitors.forget_place("eu"),
        "states.save": lambda s: s.states.save(
            [StateChange(workspace_id="ws", monitor_id=w.monitor.id, state=a_state("up"))]
        ),
        "results.add": lambda s: s.results.add([a_result(monitor=w.monitor, at=at(99))]),
        "results.expire": lambda s: s.results.expire(START + FAR),
        "verdicts.save": lambda s: s.verdicts.save(
            [VerdictChange(workspace_id="ws", monitor_id=w.monitor.id, verdict=a_verdict("up", at=at(9)))]
        ),
        "ticks.put": lambda s: s.ticks.put(w.monitor.id, START - FAR, START + FAR, []),
        "ticks.expire": lambda s: s.ticks.expire(START + FAR),
        "rollups.expire": lambda s: s.rollups.expire(START + FAR, START + FAR),
        "incidents.save": lambda s: s.incidents.save(IncidentChange(incident=replace(w.incident, reason="taken"))),
        "channels.add": lambda s: s.channels.add(replace(w.channel, id="c9")),
        "probes.add": lambda s: s.probes.add(replace(w.probe, id="p9", code="elsewhere")),
        "probes.replace": lambda s: s.probes.replace(replace(w.probe, name="taken")),
        "probes.delete": lambda s: s.probes.delete("p"),
        "probes.let_in": lambda s: s.probes.let_in(a_pass("p", hash="9" * 64)),
        "probes.use": lambda s: s.probes.use("j" * 64, at(1)),
        "probes.retire": lambda s: s.probes.retire(replace(w.key_of_probe, created_at=at(9))),
        "probes.expire": lambda s: s.probes.expire(START + FAR),
        "agent_keys.let_in": lambda s: s.agent_keys.let_in(replace(w.agent_key, hash="9" * 64)),
        "agent_keys.use": lambda s: s.agent_keys.use(w.agent_key, at(9)),
        "agent_keys.revoke": lambda s: s.agent_keys.revoke("r"),
        "enrolment_keys.add": lambda s: s.enrolment_keys.add(replace(w.enrolment, id="e9", key_hash="9")),
        "enrolment_keys.use": lambda s: s.enrolment_keys.use(w.enrolment, at(9)),
        "enrolment_keys.delete": lambda s: s.enrolment_keys.delete("e"),
        "host_configs.put": lambda s: s.host_configs.put(replace(w.host_config, version=2)),
        "samples.take": lambda s: s.samples.take(("ws", "r"), "one", [w.looked._replace(seq=2)], 10),
        "samples.move": lambda s: s.samples.move(Gathered(("ws", "r"), 9, 1, {1: 1}, []), {60: 1.0}),
        "samples.expire": lambda s: s.samples.expire(START + FAR, 10),
        "host_states.take": lambda s: s.host_states.take(("ws", "r"), "systemd", [], START),
        "host_states.expire": lambda s: s.host_states.expire(START + FAR),
        "heartbeats.note": lambda s: s.heartbeats.note(("ws", "r"), Said(), at(9), 75),
        "heartbeats.expire": lambda s: s.heartbeats.expire(START + FAR),
        "channels.replace": lambda s: s.channels.replace(replace(w.channel, name="taken")),
        "channels.delete": lambda s: s.channels.delete("c"),
        "outbox.add": lambda s: s.outbox.add(replace(w.row, key="k9")),
        "stand_ins.lend": lambda s: s.stand_ins.lend(replace(w.row, key="k9", order=9)),
        "outbox.claim": lambda s: s.outbox.claim(("ws", "c"), at(9), 30, 10, "thief"),
        "outbox.claim_digest": lambda s: s.outbox.claim_digest(("ws", "c"), at(9), 30, "thief"),
        "outbox.claim_all": lambda s: s.outbox.claim_all(("ws", "c"), at(9), 30, "thief"),
        "outbox.gather": lambda s: s.outbox.gather(gather([w.row], at(9), storm="thief")[0]),
        "outbox.hold_back": lambda s: s.outbox.hold_back(("ws", "c"), "gone", at(9), 10),
        "notices.put": lambda s: s.notices.put(replace(w.notice, text="taken")),
        "notices.see": lambda s: s.notices.see("1", at(9)),
        "notices.clear": lambda s: s.notices.clear("ws", w.notice.mark),
        "notices.expire": lambda s: s.notices.expire(START + FAR),
        "outbox.release": lambda s: s.outbox.release(),
        "outbox.settle": lambda s: s.outbox.settle([done]),
        "outbox.drop": lambda s: s.outbox.drop("ws", "c", "gone"),
        "preferences.save": lambda s: s.preferences.save("ws", Preferences(partial_is_down=True)),
        "verdicts.expire": lambda s: s.verdicts.expire(START + FAR),
        "changes.expire": lambda s: s.changes.expire(
            START - FAR
        ),  # it has rows of its own; test_judgement goes further
        "outbox.expire": lambda s: s.outbox.expire(START + FAR),
        **{
            f"{noun}.add": lambda s, noun=noun, thing=thing: getattr(s, noun).add(replace(thing, id="r9"))
            for noun, thing in records().items()
        },
        **{
            f"{noun}.replace": lambda s, noun=noun, thing=thing: getattr(s, noun).replace(replace(thing, name="taken"))
            for noun, thing in records().items()
        },
        **{f"{noun}.delete": lambda s, noun=noun: getattr(s, noun).delete("r") for noun in records()},
    }


def _membership() -> Any:
    from tocsin.core.account import Membership

    return Membership(user_id="charlie", workspace_id="ws", role="ADMIN")


# Of no workspace: the first setup, people as such, instances and their facts, and rows already told apart by the move.
_OF_NO_WORKSPACE = {
    "accounts.setup_done", "accounts.create_first", "accounts.add_user", "notes.get", "notes.set",
    "rollups.roll", "rollups.add", "results.newest_at", "instances.all", "instances.get", "instances.put",
    "instances.remove", "ticks.touched", "instances.add_token", "instances.has_token", "instances.revoke",
    "host_configs.signing", "host_configs.keep_signing",
}  # fmt: skip


def test_every_method_of_every_noun_is_tried() -> None:
    nouns = [n for n, v in vars(Session).items() if hasattr(v, "attrname") and n not in ("door", "places")]
    methods: set[str] = set()
    for noun in nouns:
        module = inspect.getmodule(Session)
        kind = Records if noun in records() else getattr(module, "".join(part.title() for part in noun.split("_")))
        methods |= {f"{noun}.{name}" for name, v in vars(kind).items() if callable(v) and not name.startswith("_")}
    world = World()
    world.monitor, world.incident = type("M", (), {"id": "m"}), type("I", (), {"id": "i", "subject": "s"})
    assert methods == reads(world).keys() | writes(world).keys() | _OF_NO_WORKSPACE


async def test_another_workspace_reads_nothing(store: Store) -> None:
    world = World()
    await world.fill(store)
    for name, work in reads(world).items():
        assert await store.of("ws").read(work) not in NOTHING, name
        try:
            found = await store.of("elsewhere").read(work)
        except NotFound:
            continue
        assert found in NOTHING, name


async def test_another_workspace_changes_nothing(store: Store) -> None:
    world = World()
    await world.fill(store)

    def all_of_it(s: Session) -> dict[str, Any]:
        tables = [r[0] for r in s.rows(_TABLES[s.postgres])]
        return {t: sorted(map(repr, s.rows(f"SELECT * FROM {t}"))) for t in tables if t != "notes"}

    before = await store.everything().read(all_of_it)
    assert sum(map(bool, before.values())) > 20
    for name, work in writes(world).items():
        try:
            found = await store.of("elsewhere").write(work)
            assert found in (*NOTHING, False), name
        except (NotFound, Denied, Invalid):
            pass
        after = await store.everything().read(all_of_it)
        assert {t for t in after if after[t] != before.get(t)} == set(), name


_TABLES = {
    False: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    True: "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name",
}


async def test_nested_ids_do_not_cross_even_for_those_who_see_all(store: Store) -> None:
    world = World()
    await world.fill(store)
    strangers_row = replace(world.row, key="k9", workspace_id="elsewhere")
    assert not await store.everything().write(lambda s: s.outbox.add(strangers_row))
    moved = replace(world.monitor, workspace_id="elsewhere")
    for work in (
        lambda s: s.monitors.replace(moved),
        lambda s: s.channels.replace(replace(world.channel, workspace_id="elsewhere")),
        lambda s: s.monitors.add(replace(moved, id="m9")),
    ):
        with pytest.raises(TocsinError):
            await store.everything().write(work)
    await store.commit(
        Batch(id="x", results=(replace(a_result(monitor=world.monitor, at=at(99)), workspace_id="elsewhere"),))
    )
    newest, *_ = (await store.of("ws").read(lambda s: s.results.page(world.monitor.id)))[0]
    assert newest.at == at(0)


SQL_FOR_TARGETS = {"checks/postgres.py", "checks/mysql.py", "collectors/_pg.py"}
"""What these ask of the database they look at, which is never ours; nothing of a user's is put into it."""


SQL_OF_THE_AGENT = {"agent/buffer.py", "agent/disk.py", "agent/ledger.py"}
"""An agent's own file on its host, which knows one host and no workspace; it must not import the store."""


def test_sql_stands_only_in_the_store_and_names_parameters() -> None:
    words = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ")
    root = Path(tocsin.store.__file__).parent.parent
    for path in root.rglob("*.py"):
        if "store" in path.parts or path.relative_to(root).as_posix() in SQL_FOR_TARGETS | SQL_OF_THE_AGENT:
            continue
        text = path.read_text(encoding="utf-8")
        if not any(word in text for word in words):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(words), f"{path}: {node.value[:60]}"
