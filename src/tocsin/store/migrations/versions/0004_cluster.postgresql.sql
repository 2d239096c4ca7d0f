CREATE TABLE control (
  one BIGSERIAL NOT NULL, 
  standing BYTEA NOT NULL, 
  epoch BIGINT NOT NULL, 
  cluster_key BYTEA NOT NULL, 
  base_epoch BIGINT NOT NULL, 
  base BIGINT NOT NULL, 
  membership BYTEA NOT NULL, 
  applied BIGINT NOT NULL, 
  torn SMALLINT NOT NULL, 
  PRIMARY KEY (one)
);
CREATE TABLE control_log (
  n BIGSERIAL NOT NULL, 
  epoch BIGINT NOT NULL, 
  at BIGINT NOT NULL, 
  kind TEXT NOT NULL, 
  payload BYTEA NOT NULL, 
  PRIMARY KEY (n)
);
CREATE TABLE transport (
  source TEXT NOT NULL, 
  seq BIGINT NOT NULL, 
  monitor BIGINT NOT NULL, 
  at BIGINT NOT NULL, 
  location BIGINT NOT NULL, 
  attempt BIGINT NOT NULL, 
  taken_at BIGINT NOT NULL, 
  PRIMARY KEY (source, seq)
);
CREATE TABLE transport_ends (
  source TEXT NOT NULL, 
  upto BIGINT NOT NULL, 
  PRIMARY KEY (source)
);
