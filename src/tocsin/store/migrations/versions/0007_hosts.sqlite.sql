CREATE TABLE hosts (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX hosts_name ON hosts (workspace_id, name, id);
CREATE TABLE agent_keys (
  key_hash TEXT NOT NULL,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  prefix TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (key_hash),
  FOREIGN KEY(workspace_id, host_id) REFERENCES hosts (workspace_id, id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX agent_keys_host ON agent_keys (workspace_id, host_id);
CREATE TABLE enrolment_keys (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  UNIQUE (key_hash),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE TABLE host_configs (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  digest TEXT NOT NULL,
  config BLOB NOT NULL,
  PRIMARY KEY (workspace_id, host_id),
  FOREIGN KEY(workspace_id, host_id) REFERENCES hosts (workspace_id, id) ON DELETE CASCADE
)
 STRICT;
CREATE TABLE agent_signing (
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  secret BLOB NOT NULL,
  PRIMARY KEY (id)
)
 STRICT;
CREATE TABLE agent_acks (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  acked INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, host_id, incarnation)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE series (
  "key" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  name TEXT NOT NULL,
  last_at INTEGER NOT NULL,
  UNIQUE (workspace_id, host_id, name)
)
 STRICT;
CREATE TABLE samples_tail (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  at INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (workspace_id, host_id, n)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE samples (
  series INTEGER NOT NULL,
  step INTEGER NOT NULL,
  at INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (series, step, at)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE heartbeats (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  began_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  count INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, host_id, began_at)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE host_states (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  collector TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, host_id, kind, name)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE host_state_changes (
  n INTEGER NOT NULL,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (n)
)
 STRICT;
CREATE INDEX host_state_changes_newest ON host_state_changes (workspace_id, host_id, at);
