CREATE TABLE instances (
  id TEXT NOT NULL, 
  name TEXT NOT NULL, 
  location TEXT NOT NULL, 
  data TEXT NOT NULL, 
  PRIMARY KEY (id), 
  UNIQUE (name), 
  UNIQUE (location)
);
CREATE TABLE instance_tokens (
  token_hash TEXT NOT NULL, 
  instance_id TEXT NOT NULL, 
  expires_at BIGINT NOT NULL, 
  PRIMARY KEY (token_hash), 
  FOREIGN KEY(instance_id) REFERENCES instances (id) ON DELETE CASCADE
);
CREATE INDEX instance_tokens_instance ON instance_tokens (instance_id);
