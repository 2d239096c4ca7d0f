CREATE TABLE changes (
    number BIGSERIAL NOT NULL,
    workspace_id TEXT,
    at BIGINT NOT NULL,
    by_whom TEXT NOT NULL,
    noun TEXT NOT NULL,
    noun_id TEXT NOT NULL,
    verb TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    PRIMARY KEY (number)
);

CREATE INDEX changes_workspace ON changes (workspace_id, number);

CREATE TABLE evidence (
    monitor BIGINT NOT NULL,
    at BIGINT NOT NULL,
    location BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (monitor, at, location, attempt)
);

CREATE TABLE latest (
    monitor BIGINT NOT NULL,
    location BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    at BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (monitor, location)
);

CREATE TABLE locations (
    key BIGSERIAL NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (key),
    UNIQUE (name)
);

CREATE TABLE monitors_gone (
    workspace BIGINT NOT NULL,
    monitor BIGSERIAL NOT NULL,
    PRIMARY KEY (monitor)
);

CREATE TABLE notes (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE results (
    monitor BIGINT NOT NULL,
    at BIGINT NOT NULL,
    location BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    total BIGINT,
    more BYTEA NOT NULL,
    PRIMARY KEY (monitor, at, location, attempt)
);

CREATE TABLE results_tail (
    n BIGSERIAL NOT NULL,
    monitor BIGINT NOT NULL,
    at BIGINT NOT NULL,
    location BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    flags BIGINT NOT NULL,
    total BIGINT,
    more BYTEA NOT NULL,
    PRIMARY KEY (n)
);

CREATE TABLE rollups_day (
    monitor BIGINT NOT NULL,
    location BIGINT NOT NULL,
    at BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    count BIGINT NOT NULL,
    up BIGINT NOT NULL,
    degraded BIGINT NOT NULL,
    down BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    sum BIGINT NOT NULL,
    low BIGINT,
    high BIGINT,
    sketch BYTEA NOT NULL,
    PRIMARY KEY (monitor, location, at)
);

CREATE INDEX rollups_day_uptime ON rollups_day (monitor, at, up, degraded, down);

CREATE TABLE rollups_hour (
    monitor BIGINT NOT NULL,
    location BIGINT NOT NULL,
    at BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    count BIGINT NOT NULL,
    up BIGINT NOT NULL,
    degraded BIGINT NOT NULL,
    down BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    sum BIGINT NOT NULL,
    low BIGINT,
    high BIGINT,
    sketch BYTEA NOT NULL,
    PRIMARY KEY (monitor, location, at)
);

CREATE TABLE rollups_minute (
    monitor BIGINT NOT NULL,
    location BIGINT NOT NULL,
    at BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    count BIGINT NOT NULL,
    up BIGINT NOT NULL,
    degraded BIGINT NOT NULL,
    down BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    sum BIGINT NOT NULL,
    low BIGINT,
    high BIGINT,
    sketch BYTEA NOT NULL,
    PRIMARY KEY (monitor, location, at)
);

CREATE TABLE states (
    monitor BIGINT NOT NULL,
    location BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (monitor, location)
);

CREATE TABLE users (
    id TEXT NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    token_version BIGINT NOT NULL,
    disabled SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (email)
);

CREATE TABLE verdicts (
    monitor BIGINT NOT NULL,
    at BIGINT NOT NULL,
    workspace BIGINT NOT NULL,
    ended BIGINT,
    value TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (monitor, at)
);

CREATE INDEX verdicts_open ON verdicts (monitor) WHERE ended IS NULL;

CREATE TABLE workspaces (
    key BIGSERIAL NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (key),
    UNIQUE (id)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    last_used_at BIGINT,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (key_hash),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE channels (
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    config BYTEA NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE incidents (
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    monitor_id TEXT,
    host_id TEXT,
    opened_at BIGINT NOT NULL,
    resolved_at BIGINT,
    data TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

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
);

CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE monitors (
    key BIGSERIAL NOT NULL,
    workspace_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    tags TEXT NOT NULL,
    paused SMALLINT NOT NULL,
    version BIGINT NOT NULL,
    target BYTEA NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (key),
    UNIQUE (id),
    UNIQUE (workspace_id, id),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE INDEX monitors_name ON monitors (workspace_id, name, id);

CREATE TABLE outbox (
    n BIGSERIAL NOT NULL,
    key TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    incident_id TEXT,
    monitor_id TEXT,
    subject TEXT NOT NULL,
    rank BIGINT NOT NULL,
    message TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    lease_until BIGINT,
    lease_by TEXT,
    last_error TEXT,
    done_at BIGINT,
    PRIMARY KEY (n),
    UNIQUE (workspace_id, key),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE INDEX outbox_incident ON outbox (workspace_id, incident_id);

CREATE INDEX outbox_waiting ON outbox (workspace_id, channel_id, subject, rank) WHERE state = 'pending';

CREATE TABLE subjects (
    workspace_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    transition BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, subject),
    FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);

CREATE TABLE attempts (
    n BIGSERIAL NOT NULL,
    workspace_id TEXT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL,
    ok SMALLINT NOT NULL,
    error TEXT,
    took_us BIGINT NOT NULL,
    PRIMARY KEY (n),
    UNIQUE (workspace_id, key, at),
    FOREIGN KEY(workspace_id, key) REFERENCES outbox (workspace_id, key) ON DELETE CASCADE
);

CREATE TABLE monitor_channels (
    workspace_id TEXT NOT NULL,
    monitor_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    PRIMARY KEY (workspace_id, monitor_id, channel_id),
    FOREIGN KEY(workspace_id, monitor_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY(workspace_id, channel_id) REFERENCES channels (workspace_id, id) ON DELETE CASCADE
);

CREATE INDEX monitor_channels_channel ON monitor_channels (workspace_id, channel_id);

CREATE TABLE monitor_parents (
    workspace_id TEXT NOT NULL,
    monitor_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    PRIMARY KEY (workspace_id, monitor_id, parent_id),
    FOREIGN KEY(workspace_id, monitor_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY(workspace_id, parent_id) REFERENCES monitors (workspace_id, id) ON DELETE CASCADE
);

CREATE INDEX monitor_parents_parent ON monitor_parents (workspace_id, parent_id);

CREATE TABLE sessions (
    id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    data TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(workspace_id, user_id) REFERENCES memberships (workspace_id, user_id) ON DELETE CASCADE
);

CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE timeline (
    n BIGSERIAL NOT NULL,
    workspace_id TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    mark TEXT NOT NULL,
    at BIGINT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (n),
    UNIQUE (workspace_id, incident_id, mark),
    FOREIGN KEY(workspace_id, incident_id) REFERENCES incidents (workspace_id, id) ON DELETE CASCADE
);
