"""Every table, for SQLite and PostgreSQL alike.

Outside the store everything has an opaque string id. Inside, what there is much of (results, evidence, states,
verdicts, rollups) is keyed by the integer `key` of its monitor, location and workspace; those rows carry `workspace`,
the others `workspace_id`, so every query can name it. Times are whole microseconds since 1970, rollups' whole seconds;
JSON is text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

_INT = BigInteger().with_variant(Integer(), "sqlite")
_SMALL = SmallInteger().with_variant(Integer(), "sqlite")
_BLOB = LargeBinary().with_variant(LargeBinary(), "sqlite")


def _int(name: str, *more: ForeignKey, null: bool = False, default: int | None = None) -> Column[int]:
    return Column(name, _INT, *more, nullable=null, server_default=None if default is None else text(str(default)))


def _small(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, _SMALL, nullable=null)


def _text(name: str, *more: ForeignKey, null: bool = False, primary: bool = False) -> Column[str]:
    return Column(name, Text, *more, nullable=null, primary_key=primary)


def _blob(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, _BLOB, nullable=null)


def _table(name: str, *parts: Column[int] | Column[str] | Column[bytes] | ForeignKeyConstraint | UniqueConstraint
           | PrimaryKeyConstraint | Index, rowid: bool = True, counted: bool = False) -> Table:  # fmt: skip
    return Table(name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=rowid, sqlite_autoincrement=counted)


def _key() -> Column[int]:
    return Column("key", _INT, primary_key=True)


def _of(parent: str, *columns: str) -> ForeignKeyConstraint:
    """(workspace_id, column) must be a row of the parent in the same workspace; it goes when the parent goes."""
    return ForeignKeyConstraint(
        ["workspace_id", columns[0]], [f"{parent}.workspace_id", f"{parent}.id"], ondelete="CASCADE"
    )


_partial: list[tuple[Index, str]] = []


def _partly(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    """An index of some rows only."""
    _partial.append((Index(name, *columns, unique=unique, sqlite_where=text(where)), where))


def for_postgresql() -> MetaData:
    """The tables with what only PostgreSQL's indexes are told. Loads its dialect: a start on SQLite does without."""
    for index, where in _partial:
        index.dialect_options["postgresql"]["where"] = text(where)
    return metadata


def _workspace() -> Column[str]:
    return _text("workspace_id", ForeignKey("workspaces.id", ondelete="CASCADE"))


notes = _table("notes", _text("name", primary=True), _text("value"))
workspaces = _table(
    "workspaces", _key(), _text("id"), _text("name"), _int("created_at"), UniqueConstraint("id"), counted=True
)
users = _table(
    "users", _text("id", primary=True), _text("email"), _text("password_hash"), _int("token_version"), _small(
        "disabled"),
    _int("created_at"), UniqueConstraint("email"),
)  # fmt: skip
memberships = _table(
    "memberships", _workspace(), _text("user_id", ForeignKey("users.id", ondelete="CASCADE")), _text("role"),
    PrimaryKeyConstraint("workspace_id", "user_id"), Index("memberships_user", "user_id"),
)  # fmt: skip
sessions = _table(
    "sessions", _text("id", primary=True), _text("workspace_id"), _text("user_id"), _int("expires_at"),
    _int("ended_at", null=True), _text("data"),
    ForeignKeyConstraint(
        ["workspace_id", "user_id"], ["memberships.workspace_id", "memberships.user_id"], ondelete="CASCADE"
    ),
    Index("sessions_user", "user_id"),
)  # fmt: skip
api_keys = _table(
    "api_keys", _text("id"), _workspace(), _text("key_hash"), _int("last_used_at", null=True), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"), UniqueConstraint("key_hash"),
)  # fmt: skip
invitations = _table(
    "invitations", _workspace(), _text("id"), _text("email"), _text("token_hash"), _int("expires_at"), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"), UniqueConstraint("workspace_id", "email"),
    UniqueConstraint("token_hash"),
)  # fmt: skip
locations = _table("locations", _key(), _text("name"), UniqueConstraint("name"), counted=True)
monitors = _table(
    "monitors", _key(), _workspace(), _text("id"), _text("name"), _text("type"), _text("tags"), _small("paused"),
    _int("version"), _blob("target"), _text("data"),
    UniqueConstraint("id"), UniqueConstraint("workspace_id", "id"), Index("monitors_name", "workspace_id", "name",
    "id"),
    counted=True,
)  # fmt: skip
channels = _table(
    "channels", _workspace(), _text("id"), _text("name"), _text("type"), _blob("config"), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"),
)  # fmt: skip
monitor_channels = _table(
    "monitor_channels", _text("workspace_id"), _text("monitor_id"), _text("channel_id"),
    PrimaryKeyConstraint("workspace_id", "monitor_id", "channel_id"),
    _of("monitors", "monitor_id"), _of("channels", "channel_id"), Index("monitor_channels_channel", "workspace_id",
    "channel_id"),
)  # fmt: skip
monitor_parents = _table(
    "monitor_parents", _text("workspace_id"), _text("monitor_id"), _text("parent_id"),
    PrimaryKeyConstraint("workspace_id", "monitor_id", "parent_id"),
    _of("monitors", "monitor_id"), _of("monitors", "parent_id"), Index("monitor_parents_parent", "workspace_id",
    "parent_id"),
)  # fmt: skip
monitors_gone = _table("monitors_gone", _int("workspace"), _int("monitor"), PrimaryKeyConstraint("monitor"))


