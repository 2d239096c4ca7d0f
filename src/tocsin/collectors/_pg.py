"""What a PostgreSQL is asked, each question answered by one JSON value; and what its answers come to. Pure."""

# ruff: noqa: E501, S608 - statements of ours, made of constants

from __future__ import annotations

from typing import Any

from tocsin.collectors._answer import labelled, number, word
from tocsin.core.plain import as_list, as_map
from tocsin.core.sample import Service

MOST_DATABASES = 50
_SEES = "pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"

BASE = f"""SELECT json_build_object('version', current_setting('server_version'),
 'number', current_setting('server_version_num')::int, 'standby', pg_is_in_recovery(), 'sees', {_SEES},
 'max', current_setting('max_connections')::int, 'database', current_database(),
 'up_s', extract(epoch from clock_timestamp() - pg_postmaster_start_time()))::text"""

ACTIVITY = """SELECT json_build_object('total', count(*), 'active', count(*) FILTER (WHERE state = 'active'),
 'idle', count(*) FILTER (WHERE state = 'idle'),
 'idle_in_transaction', count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
 'longest_query_s', coalesce(max(extract(epoch from clock_timestamp() - query_start)) FILTER (WHERE state = 'active'), 0),
 'longest_transaction_s', coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0),
 'longest_idle_in_transaction_s', coalesce(max(extract(epoch from clock_timestamp() - state_change)) FILTER (WHERE state LIKE 'idle in transaction%'), 0))::text
 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""

DATABASES = f"""SELECT json_build_object('waiting', (SELECT count(*) FROM pg_locks WHERE NOT granted),
 'backends', (SELECT sum(numbackends) FROM pg_stat_database WHERE datid <> 0),
 'databases', (SELECT json_agg(f) FROM (SELECT d.datname AS name, s.numbackends AS connections, s.xact_commit AS commits,
  s.xact_rollback AS rollbacks, s.blks_hit AS hits, s.blks_read AS reads, s.deadlocks AS deadlocks,
  s.temp_bytes AS temp_bytes FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
  WHERE d.datallowconn AND NOT d.datistemplate ORDER BY s.xact_commit DESC LIMIT {MOST_DATABASES}) f),
 'ages', (SELECT json_agg(f) FROM (SELECT datname AS name, age(datfrozenxid) AS age FROM pg_database
  ORDER BY 2 DESC LIMIT {MOST_DATABASES}) f))::text"""

SIZES = f"""SELECT json_agg(f)::text FROM (SELECT datname AS name, CASE WHEN {_SEES}
 OR has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END AS size FROM pg_database
 WHERE datallowconn AND NOT datistemplate LIMIT {MOST_DATABASES}) f"""

SENDING = """SELECT json_build_object('replicas', (SELECT json_agg(f) FROM (SELECT application_name AS name,
  host(client_addr) AS address, state, sync_state, extract(epoch from replay_lag) AS lag_s,
  pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn) AS lag_bytes
  FROM pg_stat_replication ORDER BY application_name, client_addr, pid LIMIT 50) f),
 'slots', (SELECT json_agg(f) FROM (SELECT s.slot_name AS name, s.slot_type AS type, s.active, to_jsonb(s) ->> 'wal_status' AS wal_status,
  pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn) AS retained
  FROM pg_replication_slots s LIMIT 50) f))::text"""

RECEIVING = """SELECT json_build_object('receives', (SELECT count(*) FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
 'status', (SELECT status FROM pg_stat_wal_receiver LIMIT 1), 'paused', pg_is_wal_replay_paused(),
 'lag_bytes', greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0),
 'caught_up', pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(),
 'from', coalesce(current_setting('primary_conninfo', true), '') <> '',
 'replayed_s', extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()))::text"""

_CHECKPOINTS = "SELECT json_build_object('timed', {timed}, 'requested', {requested})::text FROM {view}"
ARCHIVE = """SELECT json_build_object('on', current_setting('archive_mode') <> 'off', 'failed', failed_count,
 'waits_s', CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN extract(epoch from clock_timestamp() - last_failed_time) END)::text
 FROM pg_stat_archiver"""


def checkpoints(version: float) -> str:
    """The question for checkpoints: they moved to a view of their own with version 17."""
    if version >= 170000:
        return _CHECKPOINTS.format(timed="num_timed", requested="num_requested", view="pg_stat_checkpointer")
    return _CHECKPOINTS.format(timed="checkpoints_timed", requested="checkpoints_req", view="pg_stat_bgwriter")


def connections(base: dict[Any, Any], activity: dict[Any, Any], every: dict[Any, Any], server: str) -> dict[str, float]:
    """Connections by state, how old the oldest query and transactions are, and how many locks are waited for."""
    made: dict[str, float] = {}
    total, most = number(activity.get("total")), number(base.get("max"))
    total = number(every.get("backends")) if total is None else total + 1  # our own
    labelled(made, "postgres.connections", total, server=server)
    if total is not None and most:
        labelled(made, "postgres.connections_percent", 100 * total / most, server=server)
    for name in ("active", "idle", "idle_in_transaction"):
        labelled(made, f"postgres.connections_{name}", activity.get(name), server=server)
    for name in ("longest_query_s", "longest_transaction_s", "longest_idle_in_transaction_s"):
        value = number(activity.get(name))
        labelled(made, f"postgres.{name}", None if value is None else max(0.0, value), server=server)
    labelled(made, "postgres.locks_waiting", every.get("waiting"), server=server)
    labelled(made, "postgres.uptime_s", base.get("up_s"), server=server)
    return made


def rows(value: object) -> list[dict[Any, Any]]:
    """The objects of a list; nothing of what is no list."""
    return [entries for row in as_list(value) or () if (entries := as_map(row)) is not None]


def counters(every: dict[Any, Any]) -> dict[str, float]:
    """Counters of the databases, by database and name."""
    found: dict[str, float] = {}
    for row in rows(every.get("databases")):
        name = word(row.get("name"), 63)
        for what in ("commits", "rollbacks", "hits", "reads", "deadlocks", "temp_bytes"):
            if name and (value := number(row.get(what))) is not None:
                found[f"{what}\0{name}"] = value
    return found


def of_databases(every: dict[Any, Any], rates: dict[str, float], server: str) -> dict[str, float]:
    """What grew in each database, how much came from its cache, and how near it is to the end of its transaction ids."""
    made: dict[str, float] = {}
    names = {
        "commits": "commits_per_s",
        "rollbacks": "rollbacks_per_s",
        "deadlocks": "deadlocks_per_s",
        "temp_bytes": "temp_bytes_per_s",
    }
    for key, rate in rates.items():
        what, _, database = key.partition("\0")
        if what in names:
            labelled(made, f"postgres.{names[what]}", rate, server=server, database=database)
        elif what == "hits":
            looked = rate + rates.get(f"reads\0{database}", 0.0)
            if looked > 0:
                labelled(made, "postgres.cache_hit_percent", 100 * rate / looked, server=server, database=database)
    for row in rows(every.get("databases")):
        if name := word(row.get("name"), 63):
            labelled(made, "postgres.database_connections", row.get("connections"), server=server, database=name)
    for row in rows(every.get("ages")):
        age, name = number(row.get("age")), word(row.get("name"), 63)
        if age is not None and name:
            labelled(made, "postgres.wraparound_percent", 100 * age / 2**31, server=server, database=name)
    return made


def replicas(sending: dict[Any, Any], server: str) -> tuple[dict[str, float], list[Service]]:
    """Each server that receives from this one, and each slot that keeps log for one."""
    made: dict[str, float] = {}
    services: list[Service] = []
    for row in rows(sending.get("replicas")):
        name, state = word(row.get("name"), 63), word(row.get("state"))
        if not name or not state:
            continue
        who = f"{name}@{word(row.get('address'), 50)}" if row.get("address") else name
        labelled(made, "postgres.replica_lag_bytes", row.get("lag_bytes"), server=server, replica=who)
        labelled(made, "postgres.replica_lag_s", row.get("lag_s") or 0, server=server, replica=who)
        ok = True if state == "streaming" else None
        services.append(
            Service(
                kind="replica",
                name=f"{server}/{who}"[:200],
                state=state,
                ok=ok,
                facts={"sync": word(row.get("sync_state"))},
            )
        )
    for row in rows(sending.get("slots")):
        name, status = word(row.get("name"), 63), word(row.get("wal_status"))
        labelled(made, "postgres.slot_retained_bytes", row.get("retained"), server=server, slot=name)
        ok = False if status == "lost" else None if row.get("active") is not True else True
        state = "lost" if status == "lost" else "active" if row.get("active") is True else "inactive"
        detail = "the log it needs is gone: its standby has to be made anew" if status == "lost" else ""
        services.append(
            Service(
                kind="slot",
                name=f"{server}/{name}"[:200],
                state=state,
                ok=ok,
                detail=detail,
                facts={"type": word(row.get("type")), "log": status},
            )
        )
    once = {(s.kind, s.name): s for s in services}
    return made, list(once.values())


def reception(receiving: dict[Any, Any], server: str, behind_s: float = 0.0) -> tuple[dict[str, float], list[Service]]:
    """A standby's own side: whether it receives, and how far it is behind. While it receives and has replayed all of it the
    lag is nothing; when it does not receive, time goes on. `behind_s`: so long we have seen it behind, for one that has not
    replayed anything since it started."""
    made: dict[str, float] = {}
    receives, paused = bool(number(receiving.get("receives"))), receiving.get("paused") is True
    lag = number(receiving.get("replayed_s"))
    lag = behind_s if lag is None else lag
    if receives and receiving.get("caught_up") is True:
        lag = 0.0
    labelled(made, "postgres.replication_lag_s", max(0.0, lag), server=server)
    labelled(made, "postgres.replication_lag_bytes", receiving.get("lag_bytes"), server=server)
    wants = receiving.get("from") is not False
    state = "paused" if paused else "receives" if receives else "not receiving"
    ok = False if paused else True if receives else False if wants else None
    detail = "" if receives or not wants else "no connection to the server it should receive from"
    return made, [Service(kind="replication", name=server, state=state, ok=ok, detail=detail)]
