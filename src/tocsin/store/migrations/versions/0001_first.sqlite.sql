CREATE TABLE changes (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    workspace_id TEXT,
    at INTEGER NOT NULL,
    by_whom TEXT NOT NULL,
    noun TEXT NOT NULL,
    noun_id TEXT NOT NULL,
    verb TEXT NOT NULL,
    "before" TEXT NOT NULL,
    "after" TEXT NOT NULL
)
 STRICT;

CREATE INDEX changes_workspace ON changes (workspace_id, number);

CREATE TABLE evidence (
    monitor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    location INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (monitor, at, location, attempt)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE latest (
    monitor INTEGER NOT NULL,
    location INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (monitor, location)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE locations (
    "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    UNIQUE (name)
)
 STRICT;

CREATE TABLE monitors_gone (
    workspace INTEGER NOT NULL,
    monitor INTEGER NOT NULL,
    PRIMARY KEY (monitor)
)
 STRICT;

CREATE TABLE notes (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
)
 STRICT;

CREATE TABLE results (
    monitor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    location INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    total INTEGER,
    more BLOB NOT NULL,
    PRIMARY KEY (monitor, at, location, attempt)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE results_tail (
    n INTEGER NOT NULL,
    monitor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    location INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    total INTEGER,
    more BLOB NOT NULL,
    PRIMARY KEY (n)
)
 STRICT;

CREATE TABLE rollups_day (
    monitor INTEGER NOT NULL,
    location INTEGER NOT NULL,
    at INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    count INTEGER NOT NULL,
    up INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    down INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    low INTEGER,
    high INTEGER,
    sketch BLOB NOT NULL,
    PRIMARY KEY (monitor, location, at)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX rollups_day_uptime ON rollups_day (monitor, at, up, degraded, down);

CREATE TABLE rollups_hour (
    monitor INTEGER NOT NULL,
    location INTEGER NOT NULL,
    at INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    count INTEGER NOT NULL,
    up INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    down INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    low INTEGER,
    high INTEGER,
    sketch BLOB NOT NULL,
    PRIMARY KEY (monitor, location, at)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE rollups_minute (
    monitor INTEGER NOT NULL,
    location INTEGER NOT NULL,
    at INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    count INTEGER NOT NULL,
    up INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    down INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    low INTEGER,
    high INTEGER,
    sketch BLOB NOT NULL,
    PRIMARY KEY (monitor, location, at)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE states (
    monitor INTEGER NOT NULL,
    location INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (monitor, location)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE users (
    id TEXT NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    token_version INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (email)
)
 STRICT;

CREATE TABLE verdicts (
    monitor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    workspace INTEGER NOT NULL,
    ended INTEGER,
    value TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (monitor, at)
)
 WITHOUT ROWID,
 STRICT;

CREATE INDEX verdicts_open ON verdicts (monitor) WHERE ended IS NULL;

CREATE TABLE workspaces (
    "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (id)
)
 STRICT;

CREATE TABLE api_keys (
    id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    last_used_at INTEGER,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (key_hash),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE TABLE channels (
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    config BLOB NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE TABLE incidents (
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    monitor_id TEXT,
    host_id TEXT,
    opened_at INTEGER NOT NULL,
    resolved_at INTEGER,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX incidents_newest ON incidents (workspace_id, opened_at, id);

CREATE UNIQUE INDEX incidents_one_open ON incidents (workspace_id, subject) WHERE resolved_at IS NULL;

CREATE INDEX incidents_subject ON incidents (workspace_id, subject, opened_at);

CREATE TABLE memberships (
    workspace_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (workspace_id, user_id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE monitors (
    "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    tags TEXT NOT NULL,
    paused INTEGER NOT NULL,
    version INTEGER NOT NULL,
    target BLOB NOT NULL,
    data TEXT NOT NULL,
    UNIQUE (id),
    UNIQUE (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX monitors_name ON monitors (workspace_id, name, id);

CREATE TABLE outbox (
    n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "key" TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    incident_id TEXT,
    monitor_id TEXT,
    subject TEXT NOT NULL,
    rank INTEGER NOT NULL,
    message TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    lease_until INTEGER,
    lease_by TEXT,
    last_error TEXT,
    done_at INTEGER,
    UNIQUE (workspace_id, "key"),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX outbox_incident ON outbox (workspace_id, incident_id);

CREATE INDEX outbox_waiting ON outbox (workspace_id, channel_id, subject, rank) WHERE state = 'pending';

CREATE TABLE subjects (
    workspace_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    transition INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, subject),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;

CREATE TABLE attempts (
    n INTEGER NOT NULL,
    workspace_id TEXT NOT NULL,
    "key" TEXT NOT NULL,
    at INTEGER NOT NULL,
    ok INTEGER NOT NULL,
    error TEXT,
    took_us INTEGER NOT NULL,
    PRIMARY KEY (n),
    UNIQUE (workspace_id, "key", at),
    FOREIGN KEY(workspace_id, "key") REFERENCES outbox (workspace_id, "key") ON DELETE CASCADE
)
 STRICT;

CREATE TABLE monitor_channels (
    workspace_id TEXT NOT NULL,
    monitor_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    PRIMARY KEY (workspace_id, monitor_id, channel_id),
    FOREIGN KEY(workspace_id, monitor_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY(workspace_id, channel_id) REFERENCES channels (workspace_id, id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX monitor_channels_channel ON monitor_channels (workspace_id, channel_id);

CREATE TABLE monitor_parents (
    workspace_id TEXT NOT NULL,
    monitor_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    PRIMARY KEY (workspace_id, monitor_id, parent_id),
    FOREIGN KEY(workspace_id, monitor_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY(workspace_id, parent_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX monitor_parents_parent ON monitor_parents (workspace_id, parent_id);

CREATE TABLE sessions (
    id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    data TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(workspace_id, user_id) REFERENCES memberships (workspace_id, user_id) ON DELETE CASCADE
)
 STRICT;

CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE timeline (
    n INTEGER NOT NULL,
    workspace_id TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    mark TEXT NOT NULL,
    at INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (n),
    UNIQUE (workspace_id, incident_id, mark),
    FOREIGN KEY(workspace_id, incident_id) REFERENCES incidents (workspace_id, id) ON DELETE CASCADE
)
 STRICT;