def _result_columns() -> tuple[Column[int] | Column[bytes], ...]:
    """A result, packed (store.packing): `total` in 10 µs, `more` with what no query asks for."""
    return (
        _int("monitor"), _int("at"), _int("location"), _int("attempt"), _int("workspace"), _int("flags"),
        _int("total", null=True), _blob("more"),
    )  # fmt: skip


results = _table(
    "results", *_result_columns(), PrimaryKeyConstraint("monitor", "at", "location", "attempt"), rowid=False
)
results_tail = _table("results_tail", Column("n", _INT, primary_key=True), *_result_columns())
evidence = _table(
    "evidence", _int("monitor"), _int("at"), _int("location"), _int("attempt"), _int("workspace"), _blob("data"),
    PrimaryKeyConstraint("monitor", "at", "location", "attempt"), rowid=False,
)  # fmt: skip
latest = _table(
    "latest", _int("monitor"), _int("location"), _int("workspace"), _int("at"), _int("attempt"), _blob("data"),
    PrimaryKeyConstraint("monitor", "location"), rowid=False,
)  # fmt: skip
states = _table(
    "states", _int("monitor"), _int("location"), _int("workspace"), _text("data"),
    PrimaryKeyConstraint("monitor", "location"), rowid=False,
)  # fmt: skip
ticks = _table(
    "ticks", _int("monitor"), _int("at"), _int("workspace"), _int("total"), _int("successful"), _int("average", null=True),
    _int("low", null=True), _int("high", null=True), _text("consensus"), _blob("looks"),
    PrimaryKeyConstraint("monitor", "at"), rowid=False,
)  # fmt: skip
verdicts = _table(
    "verdicts", _int("monitor"), _int("at"), _int("workspace"), _int("ended", null=True), _text("value"), _text("data"),
    PrimaryKeyConstraint("monitor", "at"), rowid=False,
)  # fmt: skip
_partly("verdicts_open", verdicts.c.monitor, where="ended IS NULL")


def _rollup(name: str) -> Table:
    return _table(
        name, _int("monitor"), _int("location"), _int("at"), _int("workspace"), _int("count"), _int("up"),
        _int("degraded"), _int("down"), _int("invalid"), _int("answered"), _int("sum"), _int("low", null=True),
        _int("high", null=True), _blob("sketch"),
        PrimaryKeyConstraint("monitor", "location", "at"), rowid=False,
    )  # fmt: skip


rollups_minute, rollups_hour, rollups_day = _rollup("rollups_minute"), _rollup("rollups_hour"), _rollup("rollups_day")

Index(  # lists of uptimes read this instead of rows full of sketches
    "rollups_day_uptime", rollups_day.c.monitor, rollups_day.c.at, rollups_day.c.up, rollups_day.c.degraded,
    rollups_day.c.down,
)  # fmt: skip

