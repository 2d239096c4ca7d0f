CREATE TABLE ticks (
  monitor BIGINT NOT NULL, 
  at BIGINT NOT NULL, 
  workspace BIGINT NOT NULL, 
  total BIGINT NOT NULL, 
  successful BIGINT NOT NULL, 
  average BIGINT, 
  low BIGINT, 
  high BIGINT, 
  consensus TEXT NOT NULL, 
  looks BYTEA NOT NULL, 
  PRIMARY KEY (monitor, at)
);
