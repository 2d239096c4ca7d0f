CREATE TABLE invitations (
  workspace_id TEXT NOT NULL, 
  id TEXT NOT NULL, 
  email TEXT NOT NULL, 
  token_hash TEXT NOT NULL, 
  expires_at BIGINT NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (workspace_id, id), 
  UNIQUE (workspace_id, email), 
  UNIQUE (token_hash), 
  FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
);
