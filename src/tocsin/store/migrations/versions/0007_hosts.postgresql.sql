CREATE TABLE hosts (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  version BIGINT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE INDEX hosts_name ON hosts (workspace_id, name, id);
CREATE TABLE agent_keys (
  key_hash TEXT NOT NULL,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  prefix TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  used_at BIGINT,
  PRIMARY KEY (key_hash),
  FOREIGN KEY(workspace_id, host_id) REFERENCES hosts (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX agent_keys_host ON agent_keys (workspace_id, host_id);
CREATE TABLE enrolment_keys (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  key_hash TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  UNIQUE (key_hash),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE TABLE host_configs (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  digest TEXT NOT NULL,
  config BYTEA NOT NULL,
  PRIMARY KEY (workspace_id, host_id),
  FOREIGN KEY(workspace_id, host_id) REFERENCES hosts (workspace_id, id) ON DELETE CASCADE
);
CREATE TABLE agent_signing (
  id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  PRIMARY KEY (id)
);
CREATE TABLE agent_acks (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  incarnation TEXT NOT NULL,
  acked BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (workspace_id, host_id, incarnation)
);
CREATE TABLE series (
  key BIGSERIAL NOT NULL,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  name TEXT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (key),
  UNIQUE (workspace_id, host_id, name)
);
CREATE TABLE samples_tail (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  n BIGINT NOT NULL,
  at BIGINT NOT NULL,
  data BYTEA NOT NULL,
  PRIMARY KEY (workspace_id, host_id, n)
);
CREATE TABLE samples (
  series BIGINT NOT NULL,
  step BIGINT NOT NULL,
  at BIGINT NOT NULL,
  data BYTEA NOT NULL,
  PRIMARY KEY (series, step, at)
);
CREATE TABLE heartbeats (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  count BIGINT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, host_id, began_at)
);
CREATE TABLE host_states (
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  collector TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, host_id, kind, name)
);
CREATE TABLE host_state_changes (
  n BIGSERIAL NOT NULL,
  workspace_id TEXT NOT NULL,
  host_id TEXT NOT NULL,
  at BIGINT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (n)
);
CREATE INDEX host_state_changes_newest ON host_state_changes (workspace_id, host_id, at);