subjects = _table(
    "subjects", _workspace(), _text("subject"), _int("transition"), PrimaryKeyConstraint("workspace_id", "subject")
)
incidents = _table(
    "incidents", _workspace(), _text("id"), _text("subject"), _text("monitor_id", null=True), _text("host_id",
    null=True),
    _int("opened_at"), _int("resolved_at", null=True), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"), Index("incidents_newest", "workspace_id", "opened_at", "id"),
    Index("incidents_subject", "workspace_id", "subject", "opened_at"),
)  # fmt: skip
_partly("incidents_one_open", incidents.c.workspace_id, incidents.c.subject, where="resolved_at IS NULL", unique=True)
timeline = _table(
    "timeline", Column("n", _INT, primary_key=True), _text("workspace_id"), _text("incident_id"), _text("mark"),
    _int("at"),
    _text("data"), UniqueConstraint("workspace_id", "incident_id", "mark"), _of("incidents", "incident_id"),
)  # fmt: skip
outbox = _table(
    "outbox", Column("n", _INT, primary_key=True), _text("key"), _workspace(), _text("channel_id"),
    _text("incident_id", null=True), _text("monitor_id", null=True), _text("subject"), _int("rank"), _text("message"),
    _int("created_at"), _int("next_at"), _text("state"), _int("attempts"), _int("lease_until", null=True),
    _text("lease_by", null=True), _text("last_error", null=True), _int("done_at", null=True),
    UniqueConstraint("workspace_id", "key"), Index("outbox_incident", "workspace_id", "incident_id"), counted=True,
)  # fmt: skip
_partly(
    "outbox_waiting", outbox.c.workspace_id, outbox.c.channel_id, outbox.c.subject, outbox.c.rank,
    where="state = 'pending'",
)  # fmt: skip
_partly(
    "outbox_due", outbox.c.workspace_id, outbox.c.channel_id, outbox.c.n, outbox.c.next_at, where="state = 'pending'"
)
message_refs = _table(
    "message_refs", _text("workspace_id"), _text("channel_id"), _text("thread"), _text("ref"), _int("at"),
    PrimaryKeyConstraint("workspace_id", "channel_id", "thread"), _of("channels", "channel_id"),
)  # fmt: skip
digest_rows = _table(
    "digest_rows", _text("workspace_id"), _text("key"), _text("digest"), PrimaryKeyConstraint("workspace_id", "key"),
    ForeignKeyConstraint(["workspace_id", "key"], ["outbox.workspace_id", "outbox.key"], ondelete="CASCADE"),
    Index("digest_rows_digest", "workspace_id", "digest"),
)  # fmt: skip
attempts = _table(
    "attempts", Column("n", _INT, primary_key=True), _text("workspace_id"), _text("key"), _int("at"), _small("ok"),
    _text("error", null=True), _int("took_us"), UniqueConstraint("workspace_id", "key", "at"),
    ForeignKeyConstraint(["workspace_id", "key"], ["outbox.workspace_id", "outbox.key"], ondelete="CASCADE"),
)  # fmt: skip
notices = _table(
    "notices", Column("n", _INT, primary_key=True), _workspace(), _text("mark"), _int("at"), _int("seen_at", null=True),
    _text("data"), UniqueConstraint("workspace_id", "mark"), counted=True,
)  # fmt: skip


def _record(name: str) -> Table:
    """What users write down whole (store.records)."""
    return _table(
        name, _workspace(), _text("id"), _text("name"), _int("version"), _text("data"),
        PrimaryKeyConstraint("workspace_id", "id"), Index(f"{name}_name", "workspace_id", "name", "id"),
    )  # fmt: skip


alert_rules = _record("alert_rules")
maintenance_windows = _record("maintenance_windows")
escalation_policies = _record("escalation_policies")
on_call_schedules = _record("on_call_schedules")
probes = _table(
    "probes", _workspace(), _text("id"), _text("code"), _int("version"), _blob("keys"), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"), UniqueConstraint("workspace_id", "code"),
)  # fmt: skip
probe_keys = _table(
    "probe_keys", _text("key_hash", primary=True), _text("workspace_id"), _text("probe_id"), _text("kind"),
    _int("created_at"), _int("expires_at", null=True), _int("used_at", null=True),
    _of("probes", "probe_id"), Index("probe_keys_probe", "workspace_id", "probe_id"),
)  # fmt: skip
changes = _table(
    "changes", Column("number", _INT, primary_key=True), _text("workspace_id", null=True), _int("at"), _text("by_whom"),
    _text("noun"), _text("noun_id"), _text("verb"), _text("before"), _text("after"),
    Index("changes_workspace", "workspace_id", "number"), counted=True,
)  # fmt: skip

