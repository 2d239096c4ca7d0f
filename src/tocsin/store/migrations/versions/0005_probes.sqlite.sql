CREATE TABLE probes (
  workspace_id TEXT NOT NULL,
  id TEXT NOT NULL,
  code TEXT NOT NULL,
  version INTEGER NOT NULL,
  keys BLOB NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (workspace_id, id),
  UNIQUE (workspace_id, code),
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE TABLE probe_keys (
  key_hash TEXT NOT NULL,
  workspace_id TEXT NOT NULL,
  probe_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  used_at INTEGER,
  PRIMARY KEY (key_hash),
  FOREIGN KEY(workspace_id, probe_id) REFERENCES probes (workspace_id, id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX probe_keys_probe ON probe_keys (workspace_id, probe_id);
