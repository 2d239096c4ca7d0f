CREATE TABLE probes (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  code TEXT NOT NULL,
  version BIGINT NOT NULL,
  keys BYTEA NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  UNIQUE (workspace_id, code),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
CREATE TABLE probe_keys (
  key_hash TEXT NOT NULL,
  workspace_id TEXT NOT NULL,
  probe_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  used_at BIGINT,
  PRIMARY KEY (key_hash),
  FOREIGN KEY(workspace_id, probe_id) REFERENCES probes (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX probe_keys_probe ON probe_keys (workspace_id, probe_id);