# Hosts, which agents watch from inside. What they told (samples, heartbeats, states) is each instance's own.
hosts = _record("hosts")
agent_keys = _table(
    "agent_keys", _text("key_hash", primary=True), _text("workspace_id"), _text("host_id"), _text("prefix"),
    _int("created_at"), _int("used_at", null=True), _of("hosts", "host_id"), Index("agent_keys_host", "workspace_id",
    "host_id"),
)  # fmt: skip
enrolment_keys = _table(
    "enrolment_keys", _workspace(), _text("id"), _text("key_hash"), _text("data"),
    PrimaryKeyConstraint("workspace_id", "id"), UniqueConstraint("key_hash"),
)  # fmt: skip
host_configs = _table(
    "host_configs", _text("workspace_id"), _text("host_id"), _int("version"), _text("digest"), _blob("config"),
    PrimaryKeyConstraint("workspace_id", "host_id"), _of("hosts", "host_id"),
)  # fmt: skip
agent_signing = _table("agent_signing", _text("id", primary=True), _int("created_at"), _blob("secret"))
agent_acks = _table(
    "agent_acks", _text("workspace_id"), _text("host_id"), _text("incarnation"), _int("acked"), _int("at"),
    PrimaryKeyConstraint("workspace_id", "host_id", "incarnation"), rowid=False,
)  # fmt: skip
series = _table(
    "series", _key(), _text("workspace_id"), _text("host_id"), _text("name"), _int("last_at"),
    UniqueConstraint("workspace_id", "host_id", "name"), counted=True,
)  # fmt: skip
samples_tail = _table(
    "samples_tail", _text("workspace_id"), _text("host_id"), _int("n"), _int("at"), _blob("data"),
    PrimaryKeyConstraint("workspace_id", "host_id", "n"), rowid=False,
)  # fmt: skip
samples = _table(
    "samples", _int("series"), _int("step"), _int("at"), _blob("data"), PrimaryKeyConstraint("series", "step", "at"),
    rowid=False,
)  # fmt: skip
heartbeats = _table(
    "heartbeats", _text("workspace_id"), _text("host_id"), _int("began_at"), _int("last_at"), _int("count"),
    _text("data"), PrimaryKeyConstraint("workspace_id", "host_id", "began_at"), rowid=False,
)  # fmt: skip
host_states = _table(
    "host_states", _text("workspace_id"), _text("host_id"), _text("kind"), _text("name"), _text("collector"),
    _text("data"), PrimaryKeyConstraint("workspace_id", "host_id", "kind", "name"), rowid=False,
)  # fmt: skip
host_state_changes = _table(
    "host_state_changes", Column("n", _INT, primary_key=True), _text("workspace_id"), _text("host_id"), _int("at"),
    _text("data"), Index("host_state_changes_newest", "workspace_id", "host_id", "at"),
)  # fmt: skip

# How several instances stay one system (store.replica). Of no workspace; never copied from one instance to another.
control = _table(
    "control", Column("one", _INT, primary_key=True), _blob("standing"), _int("epoch"), _blob("cluster_key"),
    _int("base_epoch"), _int("base"), _blob("membership"), _int("applied"), _small("torn"),
)  # fmt: skip
control_log = _table(
    "control_log", Column("n", _INT, primary_key=True), _int("epoch"), _int("at"), _text("kind"), _blob("payload")
)
instances = _table(
    "instances", _text("id", primary=True), _text("name"), _text("location"), _text("data"), UniqueConstraint("name"),
    UniqueConstraint("location"),
)  # fmt: skip
instance_tokens = _table(
    "instance_tokens", _text("token_hash", primary=True), _text("instance_id", ForeignKey("instances.id",
    ondelete="CASCADE")), _int("expires_at"), Index("instance_tokens_instance", "instance_id"),
)  # fmt: skip
transport = _table(
    "transport", _text("source"), _int("seq"), _int("monitor"), _int("at"), _int("location"), _int("attempt"),
    _int("taken_at"), PrimaryKeyConstraint("source", "seq"), rowid=False,
)  # fmt: skip
transport_ends = _table("transport_ends", _text("source", primary=True), _int("upto"), rowid=False)
