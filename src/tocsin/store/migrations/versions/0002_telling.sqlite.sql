CREATE INDEX outbox_due ON outbox (workspace_id, channel_id, n, next_at) WHERE state = 'pending';
CREATE TABLE message_refs (
  workspace_id TEXT NOT NULL, 
  channel_id TEXT NOT NULL, 
  thread TEXT NOT NULL, 
  ref TEXT NOT NULL, 
  at INTEGER NOT NULL, 
  PRIMARY KEY (workspace_id, channel_id, thread), 
  FOREIGN KEY(workspace_id, channel_id) REFERENCES channels (workspace_id, id) ON DELETE CASCADE
)
 STRICT;
CREATE TABLE digest_rows (
  workspace_id TEXT NOT NULL, 
  "key" TEXT NOT NULL, 
  digest TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, "key"), 
  FOREIGN KEY(workspace_id, "key") REFERENCES outbox (workspace_id, "key") ON DELETE CASCADE
)
 STRICT;
CREATE INDEX digest_rows_digest ON digest_rows (workspace_id, digest);
CREATE TABLE notices (
  n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
  workspace_id TEXT NOT NULL, 
  mark TEXT NOT NULL, 
  at INTEGER NOT NULL, 
  seen_at INTEGER, 
  data TEXT NOT NULL, 
  UNIQUE (workspace_id, mark), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE TABLE alert_rules (
  workspace_id TEXT NOT NULL, 
  id TEXT NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, id), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX alert_rules_name ON alert_rules (workspace_id, name, id);
CREATE TABLE maintenance_windows (
  workspace_id TEXT NOT NULL, 
  id TEXT NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, id), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX maintenance_windows_name ON maintenance_windows (workspace_id, name, id);
CREATE TABLE escalation_policies (
  workspace_id TEXT NOT NULL, 
  id TEXT NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, id), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX escalation_policies_name ON escalation_policies (workspace_id, name, id);
CREATE TABLE on_call_schedules (
  workspace_id TEXT NOT NULL, 
  id TEXT NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, id), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
)
 STRICT;
CREATE INDEX on_call_schedules_name ON on_call_schedules (workspace_id, name, id);
